"""gatebus.protocol.session against the other side: no bytes raise, and legal conversations never break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buswords import messages
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sessionpair import Pair, Side

from gatebus.bounds import CHANNELS_OPEN, RETAINED_BYTES
from gatebus.protocol import Broken, Flows, State
from gatebus.protocol.messages import Accept, Cancel, Credit, Data, Error, Log, Open, Ping, Pong, Result, encode
from gatebus.protocol.reading import parse_untrusted

if TYPE_CHECKING:
    from gatebus.protocol import Event


def assert_one_link_ended(side: Side, events: list[Event]) -> None:
    """At most one fault, the last event; a host says why, a client only leaves."""
    faults = [event for event in events if isinstance(event, Broken)]
    assert len(faults) <= 1
    if faults:
        assert events[-1] is faults[0]
        assert side.session.state is State.ERROR
        assert 0 < len(faults[0].text) <= 200
        assert faults[0].text.isprintable()
        if faults[0].reply is not None:
            answer = parse_untrusted(faults[0].reply)
            assert answer == Error(0, faults[0].code, faults[0].text)


def sides() -> list[Side]:
    """A host and a client before, in the middle of and after the greeting, and with a stream."""
    new, open_, flowing = Pair(), Pair().greet(), Pair(keyless=True).greet()
    flowing.open("call", {}, 100)
    flowing.say(flowing.host, Accept(1, {}, 100))
    flowing.client.hear()
    return [side for pair in (new, open_, flowing) for side in (pair.host, pair.client)]


@given(st.integers(0, 5), st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_end_at_most_their_own_link(which: int, data: list[bytes]) -> None:
    side = sides()[which]
    assert_one_link_ended(side, list(side.session.receive_many(data)))


@given(st.integers(0, 5), st.lists(messages, max_size=5))
def test_any_messages_end_at_most_their_own_link(which: int, said: list[object]) -> None:
    side = sides()[which]
    assert_one_link_ended(side, list(side.session.receive_many([encode(message) for message in said])))  # type: ignore[arg-type]


@given(st.integers(0, 5), messages, st.data())
def test_broken_messages_end_at_most_their_own_link(which: int, message: object, data: st.DataObject) -> None:
    side, changed = sides()[which], bytearray(encode(message))  # type: ignore[arg-type]
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert_one_link_ended(side, list(side.session.receive_many([bytes(changed)])))


def test_a_flood_of_opens_ends_at_the_bound_and_before_it_nothing_is_wrong() -> None:
    pair = Pair().greet()
    flood = [encode(Open(number, "list", {}, 0)) for number in range(1, CHANNELS_OPEN + 2)]
    events = list(pair.host.session.receive_many(flood))
    assert len(events) == CHANNELS_OPEN + 1
    assert isinstance(events[-1], Broken)
    assert events[-1].text == "A link carries at most 4096 channels at once."


def test_channels_that_were_answered_make_room_for_others() -> None:
    pair = Pair().greet()
    for _ in range(CHANNELS_OPEN + 10):
        pair.say(pair.host, Result(pair.open("list"), {}))
        assert len(pair.client.hear()) == 1
    assert pair.host.session.state is State.OPEN


def test_numbers_of_channels_only_grow() -> None:
    for number in (5, 4):
        pair = Pair().greet()
        events = list(
            pair.host.session.receive_many([encode(Open(5, "list", {}, 0)), encode(Open(number, "list", {}, 0))])
        )
        assert isinstance(events[-1], Broken)
        assert events[-1].text == "The numbers of channels must grow."


def test_credit_that_lies_ends_the_link() -> None:
    side = sides()[4]
    (event,) = list(side.session.receive_many([encode(Credit(1, 1, 100))]))
    assert isinstance(event, Broken)
    assert event.text == "Credit says that more was taken than was sent."


def test_data_beyond_the_window_ends_the_link_whoever_sends_it() -> None:
    for side in sides()[4:]:
        events = list(side.session.receive_many([encode(Data(1, bytes(60))), encode(Data(1, bytes(41)))]))
        assert events[0] == Data(1, bytes(60))
        assert isinstance(events[1], Broken)
        assert events[1].text == "More data came than the window allows. Wait for credit."


def test_an_accept_that_says_no_count_ends_the_link() -> None:
    for wrong in (-1, "x", 1 << 53, None, True):
        pair = Pair().greet()
        pair.open("call")
        pair.put(pair.host, encode(Accept(1, {"taken": wrong}, 1)))
        (event,) = pair.client.hear()
        assert isinstance(event, Broken)
        assert event.text == "An accept says `taken`, which is not a count of bytes."


def test_what_is_late_is_dropped_in_silence() -> None:
    pair = Pair().greet()
    channel = pair.open("call", {}, 10)
    pair.say(pair.host, Accept(channel, {}, 10))
    pair.say(pair.host, Result(channel, {}))
    late = [Data(channel, b"x"), Credit(channel, 99, 1), Cancel(channel)]
    assert list(pair.host.session.receive_many([encode(message) for message in late])) == []
    assert pair.host.session.state is State.OPEN


class Conversation(RuleBasedStateMachine):
    """Both sides do what the session lets them, links get lost in between; each byte must arrive once and in order."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(keyless=True).greet()
        self.links = 1
        self.channel: int | None = None
        self.flows: dict[str, Flows] = {}
        self.written = {"client": 0, "host": 0}
        self.read = {"client": b"", "host": b""}
        self.attaching = False

    def side(self, name: str) -> Side:
        return self.pair.client if name == "client" else self.pair.host

    def hear(self, side: Side) -> list[Event]:
        events = side.hear()
        assert not any(isinstance(event, Broken) for event in events), events
        name = "client" if side is self.pair.client else "host"
        for event in events:
            if isinstance(event, Data):
                self.read[name] += event.data
        return events

    @precondition(lambda self: self.channel is None and not self.flows)
    @rule(window=st.integers(0, 50), theirs=st.integers(0, 50))
    def call(self, window: int, theirs: int) -> None:
        self.channel, message = self.pair.client.session.open("call", {}, window)
        self.pair.put(self.pair.client, message)
        self.hear(self.pair.host)
        self.pair.say(self.pair.host, Accept(self.channel, {"taken": 0}, theirs))
        self.hear(self.pair.client)
        self.flows = {name: self.side(name).session.flows(self.channel) for name in ("client", "host")}

    @precondition(lambda self: self.flows)
    @rule(name=st.sampled_from(("client", "host")), size=st.integers(1, 30))
    def write(self, name: str, size: int) -> None:
        out = self.flows[name].out
        size = min(size, out.room)
        out.append(bytes((self.written[name] + at) & 255 for at in range(size)))
        self.written[name] += size
        self.flush(name)

    @precondition(lambda self: self.flows)
    @rule(name=st.sampled_from(("client", "host")))
    def consume(self, name: str) -> None:
        into = self.flows[name].into
        into.consume(into.received - into.consumed)
        self.flush(name)

    @precondition(lambda self: self.flows)
    @rule(name=st.sampled_from(("client", "host")))
    def end(self, name: str) -> None:
        self.flows[name].out.end()
        self.flush(name)

    @precondition(lambda self: self.channel is not None)
    @rule(name=st.sampled_from(("client", "host")))
    def beside(self, name: str) -> None:
        assert self.channel is not None
        side, other = self.side(name), self.pair.host if name == "client" else self.pair.client
        self.pair.say(side, Ping(1))
        if name == "host":
            self.pair.say(side, Log(self.channel, 1, b"x"))
        self.hear(other)
        self.pair.say(other, Pong(1))

    @rule(name=st.sampled_from(("client", "host")))
    def deliver(self, name: str) -> None:
        self.hear(self.side(name))
        self.flush(name)

    @precondition(lambda self: self.channel is not None)
    @rule(lost=st.booleans())
    def link_breaks(self, lost: bool) -> None:
        """What was under way may still arrive at the client, or not; then both attach over another link."""
        if not lost:
            self.hear(self.pair.client)
        self.pair = Pair(keyless=True).greet()
        mine, theirs = self.flows["client"], self.flows["host"]
        self.channel, message = self.pair.client.session.open("attach", {"stream": b"s" * 16}, flows=mine)
        self.pair.put(self.pair.client, message)
        (asked,) = self.hear(self.pair.host)
        assert isinstance(asked, Open)
        assert theirs.out.holds(asked.parameters["taken"])
        accept = self.pair.host.session.resume(self.channel, theirs, asked.parameters["taken"], {})
        self.pair.put(self.pair.host, accept)
        self.flush("host")
        self.hear(self.pair.client)
        self.flush("client")

    def flush(self, name: str) -> None:
        if self.channel is not None:
            self.pair.flush(self.side(name), self.channel)

    @invariant()
    def bytes_arrive_once_and_in_order(self) -> None:
        for reader, writer in (("client", "host"), ("host", "client")):
            assert self.read[reader] == bytes(at & 255 for at in range(len(self.read[reader])))
            assert len(self.read[reader]) <= self.written[writer]

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert all(flows.out.held <= RETAINED_BYTES for flows in self.flows.values())

    def teardown(self) -> None:
        """Left alone, everything written arrives."""
        if not self.flows:
            return
        for _ in range(3 + sum(self.written.values())):
            for name in ("client", "host"):
                into = self.flows[name].into
                into.consume(into.received - into.consumed)
                into.window = max(into.window, 4)
                self.flush(name)
                self.hear(self.pair.host if name == "client" else self.pair.client)
        assert len(self.read["client"]) == self.written["host"]
        assert len(self.read["host"]) == self.written["client"]


Conversation.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLegalConversations = Conversation.TestCase
