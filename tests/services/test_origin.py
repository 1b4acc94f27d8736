"""origin: connections, credit both ways, half-close, bounds, and what a restore leaves of it."""

from dataclasses import dataclass, field
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.faults import StateRefused, Violation
from gatebus.flow import Change, Chunk, Run, run_untrusted
from gatebus.services.base import Call, Flow, Info
from gatebus.services.origin import Door, Origin, Stream, Windows
from sandbox.packets import DATA_MAX, encode_data

WINDOW = 1000


class Outlet:
    """Remembers what the program is sent, in order."""

    def __init__(self) -> None:
        self.room = 1 << 20
        self.sent: list[object] = []

    def reply(self, ticket: int, content: bytes = b"") -> None:
        self.sent.append((ticket, content))

    def info(self, content: bytes) -> None:
        self.sent.append(content)

    def flow(self, *changes: Change) -> None:
        self.sent.extend(changes)

    def data(self, chunk: Chunk) -> None:
        self.sent.append(chunk)

    def take(self) -> list[object]:
        sent, self.sent = self.sent, []
        return sent


@dataclass
class Visitor:
    """A client that notes what happens to it."""

    stream: Stream | None = None
    heard: list[object] = field(default_factory=list)

    def opened(self, stream: Stream) -> None:
        self.stream = stream

    def ready(self) -> None:
        self.heard.append("ready")

    def data(self, data: bytes | memoryview) -> None:
        self.heard.append(data)

    def ended(self, note: int) -> None:
        self.heard.append(("ended", note))

    def lost(self) -> None:
        self.heard.append("lost")

    @property
    def open(self) -> Stream:
        assert self.stream is not None
        return self.stream


def origin(streams: int = 3, places: int = 4) -> tuple[Origin, Outlet, Door]:
    outlet, door = Outlet(), Door(places)
    return Origin(outlet, door, Windows(streams, WINDOW)), outlet, door


def connected() -> tuple[Origin, Outlet, Visitor]:
    service, outlet, door = origin()
    visitor = Visitor()
    door.connect(visitor)
    service.packet(Call(0, b""))
    outlet.take()
    return service, outlet, visitor


def accepted(number: int, ticket: int = 0) -> list[object]:
    return [(ticket, pack("<ihh", number, 0, 0)), Change(number, WINDOW)]


def test_a_waiting_client_is_accepted_by_a_call_and_the_program_gets_credit_at_once() -> None:
    service, outlet, door = origin()
    visitor = Visitor()
    assert door.connect(visitor)
    assert outlet.sent == []
    service.packet(Call(9, b"any content"))
    assert outlet.take() == accepted(0, ticket=9)
    assert visitor.open.number == 0


def test_a_waiting_call_is_answered_when_a_client_comes() -> None:
    service, outlet, door = origin()
    service.packet(Call(0, b""))
    service.packet(Call(1, b""))
    assert outlet.take() == []
    door.connect(Visitor())
    assert outlet.take() == accepted(0)


def test_clients_that_came_before_the_service_was_made_are_not_lost() -> None:
    door, outlet = Door(), Outlet()
    door.connect(Visitor())
    Origin(outlet, door, Windows(1, WINDOW)).packet(Call(0, b""))
    assert outlet.take() == accepted(0)


def test_a_client_that_leaves_the_queue_is_not_accepted() -> None:
    service, outlet, door = origin()
    visitor = Visitor()
    door.connect(visitor)
    door.leave(visitor)
    door.leave(visitor)
    service.packet(Call(0, b""))
    assert outlet.take() == []


def test_one_client_more_than_the_queue_holds_is_turned_away() -> None:
    _, _, door = origin(places=2)
    assert [door.connect(Visitor()) for _ in range(3)] == [True, True, False]


def test_connections_are_bounded_and_a_finished_one_makes_place() -> None:
    service, outlet, door = origin(streams=2)
    visitors = [Visitor() for _ in range(3)]
    for ticket, visitor in enumerate(visitors):
        door.connect(visitor)
        service.packet(Call(ticket, b""))
    assert outlet.take() == accepted(0, 0) + accepted(1, 1)
    finish(service, visitors[1])
    assert outlet.take()[-2:] == accepted(1, 2)
    assert visitors[2].open.number == 1


def finish(service: Origin, visitor: Visitor) -> None:
    number = visitor.open.number
    visitor.open.end()
    service.packet(Flow((Change(number, 0),)))
    service.packet(Chunk(number, 0, b""))
    service.room_again()


def test_numbers_are_the_lowest_that_are_free() -> None:
    service, _, door = origin(streams=3)
    visitors = [Visitor() for _ in range(4)]
    for ticket in range(3):
        door.connect(visitors[ticket])
        service.packet(Call(ticket, b""))
    finish(service, visitors[0])
    door.connect(visitors[3])
    service.packet(Call(3, b""))
    assert visitors[3].open.number == 0


