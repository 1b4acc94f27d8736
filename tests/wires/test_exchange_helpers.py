"""What an exchange starts beside its pump (a rest to send, a time to wait for) is its own, and ends with it."""

import pytest
import trio
import trio.testing

from gatebus.checks import FakeProgram
from gatebus.exchange import Exchange
from gatebus.faults import ServiceBroken
from gatebus.services.base import Call, Offer, Service
from gatebus.switchboard import Switchboard
from sandbox.outcome import Cause
from sandbox.packets import CALL, encode


class Echo(Service):
    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, call.content)


def echo_board() -> Switchboard:
    return Switchboard({"echo": Offer("0", Echo)})


async def test_what_waits_for_a_program_is_gone_when_its_exchange_is() -> None:
    program = FakeProgram(buffer=4096)
    async with trio.open_nursery() as nursery:
        exchange = Exchange(program, echo_board())
        over = trio.Event()

        async def run() -> None:
            await exchange.run()
            assert not exchange._helpers
            over.set()

        nursery.start_soon(run)
        program.discover("echo")
        program.write(encode(0, CALL, bytes(60_000)))
        await trio.testing.wait_all_tasks_blocked()
        assert len(exchange._helpers) == 1
        program.end()
        await over.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


async def test_a_task_that_is_wanted_in_the_last_moment_ends_with_the_exchange() -> None:
    class Last(FakeProgram):
        def send_nowait(self, data: bytes) -> int:
            self.end()  # it takes nothing, and is gone before anybody could wait for it
            return 0

    async with trio.open_nursery() as nursery:
        program = Last()
        program.discover("echo")
        nursery.start_soon(Exchange(program, echo_board()).run)
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


class Late(Service):
    """It wants to be told the time, and is broken then."""

    def next_timeout(self) -> float | None:
        return 1.0

    def timeout(self, now: float) -> None:
        raise ArithmeticError


async def test_a_service_that_breaks_when_it_is_told_the_time_ends_its_program(
    autojump_clock: trio.testing.MockClock,
) -> None:
    program = FakeProgram()
    program.discover("late")
    program.write(encode(0, CALL))
    exchange = Exchange(program, Switchboard({"late": Offer("0", Late)}))
    await exchange.run()
    assert program.killed is Cause.INTERNAL
    assert isinstance(exchange.fault, ServiceBroken)


async def test_a_bug_in_a_task_of_an_exchange_is_the_exchanges(autojump_clock: trio.testing.MockClock) -> None:
    class Broken(Switchboard):
        def timeout(self, now: float) -> None:
            raise ArithmeticError

    program = FakeProgram()
    program.discover("late")
    program.write(encode(0, CALL))
    with pytest.raises(ArithmeticError):
        await Exchange(program, Broken({"late": Offer("0", Late)})).run()
    assert program.killed is Cause.INTERNAL
