"""Words: datagrams between host and keeper (PROTOCOL.md section A).

Out: START, KILL, COMPILE, STATUS, SHARE, PARK, SCAN as bytes (descriptors travel beside them). In: READY, ENDED,
FAILED, PARKED, SCANNED from the keeper, which is our own process but holds untrusted ones: its datagrams are checked,
and only SandboxBroken comes out of it.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import NamedTuple

from sandbox.errors import SandboxBroken
from sandbox.form import CompileJob
from sandbox.limits import STACK_LARGE, CompileLimits, Limits
from sandbox.outcome import EndRecord, Why

VERSION = 1

START, KILL, COMPILE, STATUS, SHARE, PARK, SCAN = 1, 2, 3, 4, 5, 6, 7
READY, ENDED, FAILED, PARKED, SCANNED = 16, 17, 18, 19, 20

# u32 kind, u32 id
_HEAD = Struct("<II")
# head, u64 memory_limit, u64 data_limit, u32 cpu_ms, u32 wall_ms, u32 table_limit, u32 stack_class, u32 flags, u32
# control_bytes, u32 base_files, u32 base_pages, u32 low
_START = Struct("<IIQQIIIIIIIII")
# head, u64 address, u64 length, u64 list_at
_SCAN = Struct("<IIQQQ")
# head, u32 entries
_SCANNED = Struct("<III")
_UNKNOWN = (1 << 32) - 1
# head, u32 account
_SHARE = Struct("<III")
# head, u32 0 or 1: it goes on or stands still (the wish, and the answer)
_PARK = Struct("<III")
# head, u64 memory_limit, u64 max_code, u32 cpu_ms, u32 wall_ms, u32 flags, u32 job
_COMPILE = Struct("<IIQQIIII")
# head, u32 version, layers on, layers missing, cgroup mode, u64 fingerprint, u32 pool ready, pool size, programs,
# spawner generation
_READY = Struct("<IIIIIIQIIII")
# head, i32 wait status, u32 why, u64 user_us, u64 system_us, u64 max_rss
_ENDED = Struct("<IIiIQQQ")
# head, u32 reason, u32 errno
_FAILED = Struct("<IIII")

# The control memory of every suspendable program (native/module/src/layout.rs): requests, words, room for frames.
CONTROL_BYTES = 64 << 20
# The part of it where the host asks for a stop; each place where a program may be left reads its own byte.
REQUEST_BYTES = 4_096
# Where in it frames stand, and lists of changed pages while there are no frames.
FRAMES_AT = 4_128
# Entries of such a list.
SCAN_MOST = 65_536
_PAGE = 65_536

# The longest datagram that the keeper sends; one byte more is asked for, so that a longer one is seen.
DATAGRAM_MAX = 64
IDS = 1 << 32

_OLDER = (
    "The sandbox's executable did not understand its host: it was built from another version. Build it again (`make "
    "build`); if that changes nothing, please report a bug."
)
SPAWNER_LOST = 4
FAIL_TEXTS = {
    1: ("bad-request", _OLDER),
    2: ("no-process", "No process could be made; the machine is short of memory or of processes. Try again later."),
    3: ("too-many-programs", "Too many programs run at once. Try again when some have ended."),
    SPAWNER_LOST: ("spawner-lost", "The process that starts programs ended; a new one is being made. Try again."),
    5: ("no-such-stack", "Programs with the large stack cannot run on this machine. Use the small one (256KiB)."),
}


class Ready(NamedTuple):
    """`identity`: the id of the STATUS it answers, 0 for the first."""

    identity: int
    version: int
    on: int
    missing: int
    cgroup_mode: int
    fingerprint: int
    pool_ready: int
    pool_size: int
    programs: int
    generation: int


class Ended(NamedTuple):
    identity: int
    record: EndRecord


class Failed(NamedTuple):
    identity: int
    reason: int
    errno: int

    @property
    def code_and_text(self) -> tuple[str, str]:
        return FAIL_TEXTS.get(self.reason, FAIL_TEXTS[1])


class Scanned(NamedTuple):
    """So many entries are in the list; None: it is not known which pages the program has changed."""

    identity: int
    entries: int | None


class Parked(NamedTuple):
    """The program stands still from now on, or goes on."""

    identity: int
    parked: bool


class Special(NamedTuple):
    """What is not so of most programs, in the order of the datagram.

    `base_files`, `base_pages`: of a memory that is not copied. `low`: 1 when it is to compute on what others leave.
    """

    control_bytes: int = 0
    base_files: int = 0
    base_pages: int = 0
    low: int = 0


ORDINARY = Special()


def start(identity: int, limits: Limits, image_size: int, special: Special = ORDINARY) -> bytes:
    """`image_size`: of all images, which are mapped privately: the kernel counts them as data of the process. What
    is needed besides for a state is counted there, too.
    """
    stack_class = 1 if limits.stack == STACK_LARGE else 0
    times = (limits.cpu_ms, limits.wall_ms)
    data = limits.data + image_size
    return _START.pack(START, identity, limits.memory, data, *times, limits.table, stack_class, 0, *special)


def control_offset(memory: int) -> int:
    """Where the control memory begins in the memory file of a program with this limit."""
    return -(-memory // _PAGE) * _PAGE


def kill(identity: int) -> bytes:
    return _HEAD.pack(KILL, identity)


def compile_request(identity: int, limits: CompileLimits, job: CompileJob = CompileJob.PLAIN) -> bytes:
    cpu_ms, wall_ms = round(limits.cpu_time * 1000), round(limits.wall_time * 1000)
    return _COMPILE.pack(COMPILE, identity, limits.memory, limits.max_code, cpu_ms, wall_ms, 0, job)


def share(identity: int, account: int) -> bytes:
    return _SHARE.pack(SHARE, identity, account)


def park(identity: int) -> bytes:
    return _PARK.pack(PARK, identity, 1)


def unpark(identity: int) -> bytes:
    return _PARK.pack(PARK, identity, 0)


def scan(identity: int, address: int, length: int, list_at: int) -> bytes:
    return _SCAN.pack(SCAN, identity, address, length, list_at)


def status(identity: int) -> bytes:
    return _HEAD.pack(STATUS, identity)


def decode_untrusted(datagram: bytes) -> Ready | Ended | Failed | Parked | Scanned:
    """Raises SandboxBroken."""
    try:
        kind, identity = _HEAD.unpack_from(datagram)
        if kind == READY:
            return Ready(identity, *_READY.unpack(datagram)[2:])
        if kind == ENDED:
            return Ended(identity, _end_record(_ENDED.unpack(datagram)[2:]))
        if kind == FAILED:
            return Failed(identity, *_FAILED.unpack(datagram)[2:])
        if kind == SCANNED:
            entries = _SCANNED.unpack(datagram)[2]
            return Scanned(identity, None if entries == _UNKNOWN else min(entries, SCAN_MOST))
        if kind == PARKED:
            return Parked(identity, bool(_PARK.unpack(datagram)[2]))
    except (struct.error, ValueError):
        raise _malformed() from None
    raise _malformed()


def _malformed() -> SandboxBroken:
    return SandboxBroken(
        "keeper-message", "The sandbox's keeper sent a message that is not understood; it is being replaced."
    )


def _end_record(fields: tuple[int, ...]) -> EndRecord:
    wait_status, why, user_us, system_us, max_rss = fields
    if why == Why.LOST:
        raise ValueError("only the host itself says this")
    exit_code, signal = decode_wait_status(wait_status)
    return EndRecord(exit_code, signal, Why(why), user_us, system_us, max_rss)


def decode_wait_status(wait_status: int) -> tuple[int | None, int | None]:
    """What waitpid gave -> (exit code, None) or (None, signal), the same on every Linux."""
    signal = wait_status & 0x7F
    if signal == 0:
        return wait_status >> 8 & 0xFF, None
    if signal == 0x7F:
        raise ValueError("a process that is only stopped has not ended")
    return None, signal
