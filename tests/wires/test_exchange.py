"""gatebus.exchange: the pump between one program and its services, in simulated time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from struct import pack

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import OUTBOX_BYTES
from gatebus.checks import FakeProgram
from gatebus.discovery import request_content
from gatebus.exchange import Exchange
from gatebus.faults import ServiceBroken, Violation
from gatebus.services.base import Call, Offer, Outlet, Service
from gatebus.services.origin import Stream
from gatebus.services.service_table import World, offers
from gatebus.switchboard import Switchboard
from sandbox.outcome import Cause, State
from sandbox.packets import CALL, CODE_DISCOVERY, DATA, FLOW, INFO, Packet, encode, encode_data, encode_flow
from sandbox.testing import FakeGuest, open_fake_sandbox


class Echo(Service):
    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, call.content)


def world() -> World:
    return World(trio.current_time, lambda size: b"r" * size)


def board_of(world: World) -> Switchboard:
    board = Switchboard({})
    for name, offer in offers(world, board.entries).items():
        board.publish(name, offer)
    return board


def echo_board() -> Switchboard:
    return Switchboard({"echo": Offer("0", Echo)})


@asynccontextmanager
async def exchanging(program: FakeProgram, board: Switchboard) -> AsyncIterator[Exchange]:
    """The exchange runs beside the test; the program ends with the block."""
    exchange = Exchange(program, board)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        await trio.testing.wait_all_tasks_blocked()
        yield exchange
        program.end()


async def discovered(program: FakeProgram, *names: str) -> None:
    program.discover(*names)
    assert (await program.read()).code == CODE_DISCOVERY


async def test_a_call_is_answered() -> None:
    program = FakeProgram()
    async with exchanging(program, echo_board()):
        await discovered(program, "echo")
        program.write(encode(0, CALL, b"hello"))
        assert await program.read() == Packet(0, CALL, b"hello", 0)


async def test_a_program_that_needs_no_task_gets_none() -> None:
    program = FakeProgram()
    async with exchanging(program, echo_board()) as exchange:
        await discovered(program, "echo")
        program.write(*[encode(0, CALL, b"hello")] * 100)
        for _ in range(100):
            await program.read()
        assert not exchange._helpers


async def test_the_answers_to_a_batch_leave_in_one_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatebus.exchange.SLICE_SECONDS", float("inf"))  # a busy machine may need two slices
    sends: list[int] = []

    class Counting(FakeProgram):
        def send_nowait(self, data: bytes) -> int:
            sends.append(len(data))
            return super().send_nowait(data)

    program = Counting()
    async with exchanging(program, echo_board()):
        await discovered(program, "echo")
        sends.clear()
        program.write(*[encode(0, CALL, bytes(56))] * 64)
        await trio.testing.wait_all_tasks_blocked()
        assert sends == [64 * 64]


async def test_replies_larger_than_the_kernels_buffer_arrive_whole_and_in_order() -> None:
    program = FakeProgram(buffer=1000)
    async with exchanging(program, echo_board()):
        await discovered(program, "echo")
        program.write(*[encode(0, CALL, bytes([number]) * 300) for number in range(20)])
        for number in range(20):
            assert (await program.read()).content == bytes([number]) * 300


async def test_a_program_that_does_not_read_is_still_read_until_its_queue_is_full() -> None:
    """No head-of-line blocking by one packet that waits for delivery: Gate stops reading there."""
    program = FakeProgram(buffer=4096)
    async with exchanging(program, echo_board()):
        program.discover("echo")
        for _ in range(4):
            program.write(encode(0, CALL, bytes(50_000)))
            await trio.testing.wait_all_tasks_blocked()
            assert program.unread == 0
        for _ in range(6):
            program.write(encode(0, CALL, bytes(50_000)))
            await trio.testing.wait_all_tasks_blocked()
        assert program.unread > 0
        await program.read()
        for _ in range(10):
            assert len((await program.read()).content) == 50_000


async def test_a_flood_of_calls_in_one_batch_is_served_as_the_program_reads() -> None:
    program, board = FakeProgram(buffer=4096), echo_board()
    async with exchanging(program, board):
        program.discover("echo")
        program.write(*[encode(0, CALL, bytes(60_000))] * 100)
        await trio.testing.wait_all_tasks_blocked()
        assert board._size <= OUTBOX_BYTES + 60_008
        await program.read()
        for _ in range(100):
            assert len((await program.read()).content) == 60_000


async def test_random_bytes_come_late_in_simulated_time(autojump_clock: trio.testing.MockClock) -> None:
    program = FakeProgram()
    async with exchanging(program, board_of(world())):
        await discovered(program, "random")
        began = trio.current_time()
        program.write(encode(0, CALL, b"\x20"), encode(0, CALL, b"\x10"))
        assert (await program.read()).content == b"r" * 32
        assert trio.current_time() - began == pytest.approx(2)
        assert (await program.read()).content == b"r" * 16
        assert trio.current_time() - began == pytest.approx(3)
        await trio.sleep(10)
        program.write(encode(0, CALL, b"\x01"))
        assert (await program.read()).content == b"r"
        assert trio.current_time() - began == pytest.approx(13)


async def test_two_services_that_wait_are_each_woken_in_time(autojump_clock: trio.testing.MockClock) -> None:
    class Alarm(Service):
        due: float | None = None
        ticket = 0

        def call(self, call: Call) -> None:
            self.ticket, self.due = call.ticket, trio.current_time() + call.content[0]

        def next_timeout(self) -> float | None:
            return self.due

        def timeout(self, now: float) -> None:
            self.due = None
            self.outlet.reply(self.ticket)

    program = FakeProgram()
    async with exchanging(program, Switchboard({"a": Offer("0", Alarm), "b": Offer("0", Alarm)})):
        await discovered(program, "a", "b")
        program.write(encode(0, CALL, b"\x09"))
        await trio.testing.wait_all_tasks_blocked()
        program.write(encode(1, CALL, b"\x03"))
        assert (await program.read()).code == 1
        assert trio.current_time() == pytest.approx(3)
        assert (await program.read()).code == 0
        assert trio.current_time() == pytest.approx(9)


async def test_a_violation_kills_the_program_and_its_text_is_public() -> None:
    program = FakeProgram()
    async with exchanging(program, echo_board()) as exchange:
        program.write(encode(5, CALL))
    assert program.killed is Cause.ABI_VIOLATION
    assert isinstance(exchange.fault, Violation)
    assert exchange.fault.text == "A packet is for service number 5; 0 were discovered."


def raising(problem: Exception) -> Callable[[Outlet], Service]:
    class Raising(Echo):
        def call(self, call: Call) -> None:
            raise problem

    return Raising


async def test_a_broken_service_ends_the_program_without_blaming_it() -> None:
    program = FakeProgram()
    async with exchanging(program, Switchboard({"bad": Offer("0", raising(ValueError("secret")))})) as exchange:
        await discovered(program, "bad")
        program.write(encode(0, CALL))
    assert program.killed is Cause.INTERNAL
    assert isinstance(exchange.fault, ServiceBroken)
    assert exchange.fault.text == "The service bad failed. Please report it."


async def test_a_violation_that_comes_out_of_a_timeout_kills_too(autojump_clock: trio.testing.MockClock) -> None:
    class Late(Echo):
        def next_timeout(self) -> float | None:
            return 5.0

        def timeout(self, now: float) -> None:
            raise Violation("Too late.")

    program = FakeProgram()
    async with exchanging(program, Switchboard({"late": Offer("0", Late)})) as exchange:
        await discovered(program, "late")
        program.write(encode(0, CALL))
        await trio.sleep(6)
    assert exchange.fault is not None
    assert exchange.fault.text == "Too late."
    assert program.killed is Cause.ABI_VIOLATION


async def test_a_service_that_appears_is_announced_to_a_program_that_waits() -> None:
    program, board = FakeProgram(), Switchboard({})
    async with exchanging(program, board):
        await discovered(program, "late")
        board.publish("late", Offer("1", Echo))
        assert await program.read() == Packet(CODE_DISCOVERY, INFO, b"\x01\x00\x01", 0)
        board.withdraw("late")
        assert await program.read() == Packet(CODE_DISCOVERY, INFO, b"\x01\x00\x00", 0)


async def test_what_is_queued_from_outside_reaches_a_program_whose_buffer_is_full() -> None:
    program, board = FakeProgram(buffer=8), Switchboard({})
    async with exchanging(program, board):
        await discovered(program, "a", "b", "c")
        for name in "abc":
            board.publish(name, Offer("1", Echo))
            await trio.testing.wait_all_tasks_blocked()
        while (await program.read()).content != b"\x03\x00\x01\x01\x01":
            pass


class Parrot:
    """A client of origin that sends back what the program wrote, in capitals."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.waiting = b""
        self.gone = False

    def opened(self, stream: Stream) -> None:
        self.stream = stream

    def ready(self) -> None:
        assert self.stream is not None
        now, self.waiting = self.waiting[: self.stream.room], self.waiting[self.stream.room :]
        if now:
            self.stream.feed(now)

    def data(self, data: bytes) -> None:
        assert self.stream is not None
        self.waiting += data.upper()
        self.stream.consumed(len(data))
        self.ready()

    def ended(self, note: int) -> None:
        assert self.stream is not None
        self.stream.end()

    def lost(self) -> None:
        self.gone = True


