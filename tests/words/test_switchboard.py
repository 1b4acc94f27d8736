"""gatebus.switchboard and gatebus.route: one program's packets and its services, without any I/O."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebus.bounds import MAX_UNANSWERED
from gatebus.checks import arrived
from gatebus.discovery import request_content, states_untrusted
from gatebus.faults import ServiceBroken, StateRefused, Violation
from gatebus.flow import Change, Chunk
from gatebus.services.base import Call, Offer, Outlet, Packet, Service
from gatebus.switchboard import Switchboard
from sandbox.packets import CALL, CODE_DISCOVERY, CONTENT_MAX, DATA, FLOW, INFO, encode, encode_data
from sandbox.packets import Packet as Wire


class Echo(Service):
    """Answers a call with its content; counts calls in its state."""

    calls = 0

    def call(self, call: Call) -> None:
        self.calls += 1
        self.outlet.reply(call.ticket, call.content)

    def save(self) -> bytes:
        return bytes([self.calls])

    def restore(self, state: bytes) -> None:
        if len(state) != 1:
            raise StateRefused("not mine")
        self.calls = state[0]


class Holding(Service):
    """Keeps calls until it is told to answer."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(outlet)
        self.held: list[Call] = []
        self.closed = False

    def call(self, call: Call) -> None:
        self.held.append(call)

    def close(self) -> None:
        self.closed = True


def board_with(*makers: Callable[[Outlet], Service], outbox: int = 100_000) -> Switchboard:
    """Services named a, b, ... of which all are discovered."""
    names = [chr(ord("a") + number) for number in range(len(makers))]
    offers = {name: Offer("1", make) for name, make in zip(names, makers, strict=True)}
    board = Switchboard(offers, outbox)
    run(board, encode(CODE_DISCOVERY, CALL, request_content(tuple(names))))
    return board


def run(board: Switchboard, *packets: bytes) -> list[Wire]:
    board.receive(b"".join(packets))
    while board.step():
        pass
    return taken(board)


def taken(board: Switchboard) -> list[Wire]:
    data = board.take()
    board.sent(len(data))
    packets, rest = arrived(data)
    assert not rest
    return packets


def refused(board: Switchboard, *packets: bytes) -> str:
    with pytest.raises(Violation) as caught:
        run(board, *packets)
    return caught.value.text


def test_a_call_is_routed_by_number_and_its_reply_comes_back_under_it() -> None:
    board = board_with(Echo, Echo)
    assert run(board, encode(1, CALL, b"hello")) == [Wire(1, CALL, b"hello", 0)]


def test_discovery_is_answered_with_states() -> None:
    board = Switchboard({"a": Offer("1", Echo)})
    (answer,) = run(board, encode(CODE_DISCOVERY, CALL, request_content(("a", "zzz"))))
    assert (answer.code, answer.domain, states_untrusted(answer.content)) == (CODE_DISCOVERY, CALL, (True, False))


def test_a_call_to_a_service_that_is_not_there_is_answered_with_nothing() -> None:
    board = Switchboard({})
    run(board, encode(CODE_DISCOVERY, CALL, request_content(("zzz",))))
    assert run(board, encode(0, CALL, b"anybody?"), encode(0, INFO, b"")) == [Wire(0, CALL, b"", 0)]


def test_the_right_call_is_answered_whatever_the_order() -> None:
    held: list[Holding] = []

    def make(outlet: Outlet) -> Service:
        held.append(Holding(outlet))
        return held[0]

    board = board_with(make)
    run(board, encode(0, CALL, b"first"), encode(0, CALL, b"second"), encode(0, CALL, b"third"))
    service = held[0]
    for position in (1, 1, 0):
        call = service.held.pop(position)
        service.outlet.reply(call.ticket, call.content)
    assert [(reply.place, reply.content) for reply in taken(board)] == [(1, b"second"), (1, b"third"), (0, b"first")]


def test_the_257th_unanswered_call_is_a_violation() -> None:
    board = board_with(Holding)
    run(board, *[encode(0, CALL)] * MAX_UNANSWERED)
    text = refused(board, encode(0, CALL))
    assert text == "More than 256 calls of one service are unanswered. Read the replies first."


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (encode(2, CALL), "A packet is for service number 2; 1 were discovered."),
        (encode(32767, DATA, bytes(8)), "A packet is for service number 32767; 1 were discovered."),
        (encode(-1, CALL), "A discovery packet is shorter than its 10 bytes of header and count."),
        (encode(0, FLOW, bytes(8)), "The program sent a flow or data packet to a service that has no streams."),
        (encode_data(0, 1, b"x"), "The program sent a flow or data packet to a service that has no streams."),
        (encode(0, 4), "The program wrote a packet in domain 4; 0 to 3 exist."),
        (encode(0, 15), "The program wrote a packet in domain 15; 0 to 3 exist."),
        (encode(-3, CALL), "The program wrote a packet with code -3; -1 and the services from 0 on exist."),
        (encode(0, DATA, b"1234567"), "The program wrote a data packet of 15 bytes; it needs at least 16."),
        (encode(-1, INFO, bytes(2)), "The program wrote a info packet with code -1; only calls have it."),
        (encode(0, CALL)[:4], "The program's output ended in the middle of a packet."),
    ],
)
def test_what_a_program_may_not_send_has_a_text(packet: bytes, text: str) -> None:
    assert refused(board_with(Echo), packet) == text


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_served_or_a_violation(data: bytes) -> None:
    board, text = board_with(Echo, Holding), ""
    try:
        run(board, data)
    except Violation as fault:
        text = fault.text
    assert len(text) <= 200
    assert text.endswith(".") == bool(text)


