"""One running program's packets to its services and back; a wire, the only pump of its kind.

In:  batches of whole packets from the program (untrusted), through sandbox.Program; what clients and time queue in
     between.
Out: one send per batch. A program that breaks the protocol is killed; `fault` says why.

One task per program, the caller's: it reads, steps the switchboard, sends without waiting. Two things need a task of
their own: what the kernel did not take at once, and a service that waits for a time. The nursery for them is opened
when the first of them is wanted (most programs never want one: 20 to 90 us of each start). Until then the pump runs
in one cancel scope, which ends when somebody wants more.
"""

from typing import Protocol

import trio

from gatebus.faults import GatebusError, ServiceBroken
from gatebus.switchboard import Switchboard
from sandbox.errors import BrokenProgram, PacketViolation
from sandbox.outcome import Cause


class Wire(Protocol):
    """What is used of sandbox.Program."""

    async def receive_some(self) -> bytes: ...

    async def send(self, data: bytes) -> None: ...

    def send_nowait(self, data: bytes) -> int: ...

    def kill(self, cause: Cause = Cause.KILLED) -> None: ...


class Exchange:
    """Made for one program; `run` returns when the program's output has ended."""

    def __init__(self, program: Wire, board: Switchboard) -> None:
        self.fault: GatebusError | None = None
        self._program = program
        self._board = board
        self._nursery: trio.Nursery | None = None
        self._bare = trio.CancelScope()
        self._rest = b""  # taken from the board, not yet by the kernel
        self._draining = False
        self._stepping = False
        self._gone = False
        self._alarm: trio.CancelScope | None = None
        self._room = trio.Event()

    async def run(self) -> None:
        """Once. Raises nothing that the program or a service did: `fault` has it, the program's outcome the rest."""
        self._board.on_queued = self.wake
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
            self._board.close()

    def wake(self) -> None:
        """Something was queued, published or withdrawn from outside of the program's packets: send what can be sent."""
        if not self._stepping:
            self._flush()

    async def _pump(self) -> None:
        try:
            await self._use_up()
            while batch := await self._program.receive_some():
                self._board.receive(batch)
                await self._use_up()
        except PacketViolation:
            pass  # the sandbox has killed the program and its outcome says why
        except GatebusError as fault:
            self._fail(fault)

    async def _use_up(self) -> None:
        """Handle the batch, packet by packet, as long as the program has room for the answers."""
        while self._steps():
            self._room = trio.Event()
            await self._room.wait()

    def _steps(self) -> bool:
        """True: stopped for want of room."""
        while True:
            self._stepping = True
            try:
                while self._board.room and self._board.step():
                    pass
            finally:
                self._stepping = False
            full = not self._board.room
            self._flush()
            if not full:
                return False
            if not self._board.room:
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
            return len(data)
        try:
            return self._program.send_nowait(data)
        except BrokenProgram:
            self._gone = True
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
                self._board.sent(size)
                self._rest = self._rest or self._board.take()
                self._room.set()
        except BrokenProgram:
            self._gone = True
            self._board.sent(len(self._rest))
            self._rest = b""
        finally:
            self._draining = False
            self._room.set()

    async def _keep_time(self, alarm: trio.CancelScope) -> None:
        """One sleeper for all services of the program."""
        try:
            with alarm:
                await trio.sleep_forever()
            self._alarm = None
            self._board.timeout(trio.current_time())
            self._flush()
        except GatebusError as fault:
            self._fail(fault)

    def _fail(self, fault: GatebusError) -> None:
        """The program ends; what it still had to say is nobody's."""
        self.fault = fault
        self._gone = True
        self._program.kill(Cause.INTERNAL if isinstance(fault, ServiceBroken) else Cause.ABI_VIOLATION)
