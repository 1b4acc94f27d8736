"""The programs of the figures `live_*`: the kernels, and three that other people wrote, each with a fixed task.

In:  bench/kernels/*.wat and what `make guests` has built
Out: files, words of the command line, and the line that each must print
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).parent
BUILT = BENCH.parent / "build/guests/bench"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that checks itself: a kernel by its exit code, the others by what they print."""

    name: str
    file: Path
    words: tuple[str, ...] = ()
    prints: str = ""


def cache() -> Path:
    """The user's cache, as the Makefiles know it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatebus"


def kernels() -> tuple[Program, ...]:
    return tuple(Program(file.stem, file) for file in sorted((BENCH / "kernels").glob("*.wat")))


def sqlite() -> Program:
    prints = "161|30670|1995544.969|item 9999|item 20871,item 37257,item 76232\n"
    return Program("sqlite3", BUILT / "sqlite.wasm", ("sqlite",), prints)


def interpreter() -> Program:
    script = (BENCH / "programs/script.js").read_text()
    prints = "511 1023 2047 4095 8191 16383|91t ebu pd3|1556|-4286.806274|59999\n"
    words = ("qjs", "--std", "--stack-size", "1024", "-e", script)
    return Program("JavaScript", cache() / "guests/qjs.wasm", words, prints)


def compressor() -> Program:
    return Program("zlib", BUILT / "zlib.wasm", ("zlib",), "1720585 8854cd6f\n")


def programs() -> tuple[Program, ...]:
    return (*kernels(), sqlite(), interpreter(), compressor())
