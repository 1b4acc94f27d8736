"""The host's ear at a program: however its bytes come, whole packets come out, and as many at once as fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox import Limits
from sandbox.errors import PacketViolation
from sandbox.inlet import Inlet
from sandbox.packets import PACKET_MAX, encode_data

if TYPE_CHECKING:
    from sandbox.packets import Buffer

SCRATCH = 4 * PACKET_MAX
FULL = encode_data(0, 0, bytes(PACKET_MAX - 16))


class Reads:
    """A transport that has these bytes, so many for each read; 0: nothing now."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, sizes
        self.asked = 0

    def recv_into(self, buffer: memoryview) -> int:
        self.asked += 1
        size = self._sizes.pop(0) if self._sizes else len(buffer)
        if not size and self._data:
            raise BlockingIOError
        piece, self._data = self._data[: min(size, len(buffer))], self._data[min(size, len(buffer)) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def send(self, data: Buffer) -> int:
        raise AssertionError("it only reads")

    def fileno(self) -> int:
        return -1

    async def wait_readable(self) -> None:
        raise AssertionError("it never waits")

    async def wait_writable(self) -> None:
        raise AssertionError("it never waits")

    def close(self) -> None:
        pass


def inlet() -> Inlet:
    return Inlet(memoryview(bytearray(SCRATCH)), Limits(), wants_tree=False)


def test_of_a_stream_everything_that_is_there_is_taken_at_once() -> None:
    source = Reads(FULL * 3, [PACKET_MAX, PACKET_MAX, PACKET_MAX, 0])
    assert inlet().take_untrusted(source) == FULL * 3
    assert source.asked == 4


def test_of_small_packets_the_next_one_is_not_looked_for() -> None:
    small = encode_data(0, 0, b"small")
    source = Reads(small * 2, [len(small), len(small)])
    assert inlet().take_untrusted(source) == small
    assert source.asked == 1


def test_no_more_is_taken_than_there_is_room_for() -> None:
    source = Reads(FULL * 9, [])
    ear = inlet()
    assert [ear.take_untrusted(source) for _ in range(3)] == [FULL * 4, FULL * 4, FULL]
    assert source.asked == 4  # the last one looked for more


def test_the_end_behind_a_stream_is_found_after_what_came_before_it() -> None:
    ear, source = inlet(), Reads(FULL, [])
    assert ear.take_untrusted(source) == FULL
    assert not ear.at_end
    assert ear.take_untrusted(source) == b""
    assert ear.at_end


def test_a_violation_behind_a_stream_is_one() -> None:
    with pytest.raises(PacketViolation):
        inlet().take_untrusted(Reads(FULL + bytes(8), [PACKET_MAX, 8]))


@given(
    st.lists(st.integers(1, PACKET_MAX - 16), min_size=1, max_size=12),
    st.lists(st.integers(0, SCRATCH), max_size=40),
)
@example([PACKET_MAX - 16] * 5, [PACKET_MAX + 1] * 5)
@example([PACKET_MAX - 16] * 5, [(32 << 10) - 1, 0, 32 << 10, 0, 1])
def test_however_it_comes_nothing_is_lost_and_nothing_doubled(lengths: list[int], sizes: list[int]) -> None:
    packets = [encode_data(0, number, bytes([number]) * length) for number, length in enumerate(lengths)]
    whole = b"".join(packets)
    ear, source, got = inlet(), Reads(whole, sizes), []
    while not ear.at_end:
        taken = ear.take_untrusted(source)
        got.append(taken or b"")
        assert len(got[-1]) <= SCRATCH
    assert b"".join(got) == whole
    assert (ear.bytes, ear.packets) == (len(whole), len(packets))
