"""Drives one session over one link; a wire.

Where it stands: between a link (whole messages of a stranger, untrusted) and the operations. In: every message that has
come; out: what the streams and operations answer, all of a batch in one send.

One task for each link and nothing else: it receives, lets the session judge, hands data to streams, opens to the
desk, and that is one turn. Programs write to the link from their own tasks in the same way. A second task exists only
while a slow link has no room. What lost: a nursery, a scope or a deadline per operation (host-lab: 5 to 15 us each);
the sweeping task looks at all links instead.

Of a flood, as much is heard at a time as others do not notice: the links of one account that bring more than a
slice take turns on its floor, and between two of their slices the loop goes round several times.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import trio

from gatebus.accountbounds import FLOOD_SLICE_SECONDS, LINK_SLICE_MESSAGES, LINK_SLICE_SECONDS
from gatebus.bounds import ANSWERED_STREAMS, LINK_HIGH_WATER, LOG_WATER
from gatebus.host.nobody import NOBODY
from gatebus.host.refusals import Refusal
from gatebus.host.statuses import error_map
from gatebus.protocol.messages import (
    Accept,
    Cancel,
    ClientHello,
    Credit,
    Data,
    End,
    Error,
    Farewell,
    Log,
    Message,
    Open,
    Ping,
    Pong,
    Result,
    Stop,
    Welcome,
)
from gatebus.protocol.session import Authenticated, Broken, Event, PingDue, Session
from gatebus.web.link import GOING_AWAY, POLICY, Link, LinkClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from gatebus.host.busstreams import BusStream
    from gatebus.host.connections import Verdict
    from gatebus.host.owntasks import OwnTasks
    from gatebus.host.principals import Principal
    from gatebus.host.statuses import Map
    from gatebus.protocol.streams import Flows
    from gatebus.turn import Turn


class Rider(Protocol):
    """Who the bytes of a channel are for."""

    def came(self, data: bytes) -> None: ...

    def touch(self) -> None:
        """Credit, an end or a stop has come, or the link has room again."""

    def cancelled(self, line: Line) -> None:
        """The client no longer wants the operation. It is still answered."""

    def dropped(self, line: Line) -> None:
        """The link is lost."""


class Desk(Protocol):
    """The operations of a host, as a link's attendant knows them."""

    def greet(self, session: Session) -> bytes:
        """The answer to the client's hello."""

    def stranger(self, link: Link) -> Principal:
        """Who has shown no key. Raises Refusal."""

    def known(self, key: bytes) -> Principal:
        """Who has proved this key. Raises Refusal."""

    def enter(self, attendant: Attendant, principal: Principal) -> None:
        """One more connection of this principal. Raises Refusal."""

    def count(self, account: str, more: int) -> None:
        """Channels that are open. Raises Refusal after counting when they are too many: it is closed like any other."""

    def floor(self, account: str) -> AbstractAsyncContextManager[object]:
        """Held by one link of an account at a time; "" is everybody's who has not said who they are."""

    def passes(self) -> int:
        """How often the event loop goes round between two slices of a flood."""

    def open(self, line: Line, operation: str, parameters: Mapping[str, object]) -> None:
        """A channel was opened. Raises Refusal, or answers now or later."""


class Line:
    """One channel of one link; a Carrier for a BusStream."""

    __slots__ = ("_attendant", "_session", "number", "rider")

    def __init__(self, attendant: Attendant, session: Session, number: int) -> None:
        self._attendant, self._session, self.number = attendant, session, number
        self.rider: Rider = NOBODY

    @property
    def principal(self) -> Principal:
        return self._attendant.principal

    @property
    def flows(self) -> Flows:
        return self._session.flows(self.number)

    def full(self) -> bool:
        return self._attendant.full(self)

    def pump(self) -> None:
        for parts in self._session.unsent(self.number):
            self._attendant.write(*parts)

    def accept(self, about: Map, window: int) -> None:
        self._attendant.say(Accept(self.number, about, window))

    def resume(self, flows: Flows, taken: int, about: Map) -> None:
        """The accept of an attach."""
        self._attendant.write(self._session.resume(self.number, flows, taken, about))

    def answer(self, verdict: Verdict) -> None:
        if verdict.error:
            self.error(verdict.about)
        else:
            self.result(verdict.about)

    def result(self, about: Map) -> None:
        self._attendant.close(self.number)
        self._attendant.say(Result(self.number, about))

    def error(self, about: Map) -> None:
        self._attendant.close(self.number)
        details = {name: value for name, value in about.items() if name not in ("code", "text")}
        self._attendant.say(Error(self.number, str(about["code"]), str(about["text"]), details))

    def refuse(self, refusal: Refusal) -> None:
        self.error(error_map(refusal.code, refusal.text))

    def log(self, source: int, data: bytes) -> bool:
        return self._attendant.log(self.number, source, data)

    def answered(self, stream: BusStream) -> None:
        """Its verdict went out on this line; whether it arrives nobody knows yet."""
        self._attendant.answered(stream)

    def let_go(self) -> None:
        """It is over. Who rode here knows it, too: a circle would wait for the collector, which a host hardly ever runs
        over what is old."""
        self.rider = NOBODY

    @property
    def open(self) -> bool:
        return self._session.is_open(self.number)