async def test_a_program_talks_with_its_origin_and_both_ends_close() -> None:
    mine, parrot, program = world(), Parrot(), FakeProgram()
    mine.door.connect(parrot)
    async with exchanging(program, board_of(mine)):
        await discovered(program, "origin")
        program.write(encode(0, CALL))
        assert await program.read() == Packet(0, CALL, pack("<ihh", 0, 0, 0), 0)
        assert (await program.read()).domain == FLOW
        program.write(encode_flow(0, [(0, 3)]), encode_data(0, 0, b"abc"))
        assert (await program.read()) == Packet(0, FLOW, pack("<ii", 0, 3), 0)
        assert (await program.read()) == Packet(0, DATA, pack("<ii", 0, 0) + b"ABC", 0)
        program.write(encode_data(0, 0, b""))
        ends = {(await program.read()).domain, (await program.read()).domain}
        assert ends == {FLOW, DATA}
    assert parrot.gone


async def test_cancelling_the_exchange_closes_the_services() -> None:
    mine, parrot, program = world(), Parrot(), FakeProgram()
    mine.door.connect(parrot)
    exchange = Exchange(program, board_of(mine))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        await discovered(program, "origin")
        program.write(encode(0, CALL))
        await program.read()
        nursery.cancel_scope.cancel()
    assert parrot.gone


