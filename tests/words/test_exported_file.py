"""An exported program with its state in one file: what was put in comes out; a changed module is never passed over."""

from __future__ import annotations

import struct
import tracemalloc
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmbytes import HEADER as PROGRAM
from wasmbytes import leb, section

from sandbox.errors import BadState
from sandbox.exportfile import (
    NAME,
    OTHER,
    OTHERWISE,
    PASSIVE_MAX,
    beside_state,
    is_exported_untrusted,
    state_of_untrusted,
    where_it_lies_untrusted,
    with_state,
)
from sandbox.statefile import places_untrusted
from sandbox.suspended import Suspended

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = sha256(PROGRAM).hexdigest()


def signed(value: int) -> bytes:
    """Of 32 bits."""
    value -= (value & 0x80000000) << 1
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value & 0x7F))


def active(address: int, data: bytes, memory: int = 0) -> bytes:
    head = b"\0" if memory == 0 else b"\2" + leb(memory)
    return head + b"\x41" + signed(address) + b"\x0b" + leb(len(data)) + data


def module(*segments: bytes, before: bytes = b"") -> bytes:
    return PROGRAM + before + section(11, leb(len(segments)) + b"".join(segments))


@dataclass
class Unread:
    size: int = 0

    def read(self, offset: int, size: int) -> bytes:
        raise AssertionError("memory 0 is in the module")

    def data(self) -> Iterator[tuple[int, int]]:
        return iter(())


def suspended(pages: int = 2) -> Suspended:
    head = struct.pack("<I32sBI", 1, bytes.fromhex(DIGEST), 2, 6) + b"_start"
    return Suspended(DIGEST, head + struct.pack("<II", pages, 4) + b"\5\0\0\0" + b"the rest", Unread())


def exported(plain: bytes, pages: int = 2) -> bytes:
    return with_state(plain, suspended(pages), PROGRAM, {"file": "a.wasm"}, b"services")


MODULE = module(b"\1\3abc", active(4_090, b"0123456789"), active(70_000, b"x"), active(16, b"frames", memory=1))


def test_what_was_put_in_comes_out_with_memory_0_from_the_modules_data() -> None:
    stored = state_of_untrusted(exported(MODULE))
    assert stored is not None
    assert (stored.description, stored.program, stored.services) == ({"file": "a.wasm"}, PROGRAM, b"services")
    assert stored.state == suspended().state
    pieces = {place: bytes(piece) for place, piece in places_untrusted(stored)}
    assert pieces == {
        0: bytes(4_090) + b"012345",
        1: b"6789" + bytes(4_092),
        17: bytes(70_000 - 17 * 4_096) + b"x" + bytes(18 * 4_096 - 70_001),
    }


