"""Build the executables and put them where the package `sandbox` looks for them. Run by `make build`.

In:  the workspace beside this file (ours, trusted) and the pinned crates of its Cargo.lock
Out: sandbox/bin/gatebus-sandbox (the native back-end, on Linux) and sandbox/bin/gatebus-transform (what rewrites
     programs for the portable one, everywhere), replaced only when their bytes changed, so that a build without
     changes leaves alone running keepers and the cache of compiled programs

The engine is a compiler and takes minutes the first time; cargo's artifacts therefore live in the user's cache, shared
by all checkouts, and one line says how far it is.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
BIN = NATIVE.parent / "bin"
EXECUTABLES = ("gatebus-sandbox", "gatebus-transform")
# Elsewhere than on Linux only the portable back-end works, whose engine is a Python package.
WHAT = ("--workspace",) if sys.platform == "linux" else ("-p", "gatebus-module")
CARGO = ("--release", *WHAT, "--locked")
# A build without changes takes half a second; whoever waits longer than this is told why.
QUIET_SECONDS = 3.0
# Of an ELF file's headers.
ET_DYN, EM_X86_64, PT_LOAD, PAGE = 3, 62, 1, 4096


def target_directory() -> Path:
    """Where cargo keeps its artifacts: CARGO_TARGET_DIR, else the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CARGO_TARGET_DIR") or Path(cache) / "gatebus" / "target")


def claim(target: Path, native: Path = NATIVE) -> None:
    """Our crates have the same names there as those of another checkout, and cargo goes by the times of their sources:
    what that one built last would be taken for ours. So whoever comes after another one looks freshly changed.
    """
    mark = target / "gatebus-checkout"
    if mark.exists() and mark.read_text() == str(native):
        return
    for source in native.glob("*/**/*.rs"):
        source.touch()
    target.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(native))


def count_crates() -> int:
    """How many crates a build from nothing compiles, the same way as `Progress` counts them: by distinct package."""
    tree = ("cargo", "tree", "--workspace", "--locked", "--edges=normal,build,dev", "--prefix=none", "--format={p}")
    # Where cargo does not work (no toolchain, no network), the build that follows says why, once and in cargo's words.
    lines = subprocess.run(tree, cwd=NATIVE, check=False, capture_output=True, text=True).stdout.splitlines()
    return len({line.removesuffix(" (*)") for line in lines if line})


class Progress:
    """One line for a person who waits: rewritten on a terminal, every 20 crates in a log."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen: set[str] = set()
        self._shown = False
        self._first_word = threading.Timer(QUIET_SECONDS, self._still_there)
        self._first_word.daemon = True
        self._first_word.start()

    def crate_done(self, package: str, *, fresh: bool) -> None:
        """Count a crate; nothing is shown as long as everything was there already."""
        self._seen.add(package)
        if fresh:
            return
        if sys.stderr.isatty() or not self._shown or len(self._seen) % 20 == 0:
            ours = package.startswith("path+")
            what = "gatebus' own crates, a minute or two" if ours else "the engine, about 7 minutes the first time"
            self._show(f"compiling {what}: {len(self._seen)} of {self._total} crates")

    def _still_there(self) -> None:
        """Cargo names a crate when it is done; our largest ones take half a minute."""
        if not self._shown:
            self._show("compiling what changed: a minute or two, and about 7 minutes the first time")

    def _show(self, text: str) -> None:
        start, end = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)
        self._shown = True

    def close(self) -> None:
        """Leave the rewritten line behind."""
        self._first_word.cancel()
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)


def follow(messages: Iterable[str]) -> list[Path]:
    """Read cargo's JSON messages to their end; the paths of the executables that were built."""
    progress, built = Progress(count_crates()), []
    for line in messages:
        message = json.loads(line)
        if message["reason"] != "compiler-artifact" or "custom-build" in message["target"]["kind"]:
            continue
        progress.crate_done(message["package_id"], fresh=message["fresh"])
        if message["executable"] and message["target"]["name"] in EXECUTABLES:
            built.append(Path(message["executable"]))
    progress.close()
    return built


def place_anywhere(executable: bytes) -> bytes:
    """The same file, which the kernel may put at any page.

    It is linked with its pieces far apart (runner/build.rs), and the linker writes down the distance as their
    alignment: with that, the kernel would choose among 512 times fewer addresses.
    """
    kind = struct.unpack_from("<4sBB10xHH", executable)
    if kind != (b"\x7fELF", 2, 1, ET_DYN, EM_X86_64):
        return executable
    (first,) = struct.unpack_from("<Q", executable, 32)
    size, count = struct.unpack_from("<HH", executable, 54)
    changed = bytearray(executable)
    for header in range(first, first + size * count, size):
        if struct.unpack_from("<I", executable, header) == (PT_LOAD,):
            struct.pack_into("<Q", changed, header + 48, PAGE)
    return bytes(changed)


def install(built: Path) -> None:
    """Copy with a rename, so that whoever starts it sees the old file or the new one, never half of it."""
    target, content = BIN / built.name, place_anywhere(built.read_bytes())
    BIN.mkdir(exist_ok=True)
    if target.exists() and target.read_bytes() == content:
        return
    fresh = target.with_suffix(".new")
    fresh.write_bytes(content)
    shutil.copymode(built, fresh)
    fresh.replace(target)
    print(f"new executable: sandbox/bin/{target.name}, {target.stat().st_size >> 20} MiB", file=sys.stderr)


def main() -> int:
    """Build, show how far it is, install; the exit code is cargo's."""
    if sys.platform != "linux":
        print("the native back-end needs Linux; only the portable one works here (gatebus doctor says more)")
        if shutil.which("cargo") is None:
            print("without cargo (Rust) it cannot stop programs and go on with them; all else works")
            return 0
    target = target_directory()
    claim(target)
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    command = ("cargo", "build", *CARGO, "--quiet", "--message-format=json-render-diagnostics")
    with subprocess.Popen(command, cwd=NATIVE, env=environment, stdout=subprocess.PIPE, text=True) as cargo:
        assert cargo.stdout is not None
        built = follow(cargo.stdout)
    if cargo.returncode or not built:
        return cargo.returncode or 1
    for executable in built:
        install(executable)
    return 0


if __name__ == "__main__":
    sys.exit(main())
