"""The child's packet socket, over a real socket pair."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.packet_pipe import PacketWriter
from sandbox.portable.portable_channel import SocketChannel

if TYPE_CHECKING:
    from collections.abc import Iterator

MILLISECOND = 1_000_000


@pytest.fixture
def pair() -> Iterator[tuple[SocketChannel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SocketChannel(ours, None), theirs


def status_of(call) -> int:
    with pytest.raises(GuestEnd) as caught:
        call()
    return caught.value.status


def test_reading_never_blocks(pair) -> None:
    channel, host = pair
    assert channel.receive(10) == b""
    host.send(b"hello")
    assert channel.receive(3) == b"hel"
    assert channel.receive(10) == b"lo"
    assert channel.receive(10) == b""


def test_writing_takes_what_fits(pair) -> None:
    channel, host = pair
    sent = channel.send(bytes(10 << 20))
    assert 0 < sent < 10 << 20
    assert channel.send(b"x" * 65536) == 0
    assert channel.wait(readable=False, writable=True, until=channel.clock()) == (False, False)
    while sent > 0:
        sent -= len(host.recv(1 << 20))
    assert channel.wait(readable=False, writable=True, until=None) == (False, True)


def test_waiting_ends_when_something_is_there(pair) -> None:
    channel, host = pair
    assert channel.wait(readable=True, writable=False, until=channel.clock() + MILLISECOND) == (False, False)
    host.send(b"x")
    assert channel.wait(readable=True, writable=False, until=None) == (True, False)
    assert channel.wait(readable=True, writable=True, until=None) == (True, True)


def test_waiting_is_not_over_before_its_time(pair) -> None:
    channel, _ = pair
    until = channel.clock() + 3 * MILLISECOND
    channel.wait(readable=False, writable=False, until=until)
    assert channel.clock() >= until


def test_the_wall_time_ends_every_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = SocketChannel(ours, time.monotonic_ns() + MILLISECOND)
        assert status_of(lambda: channel.wait(readable=True, writable=False, until=None)) == 61
        assert status_of(lambda: channel.wait(readable=False, writable=False, until=channel.clock() + 1)) == 61


@pytest.mark.parametrize("unread", [b"", b"what the program wrote"])
def test_a_host_that_has_closed_is_noticed_by_everything(pair, unread: bytes) -> None:
    channel, host = pair
    if unread:
        channel.send(unread)
    host.close()
    assert status_of(lambda: channel.wait(readable=False, writable=False, until=None)) == 75
    assert channel.wait(readable=True, writable=False, until=None)[0]
    assert status_of(lambda: channel.receive(10)) == 75
    assert status_of(lambda: channel.send(b"x")) == 75


def test_what_the_host_sent_before_it_closed_is_still_read(pair) -> None:
    channel, host = pair
    channel.send(b"unread")
    host.send(b"last words")
    host.close()
    assert channel.receive(100) == b"last words"


def test_a_writer_that_ends_in_the_middle_of_a_packet_knows_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = PacketWriter(SocketChannel(ours, time.monotonic_ns() + 20 * MILLISECOND))
        assert status_of(lambda: writer.send(bytes(10 << 20))) == 61
        assert writer.broken
