"""A program that is to stop, over a fake process: one that takes its time, and runtimes that were taken over."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sandbox.control import GO_PACKET, REPORT, STATE
from sandbox.errors import BrokenProgram, NotSuspended, PacketViolation
from sandbox.inlet import Inlet
from sandbox.limits import Limits
from sandbox.outcome import Cause, EndRecord, State
from sandbox.packets import CALL, CODE_CONTROL, encode, encode_data
from sandbox.program import Program
from sandbox.statewords import look_untrusted, program_of_untrusted
from sandbox.stopping import Stop, Stoppable
from sandbox.testing import FakeGuest, FakeProcess
from sandbox.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.testing import Script

DIGEST = "5a" * 32
STATE_MAX = 100_000
PATIENCE = 2.0
INNER = struct.pack("<I32sBI", 1, bytes(32), 2, 0) + struct.pack("<III", 1, 4, 7) + b"the rest"
SUSPENDED_REPORT = encode(CODE_CONTROL, CALL, struct.pack("<IiQQ", 4, 0, 65_536, 0), REPORT)


class Memory:
    size = 65_536

    def read(self, _offset: int, size: int) -> bytes:
        return bytes(size)

    def data(self) -> Iterator[tuple[int, int]]:
        return iter(())


class Stopping(FakeProcess):
    """Can be asked to stop; its script tells the state and the report itself."""

    can_stop = True

    async def _run(self, script: Script) -> EndRecord:
        await self.guest.read_setup()
        await script(self.guest)
        return EndRecord(4, None)

    def take_memory(self, size: int) -> Memory:
        assert size == Memory.size
        return Memory()


def piece(data: bytes) -> bytes:
    return encode(CODE_CONTROL, CALL, data, STATE)


def started(script: Script, nursery: trio.Nursery) -> Program:
    limits = Limits()
    process = Stopping(limits)
    process.transport.send(GO_PACKET)
    nursery.start_soon(process.run, script)
    inlet = Inlet(memoryview(bytearray(256 << 10)), limits, wants_tree=False)
    program = Program(process, inlet, Traffic(0), limits, lambda: None)
    program.make_stoppable(Stoppable(DIGEST, STATE_MAX, PATIENCE))
    return program


@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_a_state_in_pieces_of_any_size_is_put_together_under_its_programs_name(size: int) -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.send(encode_data(0, 0, b"before"))
        for at in range(0, len(INNER), size):
            await guest.send(piece(INNER[at : at + size]) + piece(b""))
        await guest.send(SUSPENDED_REPORT)

    async with trio.open_nursery() as nursery:
        program = started(script, nursery)
        suspended = await program.suspend()
        assert program_of_untrusted(suspended.state) == DIGEST
        assert suspended.state[36:] == INNER[36:]
        assert look_untrusted(suspended.state).pages == 1
        assert await program.receive_some() == encode_data(0, 0, b"before")


async def test_who_does_not_stop_in_time_runs_on_and_stops_later(autojump_clock: trio.testing.MockClock) -> None:
    async def script(guest: FakeGuest) -> None:
        await trio.sleep(3)
        await guest.send(piece(INNER) + SUSPENDED_REPORT)

    async with trio.open_nursery() as nursery:
        program = started(script, nursery)
        with pytest.raises(NotSuspended) as caught:
            await program.suspend()
        assert trio.current_time() == pytest.approx(PATIENCE, abs=0.01)
        assert caught.value.code == "stop-late"
        assert caught.value.text.startswith("The program has not stopped within 2 seconds: it is doing something")
        assert not program.ended
        with pytest.raises(BrokenProgram) as sent:
            await program.send(encode_data(0, 0, b"too late"))
        assert sent.value.code == "program-stopping"
        assert (await program.suspend()).sha256 == DIGEST
        assert (await program.wait()).state is State.SUSPENDED


@pytest.mark.parametrize("filling", [b"", b"x", bytes(60_000)])
async def test_a_runtime_that_tells_its_state_for_ever_is_killed_and_holds_no_more_than_its_limits(
    filling: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async def script(guest: FakeGuest) -> None:
        packets = piece(filling) * (1_000 if len(filling) < 2 else 1)
        for _ in range(110):  # of nothing but empty pieces there is no end but patience
            await guest.send(packets)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        program = started(script, nursery)
        with pytest.raises(BrokenProgram if filling else NotSuspended):
            await program.suspend()
        program.kill()
        outcome = await program.wait()
        assert outcome.cause is (Cause.ABI_VIOLATION if filling else Cause.KILLED)


def test_a_stop_holds_what_came_and_not_more_than_the_limits_allow() -> None:
    stop = Stop(Stoppable(DIGEST, 10, PATIENCE))
    for _ in range(1_000):
        stop.add_untrusted(b"")
    stop.add_untrusted(bytes(10))
    with pytest.raises(PacketViolation) as caught:
        stop.add_untrusted(b"x")
    assert caught.value.text == "The program's runtime sent a larger state than its limits allow."
    stop.add_untrusted(b"")


@pytest.mark.parametrize("nonsense", [b"", b"x" * 30, INNER[:50], b"\2" + INNER[1:]])
async def test_a_state_that_is_none_leaves_a_program_that_was_killed(nonsense: bytes) -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.send(piece(nonsense) + SUSPENDED_REPORT)

    async with trio.open_nursery() as nursery:
        program = started(script, nursery)
        with pytest.raises(BrokenProgram):
            await program.suspend()
        outcome = await program.wait()
        assert (outcome.state, outcome.cause) == (State.KILLED, Cause.INTERNAL)


async def test_a_state_that_nobody_asked_for_is_a_violation() -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.send(piece(INNER) + SUSPENDED_REPORT)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        program = started(script, nursery)
        with pytest.raises(PacketViolation):
            await program.receive_some()
        assert (await program.wait()).cause is Cause.ABI_VIOLATION


async def test_a_process_that_says_that_it_stopped_though_nobody_asked_is_not_believed() -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.send(SUSPENDED_REPORT)

    async with trio.open_nursery() as nursery:
        program = started(script, nursery)
        outcome = await program.wait()
        assert (outcome.state, outcome.cause) == (State.KILLED, Cause.INTERNAL)
        with pytest.raises(BrokenProgram):
            await program.suspend()
