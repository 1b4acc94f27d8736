"""T25 on a disk that forgets whatever was not synced, names above all: what was answered is there on every disk that a
power cut may leave. (tests/wires/test_power_cuts.py does the same on a true one, which is kinder.)
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from forgetfuldisk import Chance, Disk, Entry, entries_of, lay_out
from snapshothelpers import folder, opened_snapshots
from storemodel import history, judge

from gatebus.faults import GatebusError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["folder"]  # a fixture
SUPPORT = Path(__file__).parent.parent / "support"
CUTS = int(os.environ.get("GATEBUS_CUTS", "60"))
STEPS = 14


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """Everything that a store at work did to its disk, and said."""
    place = tmp_path_factory.mktemp("recorded")
    library, root, log = place / "diskrecorder.so", place / "root", place / "log"
    compiler = [
        os.environ.get("CC", "cc"),
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        library,
        SUPPORT / "diskrecorder.c",
        "-ldl",
    ]
    subprocess.run(compiler, check=True)
    root.mkdir()
    recorded = {"LD_PRELOAD": str(library), "RECORDED_ROOT": str(root), "RECORDED_LOG": str(log)}
    ours = os.environ | recorded | {"PYTHONPATH": f"{SUPPORT}:{SUPPORT.parent.parent}"}
    worker = [sys.executable, str(SUPPORT / "savingchild.py"), str(root), "11", str(STEPS)]
    said = subprocess.run(worker, check=True, env=ours, stdout=subprocess.PIPE).stdout
    entries = [*entries_of(log.read_bytes())]
    assert b"".join(each.data for each in entries if each.op == "A") == said
    return entries


def moments(record: list[Entry], count: int, *, syncs_folders: bool = True) -> Iterator[Disk]:
    """The disk at so many cuts, spread over everything; those right behind an answer among them."""
    disk, cuts = Disk(syncs_folders=syncs_folders), {*range(0, len(record), max(1, 2 * len(record) // count))}
    answers = [at for at, each in enumerate(record) if each.op == "A"]
    cuts.update(answers[:: max(1, 2 * len(answers) // count)])
    for at, each in enumerate(record):
        disk.tell(each)
        if at in cuts:
            yield disk


async def found(disk: Disk, chance: Chance, place: Path) -> None:
    """Raises what is wrong with what is left."""
    lay_out(disk.left(chance), place)
    try:
        world, begun = history(disk.said)
        async with opened_snapshots(place) as store:
            await judge(store, world, begun)
    finally:
        shutil.rmtree(place)


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("share", [0, 0.5, 1])
async def test_what_was_answered_is_on_every_disk_that_a_power_cut_may_leave(
    share: float, record: list[Entry], folder: Path
) -> None:
    dice = random.Random(int(share * 2))
    for disk in moments(record, CUTS):
        await found(disk, Chance(dice, share), folder / "left")


async def test_a_store_that_did_not_sync_its_folders_would_be_caught(record: list[Entry], folder: Path) -> None:
    lost = 0
    for disk in moments(record, 20, syncs_folders=False):
        try:
            await found(disk, Chance(random.Random(1), 0), folder / "left")
        except (AssertionError, GatebusError):
            lost += 1
    assert lost