def test_a_client_feeds_only_what_the_program_asked_for() -> None:
    service, outlet, visitor = connected()
    assert visitor.open.room == 0
    service.packet(Flow((Change(0, 100),)))
    assert visitor.heard == ["ready"]
    assert visitor.open.room == 100
    visitor.open.feed(b"x" * 60)
    assert visitor.open.room == 40
    assert outlet.take() == [Chunk(0, 0, b"x" * 60)]
    with pytest.raises(AssertionError):
        visitor.open.feed(b"x" * 41)


def test_a_full_queue_to_the_program_holds_clients_back_until_there_is_room() -> None:
    service, outlet, visitor = connected()
    service.packet(Flow((Change(0, 100),)))
    outlet.room = 0
    assert visitor.open.room == 0
    outlet.room = 30
    service.room_again()
    assert visitor.heard == ["ready", "ready"]
    assert visitor.open.room == 30


def test_more_than_a_packet_is_cut_into_packets() -> None:
    service, outlet, visitor = connected()
    service.packet(Flow((Change(0, 1 << 20),)))
    visitor.open.feed(bytes(DATA_MAX * 2 + 1))
    assert [len(chunk.data) for chunk in outlet.take() if isinstance(chunk, Chunk)] == [DATA_MAX, DATA_MAX, 1]


def test_the_programs_bytes_reach_the_client_and_credit_comes_back_as_it_consumes() -> None:
    service, outlet, visitor = connected()
    service.packet(Chunk(0, 0, b"a" * 600))
    service.packet(Chunk(0, 0, b"b" * 400))
    assert visitor.heard == [b"a" * 600, b"b" * 400]
    visitor.open.consumed(100)
    assert outlet.take() == []
    visitor.open.consumed(200)
    assert outlet.take() == [Change(0, 300)]
    visitor.open.consumed(700)
    assert outlet.take() == [Change(0, 700)]


def test_small_writes_are_granted_again_as_soon_as_nothing_is_held() -> None:
    service, outlet, visitor = connected()
    service.packet(Chunk(0, 0, b"hi"))
    visitor.open.consumed(2)
    assert outlet.take() == [Change(0, 2)]


def test_more_than_the_window_is_a_violation() -> None:
    service, _, _ = connected()
    service.packet(Chunk(0, 0, bytes(WINDOW)))
    with pytest.raises(Violation) as caught:
        service.packet(Chunk(0, 0, b"x"))
    assert caught.value.text == "A data packet has 1 bytes and its stream only 0 bytes of credit."


@pytest.mark.parametrize("packet", [Flow((Change(1, 1),)), Flow((Change(-1, 0),)), Chunk(5, 0, b"")])
def test_an_unknown_stream_is_a_violation(packet: Flow | Chunk) -> None:
    service, _, _ = connected()
    with pytest.raises(Violation) as caught:
        service.packet(packet)
    assert caught.value.text.startswith("The service origin has no stream ")


def test_the_end_of_the_programs_data_is_answered_after_the_client_has_consumed_everything() -> None:
    service, outlet, visitor = connected()
    service.packet(Chunk(0, 0, b"last words"))
    service.packet(Chunk(0, 3, b""))
    assert visitor.heard == [b"last words", ("ended", 3)]
    assert outlet.take() == []
    visitor.open.consumed(10)
    assert outlet.take() == [Change(0, 0)]


def test_half_closed_the_other_direction_goes_on() -> None:
    service, outlet, visitor = connected()
    service.packet(Chunk(0, 0, b""))
    service.packet(Flow((Change(0, 10),)))
    visitor.open.feed(b"still here")
    assert outlet.take() == [Change(0, 0), Chunk(0, 0, b"still here")]


def test_a_program_that_closes_its_input_gets_the_end_of_the_data_back() -> None:
    service, outlet, visitor = connected()
    service.packet(Flow((Change(0, 50), Change(0, 0))))
    assert outlet.take() == [Chunk(0, 0, b"")]
    assert visitor.open.refused
    assert visitor.open.room == 0
    service.packet(Chunk(0, 0, b"output goes on"))
    assert visitor.heard[-1] == b"output goes on"


def test_a_client_that_ends_its_writing_is_the_end_of_the_data() -> None:
    service, outlet, visitor = connected()
    visitor.open.end()
    visitor.open.end()
    assert outlet.take() == [Chunk(0, 0, b"")]
    service.packet(Flow((Change(0, 50),)))
    assert visitor.open.room == 0


def test_a_client_that_stops_reading_closes_and_what_was_under_way_is_dropped() -> None:
    service, outlet, visitor = connected()
    visitor.open.stop()
    visitor.open.stop()
    assert outlet.take() == [Change(0, 0)]
    service.packet(Chunk(0, 0, b"late"))
    service.packet(Chunk(0, 0, b""))
    assert b"late" not in visitor.heard


