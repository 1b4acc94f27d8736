"""What a program that has come to its end is given anew: its streams, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import BadState
from sandbox.packets import CALL, encode
from sandbox.statewords import at_once
from sandbox.stateworld import with_new_streams_untrusted

HEAD = pack("<4Q", 10**9, 0, 7, 0)
GLOBALS = pack("<I", 7) + b"".join(
    pack("<IB", number, code) + bytes(size) for number, (code, size) in enumerate(enumerate((4, 8, 4, 8, 16, 4, 4)))
)
TABLES = pack("<III2I", 1, 5, 2, 8, 9)
MEMORIES = pack("<III", 1, 3, 1) + pack("<I", 2) + bytes(4096)


def state_of(world: bytes) -> bytes:
    start = pack("<I32sB", 1, bytes(32), 2) + pack("<I", 3) + b"add" + pack("<II", 2, 0)
    dropped = pack("<III", 1, 4, 0)
    return start + pack("<I", 0) + GLOBALS + TABLES + dropped + MEMORIES + pack("<I", len(world)) + world


def wasi(credit: int, output: int = 0, inward: int = 0, granted: int = 0, unread: bytes = b"") -> bytes:
    texts = pack("<II3sI", 1, 3, b"arg", 0)
    origin = pack("<QBBHII", credit, output, inward, 0, granted, len(unread)) + unread
    return pack("<HBB", 1, 0, 0) + HEAD + texts + origin + b"descriptors and files"


def gate(begun: int, unread: bytes, unfinished: bytes = b"half") -> bytes:
    sizes = pack("<IIII", begun, len(unread), len(unfinished), 0)
    return pack("<HBB", 1, 1, 0) + HEAD + sizes + unread + unfinished


def renewed(state: bytes, credit: int) -> bytes:
    return at_once(with_new_streams_untrusted(state, credit))


@given(st.integers(0, 2**60), st.integers(0, 2), st.integers(0, 2), st.integers(0, 9), st.binary(max_size=50))
def test_a_wasi_program_has_a_new_stream(credit: int, output: int, inward: int, granted: int, unread: bytes) -> None:
    left = state_of(wasi(credit, output, inward, granted, unread))
    assert renewed(left, 65_536) == state_of(wasi(65_536))


@given(st.integers(0, 30), st.lists(st.binary(max_size=20), max_size=4), st.integers(0, 23))
def test_a_gate_program_has_the_packets_that_had_come_whole(begun: int, packets: list[bytes], cut: int) -> None:
    whole = bytes(begun) + b"".join(encode(0, CALL, each) for each in packets)
    part = encode(0, CALL, bytes(16))[:cut]
    assert renewed(state_of(gate(begun, whole + part)), 1) == state_of(gate(begun, whole))


def test_a_packet_that_was_read_in_part_and_did_not_come_whole_ends_it() -> None:
    with pytest.raises(BadState) as caught:
        renewed(state_of(gate(9, bytes(8))), 1)
    assert (caught.value.code, caught.value.text) == (
        "state-half-read",
        "The program had come to its end with a packet half read: it cannot go on.",
    )


@pytest.mark.parametrize("world", [wasi(5, unread=b"unread"), gate(0, encode(0, CALL, b"x"))])
def test_what_is_cut_off_anywhere_is_refused(world: bytes) -> None:
    state = state_of(world)
    for length in range(len(state)):
        with pytest.raises(BadState):
            renewed(state[:length], 1)


@given(st.integers(0), st.binary(min_size=1, max_size=4), st.booleans())
def test_what_is_damaged_is_refused_or_read_without_another_error(at: int, damage: bytes, is_gate: bool) -> None:
    state = bytearray(state_of(gate(0, encode(0, CALL, b"x")) if is_gate else wasi(5, unread=b"unread")))
    at %= len(state)
    state[at : at + len(damage)] = damage
    with suppress(BadState):
        made = renewed(bytes(state), 1)
        assert (made[:4], len(made) <= len(state)) == (state[:4], True)


def test_a_count_that_nothing_can_have_is_refused_before_it_is_counted() -> None:
    state = state_of(wasi(5))
    at = state.index(GLOBALS)
    with pytest.raises(BadState):
        renewed(state[:at] + b"\xff" * 4 + state[at + 4 :], 1)


@pytest.mark.parametrize("unread", [encode(0, CALL, b"") * 100_000, b""])
def test_what_is_looked_at_one_by_one_is_looked_at_in_pieces(unread: bytes) -> None:
    texts = pack("<I", 100_000) + bytes(4 * 100_000) + pack("<I", 0)
    origin = pack("<QBBHII", 1, 0, 0, 0, 0, 0)
    world = gate(0, unread) if unread else pack("<HBB", 1, 0, 0) + HEAD + texts + origin
    assert sum(1 for _ in with_new_streams_untrusted(state_of(world), 1)) > 40
