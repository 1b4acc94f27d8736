"""T25: what was answered is there when the power comes back, and of what was begun all or nothing.

Ten cuts; `make cuts` makes 200.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import powercuts
import pytest
import trio
from required import require
from snapshothelpers import opened_snapshots
from storemodel import history, judge

SUPPORT = Path(__file__).parent.parent / "support"
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{SUPPORT}:{SUPPORT.parent.parent}"}
CUTS = int(os.environ.get("GATEBUS_CUTS", "10"))
EACH = 10  # on one file system


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("seed", range(CUTS // EACH))
async def test_nothing_that_was_answered_is_lost_when_the_power_goes(seed: int, tmp_path: Path) -> None:
    require(powercuts.possible(), "power cuts need root, loop devices and mkfs.ext4")
    cuts = await trio.to_thread.run_sync(cut_often, tmp_path, seed)
    assert len(cuts) == EACH
    for image, said in cuts:
        with powercuts.mounted(image) as place:
            world, begun = history(said)
            async with opened_snapshots(place) as store:
                await judge(store, world, begun)


def cut_often(folder: Path, seed: int) -> list[tuple[Path, bytes]]:
    """(what the disk had, what had been said) at each cut."""
    image, cuts = folder / "live.img", []
    powercuts.make_image(image)
    with powercuts.mounted(image, "commit=600") as place:
        command = [sys.executable, str(SUPPORT / "savingchild.py"), str(place), str(seed), "100000"]
        worker = powercuts.Worker(command, ENVIRONMENT, random.Random(seed))
        try:
            while len(cuts) < EACH and worker.runs_a_while():
                with worker.stopped():
                    copy = folder / f"{len(cuts)}.img"
                    shutil.copyfile(image, copy)
                    cuts.append((copy, worker.said))
        finally:
            worker.end()
    return cuts
