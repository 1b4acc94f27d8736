"""Instances that run on without their caller: launch, io, list, status, wait, kill, delete, events, totals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cbor2
import pytest
import trio
import trio.testing
from busworld import ALICE, Talker, bus_world, busy, echo, eight, hello, logs, module, pattern, trap

from gatebus.host.hostconfig import MOST, HostConfig
from gatebus.host.policy import STRANGERS, Policy
from gatebus.host.programs import Programs
from gatebus.host.quotas import Amounts, QuotaBounds
from gatebus.web.link import LinkClosed

if TYPE_CHECKING:
    from trio.testing import MockClock

    from gatebus.host.runorders import Order
    from sandbox.image import Image

ID = b"i" * 16
FEW = QuotaBounds(principal=Amounts(instances=2, memory=1 << 40, stored=1 << 30, uploads=1, connections=3))


async def test_a_launched_instance_runs_on_without_its_caller() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            assert await bus.launch(busy, ID, tags=["mine"]) == ID
        async with world.talker() as bus:
            status = await bus.ask("status", instance=ID)
            assert (status["state"], status["module"], status["tags"]) == ("RUNNING", module(busy).hex(), ["mine"])


async def test_what_is_launched_has_all_the_wall_time_that_could_be_asked_for_unless_it_asks_for_less() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        told = (await bus.ask("status", instance=ID))["limits"]
        assert (told["cpu_time"], told["wall_time"], told["memory"]) == (30.0, None, 64 << 20)
        await bus.launch(busy, b"j" * 16, limits={"wall_time": 7})
        assert (await bus.ask("status", instance=b"j" * 16))["limits"]["wall_time"] == 7
        assert "limits" not in await bus.ask("kill", instance=ID)
    async with bus_world(HostConfig(most=replace(MOST, wall_time=3_600.0))) as world, world.talker() as bus:
        await bus.launch(busy, ID)
        assert (await bus.ask("status", instance=ID))["limits"]["wall_time"] == 3_600


async def test_a_call_and_what_strangers_launch_end_with_the_ordinary_wall_time() -> None:
    policy = Policy(anonymous=STRANGERS | {"launch"})
    async with bus_world(HostConfig(policy=policy)) as world, world.talker() as bus, world.talker(None) as stranger:
        await stranger.launch(busy, ID)
        await bus.call(busy).until(lambda channel: channel.accepted)
        assert {each.order.limits.wall_time for each in world.host.parts.registry.running()} == {300.0}


async def test_launching_twice_is_launching_once() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        assert await bus.launch(busy, ID) == ID
        assert len(world.host.parts.registry) == 1


async def test_a_program_that_cannot_be_started_is_an_error_of_its_launch_and_is_forgotten() -> None:
    async with bus_world() as world, world.talker() as bus:
        error = await bus.open("launch", {"instance": ID, "module": module(busy), "function": "nothing"}).error()
        assert error.code == "bad-setup"
        assert "There is: _start." in error.text
        assert (await bus.open("status", {"instance": ID}).error()).code == "not-found"


async def test_what_a_launched_program_wrote_before_anybody_came_can_be_had_even_after_its_end() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(eight, ID)
        await bus.ask("wait", instance=ID)
        connection = bus.io(ID)
        assert (await connection.result())["ended"]["state"] == "HALTED"
        assert connection.data == pattern(0, 8_000)
        assert (await bus.io(ID).error()).code == "conflict"


async def test_what_nobody_came_for_is_dropped_in_time(mock_clock: MockClock) -> None:
    async with bus_world(HostConfig(linger_seconds=5)) as world, world.talker() as bus:
        await bus.launch(eight, ID)
        await bus.ask("wait", instance=ID)
        for _ in range(7):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        assert (await bus.io(ID).error()).code == "conflict"


async def test_whoever_comes_after_its_end_gets_what_it_wrote_and_how_it_ended_without_sending_anything() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(hello, ID)
        await bus.ask("wait", instance=ID)
        connection = bus.io(ID)
        result = await connection.result()
        assert (connection.data, result["ended"]["state"]) == (b"hello", "HALTED")
        error = await bus.io(ID).error()
        assert (error.code, "has ended" in error.text) == ("conflict", True)


async def test_a_connection_to_a_running_instance_talks_to_it_and_ends_with_it() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(echo, ID)
        connection = await bus.io(ID).until(lambda each: each.accepted)
        connection.write(b"hello")
        await connection.until(lambda each: each.data == b"hello")
        connection.end()
        result = await connection.result()
        assert result == {} or result["ended"]["state"] == "HALTED"


async def test_a_wasi_program_has_one_connection() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(echo, ID)
        await bus.io(ID).until(lambda each: each.accepted)
        error = await bus.io(ID).error()
        assert (error.code, "one connection" in error.text) == ("conflict", True)


async def test_letting_go_of_a_connection_leaves_the_instance() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        connection = await bus.io(ID).until(lambda each: each.accepted)
        connection.cancel()
        assert await connection.result() == {}
        assert (await bus.ask("status", instance=ID))["state"] == "RUNNING"


async def test_the_one_connection_that_was_let_go_is_over_and_whoever_asks_for_another_is_told() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(echo, ID)
        connection = await bus.io(ID).until(lambda each: each.accepted)
        connection.cancel()
        assert await connection.result() == {}
        error = await bus.io(ID).error()
        assert (error.code, error.text) == (
            "conflict",
            "This program has one connection (stdin and stdout), and whoever had it has let it go. Launch the program "
            "again for another one.",
        )


async def test_of_two_who_connect_before_it_is_known_what_program_it_is_the_first_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, admit = trio.Event(), Programs.admit

    async def admits(programs: Programs, order: Order) -> Image:
        await known.wait()
        return await admit(programs, order)

    monkeypatch.setattr(Programs, "ready", lambda *_: None)
    monkeypatch.setattr(Programs, "admit", admits)
    async with bus_world() as world, world.talker() as bus:
        launched = bus.open("launch", {"instance": ID, "module": module(echo)}, 0)
        first, second = bus.io(ID), bus.io(ID)
        assert (await bus.ask("status", instance=ID))["state"] == "STARTING"
        known.set()
        await launched.result()
        error = await second.error()
        assert (error.code, error.text) == (
            "conflict",
            "This program has one connection (stdin and stdout), and it is taken.",
        )
        first.write(b"hello")
        await first.until(lambda each: each.data == b"hello")


async def test_wait_is_answered_at_the_end_and_after_it_at_once() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        waiting = bus.open("wait", {"instance": ID})
        await bus.ask("usage")
        assert waiting.answer is None
        assert (await bus.ask("kill", instance=ID))["state"] == "KILLED"
        assert (await waiting.result())["state"] == "KILLED"
        assert (await bus.ask("wait", instance=ID))["cause"] == "KILLED"


async def test_a_wait_that_is_cancelled_is_answered_with_what_is_known() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        waiting = bus.open("wait", {"instance": ID})
        waiting.cancel()
        assert (await waiting.result())["state"] == "RUNNING"


async def test_only_what_has_ended_can_be_deleted() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        assert (await bus.open("delete", {"instance": ID}).error()).code == "conflict"
        await bus.ask("kill", instance=ID)
        assert (await bus.ask("delete", instance=ID))["state"] == "KILLED"
        assert (await bus.open("status", {"instance": ID}).error()).code == "not-found"


async def test_how_a_launched_instance_ended_is_remembered_for_a_time(mock_clock: MockClock) -> None:
    async with bus_world(HostConfig(launched_seconds=10)) as world, world.talker() as bus:
        await bus.launch(trap, ID)
        assert (await bus.ask("wait", instance=ID))["cause"] == "UNREACHABLE"
        for _ in range(12):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        assert (await bus.open("status", {"instance": ID}).error()).code == "not-found"


async def test_a_list_is_paged_by_the_last_id() -> None:
    async with bus_world() as world, world.talker() as bus:
        for letter in b"abc":
            await bus.launch(busy, bytes([letter]) * 16)
        page = await bus.ask("list", after=b"a" * 16)
        assert [each["instance"] for each in page["instances"]] == [b"b" * 16, b"c" * 16]
        assert page["more"] is False


async def test_events_tell_starts_and_ends_by_number_and_from_an_earlier_one_on() -> None:
    async with bus_world() as world, world.talker() as bus:
        heard = await bus.open("events", {}).until(lambda each: each.accepted)
        await bus.launch(busy, ID)
        await bus.ask("kill", instance=ID)
        await heard.until(lambda each: len(sequence(each.data)) == 2)
        first, second = sequence(heard.data)
        assert (first["event"], second["event"], second["number"]) == ("started", "ended", first["number"] + 1)
        again = await bus.open("events", {"since": first["number"]}).until(lambda each: each.data)
        assert sequence(again.data) == [second]
        heard.cancel()
        assert await heard.result() == {}


def sequence(data: bytes | bytearray) -> list[dict[str, object]]:
    """Maps one after the other."""
    from io import BytesIO

    stream, found = BytesIO(bytes(data)), []
    while stream.tell() < len(data):
        found.append(cbor2.load(stream))
    return found


async def test_the_log_of_a_launched_instance_goes_to_who_is_connected_and_is_counted_otherwise() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(logs, ID)
        status = await bus.ask("wait", instance=ID)
        assert status["usage"]["log_dropped"] == 70


async def test_more_instances_than_the_quota_are_refused_with_the_number() -> None:
    async with bus_world(HostConfig(quotas=FEW)) as world, world.talker() as bus:
        calls = [await bus.call(busy).until(lambda each: each.accepted) for _ in range(2)]
        error = await bus.call(busy).error()
        assert (error.code, error.text) == (
            "quota-instances",
            "You have 2 of 2 instances; 1 more are too many. Wait for one to end, or kill one.",
        )
        calls[0].cancel()
        await calls[0].result()
        await bus.call(busy).until(lambda each: each.accepted)


async def test_more_connections_than_the_quota_are_refused_with_the_number() -> None:
    async with (
        bus_world(HostConfig(quotas=FEW)) as world,
        world.talker(),
        world.talker(),
        world.talker(),
        world.network.dial() as link,
    ):
        bus = Talker(link, ALICE)
        with pytest.raises(LinkClosed):
            await bus.greet()
        assert any("3 of 3 connections" in str(each) for each in bus.heard)


async def test_usage_tells_totals_and_limits() -> None:
    async with bus_world(HostConfig(quotas=FEW)) as world, world.talker() as bus:
        await bus.launch(busy, ID)
        usage = await bus.ask("usage")
        assert usage["instances"] == {"used": 1, "limit": 2}
        assert usage["connections"]["used"] == 1


async def test_features_say_what_this_principal_may() -> None:
    async with bus_world() as world, world.talker(None) as stranger:
        features = await stranger.ask("features")
        assert features["backend"] == "fake"
        assert "call" in features["operations"]
        assert "launch" not in features["operations"]


async def test_a_host_that_stops_says_farewell_lets_run_and_then_kills(mock_clock: MockClock) -> None:
    config = replace(HostConfig(), stop_seconds=10)
    async with bus_world(config) as world, trio.open_nursery() as nursery, world.talker() as bus:
        call = await bus.call(busy).until(lambda each: each.accepted)
        nursery.start_soon(world.host.stopped)
        world.host.stop()
        await trio.testing.wait_all_tasks_blocked()
        assert (await bus.call(hello).error()).code == "stopping"
        assert call.answer is None
        mock_clock.jump(11)
        ended = await call.result()
        assert (ended["state"], ended["cause"]) == ("KILLED", "KILLED")
        assert ended["text"] == "The host stopped before the program had ended."
        assert (await bus.until_closed()).close_code == 1001


async def test_an_instance_that_runs_has_no_cause_and_no_result() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy, ID)
        running = await bus.ask("status", instance=ID)
        assert (running["state"], running.keys() & {"cause", "result", "text"}) == ("RUNNING", set())
        over = await bus.ask("kill", instance=ID)
        assert (over["cause"], over["text"]) == ("KILLED", "The program was killed on request.")
        assert "result" not in over


async def test_a_host_without_work_stops_at_once() -> None:
    async with bus_world() as world, trio.open_nursery() as nursery, world.talker() as bus:
        nursery.start_soon(world.host.stopped)
        world.host.stop()
        await bus.until_closed()
