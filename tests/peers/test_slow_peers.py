"""peer: bounds, and programs that do not read: they stop nobody else and cost the host a window."""

import pytest
from peerworld import PEER, Guest, connected, data, flow

from gatebus.bounds import MAX_CREDIT, OUTBOX_BYTES, PEER_STREAMS, PEER_WINDOW
from gatebus.peers.neighbourhood import Neighbourhood
from sandbox.packets import DATA_MAX, PAIR, encode_data

GONE = 1


@pytest.fixture
def around() -> Neighbourhood:
    return Neighbourhood()


def test_connections_are_bounded(around: Neighbourhood) -> None:
    hub = Guest(around, "hub").register()
    spokes = [Guest(around, str(number)).register() for number in range(PEER_STREAMS + 1)]
    assert [hub.connect(spoke) for spoke in spokes] == [0] * PEER_STREAMS + [7]
    spokes[0].die()
    hub.read()
    hub.grant(0, 0)
    hub.end(0)
    assert hub.connect(spokes[-1]) == 0


def test_a_peer_that_does_not_read_cannot_be_asked(around: Neighbourhood) -> None:
    deaf = Guest(around, "deaf", outbox=100).register()
    callers = [Guest(around, f"{number}" * 30).register() for number in range(4)]
    errors = [caller.connect(deaf) for caller in callers]
    assert errors == [0, 0, 8, 8]
    deaf.read()
    assert callers[2].connect(deaf) == 0


def test_a_peer_that_does_not_read_stops_nobody_else_and_costs_the_host_a_window(around: Neighbourhood) -> None:
    writer, deaf = connected(around)
    third = Guest(around, "third").register()
    third.connect(writer)
    writer.read()
    writer.connect(third)
    third.read()
    for reader, stream in ((deaf, 0), (third, 0)):
        reader.grant(stream, MAX_CREDIT)
    allowed = {0: 0, 1: 0}
    for _ in range(400):
        for packet in writer.read():
            stream, value = PAIR.unpack(packet.content)
            allowed[stream] += value
        for stream, size in allowed.items():
            writer.say(*[encode_data(PEER, stream, bytes(1))] * min(size, 1000))
            allowed[stream] -= min(size, 1000)
        third.read()
    assert deaf.board._size + sum(len(end._into.backlog) for end in ends(deaf)) <= OUTBOX_BYTES + 2 * PEER_WINDOW
    assert allowed[1] > 0
    assert allowed[0] == 0
    before = deaf.read()
    assert sum(len(packet.content) - PAIR.size for packet in before) >= PEER_WINDOW
    assert max(len(packet.content) for packet in before) <= DATA_MAX + PAIR.size
    assert writer.read() != []


def ends(guest: Guest) -> list:  # type: ignore[type-arg]
    service = guest.board._routes[PEER].service
    return list(service._ends.values())  # type: ignore[union-attr]


def test_a_flood_of_small_credit_to_a_writer_that_does_not_read_is_not_kept_as_packets(around: Neighbourhood) -> None:
    writer, giver = connected(around)
    for _ in range(200):
        giver.grant(0, *[1] * 500)
        giver.grant(0, *[-3] * 500)
    assert writer.board._size < OUTBOX_BYTES + 100
    total = 0
    while packets := writer.read():
        values = [PAIR.unpack(packet.content)[1] for packet in packets]
        total += sum(value for value in values if value > 0)
    assert total == PEER_WINDOW


def test_the_end_comes_after_the_backlog(around: Neighbourhood) -> None:
    writer, slow = connected(around)
    slow.grant(0, PEER_WINDOW)
    writer.read()
    slow.board._outbox = 100
    writer.write(0, bytes(200))
    writer.write(0, b"a" * 100, b"b" * 100)
    writer.write(0, b"c")
    writer.end(0, note=2)
    assert slow.read() == [data(0, bytes(200)), data(0, b"a" * 100 + b"b" * 100 + b"c"), data(0, b"", 2)]


def test_a_death_does_not_take_away_what_was_already_sent(around: Neighbourhood) -> None:
    writer, slow = connected(around)
    slow.grant(0, PEER_WINDOW)
    writer.read()
    slow.board._outbox = 100
    writer.write(0, bytes(200))
    writer.write(0, b"still under way")
    writer.die()
    assert slow.read() == [data(0, bytes(200)), flow(0, 0), data(0, b"still under way"), data(0, b"", GONE)]


def test_a_reader_that_closes_gets_nothing_of_the_backlog(around: Neighbourhood) -> None:
    writer, slow = connected(around)
    slow.grant(0, PEER_WINDOW)
    writer.read()
    slow.board._outbox = 100
    writer.write(0, bytes(200))
    writer.write(0, b"never")
    slow.board._outbox = OUTBOX_BYTES
    slow.grant(0, 0)
    assert slow.read() == [data(0, bytes(200))]
