"""Words: what a program that has come to its end is given anew before another of its functions is called.

In:  its state (untrusted: a native attacker may sit in the runtime's place). Out: the same state with streams as they
are at a start. What the host had sent and the program had not read ended with its process, part of a packet perhaps, so
that what both sides remember of their streams does not fit any more: a WASI program's one stream is a new one, and of a
Gate program's input whole packets stay. All the rest is for the process that goes on, which checks it (STATE.md).
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import TYPE_CHECKING

from sandbox.errors import BadState
from sandbox.packets import HEADER, padded
from sandbox.statewords import PIECE, broken, look_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_NUMBER = Struct("<I")
_GLOBAL = Struct("<IB")
_MEMORY = Struct("<II")
_SCALARS = (4, 8, 4, 8, 16, 4, 4)  # bytes of a global's value, by the code of its type
_HEAD = Struct("<HBB4Q")  # version, personality, 0, clock, waiting since, log used, log dropped
_ORIGIN = Struct("<QBBHI")  # credit, output, input, 0, granted
_INBOX = Struct("<IIII")  # begun, unread, unfinished, 0
_WASI, _GATE = 0, 1
# A module has at most so many globals, tables and memories (the engine's bound); arguments and variables are below
# 1 MiB with 8 bytes added to each (STATE.md). Without it a forged count would hold up the loop for minutes.
_MOST = 1_000_000
# Of them in one go: half a millisecond.
_AT_ONCE = 2_048


def with_new_streams_untrusted(state: bytes, credit: int) -> Generator[None, None, bytes]:
    """`credit`: bytes that a WASI program may write. In pieces, for whoever has other things to do. Raises BadState."""
    try:
        at = yield from _world_at(state)
        (length,) = _NUMBER.unpack_from(state, at)
        world = state[at + _NUMBER.size :]
        if length != len(world):
            raise broken()
        made = yield from _renewed(world, credit)
    except (struct.error, IndexError):
        raise broken() from None
    return b"".join((state[:at], _NUMBER.pack(len(made)), made))


def _world_at(state: bytes) -> Generator[None, None, int]:
    """Behind references, globals, tables, dropped segments and further memories."""
    at = _behind_numbers(state, look_untrusted(state).frames.stop)
    at = yield from _behind_all(_behind_global, state, at)
    at = yield from _behind_all(_behind_table, state, at)
    at = _behind_numbers(state, _behind_numbers(state, at))
    at = yield from _behind_all(_behind_memory, state, at)
    return at


def _behind_all(behind: Callable[[bytes, int], int], data: bytes, at: int) -> Generator[None, None, int]:
    """Things that are looked at one by one; in front of them stands how many there are."""
    count, at = _number(data, at)
    if count > _MOST:
        raise broken()
    for number in range(count):
        at = behind(data, at)
        if number % _AT_ONCE == _AT_ONCE - 1:
            yield
    return at


def _behind_global(state: bytes, at: int) -> int:
    return at + _GLOBAL.size + _SCALARS[_GLOBAL.unpack_from(state, at)[1]]


def _behind_table(state: bytes, at: int) -> int:
    return _behind_numbers(state, at + _NUMBER.size)


def _behind_memory(state: bytes, at: int) -> int:
    _pages, pieces = _MEMORY.unpack_from(state, at)
    return int(at + _MEMORY.size + pieces * (_NUMBER.size + PIECE))


def _behind_text(world: bytes, at: int) -> int:
    length, at = _number(world, at)
    return at + length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """And where it ends."""
    return int(_NUMBER.unpack_from(data, at)[0]), at + _NUMBER.size


def _behind_numbers(state: bytes, at: int) -> int:
    count, at = _number(state, at)
    return at + count * _NUMBER.size


def _renewed(world: bytes, credit: int) -> Generator[None, None, bytes]:
    personality = _HEAD.unpack_from(world)[1]
    if personality == _WASI:
        return (yield from _new_origin(world, credit))
    if personality == _GATE:
        return (yield from _whole_packets(world))
    raise broken()


def _new_origin(world: bytes, credit: int) -> Generator[None, None, bytes]:
    at = _HEAD.size
    for _texts in ("arguments", "environment"):
        at = yield from _behind_all(_behind_text, world, at)
    _ORIGIN.unpack_from(world, at)
    unread, end = _number(world, at + _ORIGIN.size)
    end += unread
    if end > len(world):
        raise broken()
    return b"".join((world[:at], _ORIGIN.pack(credit, 0, 0, 0, 0), _NUMBER.pack(0), world[end:]))


def _whole_packets(world: bytes) -> Generator[None, None, bytes]:
    begun, unread, unfinished, nothing = _INBOX.unpack_from(world, _HEAD.size)
    start = _HEAD.size + _INBOX.size
    end = start + unread
    if end + unfinished != len(world):
        raise broken()
    if begun > unread:
        raise BadState("state-half-read", "The program had come to its end with a packet half read: it cannot go on.")
    at = yield from _behind_packets(world, start + begun, end)
    inbox = _INBOX.pack(begun, at - start, unfinished, nothing)
    return b"".join((world[: _HEAD.size], inbox, world[start:at], world[end:]))


def _behind_packets(world: bytes, at: int, end: int) -> Generator[None, None, int]:
    """The whole ones."""
    looked = 0
    while end - at >= HEADER.size:
        size = HEADER.unpack_from(world, at)[0]
        if size < HEADER.size or padded(size) > end - at:
            break
        at, looked = at + padded(size), looked + 1
        if looked % _AT_ONCE == 0:
            yield
    return at
