"""Copies are there after a crash of the host: whatever it has called durable; all of them out of one snapshot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from cloninghost import COPIES, TEXT
from liveworld import chained, live_world
from test_live_instances import ONE, THREE, TWO, connect, ended, launch
from test_restarts import eventually, until

from gatebus.host.hostconfig import HostConfig
from gatebus.host.refusals import disk_full
from gatebus.snapshots.snapshotrecords import SnapshotRecords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from busworld import BusWorld, Talker

    from gatebus.snapshots.savedwords import Change, Record

pytestmark = pytest.mark.usefixtures("native")
SUPPORT = Path(__file__).parents[1] / "support"


def copies_and_is_killed(how: str, images: Path, data: Path) -> None:
    line = [sys.executable, str(SUPPORT / "cloninghost.py"), str(images), str(data), how]
    paths = os.pathsep.join((str(SUPPORT.parents[1]), str(SUPPORT)))
    done = subprocess.run(line, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("how", ["asked", "told"])
async def test_durable_copies_of_a_running_program_survive_a_host_that_is_killed(
    how: str, image_directory: Path, tmp_path: Path
) -> None:
    copies_and_is_killed(how, image_directory, tmp_path)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        for name in COPIES:
            told = await until(bus, name, state="RUNNING")
            assert told["recovered"] > 0
        for number, name in enumerate(COPIES):
            text = bytes([number])
            assert await ended(await connect(bus, name, text)) == chained(TEXT + text)[len(TEXT) :]


async def test_copies_of_a_running_program_are_stored_once_and_told_of(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker() as watcher:
        await launch(bus)
        events = await watcher.open("events", {}).until(lambda each: each.accepted)
        told = (await bus.ask("clone", instance=ONE, instances=[TWO, THREE], durable=True))["instances"]
        assert {each["snapshot"] for each in told} == {line["snapshot"] for line in await lines(bus)}
        assert [line["kind"] for line in await lines(bus)] == ["clone"]
        assert [each["durable"] for each in told] == [True, True]
        await events.until(lambda each: each.data.count(b"eventhsnapshot") == 2)
        heard = [each for each in read_all(bytes(events.data)) if each["event"] == "snapshot"]
        assert sorted(each["instance"] for each in heard) == [TWO, THREE]


async def lines(bus: Talker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bus.ask("snapshots"))["snapshots"]
    return found


def read_all(data: bytes) -> list[dict[str, Any]]:
    stream, found = BytesIO(data), []
    while stream.tell() < len(data):
        found.append(cbor2.load(stream))
    return found


async def test_the_shared_snapshot_goes_when_the_last_copy_needs_it_no_more(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("clone", instance=ONE, instances=[TWO, THREE], durable=True)
        (shared,) = await lines(bus)
        assert (await bus.open("drop", {"snapshot": shared["snapshot"]}).error()).code == "conflict"
        await bus.ask("kill", instance=TWO)
        await bus.ask("suspend", instance=THREE)
        own = [(THREE, "suspended")]
        await eventually(lambda: lines(bus), lambda found: [(each["instance"], each["kind"]) for each in found] == own)


async def test_copies_that_are_transient_are_not_stored(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        told = await bus.ask("clone", instance=ONE, instances=[TWO], transient=True, durable=True)
        assert [(each["state"], each["durable"]) for each in told["instances"]] == [("RUNNING", False)]
        assert await lines(bus) == []
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await bus.open("status", {"instance": TWO}).error()).code == "not-found"


@pytest.mark.parametrize("stored", [True, False])
async def test_where_the_disk_is_full_there_are_no_durable_copies(
    stored: bool, image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        if stored:
            await bus.ask("suspend", instance=ONE)
        monkeypatch.setattr(SnapshotRecords, "put_all", full)
        error = await bus.open("clone", {"instance": ONE, "instances": [TWO, THREE], "durable": True}).error()
        assert error.code == "disk-full"
        assert await there(world, bus) == [ONE]
        assert world.host.parts.box.statistics().running == (not stored)


async def test_where_the_disk_is_full_copies_of_a_running_program_run_and_are_not_called_durable(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        monkeypatch.setattr(SnapshotRecords, "put_all", full)
        (told,) = (await bus.ask("clone", instance=ONE, instances=[TWO]))["instances"]
        assert (told["state"], told["durable"]) == ("RUNNING", False)
        assert await ended(await connect(bus, TWO, b"!")) == chained(b"hello!")[5:]


async def test_where_the_disk_is_full_nothing_is_restored(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        monkeypatch.setattr(SnapshotRecords, "put", full)
        assert (await bus.open("restore", {"snapshot": taken, "instance": TWO}).error()).code == "disk-full"
        assert await there(world, bus) == [ONE]


def full(_records: SnapshotRecords, _changes: Sequence[Change]) -> list[Record | None]:
    raise disk_full()


async def test_a_copy_of_a_stored_program_is_durable_when_it_is_answered(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        told = (await bus.ask("clone", instance=ONE, instances=[TWO]))["instances"]
        assert [each["durable"] for each in told] == [True]


async def test_a_copy_that_is_found_again_has_begun_when_it_was_made(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)
        world.host.parts.clock = lambda: 4e9  # much later
        told = (await bus.ask("clone", instance=ONE, instances=[TWO]))["instances"]
        assert told[0]["created"] == 4_000_000_000
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert (await until(bus, TWO, state="RUNNING"))["created"] == 4_000_000_000


async def test_two_who_restore_one_id_at_once_get_one_instance(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker() as other:
        await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        asked = [each.open("restore", {"snapshot": taken, "instance": TWO}) for each in (bus, other)]
        told = [await each.result() for each in asked]
        assert [each["state"] for each in told] == ["RUNNING"] * 2
        assert [each["instance"] for each in (await bus.ask("list"))["instances"]] == [ONE, TWO]


def at_most(instances: int) -> HostConfig:
    config = HostConfig()
    quotas = replace(config.quotas, principal=replace(config.quotas.principal, instances=instances))
    return replace(config, quotas=quotas)


async def there(world: BusWorld, bus: Talker) -> list[bytes]:
    """Instances that are told of, which are those that are on record."""
    told = [each["instance"] for each in (await bus.ask("list"))["instances"]]
    kept = [each.instance for each in await world.host.parts.lives.keeping.store.records.list()]
    assert set(kept) <= set(told)
    return told


async def test_a_restore_that_has_no_room_to_run_makes_nothing(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path, config=at_most(1)) as world, world.talker() as bus:
        await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        error = await bus.open("restore", {"snapshot": taken, "instance": TWO}).error()
        assert error.code == "quota-instances"
        assert await there(world, bus) == [ONE]
        await bus.ask("kill", instance=ONE)
        assert (await bus.ask("restore", snapshot=taken, instance=TWO))["state"] == "RUNNING"
        record = await world.host.parts.lives.keeping.store.records.get(TWO)
        assert record is not None
        assert record.state == "running"


async def test_a_copy_that_has_no_room_is_none(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path, config=at_most(2)) as world, world.talker() as bus:
        await launch(bus)
        told = (await bus.ask("clone", instance=ONE, instances=[TWO, THREE], durable=True))["instances"]
        (runs,) = [each for each in told if "code" not in each]
        (refused,) = [each for each in told if "code" in each]
        assert (runs["state"], refused["code"]) == ("RUNNING", "quota-instances")
        assert refused.keys() == {"instance", "code", "text"}
        assert await there(world, bus) == [ONE, runs["instance"]]
    async with live_world(image_directory, tmp_path, config=at_most(2)) as world, world.talker() as bus:
        found = await there(world, bus)
        assert runs["instance"] in found
        assert refused["instance"] not in found


async def test_copies_for_which_there_is_no_memory_do_not_pile_up(image_directory: Path) -> None:
    config = HostConfig()
    quotas = replace(config.quotas, principal=replace(config.quotas.principal, memory=100 << 20))
    async with live_world(image_directory, config=replace(config, quotas=quotas)) as world, world.talker() as bus:
        await launch(bus)
        for _ in range(2):
            told = (await bus.ask("clone", instance=ONE, instances=[TWO, THREE]))["instances"]
            assert [each["code"] for each in told] == ["quota-memory"] * 2
        assert await there(world, bus) == [ONE]
