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

    from busworld import Talker

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


async def test_where_the_disk_is_full_the_copies_run_and_nobody_is_told_that_they_are_durable(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        monkeypatch.setattr(SnapshotRecords, "put_all", full)
        error = await bus.open("clone", {"instance": ONE, "instances": [TWO], "durable": True}).error()
        assert error.code == "disk-full"
        told = await bus.ask("status", instance=TWO)
        assert (told["state"], told["durable"]) == ("RUNNING", False)
        assert await ended(await connect(bus, TWO, b"!")) == chained(b"hello!")[5:]


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


async def test_a_restore_that_has_no_room_to_run_is_stored_and_says_so(image_directory: Path, tmp_path: Path) -> None:
    config = HostConfig()
    one = replace(config, quotas=replace(config.quotas, principal=replace(config.quotas.principal, instances=1)))
    async with live_world(image_directory, tmp_path, config=one) as world, world.talker() as bus:
        await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        error = await bus.open("restore", {"snapshot": taken, "instance": TWO}).error()
        assert error.code == "quota-instances"
        records = world.host.parts.lives.keeping.store.records
        record = await records.get(TWO)
        assert record is not None
        assert record.state == "stored"  # what was to run is set back: after a crash nobody runs it unasked
        await bus.ask("kill", instance=ONE)
        assert (await bus.ask("resume", instance=TWO))["state"] == "RUNNING"
        record = await records.get(TWO)
        assert record is not None
        assert record.state == "running"


async def test_a_copy_that_has_no_room_rests_on_record(image_directory: Path, tmp_path: Path) -> None:
    config = HostConfig()
    two = replace(config, quotas=replace(config.quotas, principal=replace(config.quotas.principal, instances=2)))
    async with live_world(image_directory, tmp_path, config=two) as world, world.talker() as bus:
        await launch(bus)
        told = (await bus.ask("clone", instance=ONE, instances=[TWO, THREE], durable=True))["instances"]
        assert sorted(each["state"] for each in told) == ["RUNNING", "SUSPENDED"]
        rests = next(each for each in told if each["state"] == "SUSPENDED")
        assert (rests["code"], rests["durable"]) == ("quota-instances", True)
    async with live_world(image_directory, tmp_path, config=two) as world, world.talker() as bus:
        assert (await bus.ask("status", instance=rests["instance"]))["state"] == "SUSPENDED"
