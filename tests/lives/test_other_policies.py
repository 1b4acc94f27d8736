"""The policy of an instance is changed while it lives: what is said of it from then on is so, also of what rests, and
after a restart of the host.

With fake programs: an echo.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from busworld import bus_world, busy, module
from test_policies import ONE, TWO, full, launch, world_of_idlers
from test_wakes import echoing, said
from trio.testing import wait_all_tasks_blocked

from gatebus.host.hostconfig import HostConfig
from gatebus.host.policy import EVERYTHING
from gatebus.host.refusals import disk_full
from gatebus.snapshots.instancerecords import InstanceRecords

if TYPE_CHECKING:
    from busworld import BusWorld, Talker

ENDED = "The instance has ended."


async def policy(bus: Talker, instance: bytes = ONE, **said: object) -> dict[str, Any]:
    told: dict[str, Any] = (await bus.ask("policy", instance=instance, policy=said))["policy"]
    return told


async def recorded(world: BusWorld) -> bytes:
    """What a host that crashes now would find."""
    record = await world.host.parts.lives.keeping.store.records.get(ONE)
    assert record is not None
    return record.about


async def test_what_is_not_said_stays_as_it_is() -> None:
    async with world_of_idlers() as (_, bus):
        await launch(bus, policy={"wake": "never", "idle_store": 500})
        assert await policy(bus, keep_every=60, keep_last=3) == {
            "wake": "never", "idle_park": 0.0, "idle_store": 500.0, "keep_every": 60.0, "keep_last": 3,
        }  # fmt: skip
        assert await policy(bus, wake="any", idle_store=0) == {
            "wake": "any", "idle_park": 0.0, "idle_store": 0.0, "keep_every": 60.0, "keep_last": 3,
        }  # fmt: skip
        assert (await bus.ask("status", instance=ONE))["policy"] == await policy(bus)


@pytest.mark.parametrize("depth", ["stored", "parked"])
async def test_bytes_that_wait_for_what_nobody_may_wake_wake_it_when_its_clients_may(depth: str) -> None:
    async with echoing(policy={"wake": "never"}) as (_, bus, stream):
        await bus.ask("suspend", instance=ONE, depth=depth)
        stream.write(b" world")
        await wait_all_tasks_blocked()
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        await policy(bus, wake="io")
        await said(stream, b"hello world")


@pytest.mark.parametrize("depth", ["stored", "parked"])
async def test_and_not_when_they_may_no_longer(depth: str) -> None:
    async with echoing() as (_, bus, stream):
        await bus.ask("suspend", instance=ONE, depth=depth)
        await policy(bus, wake="never")
        stream.write(b" world")
        await wait_all_tasks_blocked()
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        assert (await policy(bus, idle_park=0))["wake"] == "never"
        await bus.ask("resume", instance=ONE)
        await said(stream, b"hello world")


@pytest.mark.parametrize(("before", "after", "then"), [("io", "any", "RUNNING"), ("any", "io", "SUSPENDED")])
async def test_what_is_parked_hears_its_peers_as_its_policy_says_now(before: str, after: str, then: str) -> None:
    async with echoing(policy={"wake": before}) as (world, bus, _):
        await bus.ask("suspend", instance=ONE, depth="parked")
        await policy(bus, wake=after)
        (instance,) = world.host.parts.registry.running()
        assert instance.live is not None
        assert instance.live.exchange is not None
        with world.host.parts.turn:
            instance.live.exchange._board.on_queued()  # as when one of its services has something for it
        await wait_all_tasks_blocked()
        assert (await bus.ask("status", instance=ONE))["state"] == then


async def test_what_rests_has_it_on_record_when_it_is_answered() -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus, policy={"wake": "never"})
        await bus.ask("suspend", instance=ONE)
        assert b"never" in await recorded(world)
        await policy(bus, wake="any")
        assert b"never" not in await recorded(world)
        await bus.ask("keep", instance=ONE, every=77, last=33)
        assert b"\xfb@S@" in await recorded(world), "77.0 as CBOR has it"
        assert (await bus.ask("status", instance=ONE))["depth"] == "stored"


@pytest.mark.parametrize("depth", [None, "parked"])
async def test_what_has_a_process_is_on_record_as_before(depth: str | None) -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus)
        await bus.ask("snapshot", instance=ONE)
        if depth is not None:
            await bus.ask("suspend", instance=ONE, depth=depth)
        await policy(bus, wake="any")
        record = await world.host.parts.lives.keeping.store.records.get(ONE)
        assert record is not None
        assert (record.state, b"any" in record.about) == ("running", True)


async def test_what_cannot_be_put_on_record_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_idlers() as (_, bus):
        await launch(bus, policy={"wake": "never"})
        await bus.ask("suspend", instance=ONE)
        with monkeypatch.context() as patch:
            patch.setattr(InstanceRecords, "put", full)
            error = await bus.open("policy", {"instance": ONE, "policy": {"wake": "any"}}).error()
        assert (error.code, error.text) == ("disk-full", disk_full().text)
        assert (await policy(bus))["wake"] == "never"


@pytest.mark.parametrize("operation", [{"every": 1}, {"policy": {"wake": "any"}}])
async def test_what_has_ended_is_not_told_how_to_live(operation: dict[str, object]) -> None:
    async with world_of_idlers() as (_, bus):
        await launch(bus)
        await bus.ask("kill", instance=ONE)
        error = await bus.open("keep" if "every" in operation else "policy", {"instance": ONE, **operation}).error()
        assert (error.code, error.text) == ("conflict", ENDED)


async def test_a_plain_program_has_no_policy() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=module(busy), suspendable=False)
        error = await bus.open("policy", {"instance": ONE, "policy": {"wake": "any"}}).error()
        assert error.code == "not-suspendable"


@pytest.mark.parametrize("asked", [{}, {"policy": 1}, {"policy": None}])
async def test_a_policy_is_a_map(asked: dict[str, object]) -> None:
    async with world_of_idlers() as (_, bus):
        await launch(bus)
        error = await bus.open("policy", {"instance": ONE, **asked}).error()
        assert (error.code, error.text) == ("bad-request", "The parameter `policy` must be a map.")


async def test_what_is_restored_lives_as_the_request_says_and_else_as_its_snapshot() -> None:
    async with world_of_idlers() as (_, bus):
        await launch(bus, policy={"wake": "never"})
        name = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        told = await bus.ask("restore", snapshot=name, instance=TWO, policy={"wake": "any", "idle_park": 5})
        assert (told["policy"]["wake"], told["policy"]["idle_park"]) == ("any", 5.0)
        assert (await bus.ask("restore", snapshot=name, instance=b"3" * 16))["policy"]["wake"] == "never"


async def test_who_may_not_keep_or_suspend_may_not_have_it_done_by_a_policy() -> None:
    """The configuration may leave out either."""
    config = HostConfig()
    config = replace(config, policy=replace(config.policy, key=EVERYTHING - {"keep", "suspend"}))
    async with world_of_idlers(config) as (_, bus):
        await launch(bus)
        name = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        for asked, operation in (
            ({"keep_every": 1}, "keep"),
            ({"idle_park": 1}, "suspend"),
            ({"idle_store": 1}, "suspend"),
        ):
            for request in (
                bus.open("policy", {"instance": ONE, "policy": asked}),
                bus.open("restore", {"instance": TWO, "snapshot": name, "policy": asked}),
            ):
                error = await request.error()
                assert (error.code, f"({operation})" in error.text) == ("forbidden", True)
        assert (await policy(bus, wake="any"))["wake"] == "any"
