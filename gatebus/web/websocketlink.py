"""Wire: a Link over a transport: `websockets`' Sans-I/O protocol, with a path of our own for the usual frame.

In:  bytes of a stranger. Out: whole binary messages, no larger than the protocol object allows; back: ours, framed.

Where the time goes is checkpoints, task switches and copies, not parsing (docs/performance.md). So a read that finds
something makes no checkpoint (one in LINK_FAIR_OPERATIONS does), whole unfragmented binary frames are cut out of the
buffer in one loop, what is written meanwhile leaves in one send, and there is no task per link. Every other frame goes
through the library, exactly its bytes, so that the library's parser always stands at the boundary of a frame and both
paths can be mixed at will. The opening handshake is over when a link is made (front, dial).

What lost: a reader task with a queue (two switches per message); trio.SocketStream (a checkpoint per call);
`websockets.trio` and trio-websocket (both, and a cancelled send leaves half a frame).
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

import trio
from websockets.frames import Opcode
from websockets.protocol import Side, State

from gatebus import bounds
from gatebus.web import frames
from gatebus.web.cork import Cork, MaskingCork
from gatebus.web.endings import forget_parser
from gatebus.web.floor import let_others
from gatebus.web.link import ABNORMAL, GOING_AWAY, INTERNAL, NORMAL, UNSUPPORTED, LinkClosed, Peer
from gatebus.web.outbox import Outbox
from sandbox.background import background_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from websockets.frames import Frame
    from websockets.protocol import Protocol

    from gatebus.web.bytetransport import Transport

MASKED = 0x80


class WebsocketLink:
    """`protocol` is open; `rest` are bytes that came with the end of the handshake. `nursery`: where a drain task may
    run, which must last longer than the link (a server's: 3 KiB less for each link); None: the link opens its own."""

    __slots__ = (
        "_batch", "_cork", "_drained", "_ended", "_fair", "_fed", "_kind", "_left", "_life", "_masked", "_more",
        "_most", "_need", "_nursery", "_open", "_outbox", "_partial", "_protocol", "_read_most", "_scratch", "_tail",
        "_take", "_transport", "_turn", "begun", "last_heard", "peer", "receiving",
    )  # fmt: skip
    takes_text: ClassVar[bool] = False

    def __init__(
        self,
        transport: Transport,
        protocol: Protocol,
        peer: Peer,
        scratch: frames.Scratch,
        *,
        rest: bytes = b"",
        nursery: trio.Nursery | None = None,
    ) -> None:
        self.peer = peer
        self.last_heard = trio.current_time()
        self.receiving = False  # somebody waits for the peer now
        self.begun: float | None = None  # when the message began of which a part is here; in fragments, the first one
        self._transport = transport
        self._protocol = protocol
        self._scratch = scratch
        self._masked = MASKED if protocol.side is Side.SERVER else 0
        self._take = frames.take_masked_untrusted if self._masked else frames.take_plain_untrusted
        assert protocol.max_message_size is not None
        self._most = min(protocol.max_message_size, len(scratch.bytes) - frames.HEAD_MOST)
        self._outbox = Outbox(transport)
        self._cork = Cork(self._outbox) if self._masked else MaskingCork(self._outbox)  # each side masks or reads masks
        self._open = True
        self._tail = bytearray()  # of a frame that is not whole yet
        self._need = 0  # bytes that make the tail worth looking at
        self._more = False  # the tail was left only so that others have their turn
        self._left = 0  # bytes of a frame that the library is in the middle of
        self._partial: bytearray | None = None  # a message in fragments, so far
        self._kind = Opcode.BINARY
        self._batch: list[bytes] = []
        self._drained = True  # the last read left nothing
        self._fair = 0
        self._ended = False  # the peer's half of the stream
        self._nursery = nursery
        self._fed = 0  # frames that the library took apart since others had their turn
        self._read_most = len(scratch.bytes)
        self._life: AbstractAsyncContextManager[None] | None = None
        self._turn: trio.Event | None = None  # the closer waits for the reader to leave
        if rest:
            scratch.view[: len(rest)] = rest
            self._use(len(rest))

    @property
    def waiting(self) -> int:
        return self._outbox.waiting

    # reading

    async def receive_many(self) -> list[bytes]:
        await self._take_turns()
        while not self._batch:
            if not self._open:
                raise self._closed()
            if self._fed >= bounds.LINK_CONTROL_FRAMES:
                self._fed, self._read_most = 0, bounds.LINK_FLOOD_READ
                await let_others(self._scratch)
            if self._more:
                await trio.lowlevel.checkpoint()
                self._join(len(self._tail), len(self._tail))
            else:
                if not (self._tail or self._left or self._partial is not None):
                    self.begun = None
                elif self.begun is None:
                    self.begun = self.last_heard
                await self._read()
            if self._outbox.waiting > bounds.LINK_HIGH_WATER:
                await self._outbox.until_below(bounds.LINK_HIGH_WATER // 2)  # answers to pings are owed
        batch, self._batch, self.begun = self._batch, [], None  # what is left is of a newer message
        return batch

    async def _read(self) -> None:
        """One read, after a wait unless the last one left something. All state is kept before each wait."""
        self.flush()
        if self._outbox.cut or self._ended:
            self._end()  # the transport is closed: nobody may wait on it
            return
        try:
            if self._drained:
                self.receiving = True
                await self._transport.wait_readable()
            else:
                await self._take_turns()
            kept = len(self._tail)
            size = self._transport.receive_into(self._scratch.view[kept : self._read_most + kept])
        except BlockingIOError:
            self._drained = True
            return
        except (OSError, trio.ClosedResourceError):
            self._end()
            return
        finally:
            self.receiving = False
            if self._turn is not None:
                self._turn.set()
        if not size:
            self._end()
            return
        self.last_heard = trio.current_time()
        self._drained = size < min(self._read_most, len(self._scratch.bytes) - kept)
        self._read_most = len(self._scratch.bytes)
        self._join(kept, kept + size)

    async def _take_turns(self) -> None:
        self._fair += 1
        if self._fair >= bounds.LINK_FAIR_OPERATIONS:
            self._fair = 0
            await trio.lowlevel.checkpoint()

    def _join(self, kept: int, end: int) -> None:
        """The tail was kept out of the buffer, and is copied back only when it has become something: a peer that sends
        a byte at a time costs no more than its bytes."""
        if end < self._need:
            self._tail += self._scratch.view[kept:end]
            return
        if kept:
            self._scratch.view[:kept] = self._tail
            self._tail = bytearray()
        self._need, self._more = 0, False
        if self._open:
            self._use(end)
        else:
            self._feed(bytes(self._scratch.view[:end]))  # only to hear the peer's goodbye

    def _use(self, end: int) -> None:
        view, position = self._scratch.view, 0
        for _ in range(bounds.LINK_BATCH_FRAMES):
            if position == end:
                return
            if not self._open:
                self._feed(bytes(view[position:end]))
                return
            if self._left:
                size = min(self._left, end - position)
                self._left -= size
                self._feed(bytes(view[position : position + size]))
                position += size
                continue
            if self._fed >= bounds.LINK_CONTROL_FRAMES:
                break
            if self._partial is None:
                messages, position = self._take(self._scratch, position, end, self._most)
                self._batch += messages
                if len(self._batch) >= bounds.LINK_BATCH_FRAMES:
                    break
            self._need = self._look(view[position:end])
            if self._need:
                self._tail = bytearray(view[position:end])
                return
        self._tail = bytearray(view[position:end])
        self._more = position < end

    def _look(self, start: memoryview) -> int:
        """At a frame that was not taken: bytes wanted before it can be; 0: the library has it from here on."""
        if not start:
            return 0
        measured = frames.measure_untrusted(start)
        if measured is None:
            return len(start) + 1
        head, size = measured
        usual = start[0] == frames.BINARY and start[1] & MASKED == self._masked and size <= self._most
        if usual and self._partial is None:
            return head + size
        if start[0] == frames.CLOSE and size <= frames.CONTROL_MOST and self._partial is not None:
            # RFC 6455 lets a close frame come between fragments; the library would call that a violation.
            self._partial, self._protocol.current_size = None, None
        self._left = head + size
        return 0

    def _feed(self, data: bytes) -> None:
        """Through the library, and what it makes of them: messages, answers, the end."""
        self._need = 0
        self._fed += 1
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._event(event)  # type: ignore[arg-type]  # after the handshake there are only frames
        self._answer()

    def _event(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.BINARY | Opcode.TEXT:
                if frame.opcode is Opcode.TEXT and not self.takes_text:
                    self._refuse(UNSUPPORTED, "this protocol has no text messages")
                elif frame.fin:
                    self._deliver(frame.opcode, bytes(frame.data))
                else:
                    self._partial, self._kind = bytearray(frame.data), frame.opcode
            case Opcode.CONT if self._partial is not None:
                self._partial += frame.data
                if frame.fin:
                    whole, self._partial = bytes(self._partial), None
                    self._deliver(self._kind, whole)
            case _:
                pass  # control frames: the library has answered

    def _deliver(self, kind: Opcode, message: bytes) -> None:
        """Of the slow path. `kind` is always binary unless takes_text."""
        if self._open:
            self._batch.append(message)

    def _refuse(self, code: int, reason: str) -> None:
        """The peer broke a rule that the library does not know."""
        if self._protocol.state is State.OPEN:
            self._protocol.fail(code, reason)
            self._answer()

    def _answer(self) -> None:
        """What the library wants sent, in order with what was written."""
        for data in self._protocol.data_to_send():
            if data:
                self._cork.frame(data)
            else:
                self.flush()
                self._outbox.finish()
        if self._protocol.state is not State.OPEN:
            self._open = False
        if not self._open:
            self.flush()

    def _end(self) -> None:
        """The peer's half of the stream is over, or everything."""
        if self._ended:
            return
        if self._tail:
            tail, self._tail = bytes(self._tail), bytearray()
            self._feed(tail)
        self._protocol.receive_eof()
        self._answer()
        self._open = False
        self._ended = True

    def _closed(self) -> LinkClosed:
        if self._outbox.cut:
            return LinkClosed(ABNORMAL, self._outbox.cut, ours=True)
        told, sent = self._protocol.close_rcvd, self._protocol.close_sent
        if told is not None and self._protocol.close_rcvd_then_sent is not False:
            return LinkClosed(told.code, told.reason)
        if sent is not None:
            return LinkClosed(sent.code, sent.reason)
        return LinkClosed(ABNORMAL)

    # writing

    def write(self, *parts: bytes | memoryview) -> None:
        if not self._open or self._outbox.broken:
            raise self._closed()
        self._cork.message(parts)
        if self._outbox.waiting > bounds.LINK_OUTBOX_BYTES:
            self.abort("too slow: more waits for it than a link may owe")
            raise self._closed()

    def flush(self) -> None:
        self._cork.flush()

    async def room(self) -> None:
        self.flush()
        await self._take_turns()
        if self._outbox.waiting > bounds.LINK_HIGH_WATER:
            await self._outbox.until_below(bounds.LINK_HIGH_WATER // 2)
        if not self._open or self._outbox.broken:
            raise self._closed()

    def ping(self) -> None:
        """Ask for a sign of life (keepalive)."""
        if self._open:
            self._protocol.send_ping(b"")
            self._answer()
            self.flush()

    # the end

    async def aclose(self, code: int = NORMAL, reason: str = "") -> None:
        try:
            self._say_goodbye(code, reason)
            with trio.move_on_after(bounds.LINK_CLOSE_SECONDS):
                await self._outbox.until_below(0)
                await self._hear_the_end()
        finally:
            self.abort()

    async def _hear_the_end(self) -> None:
        """What still comes is read and dropped: closing a socket with unread input would destroy what is under way."""
        while not self._ended:
            if self.receiving:  # another task reads; it leaves with the next bytes
                if self._turn is None or self._turn.is_set():
                    self._turn = trio.Event()
                await self._turn.wait()
            else:
                await self._read()
                self._batch.clear()

    def _say_goodbye(self, code: int, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._answer()
        self.flush()

    def abort(self, why: str = "") -> None:
        self._outbox.cut = self._outbox.cut or why
        self._open, self._ended = False, True
        self._cork.drop()
        self._outbox.drop()
        self._transport.close()
        forget_parser(self._protocol)
        if self._turn is not None:
            self._turn.set()  # of two that close, the other one need not wait

    async def __aenter__(self) -> Self:
        if self._nursery is None:
            self._life = self._living()
            await self._life.__aenter__()
        else:
            self._outbox.start(self._nursery)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._life is not None:
            return await self._life.__aexit__(kind, error, trace)
        await self._leave(error)
        return None

    @asynccontextmanager
    async def _living(self) -> AsyncIterator[None]:
        async with background_tasks() as nursery:
            self._outbox.start(nursery)
            try:
                yield
            except BaseException as error:
                await self._leave(error)
                raise
            await self._leave(None)

    async def _leave(self, error: BaseException | None) -> None:
        try:
            if error is None or isinstance(error, LinkClosed):
                await self.aclose()
            elif isinstance(error, Exception):
                await self.aclose(INTERNAL)
            else:
                self._say_goodbye(GOING_AWAY, "")  # cancelled: one attempt, no time is left for more
        finally:
            self.abort()
