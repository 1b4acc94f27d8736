"""What a status says of who is connected to a program: with a link, without one, nobody, nobody ever again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from busworld import bus_world, module
from test_folded_instances import ONE, connected, folds, told, world_of_stored
from test_policies import launch, world_of_idlers

from gatebus.host.hostconfig import HostConfig

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import Talker


async def clients(bus: Talker) -> Any:
    return (await told(bus))["clients"]


async def becomes(bus: Talker, **wanted: object) -> None:
    """That a link is lost its host hears a little later."""
    while await clients(bus) != wanted:
        await trio.lowlevel.checkpoint()


async def test_who_is_connected_to_one_that_runs_is_told_and_who_has_lost_his_link() -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        assert await clients(bus) == {"attached": 0, "lost": 0}
        async with world.talker() as other:
            stream = await other.io(ONE).until(lambda each: each.accepted)
            assert await clients(bus) == {"attached": 1, "lost": 0}
        await becomes(bus, attached=0, lost=1)
        await bus.attach(stream).until(lambda each: each.accepted)
        assert await clients(bus) == {"attached": 1, "lost": 0}


async def test_nobody_counts_who_has_come_back_no_more() -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        async with world.talker() as other:
            await other.io(ONE).until(lambda each: each.accepted)
        await becomes(bus, attached=0, lost=1)
        world.host.parts.registry.sweep(trio.current_time() + 3_600)
        assert await clients(bus) == {"attached": 0, "lost": 0}
        assert await bus.io(ONE).until(lambda each: each.accepted), "the connection is free for the next one"


async def test_a_stored_one_has_the_clients_that_it_had_and_so_it_is_when_it_is_folded() -> None:
    async with world_of_stored(policy={"wake": "never"}) as (world, bus):
        assert await clients(bus) == {"attached": 0, "lost": 0}
        async with world.talker() as other:
            await other.io(ONE).until(lambda each: each.accepted)
            assert await clients(bus) == {"attached": 1, "lost": 0}
        await becomes(bus, attached=0, lost=1)
        await folds(world)
        listed = (await bus.ask("list"))["instances"]
        assert listed[0]["clients"] == {"attached": 0, "lost": 1}
        assert await clients(bus) == {"attached": 0, "lost": 1}


async def test_one_whose_connection_is_over_says_so_whether_it_runs_or_is_stored() -> None:
    async with world_of_stored() as (world, bus):
        stream = await connected(bus, b" world")
        stream.end()
        await stream.result()
        over = {"attached": 0, "lost": 0, "over": True}
        assert await clients(bus) == over
        await bus.ask("suspend", instance=ONE)
        assert await clients(bus) == over
        world.host.parts.registry.sweep(trio.current_time() + 1e6)
        await folds(world)
        assert await clients(bus) == over


async def test_a_client_of_a_host_that_has_restarted_may_come_back(tmp_path: Path) -> None:
    config = HostConfig(data=str(tmp_path))
    async with world_of_idlers(config) as (_world, bus):
        await launch(bus)
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        await bus.ask("suspend", instance=ONE)
    async with world_of_idlers(config) as (_world, bus):
        assert await clients(bus) == {"attached": 0, "lost": 1}
        await bus.attach(stream).until(lambda each: each.accepted)
        assert await clients(bus) == {"attached": 1, "lost": 0}


async def test_a_call_and_one_that_has_ended_say_nothing_of_it() -> None:
    async with bus_world() as world, world.talker() as bus:
        bus.call(b"echo")
        calls = (await bus.ask("list"))["instances"]
        assert [each.get("clients") for each in calls] == [None]
        await bus.ask("launch", instance=ONE, module=module(b"echo"))
        assert "clients" not in await bus.ask("kill", instance=ONE)
