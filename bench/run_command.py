"""`gatebus run hello.wasm` as a user types it: the whole process, Python's start included, with a warm cache."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.guests import HELLO

RUNS = 15


def once(command: list[str]) -> float:
    """Milliseconds of one run; RuntimeError when it does not say hello."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    elapsed = (time.perf_counter() - began) * 1000
    if done.stdout != b"hello\n" or done.returncode != 0:
        msg = f"expected hello, got {done.stdout!r}, exit code {done.returncode}, {done.stderr!r}"
        raise RuntimeError(msg)
    return elapsed


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "hello.wat"
        module.write_bytes(HELLO)
        command = [sys.executable, "-m", "gatebus", "run", str(module)]
        once(command)  # fills the cache
        python = min(_interpreter() for _ in range(5))
        times = [once(command) for _ in range(RUNS)]
    print(f"gatebus run: median {statistics.median(times):.0f} ms, best {min(times):.0f}; bare Python {python:.0f}")
    print(json.dumps({"run_ms": statistics.median(times)}))


def _interpreter() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