async def test_a_program_that_is_gone_while_an_answer_waits_ends_the_exchange() -> None:
    program = FakeProgram(buffer=4096)
    async with exchanging(program, echo_board()):
        program.discover("echo")
        program.write(*[encode(0, CALL, bytes(60_000))] * 20)
        await trio.testing.wait_all_tasks_blocked()
        assert program.unread == 0


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_whatever_a_program_writes_only_it_is_lost(batches: list[bytes]) -> None:
    program = FakeProgram()

    async def main() -> Exchange:
        exchange = Exchange(program, board_of(world()))
        program.discover("origin", "random", "scope")
        for batch in batches:
            program.write(batch)
        program.end()
        await exchange.run()
        return exchange

    exchange = trio.run(main)
    assert (exchange.fault is None) == (program.killed is None)
    assert exchange.fault is None or 0 < len(exchange.fault.text) <= 200


async def asking_for_randomness(guest: FakeGuest) -> int:
    await guest.send(encode(CODE_DISCOVERY, CALL, request_content(("random",))))
    await guest.receive()
    await guest.send(encode(0, CALL, b"\x08") * 20)
    answers = [(await guest.receive()).content for _ in range(20)]
    return 0 if set(answers) == {b"r" * 8} else 1


async def breaking_the_rules(guest: FakeGuest) -> int:
    await guest.send(encode(9, CALL))
    await guest.receive()
    return 0


async def test_a_real_program_object_waits_for_its_answers(autojump_clock: trio.testing.MockClock) -> None:
    """A task beside the pump keeps the time, and is gone when the pump is."""
    async with open_fake_sandbox({b"ask": asking_for_randomness}) as box:
        image = await box.compile(b"ask")
        async with box.start(image) as program:
            exchange = Exchange(program, board_of(world()))
            await exchange.run()
            assert (await program.wait()).ok
            assert not exchange._helpers
            assert trio.current_time() == pytest.approx(20 * 8 / 16)


async def test_a_real_program_object_that_breaks_the_rules_is_killed() -> None:
    async with open_fake_sandbox({b"break": breaking_the_rules}) as box:
        image = await box.compile(b"break")
        async with box.start(image) as program:
            exchange = Exchange(program, board_of(world()))
            await exchange.run()
            outcome = await program.wait()
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.ABI_VIOLATION)
    assert exchange.fault is not None
    assert exchange.fault.text == "A packet is for service number 9; 0 were discovered."
