"""Words: what makes a function expensive to compile, measured without validating it (as
native/runner/src/functions.rs).

In: the bytes of one body (untrusted). Raises `Refusal` for what the compiler would choke on, `Malformed`,
`Unreadable`. A small body cannot reach any of the bounds on its operators (each level, block or target takes a byte
or two), so only large ones are read operator by operator: reading in Python costs half a microsecond a byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.portable import admission_bounds as bounds
from sandbox.portable.refusal_texts import at_most
from sandbox.portable.wasm_bytes import Unreadable

if TYPE_CHECKING:
    from sandbox.portable.wasm_bytes import ByteReader

# A block is at least its opcode, its type and its end.
BYTES_PER_BLOCK = 3
BLOCK, LOOP, IF, ELSE, END, BR_TABLE, TRY_TABLE, SELECT_TYPED = 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0E, 0x1F, 0x1C
PREFIX_NUMERIC, PREFIX_SIMD, PREFIX_ATOMIC = 0xFC, 0xFD, 0xFE
MEMORY_GROW, TABLE_GROW = 0x40, 15  # the second one behind PREFIX_NUMERIC
MEMARG_HAS_MEMORY = 1 << 6

# What follows an opcode: a letter per immediate. u, l = LEB128 of 32, 64 bits; m = memory argument; 4, 8 = so many
# bytes.
_PLAIN: dict[int, str] = {
    **dict.fromkeys((BLOCK, LOOP, IF), "u"),
    **dict.fromkeys((0x08, 0x0C, 0x0D, 0x10, 0x12, 0x14, 0x15, 0x3F, 0x40, 0x41, 0xD0, 0xD2, 0xD5, 0xD6), "u"),
    **dict.fromkeys((0x11, 0x13), "uu"),
    **dict.fromkeys(range(0x20, 0x27), "u"),
    **dict.fromkeys(range(0x28, 0x3F), "m"),
    0x42: "l",
    0x43: "4",
    0x44: "8",
}
_NONE = frozenset((0x00, 0x01, ELSE, 0x0A, END, 0x0F, 0x1A, 0x1B, 0xD1, 0xD3, 0xD4, *range(0x45, 0xC5)))
_NUMERIC = ("", "", "", "", "", "", "", "", "uu", "u", "uu", "u", "uu", "u", "uu", "u", "u", "u")
_SIMD: dict[int, str] = {
    **dict.fromkeys((*range(12), 92, 93), "m"),
    **dict.fromkeys((12, 13), "88"),
    **dict.fromkeys(range(21, 35), "1"),
    **dict.fromkeys(range(84, 92), "m1"),
}
_FENCE = 3
_CONSTANT = {0x41: "u", 0x42: "l", 0x43: "4", 0x44: "8", 0x23: "u", 0xD0: "u", 0xD2: "u"}
_CONSTANT_PLAIN = frozenset((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E))
_CONSTANT_VECTOR = 12


def check_body_untrusted(body: ByteReader) -> None:
    size = body.end - body.at
    at_most("bytes in a function", size, bounds.FUNCTION_BYTES)
    local_count = _locals(body)
    left = body.end - body.at
    reach = left // BYTES_PER_BLOCK
    if local_count * reach > bounds.LOCALS_TIMES_BLOCKS or reach >= bounds.NESTING or left > bounds.BRANCH_TARGETS:
        _Measure(local_count).read(body)


def _locals(body: ByteReader) -> int:
    total = 0
    for _ in range(body.u32()):
        total += body.u32()
        at_most("locals in a function", total, bounds.LOCALS)
        # one byte of type, or a type of a proposal that the engine refuses
        if body.byte() in (0x63, 0x64):
            raise Unreadable
    return total


def skip_constant_untrusted(reader: ByteReader) -> None:
    """Past a constant expression, which is compiled, too."""
    operators = 0
    while True:
        operators += 1
        at_most("operators in a constant", operators, bounds.CONSTANT_OPERATORS)
        opcode = reader.byte()
        if opcode == END:
            return
        if opcode == PREFIX_SIMD and reader.u32() == _CONSTANT_VECTOR:
            reader.skip(16)
        elif opcode in _CONSTANT:
            _skip(reader, _CONSTANT[opcode])
        elif opcode not in _CONSTANT_PLAIN:
            raise Unreadable


def _skip(reader: ByteReader, immediates: str) -> None:
    for letter in immediates:
        if letter == "u":
            reader.skip_leb(33)
        elif letter == "m":
            if reader.u32() & MEMARG_HAS_MEMORY:
                reader.skip_leb(32)
            reader.skip_leb(64)
        elif letter == "l":
            reader.skip_leb(64)
        else:
            reader.skip(int(letter))


def skip_immediates(opcode: int, body: ByteReader) -> None:
    """Past what follows an opcode."""
    if opcode in _NONE:
        return
    if opcode in _PLAIN:
        _skip(body, _PLAIN[opcode])
    elif opcode == BR_TABLE:
        for _ in range(body.u32() + 1):
            body.skip_leb(32)
    elif opcode == TRY_TABLE:
        _skip_try_table(body)
    elif opcode == SELECT_TYPED:
        body.skip(body.u32())
    else:
        _skip(body, _prefixed(opcode, body))


def _skip_try_table(body: ByteReader) -> None:
    _skip(body, "u")
    for _ in range(body.u32()):
        _skip(body, "uu" if body.byte() < 2 else "u")


def skip_numeric(second: int, body: ByteReader) -> None:
    """Past what follows an opcode behind PREFIX_NUMERIC."""
    _skip(body, _numeric(second))


class _Measure:
    """Counts of one body."""

    def __init__(self, local_count: int) -> None:
        self.locals, self.depth, self.blocks, self.targets = local_count, 1, 0, 0

    def read(self, body: ByteReader) -> None:
        while body.more:
            opcode = body.byte()
            if opcode in _NONE:
                if opcode <= END:
                    self._plain_control(opcode)
            elif opcode in _PLAIN:
                if opcode <= IF:
                    self._open()
                _skip(body, _PLAIN[opcode])
            else:
                self._unusual(opcode, body)
        at_most("locals times blocks in a function", self.locals * self.blocks, bounds.LOCALS_TIMES_BLOCKS)

    def _plain_control(self, opcode: int) -> None:
        if opcode == ELSE:
            self.blocks += 1
        elif opcode == END:
            self.depth = max(0, self.depth - 1)

    def _open(self) -> None:
        self.blocks += 1
        self.depth += 1
        at_most("nested blocks", self.depth, bounds.NESTING)

    def _unusual(self, opcode: int, body: ByteReader) -> None:
        if opcode == BR_TABLE:
            self._branch_table(body)
        elif opcode == TRY_TABLE:
            self._open()
            _skip_try_table(body)
        else:
            skip_immediates(opcode, body)

    def _branch_table(self, body: ByteReader) -> None:
        count = body.u32()
        at_most("targets in a br_table", count, bounds.BRANCH_TARGETS)
        self.targets += count
        at_most("targets of all br_table in a function", self.targets, bounds.FUNCTION_BRANCH_TARGETS)
        for _ in range(count + 1):
            body.skip_leb(32)


def _prefixed(opcode: int, body: ByteReader) -> str:
    """The immediates of an opcode with a prefix."""
    if opcode not in (PREFIX_NUMERIC, PREFIX_SIMD, PREFIX_ATOMIC):
        raise Unreadable
    second = body.u32()
    if opcode == PREFIX_NUMERIC:
        return _numeric(second)
    if opcode == PREFIX_ATOMIC:
        return "1" if second == _FENCE else "m"
    return _SIMD.get(second, "")


def _numeric(second: int) -> str:
    if second >= len(_NUMERIC):
        raise Unreadable
    return _NUMERIC[second]
