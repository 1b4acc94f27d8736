"""Build the executable `gatebus-sandbox` and put it where the package `sandbox` looks for it. Run by `make build`.

In:  the workspace beside this file (ours, trusted) and the pinned crates of its Cargo.lock
Out: sandbox/bin/gatebus-sandbox, replaced only when its bytes changed, so that a build without changes leaves alone
     running keepers and the cache of compiled programs

The engine is a compiler and takes minutes the first time; cargo's artifacts therefore live in the user's cache, shared
by all checkouts, and one line says how far it is.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
EXECUTABLE = NATIVE.parent / "bin" / "gatebus-sandbox"
CARGO = ("--release", "--workspace", "--locked")


def target_directory() -> Path:
    """Where cargo keeps its artifacts: CARGO_TARGET_DIR, else the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CARGO_TARGET_DIR") or Path(cache) / "gatebus" / "target")


def count_crates() -> int:
    """How many crates a build from nothing compiles, the same way as `Progress` counts them: by distinct package."""
    tree = ("cargo", "tree", "--workspace", "--locked", "--edges=normal,build,dev", "--prefix=none", "--format={p}")
    lines = subprocess.run(tree, cwd=NATIVE, check=True, capture_output=True, text=True).stdout.splitlines()
    return len({line.removesuffix(" (*)") for line in lines if line})


class Progress:
    """One line for a person who waits: rewritten on a terminal, every 20 crates in a log."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen: set[str] = set()
        self._shown = False

    def crate_done(self, package: str, *, fresh: bool) -> None:
        """Count a crate; nothing is shown as long as everything was there already."""
        self._seen.add(package)
        ours = package.startswith("path+")
        if fresh or ours:
            return
        if sys.stderr.isatty():
            self._show("\r", "")
        elif not self._shown or len(self._seen) % 20 == 0:
            self._show("", "\n")
        self._shown = True

    def _show(self, start: str, end: str) -> None:
        text = f"compiling the engine, about 7 minutes the first time: {len(self._seen)} of {self._total} crates"
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the rewritten line behind."""
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)


def follow(messages: Iterable[str]) -> Path | None:
    """Read cargo's JSON messages to their end; the path of the executable, None when the build failed."""
    progress, executable = Progress(count_crates()), None
    for line in messages:
        message = json.loads(line)
        if message["reason"] != "compiler-artifact" or "custom-build" in message["target"]["kind"]:
            continue
        progress.crate_done(message["package_id"], fresh=message["fresh"])
        if message["executable"] and message["target"]["name"] == EXECUTABLE.name:
            executable = Path(message["executable"])
    progress.close()
    return executable


def install(built: Path) -> None:
    """Copy with a rename, so that whoever starts it sees the old file or the new one, never half of it."""
    EXECUTABLE.parent.mkdir(exist_ok=True)
    if EXECUTABLE.exists() and EXECUTABLE.read_bytes() == built.read_bytes():
        return
    fresh = EXECUTABLE.with_suffix(".new")
    shutil.copy2(built, fresh)
    fresh.replace(EXECUTABLE)
    print(f"new engine: sandbox/bin/{EXECUTABLE.name}, {EXECUTABLE.stat().st_size >> 20} MiB", file=sys.stderr)


def main() -> int:
    """Build, show how far it is, install; the exit code is cargo's."""
    if sys.platform != "linux":
        print("the native back-end needs Linux; only the portable one works here (gatebus doctor says more)")
        return 0
    environment = os.environ | {"CARGO_TARGET_DIR": str(target_directory())}
    command = ("cargo", "build", *CARGO, "--quiet", "--message-format=json-render-diagnostics")
    with subprocess.Popen(command, cwd=NATIVE, env=environment, stdout=subprocess.PIPE, text=True) as cargo:
        assert cargo.stdout is not None
        executable = follow(cargo.stdout)
    if cargo.returncode or executable is None:
        return cargo.returncode or 1
    install(executable)
    return 0


if __name__ == "__main__":
    sys.exit(main())
