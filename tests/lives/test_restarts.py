"""A host that ends, in good order or not, and is there again: its instances and their streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import trio
from liveworld import CHAIN, chained, digest, live_world
from test_live_instances import ONE, TWO, connect, ended, launch

from gatebus.host.hostconfig import HostConfig
from gatebus.host.lives.recovering import put_away
from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from busworld import BusWorld, Channel, Talker

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("native")


async def graceful(world: BusWorld) -> None:
    """What Host.stopped does with its programs; its farewells are tested elsewhere."""
    world.host.parts.stopping = True
    await put_away(world.host.parts)


async def recorded(world: BusWorld, instance: bytes, state: str) -> None:
    """What is written a little later is written."""
    records = world.host.parts.lives.keeping.store.records
    await eventually(lambda: records.get(instance), lambda record: record is not None and record.state == state)


async def until(bus: Talker, instance: bytes, **wanted: object) -> dict[str, Any]:
    return await eventually(lambda: bus.ask("status", instance=instance), lambda told: wanted.items() <= told.items())


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], object]) -> T:
    """Asked again and again; what never holds is the test's time limit to notice."""
    while True:
        found = await ask()
        if holds(found):
            return found
        await trio.sleep(0.01)


async def test_a_stored_program_and_its_stream_outlive_the_host(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus, tags=["mine"])
        stored = await bus.ask("suspend", instance=ONE)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        found = await bus.ask("status", instance=ONE)
        for name in ("state", "depth", "snapshot", "tags", "created", "usage", "policy"):
            assert found[name] == stored[name]
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_bytes_that_had_come_for_a_stored_program_and_those_that_had_not_arrive_once(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus, policy={"wake": "never"})
        await bus.ask("suspend", instance=ONE)
        stream.write(b" before")  # in the host's memory alone: the client has them, too
        await bus.ask("status", instance=ONE)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b" after")
        await bus.ask("resume", instance=ONE)
        assert await ended(stream) == chained(b"hello before after")


async def test_at_a_graceful_stop_what_runs_is_stored_and_runs_again(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await graceful(world)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        status = await until(bus, ONE, state="RUNNING")
        assert "recovered" not in status
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_what_cannot_be_stored_at_a_graceful_stop_goes_back_to_what_was_stored_before(
    image_directory: Path, tmp_path: Path
) -> None:
    config = HostConfig(stop_seconds=0.05)
    async with live_world(image_directory, tmp_path, config=config) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("snapshot", instance=ONE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.host.parts.lives.keeping, "rescue", full)
            world.host.stop()
            await world.host.stopped()
        told = (await stream.result())["ended"]
        assert (told["state"], told["text"]) == (
            "KILLED",
            "The host stopped before the program had ended. It goes on from what was last stored of it when the host "
            "is there again.",
        )
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await until(bus, ONE, state="RUNNING"))["recovered"]
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def full(*_: object) -> None:
    raise Refusal("busy", "The disk is full.")


async def test_one_that_was_suspended_is_suspended_after_a_graceful_stop(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await graceful(world)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"


async def test_a_transient_one_is_not_stored_at_a_graceful_stop(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus, transient=True)
        await graceful(world)
        assert (await bus.ask("status", instance=ONE))["state"] == "RUNNING"
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.open("status", {"instance": ONE}).error()).code == "not-found"


async def test_a_transient_one_that_was_suspended_goes_on_and_is_forgotten_with_its_host(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus, transient=True)
        for lives in (1, 2):
            told = await bus.ask("suspend", instance=ONE)
            assert (told["state"], told["depth"], told["durable"]) == ("SUSPENDED", "stored", False)
            assert (await bus.ask("resume", instance=ONE))["lives"] == lives
        await bus.ask("suspend", instance=ONE)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.open("status", {"instance": ONE}).error()).code == "not-found"


