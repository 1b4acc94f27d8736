"""Words: every bound of the package, each with its default, its range and its reason.

In:  numbers from a caller or a command line ("64MiB", "1s"). Out: Limits of one program, CompileLimits, HostLimits:
checked, frozen.

The engine's limit answers first (a clear cause), the kernel's is the back-stop. A number that is not here is not
bounded, which is a bug.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import BadSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

STACK_SMALL, STACK_LARGE = 256 * KIB, 8 * MIB

# The state of a stopped program, all but memory 0. The process that goes on holds it three times while it puts it to
# its places; files and further memories are nearly all of it, and their own limits end at the same size.
STATE_MAX = 1 * GIB
# Its frames: what the rewritten program has room for, and more than three times as many as fit into the largest stack
# (native/module/src/layout.rs). Of nobody are more looked at.
FRAME_BYTES, FRAMES_MAX = 64 * MIB - 4_128, 1 << 22
# A continuation's guide stands in its facts (image.py), which have this bound.
GUIDE_MAX = 4 * MIB
# Levels of lists and objects in JSON that workers say and files hold: what is written here has 5.
JSON_DEPTH_MAX = 16
# What RESTORE packets bring: u32, guide, state. The runtimes refuse more (native: bounds.rs of the runner).
RESTORE_MAX = 4 + GUIDE_MAX + STATE_MAX
# Besides state and program (CompileLimits.program_size) in a state file: a few names and numbers; memory 0 in pieces of
# 4 KiB, all that 32 bits can address; streams and packets that were not sent, which credit bounds far below.
STATE_DESCRIPTION_MAX, STATE_PIECES_MAX, STATE_SERVICES_MAX = 64 * KIB, 1 << 20, 16 * MIB


class Range(NamedTuple):
    """Metadata of a number: inclusive bounds, unit and reason. `steps`: only these values exist."""

    minimum: float
    maximum: float
    unit: str
    reason: str
    steps: tuple[int, ...] = ()
    none_allowed: bool = False


def _number(default: Any, bounds: Range) -> Any:
    return field(default=default, metadata={"range": bounds})


def _check(limits: Any) -> None:
    for each in fields(limits):
        _check_one(each.name, getattr(limits, each.name), each.metadata["range"])


def _check_one(name: str, value: float | None, bounds: Range) -> None:
    if value is None:
        if bounds.none_allowed:
            return
        raise BadSetup("limit-missing", f"The limit {name} cannot be left out.")
    if isinstance(value, bool) or not isinstance(value, (int, float) if bounds.unit == "seconds" else int):
        raise BadSetup("limit-type", f"The limit {name} must be a number of {bounds.unit}.")
    if bounds.steps and value not in bounds.steps:
        allowed = " or ".join(str(step) for step in bounds.steps)
        raise BadSetup("limit-range", f"The limit {name} is {value} {bounds.unit}; it must be {allowed}.")
    if not bounds.minimum <= value <= bounds.maximum:
        raise BadSetup(
            "limit-range",
            f"The limit {name} is {value} {bounds.unit}; it must be {bounds.minimum} to {bounds.maximum}.",
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use."""

    memory: int = _number(
        64 * MIB,
        Range(
            64 * KIB,
            4 * GIB,
            "bytes",
            "Enough for interpreters and compilers; the memory is a sealed file of exactly this size.",
        ),
    )
    table: int = _number(
        65_536,
        Range(
            0,
            10_000_000,
            "elements",
            "A large C++ program has 30,000 function pointers; eight bytes each in the runtime's private memory.",
        ),
    )
    stack: int = _number(
        STACK_SMALL,
        Range(
            STACK_SMALL,
            STACK_LARGE,
            "bytes",
            "The engine's stack limit is engine-wide: two pools; the small one keeps idle programs small.",
            steps=(STACK_SMALL, STACK_LARGE),
        ),
    )
    cpu_time: float = _number(
        30.0,
        Range(
            0.001,
            86_400,
            "seconds",
            "Half a minute of a core is generous for a request, and what one stranger may cost.",
        ),
    )
    wall_time: float | None = _number(
        300.0,
        Range(
            0.001,
            4_000_000,
            "seconds",
            "Five minutes: a program that waits for ever holds a process. None: no limit.",
            none_allowed=True,
        ),
    )
    files: int = _number(
        32 * MIB,
        Range(
            0,
            1 * GIB,
            "bytes",
            "The private file system lives in the runtime's private memory; a Python standard library has 30 MB.",
        ),
    )
    nodes: int = _number(
        4_096,
        Range(1, 1_000_000, "files", "Files, directories and links; each costs about 200 bytes besides its content."),
    )
    log: int = _number(
        1 * MIB, Range(0, 1 * GIB, "bytes", "More than a person reads; the rest is counted and dropped.")
    )
    clock_resolution: int = _number(
        10,
        Range(
            1, 1_000, "milliseconds", "Coarse clocks make timing attacks on neighbours slow (docs/security.md, T19)."
        ),
    )

    def __post_init__(self) -> None:
        _check(self)

    @property
    def cpu_ms(self) -> int:
        return max(1, round(self.cpu_time * 1000))

    @property
    def wall_ms(self) -> int:
        """0: none."""
        return 0 if self.wall_time is None else max(1, round(self.wall_time * 1000))

    @property
    def data(self) -> int:
        """RLIMIT_DATA of the process:

        the kernel's back-stop behind the engine's own counts (guest memory is not in it).
        """
        return RUNTIME_DATA + self.files + 8 * self.table + (self.stack if self.stack == STACK_LARGE else 0)


