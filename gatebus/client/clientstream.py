"""Wire: one stream to a program at a host, which goes on over as many links as it takes.

In:  bytes of the caller; bytes, log and the answer of the host (counted and checked by the session). Out: bytes of the
program in order, each once; how it ended.

Both directions are counted in `Flows` that belong to the stream, not to a link. `keep` is the one task: it opens the
operation on a line and waits until it is answered or the line is lost; then it attaches on the next one. A call whose
line was lost before the host's accept is simply made again: its stream has a name, so the host knows whether it is
there. What the caller has appended and the host has not taken is in the flows; what came and was not read is here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from gatebus.bounds import DATA_BYTES, STREAM_WINDOW
from gatebus.client.answers import Outcome, instance_untrusted, outcome_untrusted
from gatebus.client.backoff import Losses
from gatebus.client.complaints import BusError, StreamLost, StreamStopped, host_error
from gatebus.protocol import Flows, LocalProtocolError
from gatebus.protocol.channels import fresh
from gatebus.protocol.messages import Accept, Credit, Data, End, Error, Log, Message, Result, Stop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from gatebus.client.hostline import HostLine
    from gatebus.client.lifeline import Lifeline


@dataclass(frozen=True, slots=True)
class Stream:
    """What is opened, under names that the caller rolls at random. `supply`: uploads the module that the host lacks.
    `first`: bytes of the caller's that may go with the request.
    """

    operation: str
    names: Callable[[], bytes]
    parameters: Mapping[str, Any]
    window: int = STREAM_WINDOW
    supply: Callable[[], Awaitable[None]] | None = None
    on_log: Callable[[int, bytes], None] | None = None
    first: int = 0


class Running:
    """Made by Bus.open_call, Bus.io and Bus.attach. One task sends, one receives; they may be two."""

    def __init__(self, lifeline: Lifeline, stream: Stream, flows: Flows | None = None) -> None:
        self.name = stream.names()
        self._lifeline, self._stream = lifeline, stream
        self._flows = flows or fresh(0, stream.window)
        self._line: HostLine | None = None
        self._number = 0
        self._attempts = 0
        self._operation = stream.operation  # what the next line is asked for; once accepted, it is attached
        self._asked = ""  # what the present line was asked for, when it has accepted
        self._about: Mapping[str, Any] | None = None  # of the first accept
        self._came: deque[bytes] = deque()
        self._answer: Mapping[str, Any] | None = None
        self._fault: BusError | None = None
        self._lacking = self._supplied = False
        self._over = False
        self._changed = trio.Event()  # for whoever sends, receives or waits
        self._turned = trio.Event()  # for `keep`

    # For the caller.

    async def started(self) -> UUID:
        """The instance's id, when the host has begun. Raises what `wait` raises."""
        while self._about is None:
            if self._over:
                raise self._fault or StreamLost("The stream was answered before it began.")
            await self._change()
        return instance_untrusted(self._about)

    async def send(self, data: bytes | memoryview) -> None:
        """Returns when every byte is sent or waits here, at most a window. Cancelled, it may have taken a part: `sent`
        counts. Raises StreamStopped when the program reads no more, and what `wait` raises when it never ran."""
        await trio.lowlevel.checkpoint_if_cancelled()
        view, out = memoryview(data), self._flows.out
        while view:
            if self._over or out.stopped:
                raise self._fault or StreamStopped("The program reads no more.")
            piece = view[: min(out.room, DATA_BYTES)]
            if not piece:
                await self._change()
                continue
            out.append(bytes(piece))
            view = view[len(piece) :]
            self._pump()

    @property
    def room(self) -> int:
        """Bytes that `send` takes without waiting."""
        return self._flows.out.room

    @property
    def sent(self) -> int:
        """Bytes that `send` has taken so far."""
        return self._flows.out.taken + self._flows.out.held

    def end(self, note: int = 0) -> None:
        """No more will be sent: the program reads the end of its input."""
        self._flows.out.end(note)
        self._pump()

    async def receive(self) -> bytes:
        """The next bytes of the program, all that are here; b"" at the end. Raises what `wait` raises."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._came:
            if self._fault is not None:
                raise self._fault
            if self._over or self._flows.into.finished is not None:
                return b""
            await self._change()
        data = self._came[0] if len(self._came) == 1 else b"".join(self._came)
        self._came.clear()
        self._flows.into.consume(len(data))
        self._pump()
        return data

    def __aiter__(self) -> Running:
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive()
        if not data:
            raise StopAsyncIteration
        return data

    async def wait(self) -> Outcome | None:
        """How the program ended; None when only the stream has (`io`). Output that nobody receives holds it up."""
        about = await self.answer()
        return outcome_untrusted(about.get("ended", about)) if has_outcome(about) else None

    async def answer(self) -> Mapping[str, Any]:
        """The host's whole answer (untrusted). Raises HostError, StreamLost, LinkLost."""
        while not self._over:
            await self._change()
        if self._answer is None:
            raise self._fault or StreamLost("The stream is gone.")
        return self._answer

    def stop(self) -> None:
        """Nothing will be received any more; what comes is dropped."""
        self._came.clear()
        into = self._flows.into
        into.stop()
        into.consume(into.received - into.consumed)
        self._pump()

    async def aclose(self) -> None:
        """Let go: a call's instance is killed, any other stream only ends. Idempotent."""
        self.let_go()
        await trio.lowlevel.checkpoint()

    def let_go(self) -> None:
        if not self._over:
            if self._line is not None:
                self._line.let_go(self._number)
            self._finish(None, StreamLost("The stream was closed by its own side."))

    @property
    def only(self) -> bool:
        """It is the one connection of a launched program: whoever lets go of it ends the program's input for good."""
        return self._about is not None and self._about.get("only") is True

    def detach(self) -> None:
        """Leave as if the link were lost, which must end next; the host only hears what was received. The program goes
        on, and what it writes waits for the next `io`. Here the stream has ended.
        """
        if self._line is not None and not self._over:
            self._line.say(Credit(self._number, *self._flows.into.credit()))
        self._line = None
        self._finish({}, None)

    # The task.

    async def keep(self) -> None:
        """Until the stream is answered. Errors become the caller's."""
        losses = Losses(trio.current_time())
        try:
            while not self._over:
                await self._live(losses)
                losses.lost(trio.current_time(), advanced=bool(self._asked))
        except BusError as fault:
            self._finish(None, fault)

    async def _live(self, losses: Losses) -> None:
        """On one line."""
        if self._lacking:
            await self._supply()
        line = await self._lifeline.line()
        losses.began(trio.current_time())
        self._turned = trio.Event()
        try:
            self._open(line)
        except LocalProtocolError:
            return  # the line has just become unusable
        try:
            await self._turned.wait()
        except trio.Cancelled:
            self.let_go()
            raise
        finally:
            self._line = None

    def _open(self, line: HostLine) -> None:
        self._attempts += 1
        given = {} if self._operation == "attach" else self._stream.parameters
        self._asked = ""
        first, out = self._stream.first, self._flows.out
        self._number = line.open(self, self._operation, {**given, "stream": self.name}, flows=self._flows, first=first)
        self._line = line
        if out.note is not None and not out.held and not out.end_sent and self._operation != "attach":
            line.say(End(self._number, out.note))  # no input at all: one message to the host instead of two
        line.flush()

    async def _supply(self) -> None:
        """The host does not have the module any more: once. The stream that it could not begin is another one's."""
        assert self._stream.supply is not None
        await self._stream.supply()
        self._lacking, self._supplied = False, True
        self.name, self._attempts = self._stream.names(), 0
        self._operation = self._stream.operation

    # What the host says (Hearer).

    def hear(self, message: Message) -> None:
        match message:
            case Data(_, data):
                self._came.append(data)
            case Accept(_, about, _):
                self._about, self._asked, self._operation = self._about or about, self._operation, "attach"
                self._pump()
            case Credit():
                self._pump()
            case Log(_, source, data):
                if self._stream.on_log is not None:
                    self._stream.on_log(source, data)
                return
            case Result(_, value):
                self._finish(value, None)
            case Error():
                self._refused(message)
            case Stop() | End():
                pass
        self._wake()

    def lost(self, fault: BusError | None) -> None:
        if fault is not None:
            self._finish(None, fault)
        self._turned.set()

    def _refused(self, error: Error) -> None:
        fault = host_error(error.code, error.text, error.details)
        attached = (self._asked or self._operation) == "attach"
        if error.code == "stream-exists" and self._attempts > 1 and not attached:
            self._operation = "attach"  # the host had heard of it after all
        elif error.code == "not-found" and self._may_supply():
            self._lacking = True
        elif error.code == "attached-elsewhere" or (error.code == "not-found" and attached):
            self._finish(None, StreamLost(f"The stream cannot go on. {fault.text}"))
        else:
            self._finish(None, fault)
        self._turned.set()

    def _may_supply(self) -> bool:
        """Once, and only of what never began: bytes and an instance that somebody knows of are not had twice."""
        return self._stream.supply is not None and not self._supplied and self._about is None

    # Small things.

    def _finish(self, answer: Mapping[str, Any] | None, fault: BusError | None) -> None:
        if not self._over:
            self._over, self._answer, self._fault = True, answer, fault
            self._turned.set()
            self._wake()

    def _pump(self) -> None:
        if self._line is not None:
            self._line.pump(self._number)

    def _wake(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        if self._changed.is_set():
            self._changed = trio.Event()
        await self._changed.wait()


def has_outcome(about: Mapping[str, Any]) -> bool:
    return "outcome" in about or "ended" in about or "state" in about