async def test_after_a_crash_what_ran_goes_back_to_what_was_stored_of_it(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await bus.ask("resume", instance=ONE)
        await recorded(world, ONE, "running")
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        status = await until(bus, ONE, state="RUNNING")
        assert status["recovered"] > 0
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_a_client_that_knows_more_than_the_stored_program_is_told_so(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        stream.write(b" world")
        await stream.until(lambda each: len(each.data) == 11)
        await recorded(world, ONE, "running")
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await until(bus, ONE, state="RUNNING")
        await went_back(bus, stream)
        await graceful(world)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert "recovered" not in await until(bus, ONE, state="RUNNING")
        await went_back(bus, stream)


async def went_back(bus: Talker, stream: Channel) -> None:
    """To five bytes each way, of eleven."""
    before = "The host ended unexpectedly and went back to what it had stored of the program; "
    error = await bus.attach(stream).error()
    assert (error.code, error.text) == (
        "conflict",
        f"{before}you have had more of its bytes than it has written by then. Open another stream.",
    )
    error = await bus.open("attach", {"stream": stream.stream, "taken": 5, "gone": 11}).error()
    assert (error.code, error.text) == (
        "conflict",
        f"{before}it has had more of your bytes than it knows of by then. Open another stream.",
    )


async def test_after_a_crash_one_of_which_nothing_was_stored_is_said_to_be_gone(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus, tags=["mine"])
        before = await bus.ask("status", instance=ONE)
        await recorded(world, ONE, "running")
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        world.host.parts.clock = lambda: 4e9
        status = await bus.ask("status", instance=ONE)
        assert (status["state"], status["cause"]) == ("KILLED", "KILLED")
        for name in ("module", "tags", "created"):
            assert status[name] == before[name], "who launched it knows which one it was"
        assert status["text"].startswith("The host ended while the program ran")


async def test_one_that_has_ended_leaves_nothing_in_the_store(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await ended(stream)
        store = world.host.parts.lives.keeping.store
        await eventually(store.records.list, lambda records: not records)
        await eventually(lambda: bus.ask("snapshots"), lambda said: not said["snapshots"])  # a little later
        assert (await bus.ask("status", instance=ONE))["state"] == "HALTED"


@pytest.mark.parametrize("how", ["its own", "killed", "killed in the store"])
async def test_an_end_that_was_told_is_one_after_a_crash_too(how: str, image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("snapshot", instance=ONE)
        if how == "its own":
            await ended(stream)
        else:
            if how == "killed in the store":
                await bus.ask("suspend", instance=ONE)
            await bus.ask("kill", instance=ONE)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.open("status", {"instance": ONE}).error()).code == "not-found"


async def test_a_restored_and_a_copied_one_outlive_the_host_too(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        await bus.ask("suspend", instance=TWO)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.ask("status", instance=TWO))["state"] == "SUSPENDED"
        two = await connect(bus, TWO, b" two")
        assert await ended(two) == chained(b"hello two")[5:]


async def test_a_program_whose_module_nobody_pinned_is_there_as_long_as_it_is_stored(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        assert await world.host.parts.lives.keeping.store.needed(digest(CHAIN).hex())


async def test_a_program_whose_module_nobody_pinned_is_there_as_long_as_it_runs(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream, modules = await launch(bus), world.host.parts.store
        modules._clock = lambda: 4e9  # much later: whatever nobody needs has gone
        assert await modules.collect() == ()
        await bus.ask("suspend", instance=ONE)
        await bus.ask("resume", instance=ONE)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")
        await bus.ask("wait", instance=ONE)
        await eventually(modules.collect, lambda gone: [each.sha256 for each in gone] == [digest(CHAIN)])


async def test_after_a_crash_one_that_runs_goes_back_to_the_snapshot_that_was_answered(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus, tags=["mine"])
        await bus.ask("suspend", instance=ONE)
        stream.write(b" world")
        await stream.until(lambda each: len(each.data) == 11)
        taken = await bus.ask("snapshot", instance=ONE, tags=["its own"])
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        status = await until(bus, ONE, state="RUNNING")
        assert (status["snapshot"], status["tags"]) == (taken["snapshot"], ["mine"])
        assert status["recovered"] > 0
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b"!")
        assert await ended(stream) == chained(b"hello world!")


async def test_the_newest_snapshot_of_one_that_runs_is_dropped_when_there_is_a_newer_one(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        first = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        refused = await bus.open("drop", {"snapshot": first}).error()
        assert refused.code == "conflict"
        assert refused.text.endswith("Take a newer snapshot of it, or remove it; then drop this one.")
        await bus.ask("snapshot", instance=ONE)
        assert await bus.ask("drop", snapshot=first) == {}


async def test_a_snapshot_of_one_that_is_stored_changes_nothing_of_it(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        stored = await bus.ask("suspend", instance=ONE)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        assert await bus.ask("status", instance=ONE) == stored
        assert await bus.ask("drop", snapshot=taken) == {}


async def test_the_snapshot_of_one_that_has_just_ended_can_be_dropped(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        await ended(stream)
        await until(bus, ONE, state="HALTED")
        assert await bus.ask("drop", snapshot=taken) == {}


async def test_a_restored_one_is_there_after_a_crash_and_its_snapshot_cannot_be_dropped(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        await ended(stream)
        await bus.ask("restore", snapshot=taken, instance=TWO, tags=["two"])
        assert (await bus.open("drop", {"snapshot": taken}).error()).code == "conflict"
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await until(bus, TWO, state="RUNNING"))["tags"] == ["two"]
        two = await connect(bus, TWO, b" two")
        assert await ended(two) == chained(b"hello two")[5:]


async def test_what_was_resumed_runs_after_a_crash_at_once(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await bus.ask("resume", instance=ONE)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await until(bus, ONE, state="RUNNING"))["recovered"] > 0


async def test_what_bytes_have_woken_runs_after_a_crash_at_once(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        stream.write(b"!")
        await stream.until(lambda each: len(each.data) == 6)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await until(bus, ONE, state="RUNNING"))["recovered"] > 0
