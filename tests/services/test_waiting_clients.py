"""origin: whoever waits at the door of a full program is accepted as soon as a number is free, whoever frees it."""

from struct import pack

import pytest
from test_origin import WINDOW, Outlet, Visitor, origin

from gatebus.faults import Violation
from gatebus.flow import Change, Chunk
from gatebus.services.base import Call, Flow
from gatebus.services.origin import Origin

ACCEPTED = [(1, pack("<ihh", 0, 0, 0)), Change(0, WINDOW)]


def full() -> tuple[Origin, Outlet, Visitor, Visitor]:
    """Its one stream is taken; it has asked for the next one, who waits."""
    service, outlet, door = origin(streams=1)
    first, second = Visitor(), Visitor()
    for visitor in (first, second):
        assert door.connect(visitor)
    for ticket in range(2):
        service.packet(Call(ticket, b""))
    outlet.take()
    return service, outlet, first, second


def test_the_program_s_last_word_frees_a_number() -> None:
    service, outlet, first, second = full()
    first.open.end()
    service.packet(Flow((Change(0, 0),)))
    outlet.take()
    assert second.stream is None
    service.packet(Chunk(0, 0, b""))
    assert outlet.take() == [Change(0, 0), *ACCEPTED]
    assert second.open.number == 0


def test_the_program_s_closed_reader_frees_a_number() -> None:
    service, outlet, _, second = full()
    service.packet(Chunk(0, 0, b""))
    outlet.take()
    service.packet(Flow((Change(0, 0),)))
    assert outlet.take() == [Chunk(0, 0, b""), *ACCEPTED]
    assert second.open.number == 0


def test_the_client_s_last_byte_frees_a_number() -> None:
    service, outlet, first, second = full()
    service.packet(Chunk(0, 0, b"last words"))
    service.packet(Chunk(0, 0, b""))
    service.packet(Flow((Change(0, 0),)))
    outlet.take()
    assert second.stream is None
    first.open.consumed(len(b"last words"))
    assert outlet.take() == [Change(0, 0), *ACCEPTED]


def test_what_was_meant_for_the_former_stream_is_none_of_the_next_one_s() -> None:
    service, _, _, second = full()
    service.packet(Chunk(0, 0, b""))
    with pytest.raises(Violation, match="no stream 0"):
        service.packet(Flow((Change(0, 0), Change(0, 50))))
    assert second.open.room == 0


def test_a_program_that_is_gone_accepts_nobody_for_what_its_clients_do_then() -> None:
    class Hasty(Visitor):
        def lost(self) -> None:
            self.open.consumed(len(b"words"))

    service, outlet, door = origin(streams=1)
    first, second = Hasty(), Visitor()
    for visitor in (first, second):
        door.connect(visitor)
    for ticket in range(2):
        service.packet(Call(ticket, b""))
    service.packet(Chunk(0, 0, b"words"))
    service.packet(Chunk(0, 0, b""))
    service.packet(Flow((Change(0, 0),)))
    outlet.take()
    service.close()
    assert outlet.take() == [Change(0, 0)]
    assert second.stream is None
