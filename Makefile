# The two commands of a fresh machine are `make test` and `make demo`. They need Python >= 3.11, cargo, a C compiler and make;
# everything else is fetched through pip and cargo and kept in .venv and in the user's cache.

PYTHON ?= python3
VENV ?= .venv
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gatebus
export CARGO_TARGET_DIR ?= $(CACHE)/target
# It goes by what files hold, wherever they are: a fresh checkout is checked in a second instead of fifteen.
export MYPY_CACHE_DIR ?= $(CACHE)/mypy
BIN := $(VENV)/bin
CARGO := cd sandbox/native && cargo
# Clippy as the compiler of an ordinary build, of programs and tests: `cargo clippy` would check the engine's 100 crates a
# second time. By its name alone: what cargo keeps would be another for each checkout.
CLIPPY := PATH="$(CURDIR)/sandbox/native:$$PATH" RUSTC_WORKSPACE_WRAPPER=clippy.sh CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
RUST_TESTS := tests/quietly.sh 'Rust tests' \
  cargo test --manifest-path sandbox/native/Cargo.toml --quiet --release --workspace --locked
PYTHON_TESTS = tests/quietly.sh 'Python tests' \
  $(BIN)/pytest --quiet --numprocesses $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder

.PHONY: build python engine guests test lint rust-tests test-engine test-python browser-tools kubo fuzz chaos kills cuts demo chat bench soak arm64 clean help

help:
	@echo "make test    build everything, lint, run all tests (first time: about 15 minutes, most of it the engine)"
	@echo "make demo    show what it can do, in a few minutes"
	@echo "make chat    start a host with a chat room; prints the address of its page; make chat PORT=7000"
	@echo "make build   only build; then $(BIN)/gatebus run FILE, $(BIN)/gatebus doctor"
	@echo "make guests  build the example and test programs (C, JavaScript)"
	@echo "make bench   measure and print one table; make bench ONLY=spawn_ms,idle_kib"
	@echo "make soak    10,000 copies of a program come and go, 10,000 times it is suspended and resumed: nothing grows"
	@echo "make autobahn  all 517 cases of the websocket test suite (needs a Python 2.7; make test runs 247)"
	@echo "make kubo    build a real IPFS node for the tests of it (needs Go; make test does it)"
	@echo "make arm64   cross-build the native part and test it under qemu-user"
	@echo "make fuzz    broken input for every decoder, a minute each: make fuzz SECONDS=600"
	@echo "make chaos   everything at once at one host, ten minutes: make chaos SECONDS=3600 SEED=1"
	@echo "make kills   kill -9 of a host at each named place, and of its store, 50 times; make kills TIMES=10"
	@echo "make cuts    200 power cuts under the snapshot store (root, loop devices); make cuts TIMES=1000"
	@echo "make clean   remove what was built here (the caches in $(CACHE) stay)"

# pip keeps one processor busy, cargo the other one.
build:
	@$(MAKE) --no-print-directory engine & engine=$$!; $(MAKE) --no-print-directory python; python=$$?; \
	wait $$engine && exit $$python

python: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "gatebus needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

engine:
	@command -v cargo >/dev/null || { echo "gatebus needs cargo (Rust 1.95 or newer): https://rustup.rs"; exit 1; }
	@$(PYTHON) sandbox/native/build.py

guests: python
	@$(MAKE) --no-print-directory --silent -C examples
	@$(MAKE) --no-print-directory --silent -C tests/guests
	@$(MAKE) --no-print-directory --silent -C bench/programs
	@$(MAKE) --no-print-directory --silent -C examples/js

# First all that keeps every processor busy by itself, then what waits for processes a part of the time, beside each other.
test: build guests browser-tools kubo lint rust-tests
	@QUIET=1 $(RUST_TESTS) & rust=$$!; $(PYTHON_TESTS); code=$$?; wait $$rust && exit $$code