def stack_of_suspendable(stack: int, *, goes_on: bool) -> int:
    """What such a program has for what another has in `stack`: its frames are larger, after a resume once more; as the
    native runtime has it (native/jail/src/workload.rs, with the measurements).
    """
    if stack != STACK_LARGE:
        return 16 * stack if goes_on else stack
    return 12 * stack if goes_on else 3 * stack


# The runtime's heap, stacks, engine tables and copy-on-write data besides files and tables; measured need: 2 MiB.
# Generous because it is only the back-stop: the runtime's own allocator answers first.
RUNTIME_DATA = 64 * MIB


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """What compiling one program may cost. Compiling is the cheapest attack: half a megabyte made 10 s and 865 MB."""

    program_size: int = _number(
        32 * MIB, Range(8, 1 * GIB, "bytes", "Gate's default for a module; checked before anything looks at the bytes.")
    )
    memory: int = _number(
        1 * GIB,
        Range(64 * MIB, 64 * GIB, "bytes", "Address space of the worker; a 1 MiB C program needs about a third of it."),
    )
    cpu_time: float = _number(
        60.0, Range(0.1, 3_600, "seconds", "A 10 MB interpreter compiles in 20 s on one slow core.")
    )
    wall_time: float = _number(
        120.0,
        Range(
            0.1,
            3_600,
            "seconds",
            "Twice the CPU time: the machine may be busy, but a principal must not wait for ever.",
        ),
    )
    max_code: int = _number(
        64 * MIB,
        Range(
            64 * KIB,
            1 * GIB,
            "bytes",
            "The image is mapped by every instance and kept in the cache; code is 3 to 8 times the program.",
        ),
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the host process spends on all programs together."""

    programs: int = _number(16_384, Range(1, 1_000_000, "programs", "Two descriptors each; Gate's constant."))
    setup_size: int = _number(
        1 * MIB,
        Range(
            1 * KIB, 1 * MIB, "bytes", "Arguments, environment and function; the runtime refuses more (PROTOCOL.md)."
        ),
    )
    compile_workers: int = _number(
        2,
        Range(1, 256, "workers", "Each takes a core and up to the worker's memory; programs that run need cores, too."),
    )
    queue_per_principal: int = _number(
        16,
        Range(
            1,
            10_000,
            "programs",
            "One of a principal compiles at a time; more than this waiting is a flood, and the bytes are held here.",
        ),
    )
    queue_total: int = _number(
        256, Range(1, 100_000, "programs", "All principals together; a flood may come under many names.")
    )
    queue_bytes: int = _number(
        256 * MIB, Range(1 * MIB, 64 * GIB, "bytes", "Programs that wait for the compiler are held in memory.")
    )
    cache_disk: int = _number(
        1 * GIB, Range(1 * MIB, 1 << 50, "bytes", "About a thousand programs; the oldest go first.")
    )
    cache_memory: int = _number(
        256 * MIB,
        Range(
            0, 1 << 50, "bytes", "Images ready to be mapped; least recently used go first, and an image in use stays."
        ),
    )
    cache_images: int = _number(128, Range(0, 100_000, "images", "One descriptor each."))
    read_size: int = _number(
        256 * KIB,
        Range(
            72 * KIB,
            16 * MIB,
            "bytes",
            "One read takes what a socket buffer holds; must hold one packet and the next header.",
        ),
    )
    suspend_seconds: float = _number(
        5.0,
        Range(
            0.001,
            3_600,
            "seconds",
            "A stop takes a millisecond; the longest single instruction, filling 4 GiB, about a second. Whoever waits "
            "is told then, and may wait again.",
        ),
    )
    kill_seconds: float = _number(
        10.0,
        Range(
            0.1,
            600,
            "seconds",
            "A killed process is gone within milliseconds; longer than this, the keeper itself is stuck.",
        ),
    )
    keeper_seconds: float = _number(
        20.0, Range(0.1, 600, "seconds", "A keeper is ready after 10 to 200 ms; on a machine that is starved, seconds.")
    )
    keeper_restarts: int = _number(
        5,
        Range(0, 1_000, "restarts", "Keepers that die one after another within a minute are not cured by another one."),
    )

    def __post_init__(self) -> None:
        _check(self)


_SIZE = re.compile(r"(\d{1,16})(?:\.(\d{1,6}))?\s*(B|KB|KIB|K|MB|MIB|M|GB|GIB|G|TB|TIB|T)?", re.IGNORECASE | re.ASCII)
_SIZE_UNITS = {
    "": 1,
    "B": 1,
    "K": KIB,
    "KIB": KIB,
    "M": MIB,
    "MIB": MIB,
    "G": GIB,
    "GIB": GIB,
    "T": TIB,
    "TIB": TIB,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
}
_COUNT = re.compile(r"(\d{1,16})\s*([KMG]?)", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(MS|S|M|MIN|H)?", re.IGNORECASE | re.ASCII)
_TIME_UNITS = {"": 1.0, "MS": 0.001, "S": 1.0, "M": 60.0, "MIN": 60.0, "H": 3600.0}


def parse_size(text: str) -> int:
    """ "64MiB", "1.5 GiB", "4096" -> bytes. KiB to TiB (or K to T) are powers of 1024; kB to TB of 1000."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise BadSetup("limit-text", "A size is written like 64MiB, 512KiB or 4096.")
    unit = _SIZE_UNITS[(found[3] or "").upper()]
    digits = found[2] or ""
    return int(found[1]) * unit + (int(digits) * unit // 10 ** len(digits) if digits else 0)


def parse_time(text: str) -> float:
    """ "500ms", "1.5s", "2m", "1h", "3" -> seconds."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise BadSetup("limit-text", "A time is written like 500ms, 1s, 2m or 1h.")
    return float(found[1]) * _TIME_UNITS[(found[2] or "").upper()]


def parse_count(text: str) -> int:
    """ "4096", "64K" -> a number of things. K, M and G are powers of 1024, as in sizes."""
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        raise BadSetup("limit-text", "A number is written like 4096 or 64K.")
    return int(found[1]) * _SIZE_UNITS[found[2].upper()]


def _parse_milliseconds(text: str) -> int:
    return int(text) if text.strip().isdecimal() else round(parse_time(text) * 1000)


_PARSERS: Mapping[str, Callable[[str], int | float]] = {
    "bytes": parse_size,
    "seconds": parse_time,
    "milliseconds": _parse_milliseconds,
}


def parse(kind: type[Limits | CompileLimits | HostLimits], name: str, text: str) -> int | float | None:
    """The text of a command line for the limit `name` of `kind`, by its unit; "none" where that is allowed.

    The range is checked when it is set.
    """
    bounds = next((each.metadata["range"] for each in fields(kind) if each.name == name), None)
    if bounds is None:
        raise BadSetup("limit-unknown", "There is no limit of this name.")
    if bounds.none_allowed and text.strip().lower() == "none":
        return None
    return _PARSERS.get(bounds.unit, parse_count)(text)


_SUFFIXES = {"seconds": "s", "milliseconds": "ms"}


def written(value: float | None, unit: str) -> str:
    """A number as one writes it; `parse` reads it again."""
    if value is None:
        return "none"
    if unit == "bytes":
        size = int(value)
        for name, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
            if size >= factor and size % factor == 0:
                return f"{size // factor}{name}"
    if unit in _SUFFIXES:
        return f"{value:.10g}{_SUFFIXES[unit]}"
    return f"{value:.0f}"
