"""One running program's packets to its services and back; a wire, the only pump of its kind.

In:  batches of whole packets from the program (untrusted), through sandbox.Program; what clients and time queue in
     between.
Out: one send per batch. A program that breaks the protocol is killed; `fault` says why.

One task per program, the caller's: it reads, steps the switchboard, sends without waiting. Two things need a task of
their own: what the kernel did not take at once, and a service that waits for a time. Most programs never want one, so
nothing is made for them ahead (a nursery is 20 to 90 us of each start, a cancel scope 18): they run beside the caller's
task, in the nursery that it runs in, and `run` returns when they have ended.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Protocol

import trio

from gatebus.accountbounds import HELPERS_END_SECONDS
from gatebus.bounds import SLICE_SECONDS
from gatebus.faults import GatebusError, ServiceBroken
from gatebus.switchboard import Switchboard
from gatebus.turn import Turn
from sandbox.errors import BrokenProgram, PacketViolation
from sandbox.outcome import Cause


class Wire(Protocol):
    """What is used of sandbox.Program."""

    @property
    def said_all(self) -> bool: ...

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
        "_board",
        "_bug",
        "_draining",
        "_ended",
        "_gone",
        "_helpers",
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
        self._nursery: trio.Nursery | None = None  # while it runs
        self._helpers: list[trio.CancelScope] = []
        self._ended: trio.Event | None = None  # the last helper's end is waited for
        self._bug: Exception | None = None  # of a helper
        self._rest = b""  # taken from the board, not yet by the kernel
        self._draining = False
        self._stepping = False
        self._gone = False
        self._alarm: trio.CancelScope | None = None
        self._room: trio.Event | None = None  # the pump waits for it

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
        self._nursery = trio.lowlevel.current_task().parent_nursery
        try:
            await self._pump()
        finally:
            self._nursery = None
            if self._helpers:
                await self._end_helpers()
            self._gone = True
            with self._turn:
                if self.keeps_state:
                    self._keep()
                self._board.close()
        if self._bug is not None:
            raise self._bug

    async def _end_helpers(self) -> None:
        """Each ends at its next step, whatever it waits for."""
        self._ended = trio.Event()
        for scope in self._helpers:
            scope.cancel()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + HELPERS_END_SECONDS):
            await self._ended.wait()

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
        except Exception as bug:
            self._broke(bug)

    async def _pump(self) -> None:
        try:
            await self._use_up()
            if batch := await self._program.receive_some():
                self._board.receive(batch)
                await self._use_up()
            while batch and not self._program.said_all and (batch := await self._program.receive_some()):
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
                self._room = None

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
            return
        if self._rest and not self._draining:
            self._draining = True
            self._start_helper(self._nursery, self._drain)
        due = self._board.next_timeout()
        if due is not None and self._alarm is None:
            self._alarm = trio.CancelScope(deadline=due)
            self._start_helper(self._nursery, self._keep_time)
        elif due is not None and self._alarm is not None:
            self._alarm.deadline = due

    def _start_helper(self, nursery: trio.Nursery, work: Callable[[], Awaitable[None]]) -> None:
        scope = trio.CancelScope()
        self._helpers.append(scope)
        nursery.start_soon(self._help, work, scope)

    async def _help(self, work: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Of the nursery only the place is used: what goes wrong here is the exchange's, and so is the end."""
        try:
            with scope:
                await work()
        except GatebusError as fault:  # of a service that was told of room, or of the time
            self._fail(fault)
        except Exception as bug:
            self._broke(bug)
        finally:
            self._helpers.remove(scope)
            if self._ended is not None and not self._helpers:
                self._ended.set()

    async def _drain(self) -> None:
        """Send what the kernel did not take at once, until nothing is queued."""
        try:
            while self._rest:
                await self._program.send(self._rest)
                size, self._rest = len(self._rest), b""
                with self._turn:  # what services send because there is room leaves together
                    self._board.sent(size)
                self._rest = self._rest or self._board.take()
                self._make_room()
        except BrokenProgram:
            self._gone = True
            size, self._rest = self._lose(self._rest), b""
            with self._turn, suppress(GatebusError):  # a service that fails now harms nobody: the program is gone
                self._board.sent(size)
        finally:
            self._draining = False
            self._make_room()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()

    async def _keep_time(self) -> None:
        """One sleeper for all services of the program."""
        assert self._alarm is not None
        with self._alarm:
            await trio.sleep_forever()
        self._alarm = None
        with self._turn:
            self._board.timeout(trio.current_time())
        self._flush()

    def _broke(self, bug: Exception) -> None:
        """`run` raises it, when the program has ended."""
        self._bug = bug
        self._program.kill(Cause.INTERNAL)

    def _fail(self, fault: GatebusError) -> None:
        """The program ends; what it still had to say is nobody's."""
        self.fault = fault
        self._gone = True
        self._program.kill(Cause.INTERNAL if isinstance(fault, ServiceBroken) else Cause.ABI_VIOLATION)