def lying(whole: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Its memory, read where it lies, by odd pieces; and where there is some."""
    found = where_it_lies_untrusted(memoryview(whole))
    assert found is not None
    stored, memory = found
    assert not stored.pieces
    step = 4_097
    return b"".join(memory.read(at, step) for at in range(0, memory.size, step)), list(memory.data())


def test_memory_0_is_read_where_it_lies_in_the_file() -> None:
    whole = exported(MODULE)
    stored = state_of_untrusted(whole)
    assert stored is not None
    expected = bytearray(2 * 65_536)
    for place, piece in places_untrusted(stored):
        expected[place * 4_096 : (place + 1) * 4_096] = piece
    assert lying(whole) == (expected, [(4_090, 10), (70_000, 1)])
    assert lying(exported(module(active(8, b"")), pages=0)) == (b"", [])


def test_a_module_that_is_not_held_whole_is_the_same_file() -> None:
    stored = state_of_untrusted(exported(MODULE))
    assert stored is not None
    for size in (8, 9, 1_000):
        pieces = [MODULE[at : at + size] for at in range(0, len(MODULE), size)]
        assert b"".join(beside_state(lambda: iter(pieces), stored)) == exported(MODULE)  # noqa: B023


@pytest.mark.parametrize(
    "data", [(active(8, b"xy"), active(9, b"z")), (active(2 * 65_536 - 1, b"xy"),), (b"\0\x23\0\x0b\1x",)]
)
def test_memory_that_no_export_has_is_refused_where_it_lies(data: tuple[bytes, ...]) -> None:
    with pytest.raises(BadState) as refused:
        where_it_lies_untrusted(memoryview(exported(module(*data))))
    assert refused.value.text == OTHER + OTHERWISE


def test_without_the_section_it_is_the_module_byte_for_byte() -> None:
    whole = exported(MODULE)
    content = leb(len(NAME)) + NAME + sha256(MODULE).digest()
    at = whole.index(content)
    assert whole[:8] == PROGRAM
    assert whole[at + len(content) :].startswith(b"GBSTATE1")
    assert whole.endswith(MODULE[8:])
    assert whole[8] == 0


def test_a_module_like_any_other_holds_no_state() -> None:
    odd = PROGRAM + section(0, b"\5other" + NAME)
    for plain in (MODULE, odd, b"", b"\0asm", NAME, PROGRAM + b"\0\xff", PROGRAM + NAME):
        assert state_of_untrusted(plain) is None
        assert not is_exported_untrusted(plain)
    assert is_exported_untrusted(exported(MODULE)[:32])


def end_of(whole: bytes) -> str:
    """The code of the refusal; "": it is a module like any other."""
    try:
        assert state_of_untrusted(whole) is None
    except BadState as refused:
        return refused.code
    return ""


@given(st.integers(0, 1 << 20), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_leaves_no_state(at: int, change: int) -> None:
    whole = bytearray(exported(MODULE))
    whole[at % len(whole)] ^= change
    assert end_of(bytes(whole)) in ("", "state-other-module", "state-file", "state-damaged")


def test_a_byte_of_the_program_changed_is_always_refused() -> None:
    whole = exported(MODULE)
    for at in range(len(whole) - len(b"frames"), len(whole)):
        assert end_of(whole[:at] + b"?" + whole[at + 1 :]) == "state-other-module"


def test_it_is_found_wherever_a_tool_has_moved_it() -> None:
    whole = exported(MODULE)
    moved = MODULE + whole[8 : len(whole) - len(MODULE) + 8]
    assert state_of_untrusted(moved) == state_of_untrusted(whole)


def forged(plain: bytes, pages: int = 2) -> str:
    """The text of the refusal."""
    with pytest.raises(BadState) as refused:
        state_of_untrusted(exported(plain, pages))
    return refused.value.text


def test_data_that_no_export_has_is_refused() -> None:
    text = (
        "The part of this file that gatebus goes on by is not of this module: one of them was changed. "
        "Export it again, or run it with --ignore-state as the module that it is."
    )
    assert forged(module(active(2 * 65_536 - 1, b"xy"))) == text
    assert forged(module(active(0xFFFFFFFF, b"x"))) == text
    assert forged(module(b"\0\x23\0\x0b\1x")) == text
    assert forged(module(b"\0\x41\0\x41\0\x0b\1x")) == text
    assert forged(module(*[active(1, b"x")] * 10_001)) == text
    assert forged(PROGRAM + section(11, b"\5" + active(1, b"x"))) == text
    twice = exported(MODULE)
    assert state_of_untrusted(twice) is not None
    assert forged(twice) == text


def test_of_a_million_sections_no_more_are_read_than_any_export_has() -> None:
    sections = b"\0\0" * 1_000_000
    short = PROGRAM + section(0, leb(len(NAME)) + NAME + bytes(40)) + sections
    for whole in (short, exported(PROGRAM + sections), PROGRAM + sections + NAME):
        tracemalloc.start()
        with pytest.raises(BadState) as refused:
            state_of_untrusted(whole)
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert refused.value.text == (
            "The file has more than 1000 sections: no program that was exported has. "
            "Export it again, or run it with --ignore-state as the module that it is."
        )
        assert most < 1 << 20
    assert state_of_untrusted(PROGRAM + sections) is None, "admission judges what does not speak of a state"


def test_segments_of_the_programs_own_are_counted_too() -> None:
    passive = b"\1\0"
    assert state_of_untrusted(exported(module(*[passive] * 60_000, active(5, b"x")))) is not None
    many = leb(PASSIVE_MAX // 2 + 1) + passive * (PASSIVE_MAX // 2 + 1)
    assert forged(PROGRAM + section(11, many) * 2) == OTHER + OTHERWISE
    assert forged(PROGRAM + section(11, leb(6_000) + active(1, b"x") * 6_000) * 2) == OTHER + OTHERWISE


def test_without_a_memory_the_frames_are_not_taken_for_one() -> None:
    stored = state_of_untrusted(exported(module(active(4_128, b"frames")), pages=0))
    assert stored is not None
    assert len(stored.pieces) == 0
