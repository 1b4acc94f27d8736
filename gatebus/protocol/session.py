"""One side of one link: messages in, events out, and nothing that the tables do not allow; words, no I/O.

In:  whole binary messages of the other side (untrusted), what our side wants to say, the time as a number.
Out: events (the messages themselves, checked, and a few of our own), bytes to send.

Order inside `receive_many`: read (module reading), the greeting's table, the channel's table, counts, and only then an
event. Data skips the tables when its channel flows (a test compares both ways): it is the path of every byte of
every stream. The first fault ends the session for good; what came before it in the same batch still counts.

A message is judged when whoever reads the events asks for the next one, so after the answer to what came before it:
what becomes of it must not depend on how a network cut the bytes. (Judged as a whole, a good message with a bad one in
the same read was handled in a session that was over already, and could not be answered.)
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from gatebus.bounds import CHANNELS_OPEN, HELLO_SECONDS, QUIET_SECONDS, SILENT_SECONDS
from gatebus.protocol.breaches import LocalProtocolError, RemoteFault
from gatebus.protocol.channels import Channel, Parts, fresh
from gatebus.protocol.greeting import INPUT, Greeting, Settings
from gatebus.protocol.messages import (
    KINDS,
    Accept,
    Auth,
    ClientHello,
    Data,
    Error,
    HostHello,
    Kind,
    Message,
    Open,
    Parameters,
    encode,
)
from gatebus.protocol.reading import data_untrusted, parse_untrusted
from gatebus.protocol.streams import Flows, Outflow
from gatebus.protocol.transitions import CHANNEL, Role, Stage, State, table

CLOSE_VIOLATION = 1008  # websocket's code for a broken policy

_CHANNEL = table(CHANNEL)
_DATA = b"\x83\x06"
_ANSWERS = (Kind.RESULT, Kind.ERROR)


class Authenticated(NamedTuple):
    """The client has proved that it has this key."""

    key: bytes


class PingDue(NamedTuple):
    """The link is quiet: send a ping."""


class Broken(NamedTuple):
    """The other side broke the rules or was too slow. Send `reply` if there is one, then close with `close_code`."""

    code: str
    text: str
    reply: bytes | None
    close_code: int = CLOSE_VIOLATION


Event: TypeAlias = Message | Authenticated | PingDue | Broken


class NeedData:
    """The type of NEED_DATA."""


NEED_DATA = NeedData()


class Session:
    """See the package's page for the order of calls."""

    __slots__ = (
        "_asked", "_channels", "_ended", "_events", "_greeting", "_heard", "_largest", "_opened", "role", "settings",
    )  # fmt: skip

    def __init__(self, role: Role, settings: Settings, now: float) -> None:
        self.role = role
        self.settings = settings
        self._greeting = Greeting(settings)
        self._ended: State | None = None
        self._channels: dict[int, Channel] = {}
        self._largest = 0
        self._events: deque[Event] | None = None
        self._opened = self._heard = now
        self._asked = False

    @property
    def state(self) -> State:
        """The slower of both greetings, or how it ended."""
        return self._ended or self._greeting.state

    @property
    def over(self) -> bool:
        """Nothing is heard or may be said any more."""
        return self._ended is not None

    @property
    def version(self) -> int:
        """What both speak; 0 before the greeting."""
        return self._greeting.version

    @property
    def features(self) -> frozenset[str]:
        """What both have."""
        return self._greeting.features

    # ---- what the other side says

    def receive(self, message: bytes) -> None:
        """One whole binary message (untrusted); read the events with next_event."""
        self._queue(list(self.receive_many((message,))))

    def next_event(self) -> Event | NeedData:
        return self._events.popleft() if self._events else NEED_DATA

    def receive_many(self, messages: Iterable[bytes]) -> Iterator[Event]:
        """Of whole binary messages (untrusted), in order: handle each event before the next one is asked for. Never
        raises; after Broken nothing is read any more."""
        try:
            for message in messages:
                if message[:2] == _DATA:
                    event: Event | None = self._data_untrusted(message)
                elif self._ended is None:
                    event = self._other_untrusted(message)
                else:
                    continue
                if event is not None:
                    yield event
        except RemoteFault as fault:
            if self._ended is None:
                yield self._broken(fault)

    def _data_untrusted(self, message: bytes) -> Data | None:
        data = data_untrusted(message)
        channel = self._channels.get(data.channel)
        if channel is None or channel.stage is not Stage.FLOWING:
            if self._ended is None:
                self._late_or_wrong(data.channel, Kind.DATA)
            return None
        into = channel.flows.into
        into.arrived(len(data.data))
        return data if data.data and not into.stopped else None

    def _other_untrusted(self, message: bytes) -> Event | None:
        parsed = parse_untrusted(message)
        kind = KINDS[type(parsed)]
        self._greeting.step(self.role.other, parsed, kind)
        return self._understood(parsed, kind)

    def _understood(self, message: Message, kind: Kind) -> Event | None:
        match message:
            case ClientHello():
                self._greeting.choose()
            case HostHello():
                self._greeting.check_host()
            case Auth():
                return Authenticated(self._greeting.check_client(message))
            case Error(0):
                self._end(State.CLOSED)
            case Open():
                self._open_untrusted(message)
            case _ if Kind.OPEN < kind < Kind.PING:
                return self._for_channel(message, kind)
        return message

    def _for_channel(self, message: Message, kind: Kind) -> Event | None:
        number = message[0]
        assert isinstance(number, int)
        channel = self._channels.get(number)
        if channel is None:
            self._late_or_wrong(number, kind)
            return None
        wanted = channel.received(self.role.other, message, kind)
        if kind in _ANSWERS:
            del self._channels[number]
        return message if wanted else None

    def _late_or_wrong(self, number: int, kind: Kind) -> None:
        """A message for a channel that is not open, or data where none may come."""
        stage = Stage.ASKED if number in self._channels else Stage.OVER
        if number > self._largest:
            raise RemoteFault("A channel was never opened.")
        if (self.role.other, stage, kind) not in _CHANNEL:
            raise RemoteFault(f"A message {kind.name.lower()} came where it cannot.")

    def _open_untrusted(self, message: Open) -> None:
        if message.channel <= self._largest:
            raise RemoteFault("The numbers of channels must grow.")
        if len(self._channels) >= CHANNELS_OPEN:
            raise RemoteFault(f"A link carries at most {CHANNELS_OPEN} channels at once.")
        self._largest = message.channel
        self._channels[message.channel] = Channel(message.channel, fresh(message.window, 0))

    # ---- greeting

    def hello(self, challenge: bytes) -> bytes:
        """The client's first message; `challenge` is 32 fresh random bytes."""
        ours = self.settings
        return self.send(ClientHello(ours.versions, ours.agent, ours.features, challenge, ours.key))

    def greet(self, challenge: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """The host's answer to ClientHello. `sign` signs with the key whose public half the settings name."""
        ours = self.settings
        proof = sign(self._greeting.host_statement(challenge))
        assert ours.key is not None
        version, limits = self._greeting.version, dict(ours.limits)
        return self.send(HostHello(version, ours.agent, ours.features, challenge, ours.key, proof, limits))

    def proof_to_sign(self) -> bytes:
        """After HostHello: what the client signs, and sends as Auth."""
        return self._greeting.client_statement()

    # ---- what we say

    def send(self, message: Message) -> bytes:
        """Bytes of one message. LocalProtocolError when the tables do not allow it here."""
        if self._ended is not None:
            raise LocalProtocolError("The session is over.")
        kind = KINDS[type(message)]
        try:
            if isinstance(message, Open) and self.state is State.FAREWELL:
                raise LocalProtocolError("The host is going to stop: it takes no new operations.")
            self._greeting.step(self.role, message, kind)
            self._follow(message, kind)
        except (KeyError, RemoteFault):
            raise LocalProtocolError(f"A message {kind.name.lower()} cannot be sent here.") from None
        return encode(message)

    def open(
        self, operation: str, parameters: Parameters, window: int = 0, flows: Flows | None = None, first: int = 0
    ) -> tuple[int, bytes]:
        """A new channel, and the message that opens it. With flows it is they that go on over it. `first`: bytes of
        them that fit into that message.
        """
        number = self._largest + 1
        if flows is not None:
            taken, window = flows.into.resume()
            flows.out.end_sent = False
            if operation == "attach":
                parameters = {**parameters, "taken": taken, "gone": flows.out.taken}
            else:
                parameters = {**parameters, **self._first(flows.out, first)}
        message = self.send(Open(number, operation, parameters, window))
        if flows is not None:
            self._channels[number].flows = flows
        return number, message

    def _first(self, out: Outflow, most: int) -> Parameters:
        """Of a stream that nobody knows yet: what goes with its open."""
        most = most if INPUT in self.features else 0
        told: dict[str, object] = {"input": data} if (data := out.first(most)) else {}
        if most and out.end_is_due():
            out.end_sent = True
            told["end"] = out.note
        return told

    def resume(self, channel: int, flows: Flows, taken: int, about: Parameters) -> bytes:
        """The host's accept of a stream that has begun: flows go on; the client has `taken` bytes (ask
        `flows.out.holds` before).
        """
        place = self._open_channel(channel)
        ours, window = flows.into.resume()  # before the new channel's own words count: it may have ended already
        place.carry(flows, taken)
        message = Accept(channel, {**about, "taken": ours}, window)
        place.step(self.role, Kind.ACCEPT)
        return encode(message)

    def flows(self, channel: int) -> Flows:
        """Both directions of an open channel: append to `out`, consume from `into`, then `unsent`."""
        return self._open_channel(channel).flows

    def is_open(self, channel: int) -> bool:
        return channel in self._channels

    def unsent(self, channel: int) -> list[Parts]:
        """Messages, each in parts, that the counts of a channel allow now: data, end, stop, credit."""
        found = self._channels.get(channel)
        return [] if found is None or self._ended is not None else found.unsent()

    def _open_channel(self, number: int) -> Channel:
        try:
            return self._channels[number]
        except KeyError:
            raise LocalProtocolError("The channel is not open.") from None

    def _follow(self, message: Message, kind: Kind) -> None:
        """What our own message changes."""
        match message:
            case Error(0):
                self._end(State.CLOSED)
            case Open():
                self._open_untrusted(message)
                self._channels[message.channel].flows = fresh(0, message.window)
            case Data():
                raise LocalProtocolError("Data is sent by `unsent`, which counts it.")
            case _ if Kind.OPEN < kind < Kind.PING:
                number = message[0]
                assert isinstance(number, int)
                self._open_channel(number).said(self.role, message, kind)
                if kind in _ANSWERS:
                    del self._channels[number]

    # ---- the end

    def _broken(self, fault: RemoteFault) -> Broken:
        reply = encode(Error(0, fault.code, fault.text)) if self.role is Role.HOST else None
        self._end(State.ERROR)
        return Broken(fault.code, fault.text, reply)

    def _end(self, state: State) -> None:
        self._ended = state
        self._channels.clear()

    def close(self) -> None:
        """The link is gone, or we end it."""
        if self._ended is None:
            self._end(State.CLOSED)

    def _queue(self, events: list[Event]) -> None:
        if events and self._events is None:
            self._events = deque()
        if self._events is not None:
            self._events.extend(events)

    # ---- time

    def timeout(self, now: float, last_heard: float) -> None:
        """Time has passed; `last_heard` is when the link last had a byte. Read the events with next_event."""
        if self._ended is not None:
            return
        if last_heard > self._heard:
            self._heard, self._asked = last_heard, False
        due = self.next_timeout()
        if due is None or now < due:
            return
        if self.state in (State.HELLO, State.AUTH):
            self._queue([self._broken(RemoteFault("The greeting took too long.", "too-slow"))])
        elif self._asked:
            self._queue([self._broken(RemoteFault("Nothing was heard for too long.", "too-slow"))])
        else:
            self._asked = True
            self._queue([PingDue()])

    def next_timeout(self) -> float | None:
        """When `timeout` has something to do, if nothing is heard until then."""
        if self._ended is not None:
            return None
        match self.state:
            case State.HELLO:
                return self._opened + HELLO_SECONDS
            case State.AUTH:
                return self._opened + 2 * HELLO_SECONDS
        return self._heard + (SILENT_SECONDS if self._asked else QUIET_SECONDS)


__all__ = ["NEED_DATA", "Authenticated", "Broken", "Event", "PingDue", "Role", "Session", "Settings", "State"]
