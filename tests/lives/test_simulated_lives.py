"""Lives of instances under all that can be asked of them, at hosts in this process that stop, or die at any access to
their store, or whose disk is full for a while: the judge of killed hosts judges each answer and each byte
(lifehistory). What is asked, and when a host dies, hypothesis chooses; the programs are simulated ones, the store is
the real one.
"""

from __future__ import annotations

import os
import random
import shutil
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lifedriver import Driver
from mortalhost import Death, mortal_world

from gatebus.host.lives.recovering import put_away

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from busworld import BusWorld, Talker

EXAMPLES = int(os.environ.get("GATEBUS_HISTORIES", "8"))
STEPS, LIVES, ACCESSES = 25, 3, 120
"""Of one history: steps of a life, lives before the last one, accesses to the store until a host dies at the latest."""


async def lived(folder: Path, death: Death, work: Callable[[BusWorld, Talker], Awaitable[None]]) -> None:
    """One host, from its start to its end or its death."""

    async def dies() -> None:
        await death.died.wait()
        nursery.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patched:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dies)
            async with mortal_world(folder, death, patched) as world:
                async with world.talker() as bus:
                    await work(world, bus)
                death.died.set()


async def history_of(dice: random.Random, folder: Path) -> Driver:
    driver = Driver(dice)

    async def works(_world: BusWorld, bus: Talker) -> None:
        await driver.judge(bus)
        await driver.work(bus, dice.randint(5, STEPS))

    async def stops(world: BusWorld, bus: Talker) -> None:
        await works(world, bus)
        if driver.full:
            await driver.fill_or_empty()
        world.host.parts.stopping = True
        await put_away(world.host.parts)
        driver.hear()
        driver.history.stopped()

    for _ in range(LIVES):
        good = dice.random() < 0.3
        death = Death() if good else Death(dice.randint(1, ACCESSES), after=dice.random() < 0.5)
        driver.has_disk(partial(setattr, death, "full"))
        await lived(folder, death, stops if good else works)
        driver.hear()
        driver.history.died()
    await lived(folder, Death(), lambda _world, bus: driver.judge(bus))
    return driver


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=EXAMPLES, phases=[Phase.generate])
async def test_whatever_is_asked_and_whenever_a_host_dies_what_was_promised_is_kept(seed: int) -> None:
    """A seed and not each choice: what can be chosen next depends on threads of the store, too."""
    folder = Path(mkdtemp(prefix="gatebus-lives-"))
    try:
        await history_of(random.Random(seed), folder)
    finally:
        shutil.rmtree(folder)
