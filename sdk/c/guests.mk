# How gatebus builds C programs for its sandbox. A Makefile sets ROOT to the checkout and includes this file.
#
# The compiler is zig's clang from PyPI: one download for every platform, with wasi-libc inside. It is kept, with what it
# has compiled of its library, in the user's cache; programs go to build/guests. Any clang with a wasm32-wasi sysroot does
# as well: make WASM_CC='clang --target=wasm32-wasi --sysroot=/usr/share/wasi-sysroot'.

ZIG_VERSION := 0.17.1
GUESTS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gatebus/guests
ZIG := $(GUESTS)/zig-$(ZIG_VERSION)/zig
BUILD := $(ROOT)/build/guests
PYTHON ?= python3
WASM_CC ?= $(ZIG) cc -target wasm32-wasi
# One optimisation level for everything: zig compiles its C library once per level, half a minute each.
WASM_FLAGS := -O2 -s -std=gnu17 -Wall -Wextra -Wno-unused-parameter -I$(ROOT)/sdk/c
# For a program of several entry functions, each exported by the attribute that names it, instead of `main`.
ENTRIES := -mexec-model=reactor -Wl,--no-entry
.DEFAULT_GOAL := all
.PHONY: all
export ZIG_GLOBAL_CACHE_DIR := $(GUESTS)/zig-cache

$(ZIG):
	@echo "fetching the C compiler for WebAssembly once: zig $(ZIG_VERSION) from PyPI, 100 MB" >&2
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check ziglang==$(ZIG_VERSION)
	@ln -s "$$($(@D)/bin/python -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))')" $@

# $(eval $(call CRATE,NAME,VERSION,SHA256)): a rule for $(GUESTS)/NAME-VERSION/source, the unpacked sources of that crate. Many
# carry the C code that they bind to; cargo fetches it wherever it works, and the hash of the crate file is checked.
define CRATE
$(GUESTS)/$(1)-$(2)/source:
	@command -v cargo >/dev/null || { echo "fetching $(1) needs cargo: https://rustup.rs" >&2; exit 1; }
	@mkdir -p $$(@D)/src && touch $$(@D)/src/lib.rs
	@printf '[package]\nname = "fetch"\nversion = "0.0.0"\n[workspace]\n[dependencies]\n$(1) = { version = "=$(2)", default-features = false }\n' > $$(@D)/Cargo.toml
	@cd $$(@D) && cargo metadata --quiet --format-version 1 > metadata.json
	@crate=$$$$($(PYTHON) $(ROOT)/sdk/c/crate.py $$(@D)/metadata.json $(1)) && \
	  echo "$(3)  $$$$crate" | sha256sum --check --status && rm -rf $$(@D)/unpacked && mkdir $$(@D)/unpacked && \
	  tar -xzf "$$$$crate" -C $$(@D)/unpacked || { echo "the crate $(1) $(2) is not the one that was expected" >&2; exit 1; }
	@mv $$(@D)/unpacked/$(1)-$(2) $$@
endef