lint: build
	$(BIN)/ruff check .
	@echo '$(BIN)/mypy' && $(BIN)/mypy & mypy=$$!; \
	if cargo fmt --version >/dev/null 2>&1; then echo 'cargo fmt --check' && ($(CARGO) fmt --check); \
	else echo 'no rustfmt here: the format of the Rust code was not checked'; fi && \
	if command -v clippy-driver >/dev/null; then echo clippy && (cd sandbox/native && \
	  $(CLIPPY) cargo test --no-run --quiet --release --workspace --locked); \
	else echo 'no clippy here: the Rust code was not linted'; fi; \
	rust=$$?; wait $$mypy && exit $$rust

rust-tests: build
	@$(CARGO) test --no-run --quiet --release --workspace --locked

test-engine: build
	@$(RUST_TESTS)

# Files of tests are dealt to as many processes as the smallest machine has processors: tests wait for processes half of the time.
# In their order, so that the many small ones come last and nobody waits long for the other.
test-python: build guests browser-tools kubo
	@$(PYTHON_TESTS)

browser-tools: python
	@tests/browser/install.sh "$(CACHE)"

kubo:
	@tests/kubo/build.sh "$(CACHE)"

soak: build
	GATEBUS_COPIES=10000 GATEBUS_CYCLES=10000 $(BIN)/pytest --quiet --timeout=0 -o faulthandler_timeout=0 \
	  tests/sandbox/test_many_copies.py tests/lives/test_many_lives.py

autobahn: python
	GATEBUS_AUTOBAHN=1 $(BIN)/pytest --quiet -o faulthandler_timeout=0 tests/web/test_autobahn.py

fuzz: export GATEBUS_FUZZ_SECONDS := $(or $(SECONDS),60)
fuzz: export GATEBUS_FUZZ_SEED := $(shell date +%s)
fuzz: build
	@echo "GATEBUS_FUZZ_SEED=$$GATEBUS_FUZZ_SEED GATEBUS_FUZZ_SECONDS=$$GATEBUS_FUZZ_SECONDS"
	cd sandbox/native/smith && cargo run --quiet --release --locked -- $$GATEBUS_FUZZ_SEED 2000 $(CARGO_TARGET_DIR)/smith.bin
	export GATEBUS_SMITH=$(CARGO_TARGET_DIR)/smith.bin && \
	  $(CARGO) test --quiet --release --workspace --locked --test 'fuzz_*' -- --test-threads=2
	$(BIN)/pytest --quiet --timeout=0 tests/words/test_fuzz_decoders.py tests/web/test_frame_paths.py tests/portable/test_saved_worlds.py

# Long runs of what the tests do a few times: a host and a store that are killed at each fail-point, one whose power goes.
chaos: export GATEBUS_CHAOS := $(or $(SECONDS),600)
chaos: export GATEBUS_CHAOS_SEED := $(or $(SEED),$(shell date +%s))
chaos: build
	@echo "SEED=$$GATEBUS_CHAOS_SEED SECONDS=$$GATEBUS_CHAOS"
	$(BIN)/pytest --quiet --timeout=0 -o faulthandler_timeout=0 tests/lives/test_everything_at_once.py

kills: export GATEBUS_KILLS := $(or $(TIMES),50)
kills: export GATEBUS_HISTORIES := 200
kills: build
	$(BIN)/pytest --quiet -o faulthandler_timeout=0 tests/lives/test_killed_hosts.py tests/wires/test_snapshot_crashes.py \
	  tests/lives/test_simulated_lives.py

cuts: export GATEBUS_CUTS := $(or $(TIMES),200)
cuts: export GATEBUS_REQUIRE_DATA := 1
cuts: python
	$(BIN)/pytest --quiet -o faulthandler_timeout=0 tests/wires/test_power_cuts.py tests/wires/test_forgetful_disk.py

demo: build
	@$(BIN)/python -m gatebus.demo

chat: build
	@$(MAKE) --no-print-directory --silent -C examples
	@$(BIN)/python examples/chat/serve.py $(if $(PORT),--port $(PORT))

bench: build guests
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

arm64: python
	sandbox/native/arm64.sh

clean:
	rm -rf build sandbox/bin $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
