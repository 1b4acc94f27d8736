"""Wire: one running program: packets in and out, kill, wait, what it cost.

In:  bytes of the program (untrusted). Out: whole packets to whoever reads; control packets become logs, the tree it
left, and its report.

Every read goes non-blocking into one scratch buffer that all programs share (no await lies between read and use),
is cut by packets.scan_untrusted, and leaves as one bytes object. There is no task, nursery, cancel scope or
deadline per operation: they would cost more than the work. What lost: a task per program that reads ahead (2.8
times the CPU when streaming, and a queue that needs a bound).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import trio

from sandbox.control import SUSPEND_PACKET
from sandbox.errors import BadState, BrokenProgram, NotSuspendable, NotSuspended, PacketViolation, StartFailed
from sandbox.onetask import OneTask
from sandbox.outcome import Cause, EndRecord, Outcome, State, Usage, Why, Wish, decide, killed
from sandbox.packets import PacketCounter
from sandbox.parking import Parking
from sandbox.stopping import LATE, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.backend import Started
    from sandbox.inlet import Inlet
    from sandbox.limits import Limits
    from sandbox.packets import Buffer
    from sandbox.stopping import Stoppable
    from sandbox.suspended import Suspended
    from sandbox.traffic import Watch
    from sandbox.tree import Tree


class Program:
    """A running program. Made by `Sandbox.start`; see the package's page for the contract."""

    __slots__ = (
        "_bytes_in", "_counter", "_failure", "_inlet", "_kept", "_limits", "_on_ended", "_outcome", "_parking",
        "_receiving", "_record", "_sending", "_started", "_started_at", "_stop", "_stoppable", "_stopped_at",
        "_suspended", "_transport", "_watch", "_wish", "instance",
    )  # fmt: skip

    def __init__(
        self, started: Started, inlet: Inlet, watch: Watch, limits: Limits, on_ended: Callable[[], None]
    ) -> None:
        self.instance = b""
        self._started = started
        self._transport = started.transport
        self._inlet = inlet
        self._limits = limits
        self._on_ended = on_ended
        self._receiving, self._sending = OneTask("receiving from"), OneTask("sending to")
        self._watch = watch
        self._counter, self._bytes_in = PacketCounter(), 0
        self._parking = Parking(started)
        self._wish = Wish()
        self._record: EndRecord | None = None
        self._outcome: Outcome | None = None
        self._failure: StartFailed | None = None
        self._started_at, self._stopped_at = trio.current_time(), 0.0
        self._stoppable: Stoppable | None = None
        self._stop: Stop | None = None
        self._kept: Stop | None = None
        self._suspended: Suspended | None = None

    @property
    def on_log(self) -> Callable[[int, bytes], None] | None:
        """Called with (1 or 2, bytes) while packets are received; set it before the first receive."""
        return self._inlet.on_log

    @on_log.setter
    def on_log(self, callback: Callable[[int, bytes], None] | None) -> None:
        self._inlet.on_log = callback

    async def receive_some(self) -> bytes:
        """Whole packets, at least one; b"" when the program has ended its output. Raises PacketViolation once."""
        while self._stop is not None and self._stop.reading:
            await self._receiving.changed()
        with self._receiving:
            await trio.lowlevel.checkpoint_if_cancelled()
            waited = False  # who has waited has given others their turn: a second checkpoint costs a fifth of an echo
            while True:
                packets = None if self._inlet.is_quiet and not waited else self._take()
                if packets is None:
                    await self._until_readable()
                    waited = True
                elif packets or self._inlet.at_end:
                    self._watch.came()
                    if not waited:
                        await trio.lowlevel.cancel_shielded_checkpoint()
                    return packets
                else:
                    await trio.lowlevel.checkpoint()  # a flood of control packets must not hold the loop

    @property
    def said_all(self) -> bool:
        """The next receive is the end, and need not be waited for."""
        return self._inlet.is_over

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
        try:
            await self._watch.readable(self._transport.fileno, self._transport.wait_readable)
        except trio.ClosedResourceError:
            if not self._inlet.at_end and not self._inlet.left_over:
                raise

    async def send(self, data: Buffer) -> None:
        """All of it, whole packets.

        Raises BrokenProgram. When it is cancelled after it began, the program is killed.
        """
        with self._sending:
            await trio.lowlevel.checkpoint_if_cancelled()
            if self._counter.between:  # a packet that was begun is finished
                self._check_not_stopping()
            sent = self._push(data)
            if sent == len(data):
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, rest: memoryview) -> None:
        try:
            while rest:
                await self._transport.wait_writable()
                rest = rest[self._push(rest) :]
        except trio.ClosedResourceError:
            self._broken()
        except trio.Cancelled:
            if not self._inlet.at_end:  # one that has said its last word reads no more
                self.kill()
            raise

    def send_nowait(self, data: Buffer) -> int:
        """Bytes that were taken at once, maybe 0. The rest must be sent before anything else. Raises BrokenProgram."""
        if self._counter.between:
            self._check_not_stopping()
        return self._push(data)

    def _check_not_stopping(self) -> None:
        if self._stop is not None:
            raise BrokenProgram("program-stopping", "The program is being stopped; nothing more can be sent to it.")

    def _push(self, data: Buffer) -> int:
        if self._outcome is not None:
            self._broken()
        try:
            sent = self._transport.send(data)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            self._broken()
        except OSError:  # the machine's fault; but what comes behind it would be taken for something else
            self.kill(Cause.INTERNAL)
            self._broken()
        self._counter.count(data if sent == len(data) else memoryview(data)[:sent])
        self._bytes_in += sent
        if self._stop is not None:
            self._sending.wake()
        return sent

    def _broken(self) -> NoReturn:
        raise BrokenProgram("program-gone", "The program has ended; nothing can be sent to it.")

    async def park(self) -> None:
        """It takes no step until `unpark`; its memory and what it is sent wait. Its wall time stands still, its clocks
        do not. Idempotent. Raises BrokenProgram when it has ended. Cancelled, it may be parked or not: say it again.
        """
        if self._outcome is not None:
            self._broken()
        if self._stop is None:  # one that is to stop must be able to
            await self._parking.park()

    async def unpark(self) -> None:
        """It goes on. Idempotent, also for one that has ended."""
        await self._parking.unpark()

    async def suspend(self) -> Suspended:
        """Stop it where it is, parked or not, and take its state. Its process is gone then, and wait() says SUSPENDED;
        what it had sent before can still be received. Asked again, it waits for the same stop.

        Raises NotSuspendable; NotSuspended: not yet (it computes something that cannot be left), it runs on and stops
        later; BrokenProgram: it ended by itself, or was killed; BadState: its process was not what it should be.
        When it is cancelled the program stops all the same.
        """
        if self._suspended is None:
            patience = self._order_to_stop()
            with trio.move_on_after(patience) as waiting:
                await self._parking.unpark()
                await self._tell_to_stop()
                await self._read_to_the_end()
                await self.wait()
            if waiting.cancelled_caught:
                raise NotSuspended("stop-late", LATE.format(patience))
        return self._take_state()

    def _order_to_stop(self) -> float:
        if self._stoppable is None or not self._started.can_stop:
            raise NotSuspendable("not-suspendable", "The program was not compiled in the form that can be stopped.")
        if self._stop is None and self._outcome is None:
            self._stop = self._kept or Stop(self._stoppable)
            self._inlet.on_state = self._stop.add_untrusted
            if self._wish.cause is None:  # who is being killed is not stopped first
                self._started.request_stop()
        return self._stoppable.patience

    async def _tell_to_stop(self) -> None:
        """Behind whole packets, and behind whatever a task is sending."""
        while self._stop is not None and not self._stop.told and self._outcome is None and self._wish.cause is None:
            if self._sending.busy or not self._counter.between:
                await self._sending.changed()
                continue
            with self._sending:
                try:
                    await self._say_stop(self._stop)
                except (OSError, trio.ClosedResourceError):
                    return  # it is gone: its outcome says why

    async def _say_stop(self, stop: Stop) -> None:
        """Or wait until there is room to say it."""
        try:
            stop.told = self._transport.send(SUSPEND_PACKET) == len(SUSPEND_PACKET)
        except BlockingIOError:
            await self._transport.wait_writable()

    async def _read_to_the_end(self) -> None:
        """The state comes behind everything else. Whoever receives does it; while nobody does, it is done here."""
        stop = self._stop
        while stop is not None and not self._inlet.at_end:
            if self._receiving.busy:
                await self._receiving.changed()
            else:
                await self._read_some(stop)

    async def _read_some(self, stop: Stop) -> None:
        try:
            with self._receiving:
                stop.reading = True
                if not self._inlet.read_ahead_untrusted(self._transport):
                    await self._until_readable()
        except PacketViolation as violation:
            self._wish_for(Cause.ABI_VIOLATION, violation.text)
            self._started.kill()
        finally:
            stop.reading = False
            self._receiving.wake()

    def _take_state(self) -> Suspended:
        if self._suspended is None:
            stop, outcome = self._stop, self._outcome
            if outcome is None or stop is None:
                raise BrokenProgram("program-ended", "The program has ended; there is nothing to stop.")
            self._suspended = stop.result_untrusted(outcome)
        return self._suspended

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
            bare = decide(record, self._inlet.report, self._wish, self._limits.cpu_time)
            if bare.state is State.SUSPENDED or (self._kept and self._kept.told_all(bare)):
                bare = self._keep_memory(bare, self._stop or self._kept)
            self._transport.close()
            self._started.close()
            self._outcome = Outcome(bare.state, bare.cause, bare.result, bare.text, self.usage())
            self._on_ended()
        return self._outcome

    def _keep_memory(self, bare: Outcome, stop: Stop | None) -> Outcome:
        if stop is None or (bare.state is State.SUSPENDED and self._stop is None):
            return killed(Cause.INTERNAL, "The program's process stopped although nobody had asked it to.")
        try:
            stop.memory = self._started.take_memory(stop.memory_bytes_untrusted())
            stop.base, stop.changed = self._started.went_from
        except BadState as bad:
            return killed(Cause.INTERNAL, bad.text)
        return bare

    def _drain(self) -> None:
        try:
            self._inlet.drain_untrusted(self._transport)
        except PacketViolation as violation:
            self._wish_for(Cause.ABI_VIOLATION, violation.text)

    def make_stoppable(self, plan: Stoppable, *, keep: bool = False) -> None:
        """Of a program whose image can be suspended; called before anybody has it. `keep`: its end is kept, too."""
        self._stoppable = plan
        self._inlet.on_held = self._started.held
        if keep:
            self._kept = Stop(plan)
            self._inlet.on_state = self._kept.add_untrusted

    def halted(self) -> Suspended | None:
        """After wait(): what it left when its entry function returned, if it was started with Setup(keep=True)."""
        kept = self._kept
        return kept.kept_untrusted() if kept is not None and kept.told_all(self._outcome) else None

    @property
    def ended(self) -> bool:
        """Its process is gone and its outcome known."""
        return self._outcome is not None

    def abandon(self) -> None:
        """Give up on a process that does not end: what it holds here is given back, and it counts as lost."""
        self._conclude(EndRecord(None, None, Why.LOST))

    def usage(self) -> Usage:
        """Bytes and packets so far; CPU and peaks are 0 or a lower bound until the program has ended."""
        end, inlet, now = self._record, self._inlet, self._stopped_at or trio.current_time()
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
            wall=now - self._started_at - self._parking.seconds(now),
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
