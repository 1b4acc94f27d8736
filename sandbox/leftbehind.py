"""Words: what a stopped program has outside of itself, and would not have in another runtime.

In:  a state (untrusted). Out: counts, for whoever decides whether it may go as an ordinary module. Arguments, variables
and the clock are not counted: a program has usually read the former long ago, and every runtime has a clock.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from sandbox.errors import BadState
from sandbox.portable.saved_wasi import DESCRIPTOR_LAYOUT, FREE, NODE, PLAIN
from sandbox.portable.saved_world import HEAD_LAYOUT, U32, WASI, BadWorld, FieldReader
from sandbox.statewords import PIECE, look_untrusted

# u64 next serial, u32 nodes
_TREE = Struct("<QI")
# u64 credit, u8 output, u8 input, u16 0, u32 granted
_ORIGIN = Struct("<QBBHI")
_STANDARD = 3
# u32 number, u8 type; then a value: i32 i64 f32 f64 v128 funcref externref
_GLOBAL = Struct("<IB")
_GLOBAL_BYTES = (4, 8, 4, 8, 16, 4, 4)


class LeftBehind(NamedTuple):
    files: int = 0
    """Files, directories and links of its private file system, without the root."""
    opened: int = 0
    """Files that it has open, and standard streams that it has closed or put elsewhere."""
    unread: int = 0
    """Bytes of input that it has not read, or of output that the host has not seen."""

    def __str__(self) -> str:
        """For a person: what there is."""
        counts = ((self.files, "file"), (self.opened, "open file"), (self.unread, "byte"))
        told = [f"{count} {name}{'s' * (count != 1)}" for count, name in counts if count]
        return " and ".join(told) + (" on their way" if self.unread else "")


def left_behind_untrusted(state: bytes) -> LeftBehind:
    """Raises BadState."""
    try:
        fields = FieldReader(_world_untrusted(state))
        _version, personality, *_clock = fields.unpack(HEAD_LAYOUT)
        return _wasi(fields) if personality == WASI else _gate(fields)
    except BadWorld as wrong:
        raise BadState("state-broken", f"The state is damaged: {wrong.text}.") from None


def _world_untrusted(state: bytes) -> bytes:
    """The last part of a state; the others are walked over (native/module/src/state.rs)."""
    fields = FieldReader(state)
    fields.take(look_untrusted(state).frames.stop)
    numbers = fields.number
    fields.take(4 * numbers(U32))  # references
    for _global in range(numbers(U32)):
        _number, kind = fields.unpack(_GLOBAL)
        fields.take(_GLOBAL_BYTES[kind % len(_GLOBAL_BYTES)])
    for _table in range(numbers(U32)):
        fields.take(U32.size)
        fields.take(4 * numbers(U32))
    for _dropped in ("data", "elements"):
        fields.take(4 * numbers(U32))
    for _memory in range(numbers(U32)):
        fields.take(U32.size)
        fields.take((U32.size + PIECE) * numbers(U32))
    world = fields.take(numbers(U32))
    fields.end()
    return world


def _wasi(fields: FieldReader) -> LeftBehind:
    for _texts in ("arguments", "environment"):
        for _ in range(fields.number(U32)):
            fields.take(fields.number(U32))
    fields.unpack(_ORIGIN)
    unread = fields.number(U32)
    fields.take(unread)
    opened = sum(_is_touched(number, fields) for number in range(fields.number(U32)))
    _next, nodes = fields.unpack(_TREE)
    return LeftBehind(max(nodes - 1, 0), opened, unread)


def _is_touched(number: int, fields: FieldReader) -> bool:
    """The standard streams are where they were at the start, and nothing is open but what was open then."""
    (kind,) = fields.take(1)
    if kind == FREE:
        return number < _STANDARD
    nature, *_rest = fields.unpack(DESCRIPTOR_LAYOUT)
    if number < _STANDARD:
        return bool(kind != number + 1)
    return bool(kind != NODE or nature & ~PLAIN == 0)


def _gate(fields: FieldReader) -> LeftBehind:
    _begun, unread, unfinished, _zero = fields.unpack(Struct("<IIII"))
    return LeftBehind(unread=unread + unfinished)
