"""What a transient instance goes on from has no record that points to it: nobody else takes it away.

With fake programs and simulated time: what the host forgets a little later it forgets when the test says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from test_policies import ONE, TWO, launch, world_of_idlers

from gatebus.accountbounds import RECORD_SECONDS
from gatebus.host.hostconfig import HostConfig
from gatebus.host.quotas import Amounts

if TYPE_CHECKING:
    from busworld import BusWorld, Talker

THREE = b"3" * 16


def one_at_a_time() -> HostConfig:
    config = HostConfig()
    return replace(config, quotas=replace(config.quotas, principal=Amounts(1, 1 << 30, 1 << 30, 8, 8)))


async def written_down(world: BusWorld, clock: trio.testing.MockClock) -> None:
    """All that the host does a little later is done."""
    keeping = world.host.parts.lives.keeping
    for _ in range(3):
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(RECORD_SECONDS)
        await trio.testing.wait_all_tasks_blocked()
        while keeping._due or keeping._gone or keeping._busy or keeping._writing.locked():
            await trio.lowlevel.checkpoint()


async def copied(bus: Talker, **more: object) -> dict[str, object]:
    """TWO, of ONE."""
    (told,) = (await bus.ask("clone", instance=ONE, instances=[TWO], **more))["instances"]
    return dict(told)


@pytest.mark.parametrize("what", ["kill", "suspend"])
@pytest.mark.parametrize("transient", [True, False])
async def test_a_copy_of_a_stored_transient_program_takes_nothing_from_it(
    what: str, transient: bool, mock_clock: trio.testing.MockClock
) -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus, transient=True)
        await bus.ask("suspend", instance=ONE)
        assert (await copied(bus, transient=transient))["state"] == "RUNNING"
        await bus.ask(what, instance=TWO)
        await written_down(world, mock_clock)
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"


async def test_a_copy_that_had_no_room_takes_nothing_from_its_original(mock_clock: trio.testing.MockClock) -> None:
    async with world_of_idlers(one_at_a_time()) as (world, bus):
        await launch(bus, transient=True)
        await bus.ask("suspend", instance=ONE)
        await launch(bus, THREE)
        for transient in (True, False):
            assert (await copied(bus, transient=transient))["code"] == "quota-instances"
        await bus.ask("kill", instance=THREE)
        await written_down(world, mock_clock)
        assert [each["kind"] for each in (await bus.ask("snapshots"))["snapshots"]] == ["suspended"]
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"


async def test_a_snapshot_can_be_dropped_after_a_restore_that_had_no_room(mock_clock: trio.testing.MockClock) -> None:
    async with world_of_idlers(one_at_a_time()) as (world, bus):
        await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        await bus.ask("snapshot", instance=ONE)  # from which it would go on after a crash
        for transient in (True, False):
            refused = bus.open("restore", {"snapshot": taken, "instance": TWO, "transient": transient})
            assert (await refused.error()).code == "quota-instances"
        await written_down(world, mock_clock)
        assert await bus.ask("drop", snapshot=taken) == {}


async def test_what_only_a_copy_goes_on_from_goes_with_it(mock_clock: trio.testing.MockClock) -> None:
    """Of one that has a record nothing is kept longer than it is needed."""
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await copied(bus)
        await bus.ask("resume", instance=ONE)
        await bus.ask("suspend", instance=ONE)
        await written_down(world, mock_clock)
        assert len((await bus.ask("snapshots"))["snapshots"]) == 2
        await bus.ask("kill", instance=TWO)
        await written_down(world, mock_clock)
        assert [each["instance"] for each in (await bus.ask("snapshots"))["snapshots"]] == [ONE]
