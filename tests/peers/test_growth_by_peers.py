"""What a program that never reads makes its host keep, in real bytes of Python: attacks with the smallest pieces."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import contextmanager
from struct import pack
from typing import TYPE_CHECKING

from peerworld import GROUP, PEER, Guest

from gatebus.bounds import MAILBOX_BYTES, MAX_CREDIT, OUTBOX_BYTES, PEER_WINDOW
from gatebus.peers.neighbourhood import Neighbourhood
from sandbox.packets import PAIR, encode_data

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITERS = 4
# A queued piece costs its bytes and the objects around it: a bytes object and its place in a list.
OBJECTS = 8


@contextmanager
def growth_below(bound: int) -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < bound, f"the host has grown by {grown} bytes"


def test_bytes_one_by_one_from_several_writers() -> None:
    around = Neighbourhood()
    deaf = Guest(around, "deaf").register()
    writers = [Guest(around, f"writer {number}").register() for number in range(WRITERS)]
    for number, writer in enumerate(writers):
        writer.connect(deaf)
        deaf.read()
        deaf.connect(writer)
        deaf.grant(number, MAX_CREDIT)
    with growth_below(OBJECTS * OUTBOX_BYTES + WRITERS * 2 * PEER_WINDOW):
        for writer in writers:
            allowed = 0
            for _ in range(40):
                allowed += sum(PAIR.unpack(packet.content)[1] for packet in writer.read() if packet.domain == 2)
                writer.say(*[encode_data(PEER, 0, b"x")] * min(allowed, 2000))
                allowed -= min(allowed, 2000)


def test_empty_messages_without_end() -> None:
    around = Neighbourhood()
    deaf, flooder = Guest(around, "deaf"), Guest(around, "flooder")
    for guest in (deaf, flooder):
        guest.join(b"room")
    with growth_below(OBJECTS * OUTBOX_BYTES + 4 * MAILBOX_BYTES):
        for _ in range(20_000):
            flooder.tell(b"")


def test_members_that_come_and_go_without_end() -> None:
    around = Neighbourhood()
    watcher, flapper = Guest(around, "watcher"), Guest(around, "flapper")
    watcher.join(b"room", flags=1)
    with growth_below(OBJECTS * OUTBOX_BYTES):
        for _ in range(10_000):
            flapper.join(b"room", about=bytes(200))
            flapper.call(GROUP, pack("<HH", 2, 0))