class Attendant:
    """`run` once. The other methods are for lines, and for the host's sweeping task."""

    def __init__(self, link: Link, session: Session, desk: Desk, turn: Turn, tasks: OwnTasks) -> None:
        self.principal: Principal
        self._account = ""
        self.on_left: Callable[[], None] = _nothing
        self.pulse: Callable[[], None] = lambda: None  # of traffic, for gatebus.lookout
        self.on_forgotten: Callable[[BusStream], None] = lambda stream: None
        self._link, self._session, self._desk, self._turn, self._tasks = link, session, desk, turn, tasks
        self._lines: dict[int, Line] = {}
        self._waiting: dict[int, Line] = {}  # for room on the link
        self._answered: deque[BusStream] | None = None
        self._dirty = False
        self._flooding = True  # the first words of those who come take turns: each is answered with a signature
        self._ending = 0  # the close code, when the link is to end
        self.cut = ""  # why, if the link was cut because its client was too slow

    async def run(self) -> None:
        """Until the link is over, whoever ends it."""
        try:
            while not self._turned_away():
                messages = await self._link.receive_many()
                heard = 0 if self._flooding else self._hear(messages, 0, LINK_SLICE_SECONDS)
                self._flooding = heard < len(messages)
                while heard < len(messages) and not self._turned_away():
                    heard = await self._hear_flood(messages, heard)
            await self._link.aclose(self._ending)
        except LinkClosed as closed:
            self.cut = closed.reason if closed.ours else ""
        finally:
            self._leave()

    async def _hear_flood(self, messages: list[bytes], heard: int) -> int:
        async with self._desk.floor(self._account):
            heard = self._hear(messages, heard, FLOOD_SLICE_SECONDS)
            self._flooding = heard < len(messages) or len(messages) > LINK_SLICE_MESSAGES
            for _ in range(self._desk.passes()):
                await trio.lowlevel.checkpoint()
        return heard

    def _hear(self, messages: list[bytes], heard: int, seconds: float) -> int:
        """How many of a batch were heard: as many as fit into a slice of time, in one turn."""
        until = perf_counter() + seconds
        with self._turn:
            while heard < len(messages):
                event: Event | None = None
                for event in self._session.receive_many(messages[heard : heard + LINK_SLICE_MESSAGES]):
                    self._heard(event)
                    if self._turned_away():
                        return len(messages)  # what came behind it in the same batch is not heard
                if type(event) is Data:  # a start is no traffic
                    self.pulse()
                heard += LINK_SLICE_MESSAGES
                if perf_counter() > until:
                    break
        return heard

    def _turned_away(self) -> bool:
        return self._ending != 0

    def _leave(self) -> None:
        self._session.close()
        on_left, self.on_left = self.on_left, _nothing  # which knows us, as a rider does (Line.let_go)
        with self._turn:
            self._drop_lines()
            on_left()

    def _drop_lines(self) -> None:
        """Nobody may say anything on them any more. In a turn."""
        lines, self._lines = self._lines, {}
        self._desk.count(self._account, -len(lines))
        self._waiting.clear()
        for line in lines.values():
            line.rider.dropped(line)
            line.let_go()

    # What comes.

    def _heard(self, event: Event) -> None:
        if type(event) is Data:
            line = self._lines.get(event.channel)
            if line is not None:
                line.rider.came(event.data)
        elif isinstance(event, Credit | End | Stop):
            line = self._lines.get(event.channel)
            if line is not None:
                line.rider.touch()
        elif type(event) is Open:
            self._open_untrusted(event)
        else:
            self._heard_rarely(event)

    def _heard_rarely(self, event: Event) -> None:
        match event:
            case Cancel(channel) if channel in self._lines:
                line = self._lines[channel]
                line.rider.cancelled(line)
            case ClientHello(key=key):
                self.write(self._desk.greet(self._session))
                if key is None:
                    self._enter(lambda: self._desk.stranger(self._link))
            case Authenticated(key):
                self._enter(lambda: self._desk.known(key))
            case Ping(number):
                self.say(Pong(number))
            case Broken():
                self._broken(event)

    def _broken(self, event: Broken) -> None:
        """While it hears why, its programs go on, and must not find a session that is over."""
        if event.reply is not None:
            self._write_last(event.reply)
        self._ending = event.close_code
        self._drop_lines()

    def _enter(self, who: Callable[[], Principal]) -> None:
        try:
            self.principal = who()
            self._desk.enter(self, self.principal)
            self._account = self.principal.account
        except Refusal as refusal:
            self._write_last(self._session.send(Error(0, refusal.code, refusal.text)))
            self._ending = POLICY
            return
        self.say(Welcome(self.principal.shown))

    def _open_untrusted(self, event: Open) -> None:
        line = Line(self, self._session, event.channel)
        self._lines[event.channel] = line
        try:
            self._desk.count(self._account, 1)
            self._desk.open(line, event.operation, event.parameters)
        except Refusal as refusal:
            line.refuse(refusal)

    # What goes.

    def write(self, *parts: bytes | memoryview) -> None:
        try:
            self._link.write(*parts)
        except LinkClosed:
            return  # `run` hears of it
        if not self._dirty:
            self._dirty = True
            self._turn.at_end(self._flush)

    def say(self, message: Message) -> None:
        if self._session.over:
            return  # it has heard the last word already
        self.write(self._session.send(message))

    def _write_last(self, message: bytes) -> None:
        try:
            self._link.write(message)
        except LinkClosed:
            return

    def _flush(self) -> None:
        self._dirty = False
        self._link.flush()

    def close(self, number: int) -> None:
        if (line := self._lines.pop(number, None)) is not None:
            line.let_go()
            self._desk.count(self._account, -1)
        self._waiting.pop(number, None)

    def full(self, line: Line) -> bool:
        """A slow link: the line is touched when there is room again."""
        if self._link.waiting <= LINK_HIGH_WATER:
            return False
        if not self._waiting:
            self._tasks.start_soon(self._await_room)
        self._waiting[line.number] = line
        return True

    async def _await_room(self) -> None:
        try:
            await self._link.room()
        except LinkClosed:
            return
        waiting, self._waiting = self._waiting, {}
        with self._turn:
            for line in waiting.values():
                line.rider.touch()

    def log(self, number: int, source: int, data: bytes) -> bool:
        if self._link.waiting > LOG_WATER:
            return False
        self.say(Log(number, source, data))
        return True

    def answered(self, stream: BusStream) -> None:
        if self._answered is None:
            self._answered = deque()
        self._answered.append(stream)
        if len(self._answered) > ANSWERED_STREAMS:
            self.on_forgotten(self._answered.popleft())

    # The host's sweeping task, and its end.

    def sweep(self, now: float) -> None:
        self._session.timeout(now, self._link.last_heard)
        while isinstance(event := self._session.next_event(), PingDue | Broken):
            if isinstance(event, PingDue):
                self.say(Ping(0))
                continue
            self._broken(event)
            self._link.flush()
            self._link.abort()

    def farewell(self, text: str, within: float) -> None:
        self.say(Farewell("stopping", text, round(within * 1000)))

    def dismiss(self, refusal: Refusal) -> None:
        """It was let in, and may no longer be here."""
        self._write_last(self._session.send(Error(0, refusal.code, refusal.text)))
        self._ending = POLICY
        self._drop_lines()
        self._tasks.start_soon(self._link.aclose, POLICY)

    async def end(self) -> None:
        """The host stops."""
        await self._link.aclose(GOING_AWAY, "the host stops")


def _nothing() -> None:
    """Nobody has come in yet, or whoever had has left."""
