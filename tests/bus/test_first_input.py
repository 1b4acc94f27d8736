"""What comes with the open of a call: its first input and the end of that, at a host and with the library's client."""

from __future__ import annotations

import pytest
from busworld import WINDOW, Channel, bus_world, busy, echo, pattern
from fakehost import FakeHost

from gatebus.accountbounds import INPUT_BYTES
from gatebus.client import Program
from gatebus.protocol import FEATURES
from gatebus.protocol.messages import Data, End, Error, encode


async def test_a_program_reads_what_came_with_the_open_and_its_end() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(echo, input=b"one", end=0)
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"one"
        assert call.accepted is not None
        assert call.accepted.about["taken"] == 3


async def test_the_rest_comes_as_data_behind_it() -> None:
    sent = pattern(0, 3 * INPUT_BYTES)
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(echo, input=sent[:INPUT_BYTES]).until(lambda each: each.accepted)
        assert call.flows is not None
        assert (call.flows.out.taken, call.flows.out.sent) == (INPUT_BYTES, INPUT_BYTES)
        call.write(sent[INPUT_BYTES:])
        call.end()
        await call.result()
        assert call.data == sent


async def test_what_came_with_the_open_is_within_the_window_of_the_accept() -> None:
    async with bus_world() as world, world.talker() as bus:
        bare = await bus.call(busy).until(lambda each: each.accepted)
        full = await bus.call(busy, input=b"abc").until(lambda each: each.accepted)
        assert bare.accepted is not None
        assert full.accepted is not None
        assert full.accepted.window <= bare.accepted.window - 3


async def test_a_call_without_the_parameters_is_what_it_was() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(echo)
        bus.say_raw(encode(End(call.number, 0)))
        assert (await call.result())["state"] == "HALTED"
        assert call.accepted is not None
        assert call.accepted.about["taken"] == 0


@pytest.mark.parametrize("late", [Data, End])
@pytest.mark.parametrize("accepted", [False, True])
async def test_more_after_the_end_of_the_open_ends_the_link(late: type[Data | End], accepted: bool) -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(busy, input=b"a", end=0)
        if accepted:
            await call.until(lambda each: each.accepted)
        bus.say_raw(encode(End(call.number, 0)) if late is End else encode(Data(call.number, b"b")))
        assert (await bus.until_closed()).close_code == 1008
        assert any(isinstance(each, Error) and each.code == "protocol" for each in bus.heard)


async def test_the_same_open_twice_is_one_program_with_its_input_once() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(echo, input=b"one").until(lambda each: each.data)
        again = bus.call(echo, input=b"one", stream=call.stream)
        assert (await again.error()).code == "stream-exists"
        call.end()
        await call.result()
        assert call.data == b"one"


async def test_who_lost_the_accept_attaches_behind_what_the_host_has() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            call = await bus.call(echo, input=b"one", end=0).until(lambda each: each.accepted)
        async with world.talker() as bus:
            number, message = bus.session.open("attach", {"stream": call.stream, "taken": 0}, WINDOW)
            bus.channels[number] = again = Channel(bus, number, call.stream)
            bus.say_raw(message)
            await again.until(lambda each: each.accepted or each.answer)
            assert again.accepted is not None
            assert again.accepted.about["taken"] == 3
            assert (await again.result())["state"] == "HALTED"
            assert again.data == b"one"


async def test_input_for_a_module_that_the_host_lacks_is_nobody_s() -> None:
    async with bus_world() as world, world.talker() as bus:
        assert (await bus.call(b"unknown", input=b"one", end=0).error()).code == "not-found"
        call = bus.call(echo, input=b"two", end=0)
        await call.result()
        assert call.data == b"two"


# The library's client.


def told(host: FakeHost) -> list[dict[str, object]]:
    """Of the calls that were opened, what is said of their input."""
    return [
        {name: value for name, value in given.items() if name in ("input", "end")}
        for operation, given in host.opened
        if operation == "call"
    ]


@pytest.mark.parametrize(
    ("features", "stdin", "said"),
    [
        (FEATURES, b"one", {"input": b"one", "end": 0}),
        (FEATURES, b"", {"end": 0}),
        (FEATURES, bytes(INPUT_BYTES + 1), {"input": bytes(INPUT_BYTES)}),
        ((), b"one", {}),
        ((), b"", {}),
    ],
)
async def test_a_client_sends_it_to_hosts_that_know_it(
    autojump_clock: object, features: tuple[str, ...], stdin: bytes, said: dict[str, object]
) -> None:
    host = FakeHost(features=features)
    async with host.client() as bus:
        assert (await bus.call(Program("fake://echo"), stdin)).output == stdin
    assert told(host) == [said]


async def test_a_client_sends_none_of_it_where_arguments_may_fill_the_message(autojump_clock: object) -> None:
    host = FakeHost(features=FEATURES)
    async with host.client() as bus:
        assert (await bus.call(Program("fake://echo", args=["x" * 60_000]), b"one")).output == b"one"
    assert told(host) == [{}]


async def test_a_client_sends_it_again_when_the_host_had_let_go_of_the_module(autojump_clock: object) -> None:
    host = FakeHost(features=FEATURES)

    def forget(operation: str) -> None:
        if operation == "call" and len(told(host)) == 1:
            host.known.clear()

    host.on_open = forget
    async with host.client() as bus:
        assert (await bus.call(Program(b"\0asm#echo"), b"one")).output == b"one"
    assert told(host) == [{"input": b"one", "end": 0}] * 2


async def test_more_input_than_a_window_is_fed_while_output_is_read(autojump_clock: object) -> None:
    host, sent = FakeHost(features=FEATURES), pattern(0, 2_000_000)
    async with host.client() as bus:
        assert (await bus.call(Program("fake://echo"), sent)).output == sent
