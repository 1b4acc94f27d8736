"""What snapshots are called: those that somebody has named have that; others say what their instance was called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from test_policies import ONE, TWO, Looks, becomes, launch, world_of_idlers

if TYPE_CHECKING:
    from busworld import BusWorld, Talker

THREE = b"3" * 16


async def checkpointed(world: BusWorld, bus: Talker) -> bytes:
    looks = Looks(world)
    await bus.ask("keep", instance=ONE, every=100, last=2)
    looks.after(101)
    while not (snapshot := (await bus.ask("status", instance=ONE)).get("snapshot")):
        continue
    await bus.ask("keep", instance=ONE, every=0)
    return bytes(snapshot)


async def names(bus: Talker) -> dict[str, list[tuple[Any, Any]]]:
    """Of each kind: tags, and those of the instance."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for each in (await bus.ask("snapshots"))["snapshots"]:
        found.setdefault(each["kind"], []).append((each["tags"], each.get("instance_tags")))
    return found


async def test_what_was_taken_by_itself_has_no_name_of_its_own() -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus, tags=["mine"])
        await checkpointed(world, bus)
        await bus.ask("clone", instance=ONE, instances=[TWO], durable=True)
        await bus.ask("suspend", instance=ONE)
        assert await names(bus) == {kind: [([], ["mine"])] for kind in ("suspended", "clone", "checkpoint")}


async def test_what_somebody_has_asked_for_has_the_name_that_it_was_given() -> None:
    async with world_of_idlers() as (_world, bus):
        await launch(bus, tags=["mine"])
        await bus.ask("snapshot", instance=ONE)
        await bus.ask("snapshot", instance=ONE, tags=["first"])
        assert await names(bus) == {"snapshot": [(["first"], None), ([], ["mine"])]}


async def test_what_is_restored_is_called_as_its_snapshot_and_else_as_its_instance() -> None:
    async with world_of_idlers() as (_world, bus):
        await launch(bus, tags=["mine"])
        unnamed = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        named = (await bus.ask("snapshot", instance=ONE, tags=["first"]))["snapshot"]
        assert (await bus.ask("restore", snapshot=unnamed, instance=TWO))["tags"] == ["mine"]
        assert (await bus.ask("restore", snapshot=named, instance=THREE))["tags"] == ["first"]


async def test_a_removed_instance_leaves_only_what_somebody_has_asked_for() -> None:
    async with world_of_idlers() as (world, bus):
        await launch(bus, tags=["mine"])
        await checkpointed(world, bus)
        taken = await bus.ask("snapshot", instance=ONE, tags=["first"])
        await bus.ask("clone", instance=ONE, instances=[TWO], durable=True)
        await bus.ask("kill", instance=ONE)
        assert "checkpoint" in await names(bus), "it may have ended by mistake"
        await bus.ask("delete", instance=ONE)
        (first,) = (each for each in (await bus.ask("snapshots"))["snapshots"] if each["kind"] != "clone")
        assert first["snapshot"] == taken["snapshot"]
        assert (await bus.ask("status", instance=TWO))["durable"], "what another one goes on from stays"


async def test_a_removed_instance_of_which_nothing_was_stored_is_removed_at_once() -> None:
    async with world_of_idlers() as (_world, bus):
        await launch(bus)
        await bus.ask("kill", instance=ONE)
        assert (await bus.ask("delete", instance=ONE))["state"] == "KILLED"
        assert (await bus.open("status", {"instance": ONE}).error()).code == "not-found"


async def test_a_copy_is_kept_as_its_original_unless_another_policy_is_asked_for() -> None:
    async with world_of_idlers() as (_world, bus):
        await launch(bus, policy={"keep_every": 100, "keep_last": 3})
        await bus.ask("clone", instance=ONE, instances=[TWO])
        await bus.ask("clone", instance=ONE, instances=[THREE], policy={"wake": "never"})
        policies = [(await becomes(bus, each))["policy"] for each in (TWO, THREE)]
        assert [(each["keep_every"], each["wake"]) for each in policies] == [(100.0, "io"), (0.0, "never")]
        error = await bus.open("clone", {"instance": ONE, "instances": [b"4" * 16], "policy": 1}).error()
        assert error.text == "The parameter `policy` must be a map."


async def test_what_has_ended_is_kept_no_more_and_whoever_asks_for_it_is_told() -> None:
    async with world_of_idlers() as (_world, bus):
        await launch(bus)
        await bus.ask("kill", instance=ONE)
        for what in ("keep", "suspend"):
            error = await bus.open(what, {"instance": ONE, "every": 1}).error()
            assert (error.code, error.text) == ("conflict", "The instance has ended.")
