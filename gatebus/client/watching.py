"""Wire: a subscription to what happens to our instances, over as many links as it takes.

In:  a CBOR sequence of maps (untrusted). Out: events in order of their numbers. On a new link it asks for what came
after the last one; what the host remembers is bounded, so a long absence may have a gap, which the numbers show.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from gatebus.bounds import STREAM_WINDOW
from gatebus.client.answers import Event, event_untrusted
from gatebus.client.complaints import HostNonsense
from gatebus.client.transfers import Channel
from gatebus.clientbounds import WATCHED_EVENT_BYTES
from gatebus.protocol import LocalProtocolError
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.strictcbor import sequence_untrusted

if TYPE_CHECKING:
    from gatebus.client.hostline import HostLine
    from gatebus.client.lifeline import Lifeline


class Watching:
    """`async for event in watching`. `let_go` when it is not wanted any more."""

    def __init__(self, lifeline: Lifeline, since: int | None) -> None:
        self.last = since
        self._lifeline = lifeline
        self._line: HostLine | None = None
        self._number = 0
        self._channel = Channel()
        self._rest = b""
        self._found: deque[Event] = deque()

    def __aiter__(self) -> Watching:
        return self

    async def __anext__(self) -> Event:
        while not self._found:
            if self._channel.fault is not None:
                raise self._channel.fault
            if self._channel.answer is not None:
                raise StopAsyncIteration
            if self._line is None or self._channel.gone:
                await self.subscribe()
            elif self._channel.came:
                self._read()
            else:
                await self._channel.change()
        event = self._found.popleft()
        self.last = max(self.last or 0, event.number)
        return event

    async def subscribe(self) -> None:
        """Returns when the host has accepted: what happens from now on is not missed."""
        while True:
            self.let_go()
            line = await self._lifeline.line()
            self._channel, self._rest = Channel(), b""
            parameters: dict[str, Any] = {} if self.last is None else {"since": self.last}
            try:
                self._number = line.open(self._channel, "events", parameters, window=STREAM_WINDOW)
            except LocalProtocolError:
                continue
            self._line = line
            line.flush()
            while self._channel.accepted is None and not self._channel.over:
                await self._channel.change()
            if self._channel.fault is not None:
                raise self._channel.fault
            if not self._channel.gone:
                return

    def _read(self) -> None:
        assert self._line is not None
        data = b"".join(self._channel.came)
        self._channel.came.clear()
        try:
            values, self._rest = sequence_untrusted(self._rest + data)
        except RemoteFault as fault:
            raise HostNonsense(f"The host's events are not to be read: {fault.text}") from None
        if len(self._rest) > WATCHED_EVENT_BYTES:
            raise HostNonsense("The host sends an event that is too large.")
        self._found.extend(event_untrusted(value) for value in values)
        if not self._channel.over:
            self._line.flows(self._number).into.consume(len(data))
            self._line.pump(self._number)

    def let_go(self) -> None:
        if self._line is not None:
            self._line.let_go(self._number)
            self._line = None