def test_a_program_that_does_not_read_is_not_served_beyond_its_room() -> None:
    board = board_with(Echo, outbox=1000)
    board.receive(encode(0, CALL, bytes(400)) * 10)
    served = 0
    while board.room and board.step():
        served += 1
    assert served == 3
    assert taken(board)
    assert board.room == 1000


def test_services_wait_for_room_and_are_told_when_there_is_some() -> None:
    told: list[int] = []

    class Waiting(Echo):
        def room_again(self) -> None:
            told.append(self.outlet.room)

    board = board_with(Waiting, outbox=500)
    board.receive(encode(0, CALL, bytes(600)))
    assert board.step()
    assert board.room == 0
    data = board.take()
    board.sent(50)
    assert not told
    board.sent(len(data) - 50)
    assert told == [500]


def test_a_service_appears_and_the_program_is_told() -> None:
    board = Switchboard({})
    run(board, encode(CODE_DISCOVERY, CALL, request_content(("late",))))
    board.publish("late", Offer("7", Echo))
    (told,) = taken(board)
    assert (told.code, told.domain, states_untrusted(told.content)) == (CODE_DISCOVERY, INFO, (True,))
    assert run(board, encode(0, CALL, b"now")) == [Wire(0, CALL, b"now", 0)]
    assert board.entries() == {"late": "7"}


def test_a_service_disappears_the_program_is_told_and_its_calls_are_answered() -> None:
    board = board_with(Holding)
    run(board, encode(0, CALL), encode(0, CALL))
    board.withdraw("a")
    first, second, told = taken(board)
    assert (first, second) == (Wire(0, CALL, b"", 0), Wire(0, CALL, b"", 0))
    assert (told.domain, states_untrusted(told.content)) == (INFO, (False,))
    assert board.entries() == {}


def test_many_changes_are_told_once_with_the_last_state() -> None:
    board = board_with(Echo)
    for _ in range(50):
        board.withdraw("a")
        board.publish("a", Offer("2", Echo))
    (told,) = taken(board)
    assert states_untrusted(told.content) == (True,)


def test_a_program_that_discovered_nothing_is_told_nothing() -> None:
    board = Switchboard({})
    board.publish("late", Offer("1", Echo))
    assert taken(board) == []


def test_a_program_is_told_only_about_services_that_it_asked_for() -> None:
    board = board_with(Echo)
    board.publish("other", Offer("1", Echo))
    board.withdraw("other")
    assert taken(board) == []


def test_a_program_that_cannot_discover_is_told_nothing() -> None:
    """A WASI program's runtime has one service, and would not understand."""
    board = Switchboard({})
    board.publish("origin", Offer("1", Echo))
    assert isinstance(board.open("origin"), Echo)
    board.publish("origin", Offer("2", Echo))
    assert taken(board) == []
    assert run(board, encode(0, CALL, b"x")) == [Wire(0, CALL, b"x", 0)]


def test_another_revision_takes_over_the_state() -> None:
    made: list[Echo] = []

    def make(outlet: Outlet) -> Service:
        made.append(Echo(outlet))
        return made[-1]

    board = board_with(make)
    run(board, encode(0, CALL), encode(0, CALL))
    board.publish("a", Offer("2", make))
    assert [service.calls for service in made] == [2, 2]
    assert board.entries() == {"a": "2"}


def test_a_revision_that_cannot_read_the_state_answers_what_was_asked_and_starts_anew() -> None:
    board = board_with(Holding)
    run(board, encode(0, CALL))

    class Strict(Service):
        def restore(self, state: bytes) -> None:
            raise StateRefused("another format")

    board.publish("a", Offer("2", Strict))
    assert taken(board)[0] == Wire(0, CALL, b"", 0)
    assert run(board, encode(0, CALL)) == [Wire(0, CALL, b"", 0)]


def test_saved_and_restored_the_numbers_calls_and_states_go_on() -> None:
    board = board_with(Echo, Holding)
    run(board, encode(0, CALL), encode(1, CALL), encode(1, CALL))
    saved = board.save()
    again = Switchboard({"a": Offer("1", Echo)})
    again.restore(saved)
    lost_one, lost_two, told = taken(again)
    assert (lost_one.code, lost_two.code) == (1, 1)
    assert states_untrusted(told.content) == (True, False)
    assert run(again, encode(0, CALL, b"x")) == [Wire(0, CALL, b"x", 0)]
    assert again.save()[0][1][-1:] == b"\x02"