def test_a_stream_is_forgotten_only_after_all_four_ends() -> None:
    service, _, visitor = connected()
    visitor.open.end()
    service.packet(Flow((Change(0, 0),)))
    service.packet(Chunk(0, 0, b"x"))
    service.packet(Chunk(0, 0, b""))
    visitor.open.consumed(1)
    with pytest.raises(Violation):
        service.packet(Chunk(0, 0, b""))


def test_clients_learn_that_the_program_is_gone() -> None:
    service, _, visitor = connected()
    service.close()
    assert visitor.heard == ["lost"]


def test_a_wasi_program_has_its_stream_from_the_start() -> None:
    service, outlet, door = origin()
    visitor = Visitor()
    door.connect(visitor)
    service.open_at_start()
    assert outlet.take() == []
    service.packet(Chunk(0, 0, bytes(WINDOW)))
    assert visitor.heard == [bytes(WINDOW)]


def test_information_is_ignored() -> None:
    service, outlet, _ = connected()
    service.packet(Info(b"hello"))
    assert outlet.take() == []


def test_waiting_calls_wait_on_after_a_restore_and_streams_end_both_ways() -> None:
    service, _, _ = connected()
    service.packet(Flow((Change(0, 5),)))
    service.packet(Call(7, b""))
    again, outlet, door = origin()
    again.restore(service.save())
    assert outlet.take() == [Chunk(0, 0, b""), Change(0, 0)]
    door.connect(Visitor())
    assert outlet.take() == accepted(1, 7)
    again.packet(Flow((Change(0, 0),)))
    again.packet(Chunk(0, 0, b"unheard"))
    again.packet(Chunk(0, 0, b""))
    with pytest.raises(Violation):
        again.packet(Chunk(0, 0, b""))


def test_nothing_to_save_is_empty() -> None:
    service, _, _ = origin()
    assert service.save() == b""


def run_of(*parts: bytes) -> Run:
    return run_untrusted(b"".join(encode_data(0, 0, part) for part in parts), 0)


def test_small_packets_in_a_row_reach_the_client_joined() -> None:
    service, outlet, visitor = connected()
    service.run(run_of(b"one ", b"two ", b"three"))
    assert visitor.heard == [b"one two three"]
    visitor.open.consumed(13)
    assert outlet.take() == [Change(0, 13)]


def test_a_run_beyond_the_window_is_a_violation_at_the_packet_that_goes_beyond() -> None:
    service, _, visitor = connected()
    with pytest.raises(Violation) as caught:
        service.run(run_of(bytes(600), bytes(600)))
    assert caught.value.text == "A data packet has 600 bytes and its stream only 400 bytes of credit."
    assert visitor.heard == [bytes(600)]


def test_a_run_after_the_end_or_on_an_unknown_stream_is_a_violation() -> None:
    service, _, _ = connected()
    service.packet(Chunk(0, 0, b""))
    with pytest.raises(Violation):
        service.run(run_of(b"a", b"b"))
    fresh, _, _ = origin()
    with pytest.raises(Violation):
        fresh.run(run_of(b"a", b"b"))


def test_a_run_for_a_client_that_stopped_is_dropped() -> None:
    service, _, visitor = connected()
    visitor.open.stop()
    service.run(run_of(b"late", b"later"))
    assert visitor.heard == []


@given(st.binary(min_size=1, max_size=60))
def test_foreign_state_is_refused_or_understood(state: bytes) -> None:
    service, _, _ = origin()
    try:
        service.restore(state)
    except StateRefused as fault:
        assert fault.text == "The saved state of the service origin is malformed."  # noqa: PT017
    else:
        assert len(service.save()) <= len(state)


@given(st.lists(st.tuples(st.sampled_from(["feed", "write", "consume", "grant"]), st.integers(1, 300)), max_size=60))
def test_no_byte_is_lost_or_made_and_no_credit_exceeded(steps: list[tuple[str, int]]) -> None:
    service, outlet, visitor = connected()
    fed = written = consumed = granted = regained = 0
    for what, size in steps:
        if what == "grant":
            service.packet(Flow((Change(0, size),)))
            granted += size
        elif what == "feed" and (size := min(size, visitor.open.room)):
            visitor.open.feed(bytes(size))
            fed += size
        elif what == "write" and (size := min(size, WINDOW + regained - written)):
            service.packet(Chunk(0, 0, bytes(size)))
            written += size
        elif what == "consume" and (size := min(size, written - consumed)):
            visitor.open.consumed(size)
            consumed += size
        sent = outlet.take()
        regained += sum(change.value for change in sent if isinstance(change, Change))
    assert fed <= granted
    assert regained <= consumed
    assert consumed - regained < WINDOW // 4
    assert sum(len(each) for each in visitor.heard if isinstance(each, bytes)) == written
