#!/usr/bin/env bash
# Cross-builds the native part for arm64 and runs its engine-side tests under qemu-user.
#
# Why Debian's `rustc-web`: its packages carry the arm64 standard library, so nothing but Debian's archive is needed; they
# are unpacked into the user's cache, never installed. gcc's cross linker and qemu-user are ordinary packages: installed
# when we are root, asked for otherwise. qemu-user emulates neither seccomp nor all namespaces: the engine, admission,
# the personalities and the program role are tested here; of the layers only that they compile (docs/arm64.md).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gatebus
tools=$cache/arm64-toolchain
sysroot=/usr/aarch64-linux-gnu
# Those that start no child process.
portable_tests=(
    tests/portable/test_gate_poll.py tests/portable/test_gate_rules.py tests/portable/test_guest_setup.py
    tests/portable/test_memory_files_model.py tests/portable/test_portable_admission.py tests/portable/test_portable_channel.py
    tests/portable/test_saved_worlds.py tests/portable/test_stopped_calls.py tests/portable/test_wasi_files.py
    tests/portable/test_wasi_names.py tests/portable/test_wasi_plain.py tests/portable/test_wasi_poll.py
    tests/portable/test_wasi_streams.py
)
packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

say() { printf 'arm64: %s\n' "$*" >&2; }

install_packages() {
    local missing=()
    for package in "${packages[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" = 0 ] || { say "missing: ${missing[*]}; install them with: sudo apt-get install ${missing[*]}"; exit 1; }
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

# The compiler's version names the packages of its library: 1.96.0+dfsg -> libstd-rust-web-1.96.
unpack_compiler() {
    [ -x "$tools/usr/bin/rustc" ] && return
    dpkg --print-foreign-architectures | grep -qx arm64 || {
        [ "$(id -u)" = 0 ] || { say "needs once: sudo dpkg --add-architecture arm64 && sudo apt-get update"; exit 1; }
        dpkg --add-architecture arm64
        apt-get update -qq
    }
    local work; work=$(mktemp -d)
    local version; version=$(apt-cache show rustc-web | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' | sort -V | tail -n 1)
    local llvm; llvm=$(apt-cache show "libstd-rust-web-$version" | grep -o 'libllvm[0-9]*' | sort -u | tail -n 1)
    say "unpacking rustc $version with $llvm into the cache"
    (cd "$work" && apt-get download -qq rustc-web "libstd-rust-web-$version" "$llvm" libstd-rust-web-dev libstd-rust-web-dev:arm64)
    mkdir -p "$tools"
    for package in "$work"/*.deb; do dpkg -x "$package" "$tools"; done
    rm -rf "$work"
}

# cargo asks one program for both sides of the build; host programs (build scripts) get their own linker.
write_wrapper() {
    cat >"$tools/rustc-wrapped" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu
exec $tools/usr/bin/rustc --sysroot $tools/usr "\$@"
EOF
    chmod +x "$tools/rustc-wrapped"
}

# The portable back-end with its aarch64 wheel: Debian's arm64 Python, unpacked, under qemu-user; the tests named here
# start no further processes (a child of an emulated process would be the machine's own Python).
try_portable() {
    local python=$tools/python
    if [ ! -x "$python/usr/bin/python3.11" ]; then
        local work; work=$(mktemp -d)
        (cd "$work" && apt-get download -qq python3.11-minimal:arm64 libpython3.11-minimal:arm64 libpython3.11-stdlib:arm64 \
            zlib1g:arm64 libexpat1:arm64 libffi8:arm64 libssl3:arm64 libuuid1:arm64 libbz2-1.0:arm64 liblzma5:arm64)
        for package in "$work"/*.deb; do dpkg -x "$package" "$python"; done
        rm -rf "$work"
        python3 -m pip install -q --target "$python/site" --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 \
            --python-version 3.11 --only-binary :all: wasmtime trio pytest pytest-trio pytest-timeout hypothesis
    fi
    say "running the portable back-end's tests in arm64 Python under qemu-user"
    (cd "$here/../.." && PYTHONPATH=$python/site PYTHONHOME=$python/usr LD_LIBRARY_PATH= \
        qemu-aarch64 -L "$sysroot" -E "LD_LIBRARY_PATH=$python/usr/lib/aarch64-linux-gnu:$python/lib/aarch64-linux-gnu" \
        "$python/usr/bin/python3.11" "$@")
}

travel_here() {
    (unset RUSTC; CARGO_TARGET_DIR=$1 cargo test --quiet --release --workspace --locked --test moves -- a_journey >/dev/null)
}

# One program's whole state, made here, goes on there, then in the interpreter Pulley, and comes back, two legs each: what the test `moves` does between two engines.
# Each leg is a process, with the runtime's whole chain (setup, engine, world, state) but the jail.
travel() {
    local folder; folder=$(mktemp -d)
    say "moving a stopped program between x86-64, arm64 and Pulley"
    export GATEBUS_MOVES=$folder
    local turn=0
    while [ ! -e "$folder/said" ]; do
        case $((turn / 2 % 3)) in
        0) travel_here "$1" ;;
        1) $tested --quiet --test moves -p gatebus-sandbox -- a_journey >/dev/null ;;
        2) GATEBUS_MOVES_BY=pulley64 travel_here "$1" ;;
        esac
        turn=$((turn + 1))
    done
    unset GATEBUS_MOVES
    rm -rf "$folder"
    say "its $turn legs gave what it gives without a stop"
}

main() {
    local own_target=${CARGO_TARGET_DIR:-$cache/target}
    [ "$(uname -m)" = x86_64 ] || { say "this script cross-builds from x86-64; on arm64 use make test"; exit 1; }
    install_packages
    unpack_compiler
    write_wrapper
    export RUSTC=$tools/rustc-wrapped
    export CARGO_TARGET_DIR=$cache/arm64-target
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    # qemu-user keeps a record of every page that was ever reserved, and an engine reserves gigabytes for each memory. Where
    # there are 256 GiB of addresses, freed ones are used again: 2 GiB of records at most.
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -R 256G -L $sysroot"
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    cd "$here"
    cargo build --release --locked --target aarch64-unknown-linux-gnu -p gatebus-sandbox
    say "running the engine-side tests under qemu-user"
    # Never doc tests: cargo would run them with the machine's own rustdoc, which has no arm64 library.
    tested="cargo test --release --locked --target aarch64-unknown-linux-gnu"
    $tested --lib --bins --tests -p gatebus-wire -p gatebus-files -p gatebus-abi
    # Not `chain` and `text`: they start the keeper, and qemu-user has no namespaces.
    # Not the one that asks `mincore` about closed memory: qemu-user answers for its own pages, with an error.
    $tested --lib --bins --test admission --test huge -p gatebus-sandbox -- --skip a_closed_range_is_neither
    # Its dozens of stages keep their addresses, 42 GiB each: more than 256 GiB hold, and few enough for the emulator's records.
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $sysroot" $tested --test moves -p gatebus-sandbox
    # What is made of a stopped program, by the engine's code for arm64. The rest of that crate's tests say nothing of a processor.
    $tested --lib --bins --test hot_loops --test state -p gatebus-module
    # Each case makes engines and instances. With small reservations the emulator has little to record (256 GiB of addresses hold no
    # more than five stages of `programs` at once, so: one after the other).
    $tested --test programs -p gatebus-sandbox -- --test-threads=1
    GATEBUS_SMALL_RESERVATIONS=1 $tested --test export --test differential -p gatebus-module -- --test-threads=1
    travel "$own_target"
    try_portable -m pytest -q -p no:cacheprovider "${portable_tests[@]}"
}

main
