"""A host's store at work until it is killed: python savingchild.py FOLDER SEED STEPS [POINT TIMES].

It writes what it begins, and what was answered, one JSON line each; POINT: the fail-point at whose TIMES-th passing it
kills itself, in the middle of whatever it does. Without one it stops after STEPS, or when somebody cuts the power.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

import trio
from snapshothelpers import opened_snapshots, signed
from storemodel import World, choose, next_serial, observe, perform


class KillAt:
    """kill -9 at a fail-point."""

    def __init__(self, name: str, times: int) -> None:
        self._name, self._left = name, times

    def reached(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def tell(word: str, step: dict[str, object]) -> None:
    os.write(1, json.dumps({word: step}).encode() + b"\n")


async def work(folder: Path, dice: random.Random, steps: int, points: KillAt) -> None:
    world = World()
    async with opened_snapshots(folder, None, signed(points)) as store:
        ids, _ = await observe(store)
        assert not ids, "every life begins in a folder of its own"
        serial = next_serial(world)
        for _ in range(steps):
            step = choose(dice, world, serial)
            serial += 1
            tell("begin", step)
            await perform(store, world, step, ids)
            tell("answered", step)
            world = world.after(step)


def main() -> None:
    folder, seed, steps, *at = sys.argv[1:]
    point, times = at or ("", "0")
    trio.run(work, Path(folder), random.Random(int(seed)), int(steps), KillAt(point, int(times)))


if __name__ == "__main__":
    main()
