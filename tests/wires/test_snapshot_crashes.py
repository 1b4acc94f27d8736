"""T26: a store that dies anywhere has everything that was answered, and of what was begun all or nothing.

Three ways to die. At each fail-point the folder is copied: what a process that is killed there leaves. Processes are
really killed (`make kills`: 50 times at each point; here at a few). And what hypothesis thinks of.
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
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from snapshothelpers import folder, opened_snapshots, signed
from storemodel import Step, World, choose, history, judge, next_serial, perform

from gatebus.failpoints import STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["folder"]  # a fixture
SUPPORT = Path(__file__).parent.parent / "support"
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{SUPPORT}:{SUPPORT.parent.parent}"}
KILLS = int(os.environ.get("GATEBUS_KILLS", "0"))  # at each point; none: at a few, once


class CopyAt:
    """A copy of the folder each time that a fail-point is passed: what kill -9 would leave there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies: list[tuple[str, Path]] = []
        self.passed: set[str] = set()
        self.copying = False

    def reached(self, name: str) -> None:
        self.passed.add(name)
        if self.copying:
            target = self.folder.with_name(f"{self.folder.name}-{len(self.copies)}")
            shutil.copytree(self.folder, target)
            self.copies.append((name, target))

    def taken(self) -> Iterator[tuple[str, Path]]:
        while self.copies:
            name, copy = self.copies.pop()
            yield name, copy
            shutil.rmtree(copy)


async def test_a_store_that_dies_at_any_point_of_its_work_has_all_that_was_answered(folder: Path) -> None:
    points, dice, world, ids = CopyAt(folder / "live"), random.Random(1), World(), dict[int, bytes]()
    async with opened_snapshots(folder / "live", None, signed(points)) as store:
        for serial in range(1, 31):
            step = choose(dice, world, serial)
            points.copying = serial > 15
            await perform(store, world, step, ids)
            points.copying = False
            for name, copy in points.taken():
                async with opened_snapshots(copy) as found:
                    state, _ = await judge(found, world, step)
                    if name.endswith("-committed") and (step["do"] != "collect" or name == "collect-committed"):
                        assert state == world.after(step), f"it was on the disk at {name}"
            world = world.after(step)
        await judge(store, world, None)
    assert points.passed == set(STORE)


def worked(folder: Path, *words: object) -> bytes:
    """What the process wrote before it was killed, or had done all."""
    command = [sys.executable, str(SUPPORT / "savingchild.py"), str(folder), *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, env=ENVIRONMENT)
    assert done.returncode in (0, -9), done.stderr.decode()
    return done.stdout


async def killed_at(folder: Path, point: str, times: int, seed: int) -> None:
    world, begun = history(await trio.to_thread.run_sync(worked, folder, seed, 60, point, times))
    async with opened_snapshots(folder) as store:
        await judge(store, world, begun)


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("point", STORE if KILLS else ("save-pack-half", "save-committed", "drop-committed"))
async def test_a_killed_process_has_lost_nothing_that_it_answered(point: str, tmp_path: Path) -> None:
    for turn in range(KILLS or 1):
        await killed_at(tmp_path / str(turn), point, 1 + (turn + 2) % 8, turn)
        shutil.rmtree(tmp_path / str(turn))


class Crashes(RuleBasedStateMachine):
    """Every step is a host's life of its own; some die in the middle, at a point that hypothesis chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(os.environ["GATEBUS_TEST_FOLDER"]) / os.urandom(4).hex()
        self.world, self.serial = World(), 0

    @rule(seed=st.integers(0, 10_000), dies=st.none() | st.integers(0, 8))
    def a_step(self, seed: int, dies: int | None) -> None:
        self.serial = max(self.serial, next_serial(self.world))
        step = choose(random.Random(seed), self.world, self.serial)
        self.serial += 1
        trio.run(self.live, step, dies)

    async def live(self, step: Step, dies: int | None) -> None:
        points = CopyAt(self.place)
        async with opened_snapshots(self.place, None, signed(points)) as store:
            self.world, ids = await judge(store, self.world, None)
            points.copying = dies is not None
            await perform(store, self.world, step, ids)
        if dies is None or not points.copies:
            self.world = self.world.after(step)
            return
        _, copy = points.copies.pop(dies % len(points.copies))
        shutil.rmtree(self.place)
        copy.rename(self.place)
        for _ in points.taken():
            pass
        async with opened_snapshots(self.place) as store:
            self.world, _ = await judge(store, self.world, step)

    def teardown(self) -> None:
        for each in self.place.parent.glob(f"{self.place.name}*"):
            shutil.rmtree(each)


def test_no_history_of_steps_and_crashes_loses_or_halves_anything(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEBUS_TEST_FOLDER", str(folder))
    examples = settings(max_examples=6, stateful_step_count=8)
    run_state_machine_as_test(Crashes, settings=examples)
