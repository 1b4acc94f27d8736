"""What version 1 has stored goes on: programs in files, and in the directory of a host that was stopped.

tests/data/snapshots-1 is as that version wrote it (tests/support/goldenhost.py says how), with the modules inside. When
a change makes one of these fail, nobody's stored programs would go on either: where the transform of a program puts its
sites, what a state says, what services and streams keep, how files and records lie on the disk.
"""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from goldenhost import ARCHIVE, FOUR, ONE, TWO, visit
from liveworld import chained, live_world
from test_live_instances import connect, ended
from test_snapshots_as_files import brought

from gatebus.snapshots.checking import check_host
from sandbox.leftbehind import left_behind_untrusted

if TYPE_CHECKING:
    from busworld import Talker

pytestmark = pytest.mark.usefixtures("native")
GOLDEN = Path(__file__).parents[1] / "data" / "snapshots-1"


async def restored(bus: Talker, name: str) -> bytes:
    """The snapshot. It runs in instance TWO."""
    came = await brought(bus, gzip.decompress((GOLDEN / name).read_bytes()))
    await bus.ask("restore", snapshot=came["snapshot"], instance=TWO)
    assert isinstance(came["snapshot"], bytes)
    return came["snapshot"]


async def test_a_program_of_version_1_wakes_with_its_file_and_what_it_had_not_read(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        snapshot = await restored(bus, "wasi.gbsnap.gz")
        left = await world.host.parts.lives.loading.fetch(snapshot, bus.principal)
        assert str(left_behind_untrusted(left.suspended.state)) == "1 file and 1 open file and 2 bytes on their way"
        assert await ended(await connect(bus, TWO, b"")) == b"ada:abcd"


async def test_a_program_of_version_1_has_its_services_again(image_directory: Path) -> None:
    """It is in its group, gave up its rights, waits for clients; the one that it had is gone."""
    async with live_world(image_directory) as world, world.talker() as bus:
        snapshot = await restored(bus, "gate.gbsnap.gz")
        left = await world.host.parts.lives.loading.fetch(snapshot, bus.principal)
        kept = {name: state[6:] for name, state in left.services}
        assert {name for name, state in kept.items() if state} == {"origin", "group", "scope", "random"}
        said, _ = await visit(bus, TWO)
        assert said == b"21me39\n", "restored, alone in the group, the third visit, nine bytes"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN / ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


async def test_a_host_of_version_1_is_opened_and_its_programs_go_on(image_directory: Path, store: Path) -> None:
    async with live_world(image_directory, store) as world, world.talker() as bus:
        lines = (await bus.ask("snapshots"))["snapshots"]
        assert sorted((each["kind"], *each["tags"]) for each in lines) == [
            ("snapshot", "sleeper"),
            ("snapshot", "visited"),
            ("suspended",),
            ("suspended",),
        ]
        chain, gate = [await bus.ask("status", instance=each) for each in (ONE, FOUR)]
        assert (chain["state"], chain["tags"], chain["policy"]["wake"]) == ("SUSPENDED", ["chain"], "never")
        assert (gate["state"], gate["tags"]) == ("SUSPENDED", ["gate"])
        assert await ended_again(bus) == chained(b"hello again")[5:]
        said, _ = await visit(bus, FOUR)
        assert said == b"11me29\n", "resumed, alone in the group, the second visit, nine bytes"


def test_nothing_is_wrong_with_the_directory_of_version_1(store: Path) -> None:
    assert not check_host(store, repair=False).findings


async def ended_again(bus: Talker) -> bytes:
    """Its client is gone for good; what it had sent after the stop was only its own."""
    await bus.ask("resume", instance=ONE)
    stream = await bus.io(ONE).until(lambda each: each.accepted)
    stream.write(b" again")
    return (await ended(stream))[-len(b" again") :]