class Lease(Echo):
    """Its state is a handle; of two bytes, the first may be known to anybody."""

    handle = b""

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, self.handle)

    def save(self) -> bytes:
        return self.handle

    def restore(self, state: bytes) -> None:
        self.handle = state


class Shared(Lease):
    def for_copy(self, state: bytes) -> bytes:
        return state[:1]


@pytest.mark.parametrize(("make", "there"), [(Lease, b""), (Shared, b"p")])
def test_a_copy_has_of_a_services_state_what_the_service_says(make: type[Service], there: bytes) -> None:
    saved = [("a", NO_TICKET + b"\0\0" + b"public and secret")]
    copy, again = Switchboard({"a": Offer("1", make)}), Switchboard({"a": Offer("1", make)})
    copy.restore(saved, copied=True)
    again.restore(saved)
    assert [each.content for each in run(copy, encode(0, CALL))[:1]] == [there]
    assert [each.content for each in run(again, encode(0, CALL))[:1]] == [b"public and secret"]


def test_what_the_original_had_asked_is_answered_with_nothing_in_a_copy() -> None:
    board = board_with(Holding)
    run(board, encode(0, CALL, b"one"), encode(0, CALL, b"two"))
    copy = Switchboard({"a": Offer("1", Holding)})
    copy.restore(board.save(), copied=True)
    *answers, told = taken(copy)
    assert answers == [Wire(0, CALL, b"", 0)] * 2
    assert states_untrusted(told.content) == (True,)
    assert run(copy, encode(0, CALL)) == [], "it is asked as by a new program"


NO_TICKET, TWO_TICKETS = b"\0\0\0\0", b"\0\0\0\0\x02\0"


@pytest.mark.parametrize(
    "saved", [b"", NO_TICKET, TWO_TICKETS, TWO_TICKETS + bytes(4), TWO_TICKETS + bytes(8), NO_TICKET + b"\xff\xff"]
)
def test_malformed_saved_calls_are_refused(saved: bytes) -> None:
    with pytest.raises(StateRefused) as caught:
        Switchboard({"a": Offer("1", Echo)}).restore([("a", saved)])
    assert caught.value.text == "The saved calls of a service are malformed."


def test_a_service_that_raises_is_named_and_the_program_is_not_blamed() -> None:
    class Buggy(Service):
        def packet(self, packet: Packet) -> None:
            raise KeyError("oops")

    with pytest.raises(ServiceBroken) as caught:
        run(board_with(Buggy), encode(0, CALL))
    assert caught.value.text == "The service a failed. Please report it."
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_reply_that_does_not_fit_a_packet_is_the_services_fault() -> None:
    class Large(Service):
        def call(self, call: Call) -> None:
            self.outlet.reply(call.ticket, bytes(CONTENT_MAX + 1))

    with pytest.raises(ServiceBroken) as caught:
        run(board_with(Large), encode(0, CALL))
    assert caught.value.text == "The service a made a packet of 65529 bytes; 65528 fit."


def test_a_call_answered_twice_is_the_services_fault() -> None:
    class Twice(Service):
        def call(self, call: Call) -> None:
            self.outlet.reply(call.ticket)
            self.outlet.reply(call.ticket)

    with pytest.raises(ServiceBroken) as caught:
        run(board_with(Twice), encode(0, CALL))
    assert caught.value.text == "The service a answered a call twice."


def test_a_service_can_inform_give_credit_and_send_data() -> None:
    class Talkative(Service):
        def call(self, call: Call) -> None:
            self.outlet.info(b"news")
            self.outlet.flow(Change(3, 100), Change(4, 0))
            self.outlet.data(Chunk(3, 9, b"bytes"))

    packets = run(board_with(Talkative), encode(0, CALL))
    assert [packet.domain for packet in packets] == [INFO, FLOW, DATA]
    assert packets[2].content == b"\x03\0\0\0\x09\0\0\0bytes"


def test_a_service_is_made_at_the_first_packet_for_it() -> None:
    made: list[Outlet] = []

    def make(outlet: Outlet) -> Service:
        made.append(outlet)
        return Echo(outlet)

    board = board_with(make)
    assert not made
    run(board, encode(0, INFO), encode(0, CALL))
    assert len(made) == 1


def test_every_service_is_closed_when_the_program_is_gone() -> None:
    held: list[Holding] = []

    def make(outlet: Outlet) -> Service:
        held.append(Holding(outlet))
        return held[-1]

    board = board_with(make, make)
    run(board, encode(0, CALL), encode(1, CALL))
    board.close()
    assert [service.closed for service in held] == [True, True]
