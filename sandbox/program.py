"""Wire: one running program: packets in and out, kill, wait, what it cost.

In:  bytes of the program (untrusted). Out: whole packets to whoever reads; control packets become logs, the tree it
left, and its report.

Every read goes non-blocking into one scratch buffer that all programs share (no await lies between read and use),
is cut by packets.scan_untrusted, and leaves as one bytes object. There is no task, nursery, cancel scope or
deadline per operation: they would cost more than the work. What lost: a task per program that reads ahead (2.8
times the CPU when streaming, and a queue that needs a bound).
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import trio

from sandbox.errors import BrokenProgram, PacketViolation, StartFailed
from sandbox.outcome import Cause, EndRecord, Outcome, State, Usage, Why, Wish, decide
from sandbox.packets import PacketCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.backend import Started
    from sandbox.inlet import Inlet
    from sandbox.limits import Limits
    from sandbox.packets import Buffer
    from sandbox.traffic import Traffic
    from sandbox.tree import Tree


class _OneTask:
    """One task at a time may do this; a second one is told so, because two readers would each get half of a stream."""

    __slots__ = ("_busy", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._what} this program")
        self._busy = True

    def __exit__(self, *_exception: object) -> None:
        self._busy = False


class Program:
    """A running program. Made by `Sandbox.start`; see the package's page for the contract."""

    __slots__ = (
        "_bytes_in",
        "_counter",
        "_failure",
        "_inlet",
        "_limits",
        "_on_ended",
        "_outcome",
        "_receiving",
        "_record",
        "_sending",
        "_started",
        "_started_at",
        "_stopped_at",
        "_traffic",
        "_transport",
        "_wish",
        "instance",
    )  # fmt: skip

    def __init__(
        self, started: Started, inlet: Inlet, traffic: Traffic, limits: Limits, on_ended: Callable[[], None]
    ) -> None:
        self.instance = b""
        self._started = started
        self._transport = started.transport
        self._inlet = inlet
        self._limits = limits
        self._on_ended = on_ended
        self._receiving, self._sending = _OneTask("receiving from"), _OneTask("sending to")
        self._traffic = traffic
        self._counter, self._bytes_in = PacketCounter(), 0
        self._wish = Wish()
        self._record: EndRecord | None = None
        self._outcome: Outcome | None = None
        self._failure: StartFailed | None = None
        self._started_at, self._stopped_at = trio.current_time(), 0.0

    @property
    def on_log(self) -> Callable[[int, bytes], None] | None:
        """Called with (1 or 2, bytes) while packets are received; set it before the first receive."""
        return self._inlet.on_log

    @on_log.setter
    def on_log(self, callback: Callable[[int, bytes], None] | None) -> None:
        self._inlet.on_log = callback

    async def receive_some(self) -> bytes:
        """Whole packets, at least one; b"" when the program has ended its output. Raises PacketViolation once."""
        with self._receiving:
            await trio.lowlevel.checkpoint_if_cancelled()
            waited = False  # who has waited has given others their turn: a second checkpoint costs a fifth of an echo
            while True:
                packets = None if self._inlet.is_quiet and not waited else self._take()
                if packets is None:
                    await self._until_readable()
                    waited = True
                elif packets or self._inlet.at_end:
                    self._traffic.came()
                    if not waited:
                        await trio.lowlevel.cancel_shielded_checkpoint()
                    return packets
                else:
                    await (
                        trio.lowlevel.checkpoint()
                    )  # only control packets came: a flood of them must not hold the loop

    def __aiter__(self) -> Program:
        return self

    async def __anext__(self) -> bytes:
        packets = await self.receive_some()
        if not packets:
            raise StopAsyncIteration
        return packets

    def _take(self) -> bytes | None:
        try:
            return self._inlet.take_untrusted(self._transport)
        except PacketViolation as violation:
            self._wish_for(Cause.ABI_VIOLATION, violation.text)
            self._started.kill()
            raise

    async def _until_readable(self) -> None:
        if self._traffic.is_dense():
            os.sched_yield()
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._transport.wait_readable()
        except trio.ClosedResourceError:
            if not self._inlet.at_end and not self._inlet.left_over:
                raise

    async def send(self, data: Buffer) -> None:
        """All of it, whole packets.

        Raises BrokenProgram. When it is cancelled after it began, the program is killed.
        """
        with self._sending:
            await trio.lowlevel.checkpoint_if_cancelled()
            sent = self.send_nowait(data)
            if sent == len(data):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, rest: memoryview) -> None:
        try:
            while rest:
                await self._transport.wait_writable()
                rest = rest[self.send_nowait(rest) :]
        except trio.ClosedResourceError:
            self._broken()
        except trio.Cancelled:
            self.kill()
            raise

    def send_nowait(self, data: Buffer) -> int:
        """Bytes that were taken at once, maybe 0. The rest must be sent before anything else. Raises BrokenProgram."""
        if self._outcome is not None:
            self._broken()
        try:
            sent = self._transport.send(data)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            self._broken()
        self._counter.count(data if sent == len(data) else memoryview(data)[:sent])
        self._bytes_in += sent
        return sent

    def _broken(self) -> NoReturn:
        raise BrokenProgram("program-gone", "The program has ended; nothing can be sent to it.")

    async def feed(self, packets: Iterable[Buffer]) -> None:
        """Send the rest of the setup. A program that ends meanwhile is no error here: its outcome says why."""
        try:
            for packet in packets:
                rest = memoryview(packet)
                while rest:
                    rest = rest[self._feed_some(rest) :]
                    if rest:
                        await self._transport.wait_writable()
        except (BrokenPipeError, ConnectionResetError):
            return

    def _feed_some(self, data: memoryview) -> int:
        try:
            return self._transport.send(data)
        except BlockingIOError:
            return 0

    def kill(self, cause: Cause = Cause.KILLED) -> None:
        """End it now. The first cause counts; nothing happens when it has ended."""
        if self._record is None:
            self._wish_for(cause, "")
            self._started.kill()

    def share(self, account: int) -> bool:
        """While it computes for long, it weighs little against others: all programs of one account (a number from 1 on)
        together as much as a tenth of an ordinary process. 0: no longer. False: say it again later.
        """
        return self._record is not None or self._started.share(account)

    def _wish_for(self, cause: Cause, text: str) -> None:
        if self._wish.cause is None or (cause is Cause.ABI_VIOLATION and self._outcome is None):
            self._wish = Wish(cause, text)

    async def wait(self) -> Outcome:
        """How it ended. While it runs and writes, somebody must receive. Raises StartFailed when it never began."""
        if self._outcome is not None:
            await trio.lowlevel.checkpoint()
            self._raise_failure()
            return self._outcome
        try:
            record = await self._started.wait()
        except StartFailed as failure:
            self._fail(failure)
            raise
        return self._conclude(record)

    def _fail(self, failure: StartFailed) -> None:
        if self._outcome is None:
            self._failure = failure
            self._conclude(EndRecord(None, None, Why.LOST))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise StartFailed(self._failure.code, self._failure.text)

    def _conclude(self, record: EndRecord) -> Outcome:
        if self._outcome is None:
            self._record, self._stopped_at = record, trio.current_time()
            self._drain()
            self._transport.close()
            self._started.close()
            bare = decide(record, self._inlet.report, self._wish, self._limits.cpu_time)
            self._outcome = replace(bare, usage=self.usage())
            self._on_ended()
        return self._outcome

    def _drain(self) -> None:
        try:
            self._inlet.drain_untrusted(self._transport)
        except PacketViolation as violation:
            self._wish_for(Cause.ABI_VIOLATION, violation.text)

    @property
    def ended(self) -> bool:
        """Its process is gone and its outcome known."""
        return self._outcome is not None

    def abandon(self) -> None:
        """Give up on a process that does not end: what it holds here is given back, and it counts as lost."""
        self._conclude(EndRecord(None, None, Why.LOST))

    def usage(self) -> Usage:
        """Bytes and packets so far; CPU and peaks are 0 or a lower bound until the program has ended."""
        end, inlet = self._record, self._inlet
        return Usage(
            cpu_user=end.user_us / 1e6 if end else 0.0,
            cpu_system=end.system_us / 1e6 if end else 0.0,
            peak_memory=self._peak_memory(),
            max_rss=end.max_rss if end else 0,
            bytes_in=self._bytes_in,
            bytes_out=inlet.bytes,
            packets_in=self._counter.packets,
            packets_out=inlet.packets,
            log_dropped=inlet.report.log_dropped if inlet.report else 0,
            wall=(self._stopped_at or trio.current_time()) - self._started_at,
        )

    def _peak_memory(self) -> int:
        """Measured, or what the runtime said at the end (memories never shrink); never more than the limit."""
        said = min(self._inlet.report.memory, self._limits.memory) if self._inlet.report else 0
        return max(said, self._record.peak_memory if self._record else self._started.peak_memory)

    def tree(self) -> Tree | None:
        """What it left in its file system:

        after wait(), when it had a tree at the start and ended by itself; else None.
        """
        ended_by_itself = self._outcome is not None and self._outcome.state is not State.KILLED
        return self._inlet.tree if ended_by_itself else None
