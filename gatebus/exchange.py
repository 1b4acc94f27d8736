"""One running program's packets to its services and back; a wire, the only pump of its kind.

In:  batches of whole packets from the program (untrusted), through sandbox.Program; what clients and time queue in
     between.
Out: one send per batch. A program that breaks the protocol is killed; `fault` says why.

One task per program, the caller's: it reads, steps the switchboard, sends without waiting. Two things need a task of
their own: what the kernel did not take at once, and a service that waits for a time. The nursery for them is opened
when the first of them is wanted (most programs never want one: 20 to 90 us of each start). Until then the pump runs
in one cancel scope, which ends when somebody wants more.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Protocol

import trio

from gatebus.bounds import SLICE_SECONDS
from gatebus.faults import GatebusError, ServiceBroken
from gatebus.switchboard import Switchboard
from gatebus.turn import Turn
from sandbox.errors import BrokenProgram, PacketViolation
from sandbox.outcome import Cause


class Wire(Protocol):
    """What is used of sandbox.Program."""

    async def receive_some(self) -> bytes: ...

    async def send(self, data: bytes) -> None: ...

    def send_nowait(self, data: bytes) -> int: ...

    def kill(self, cause: Cause = Cause.KILLED) -> None: ...


def _no_pulse() -> None:
    """Nobody wants to know that there is traffic."""


class Exchange:
    """Made for one program; `run` returns when the program's output has ended.

    `turn`: the host's, so that what a batch causes elsewhere leaves in one send each. `pulse` is called at each batch
    but the first: traffic, and not a start (gatebus.lookout).
    """

    __slots__ = (
        "_alarm",
        "_bare",
        "_board",
        "_draining",
        "_gone",
        "_nursery",
        "_program",
        "_pulse",
        "_rest",
        "_room",
        "_stepping",
        "_turn",
        "fault",
        "keeps_state",
        "saved",
        "unsent",
    )

    def __init__(
        self, program: Wire, board: Switchboard, turn: Turn | None = None, pulse: Callable[[], None] = _no_pulse
    ) -> None:
        self.fault: GatebusError | None = None
        self.keeps_state = False
        """Of a program that may be stopped: at the end `saved` is what the services keep, `unsent` what was for it."""
        self.saved: list[tuple[str, bytes]] = []
        self.unsent = b""
        self._program = program
        self._board = board
        self._turn = turn or Turn()
        self._pulse = pulse
        self._nursery: trio.Nursery | None = None
        self._bare = trio.CancelScope()
        self._rest = b""  # taken from the board, not yet by the kernel
        self._draining = False
        self._stepping = False
        self._gone = False
        self._alarm: trio.CancelScope | None = None
        self._room = trio.Event()

    def owes(self, packets: bytes) -> None:
        """Before `run`, of a program that goes on: what was for it and did not arrive comes first."""
        self._rest = packets
        self._board.owed(len(packets))

    def hold(self, on_packets: Callable[[], None]) -> None:
        """The program waits and reads nothing: what is for it stays here, and this is told of it. Until `release`."""
        self._board.on_queued = on_packets

    def watch(self, on_packets: Callable[[], None]) -> None:
        """This is told of what others send to the program, which gets it all the same. Until `release`."""
        self._board.on_queued = partial(self._seen, on_packets)

    def _seen(self, on_packets: Callable[[], None]) -> None:
        if not self._stepping:
            on_packets()
        self._queued()

    def release(self) -> None:
        self._board.on_queued = self._queued
        self._turn.at_end(self.wake)

    async def run(self) -> None:
        """Once. Raises nothing that the program or a service did: `fault` has it, the program's outcome the rest."""
        self._board.on_queued = self._queued
        try:
            with self._bare:
                await self._pump()
            if self._bare.cancelled_caught:
                async with trio.open_nursery() as self._nursery:
                    self.wake()
                    await self._pump()
                    self._nursery.cancel_scope.cancel()
        finally:
            self._gone = True
            self._nursery = None
            with self._turn:
                if self.keeps_state:
                    self._keep()
                self._board.close()

    def _keep(self) -> None:
        self._board.pause()
        self.saved = self._board.save()
        self.unsent += self._rest + self._board.take()

    def _queued(self) -> None:
        """Something is queued. What our own program's packets cause is sent when they are handled."""
        if not self._stepping:
            self._turn.at_end(self.wake)

    def wake(self) -> None:
        """Send what can be sent. Never raises: whoever caused it is not to blame for this program."""
        try:
            self._flush()
        except GatebusError as fault:
            self._fail(fault)

    async def _pump(self) -> None:
        try:
            await self._use_up()
            if batch := await self._program.receive_some():
                self._board.receive(batch)
                await self._use_up()
            while batch and (batch := await self._program.receive_some()):
                self._pulse()
                self._board.receive(batch)
                await self._use_up()
        except PacketViolation:
            pass  # the sandbox has killed the program and its outcome says why
        except GatebusError as fault:
            self._fail(fault)

    async def _use_up(self) -> None:
        """Handle the batch, packet by packet, as long as the program has room for the answers; others' turn between."""
        while self._steps():
            if self._board.room:
                await trio.lowlevel.checkpoint()
            else:
                self._room = trio.Event()
                await self._room.wait()

    def _steps(self) -> bool:
        """True: there may be more, but there is no room for the answers, or it is the others' turn."""
        until = perf_counter() + SLICE_SECONDS
        with self._turn:
            while self._step_until(until):
                self._flush()
                if not self._board.room or perf_counter() > until:
                    return True
            self._flush()
        return False

    def _step_until(self, until: float) -> bool:
        """False: nothing is left of the batch."""
        board = self._board
        self._stepping = True
        try:
            while board.room:
                if not board.step():
                    return False
                if perf_counter() > until:
                    break
        finally:
            self._stepping = False
        return True

    def _flush(self) -> None:
        data = b"" if self._rest else self._board.take()
        if data:
            taken = self._send_nowait(data)
            self._rest = data[taken:]
            self._board.sent(taken)
        if self._rest or self._board.next_timeout() is not None:
            self._want_tasks()

    def _send_nowait(self, data: bytes) -> int:
        if self._gone:
            return self._lose(data)
        try:
            return self._program.send_nowait(data)
        except BrokenProgram:
            self._gone = True
            return self._lose(data)

    def _lose(self, data: bytes) -> int:
        """Nobody takes it any more. For a program that is stopped it is kept: what its credit allows, no more."""
        if self.keeps_state:
            self.unsent += data
        return len(data)

    def _want_tasks(self) -> None:
        if self._nursery is None:
            self._bare.cancel()
            return
        if self._rest and not self._draining:
            self._draining = True
            self._nursery.start_soon(self._drain)
        due = self._board.next_timeout()
        if due is not None and self._alarm is None:
            self._alarm = trio.CancelScope(deadline=due)
            self._nursery.start_soon(self._keep_time, self._alarm)
        elif due is not None and self._alarm is not None:
            self._alarm.deadline = due

    async def _drain(self) -> None:
        """Send what the kernel did not take at once, until nothing is queued."""
        try:
            while self._rest:
                await self._program.send(self._rest)
                size, self._rest = len(self._rest), b""
                with self._turn:  # what services send because there is room leaves together
                    self._board.sent(size)
                self._rest = self._rest or self._board.take()
                self._room.set()
        except BrokenProgram:
            self._gone = True
            size, self._rest = self._lose(self._rest), b""
            with self._turn, suppress(GatebusError):  # a service that fails now harms nobody: the program is gone
                self._board.sent(size)
        except GatebusError as fault:  # a service that was told of room
            self._fail(fault)
        finally:
            self._draining = False
            self._room.set()

    async def _keep_time(self, alarm: trio.CancelScope) -> None:
        """One sleeper for all services of the program."""
        try:
            with alarm:
                await trio.sleep_forever()
            self._alarm = None
            with self._turn:
                self._board.timeout(trio.current_time())
            self._flush()
        except GatebusError as fault:
            self._fail(fault)

    def _fail(self, fault: GatebusError) -> None:
        """The program ends; what it still had to say is nobody's."""
        self.fault = fault
        self._gone = True
        self._program.kill(Cause.INTERNAL if isinstance(fault, ServiceBroken) else Cause.ABI_VIOLATION)
