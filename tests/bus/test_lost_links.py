"""A client that loses its link at any moment, and goes on: no byte is lost or doubled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from busworld import ALICE, BOB, WINDOW, BusWorld, Channel, Talker, bus_world, busy, echo, eight, flood, hello, pattern
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebus.host.hostconfig import HostConfig
from gatebus.protocol import Flows
from gatebus.protocol.messages import End, Error, encode
from gatebus.protocol.streams import Inflow, Outflow
from gatebus.web.link import LinkClosed
from gatebus.web.memorylink import MemoryNetwork
from gatebus.web.memorytransport import Wires

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from trio.testing import MockClock

    from sandbox.testing import FakeGuest

SIZE = 8_000


async def run_over(
    world: BusWorld,
    cuts: Iterable[tuple[int | None, int | None]],
    program: Callable[[FakeGuest], Awaitable[None]],
    write: Callable[[Channel], None],
) -> Channel:
    """One call, over as many links as are lost: after so many bytes to the host, and to the client."""
    endless = iter([*cuts, *[(None, None)] * 3])

    def wires() -> tuple[Wires, Wires]:
        there, back = next(endless)
        return Wires(cut_after=there), Wires(cut_after=back)

    network = MemoryNetwork(world.host.attend, wires=wires)
    channel: Channel | None = None
    async with network.running():
        while True:
            async with network.dial() as link:
                bus = Talker(link, ALICE)
                try:
                    await bus.greet()
                    channel = await again(bus, program, channel)
                    await channel.until(lambda each: each.accepted or each.answer)
                    write(channel)
                    await channel.until(lambda each: each.answer)
                except LinkClosed:
                    continue
                return channel


async def again(bus: Talker, program: Callable[[FakeGuest], Awaitable[None]], before: Channel | None) -> Channel:
    """A client that does not know whether its call arrived calls again, and attaches when it had arrived."""
    if before is not None and before.flows is not None:
        return bus.attach(before)
    channel = await bus.call(program, stream=b"s" * 16).until(lambda each: each.accepted or each.answer)
    if isinstance(channel.answer, Error):
        assert channel.answer.code == "stream-exists"
        channel.heard.clear()
        channel.flows = Flows(Outflow(), Inflow(WINDOW))
        return bus.attach(channel)
    return channel


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.none(), st.integers(1, SIZE + 2_000)), max_size=4))
def test_a_stream_that_is_cut_anywhere_on_the_way_to_the_client_arrives_once(
    cuts: list[tuple[int | None, int | None]],
) -> None:
    async def main() -> Channel:
        async with bus_world() as world:
            return await run_over(world, cuts, eight, lambda _channel: None)

    channel = trio.run(main)
    assert channel.data == pattern(0, SIZE)
    assert channel.answer is not None
    assert not isinstance(channel.answer, Error), channel.answer
    assert channel.answer.value["state"] == "HALTED"


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, SIZE + 3_000), st.integers(1, SIZE + 3_000)), max_size=4),
    st.integers(1, 3_000),
)
def test_an_echo_that_is_cut_anywhere_in_both_directions_arrives_once(cuts: list[tuple[int, int]], piece: int) -> None:
    sent = pattern(0, SIZE)

    async def main() -> Channel:
        async with bus_world() as world:
            return await run_over(world, cuts, echo, partial(write_all, sent, piece))

    channel = trio.run(main)
    assert channel.data == sent


def write_all(sent: bytes, piece: int, channel: Channel) -> None:
    assert channel.flows is not None
    out = channel.flows.out
    written = out.taken + out.held
    while written < len(sent):
        channel.write(sent[written : written + piece])
        written += piece
    channel.end()


async def lost(world: BusWorld, bus: Talker) -> None:
    """The host has heard that the link is gone."""
    bus.link.abort()
    while world.host._desk.arriving:
        await trio.testing.wait_all_tasks_blocked()


async def test_bytes_that_were_written_while_nobody_was_there_come_with_the_next_link() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            call = await bus.call(flood).until(lambda each: len(each.data) > 50_000)
            await lost(world, bus)
        async with world.talker() as bus:
            call = await bus.attach(call).until(lambda each: len(each.data) > 3_000_000)
            assert call.data == pattern(0, len(call.data))
            call.cancel()
            await call.result()


async def test_a_result_that_was_lost_with_its_link_is_told_again() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            call = await bus.call(hello).until(lambda each: each.answer)
            await lost(world, bus)
        async with world.talker() as bus:
            again = bus.attach(call)
            assert (await again.result())["state"] == "HALTED"
            assert again.data == b"hello"


async def test_who_attaches_takes_the_stream_from_an_older_link() -> None:
    async with bus_world() as world, world.talker() as old, world.talker() as new:
        call = await old.call(echo).until(lambda each: each.accepted)
        call.write(b"before ")
        await call.until(lambda each: each.data == b"before ")
        taken = await new.attach(call).until(lambda each: each.accepted)
        assert (await call.error()).code == "attached-elsewhere"
        taken.write(b"after")
        taken.end()
        await taken.result()
        assert taken.data == b"before after"


async def test_a_call_whose_client_does_not_come_back_is_killed(mock_clock: MockClock) -> None:
    config = HostConfig(linger_seconds=30)
    async with bus_world(config) as world:
        async with world.talker() as bus:
            call = await bus.call(busy).until(lambda each: each.accepted)
            await lost(world, bus)
        for _ in range(29):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        assert len(world.host.parts.registry) == 1
        for _ in range(3):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        assert len(world.host.parts.registry) == 0
        async with world.talker() as bus:
            assert (await bus.attach(call).error()).code == "not-found"


async def test_nobody_else_can_attach_to_a_stream() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob, world.talker(None) as stranger:
        call = await bus.call(busy).until(lambda each: each.accepted)
        for other in (bob, stranger):
            error = await other.open("attach", {"stream": call.stream, "taken": 0}).error()
            missing = await other.open("attach", {"stream": b"?" * 16, "taken": 0}).error()
            assert (error.code, error.text) == (missing.code, missing.text)
            assert error.code == "not-found"


async def test_a_stranger_that_comes_back_shows_the_name_of_its_stream() -> None:
    async with bus_world() as world:
        async with world.talker(None) as bus:
            call = await bus.call(echo).until(lambda each: each.accepted)
            call.write(b"one ")
            await call.until(lambda each: each.data == b"one ")
            await lost(world, bus)
        async with world.talker(None) as bus:
            call = await bus.attach(call).until(lambda each: each.accepted)
            call.write(b"two")
            call.end()
            await call.result()
            assert call.data == b"one two"


async def test_an_attach_beyond_what_was_sent_is_refused() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(eight).until(lambda each: each.answer)
        error = await bus.open("attach", {"stream": call.stream, "taken": SIZE + 1}).error()
        assert error.code == "bad-request"


async def test_a_second_call_with_the_same_stream_is_told_to_attach() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(busy).until(lambda each: each.accepted)
        assert (await bus.call(busy, stream=call.stream).error()).code == "stream-exists"
        assert len(world.host.parts.registry) == 1


async def test_an_end_that_was_said_before_the_link_was_lost_need_not_be_said_again_but_may() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            call = await bus.call(busy).until(lambda each: each.accepted)
            call.end()
            await bus.ask("usage")
            await lost(world, bus)
        async with world.talker() as bus:
            call = bus.attach(call)
            call.end()
            await call.until(lambda each: each.accepted)
            call.cancel()
            assert (await call.result())["state"] == "KILLED"


async def test_an_end_may_be_said_again_even_before_the_new_link_is_accepted() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            call = await bus.call(busy).until(lambda each: each.accepted)
            call.end()
            await bus.ask("usage")
            await lost(world, bus)
        async with world.talker() as bus:
            number, message = bus.session.open("attach", {"stream": call.stream, "taken": 0})
            bus.channels[number] = again = Channel(bus, number, call.stream)
            bus.link.write(message)
            bus.link.write(encode(End(number, 0)))
            await again.until(lambda each: each.accepted or each.answer)
            assert again.accepted is not None
            again.cancel()
            assert (await again.result())["state"] == "KILLED"
