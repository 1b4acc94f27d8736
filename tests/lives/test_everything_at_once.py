"""Every operation on many programs at any moment, from clients that hang up and cancel, while the machine is short of
descriptors and keepers are killed: the host lives on, everything asked is answered, everything that ran has a stated
end, and nothing is left. `make chaos` does it for ten minutes and says with which seed.
"""

from __future__ import annotations

import os
import random
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from chaos import PROGRAMS, Chaos, held
from liveworld import live_world
from processes import descendants
from test_many_lives import groups
from waiting import until

from sandbox import HostLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("native")
SECONDS = float(os.environ.get("GATEBUS_CHAOS", "0"))
SEED = os.environ.get("GATEBUS_CHAOS_SEED", "everything")
CLIENTS, STEPS = (5, 120) if SECONDS else (3, 40)
SLACK = 8  # pools breathe
EMPTY_GROUPS = 256 * 4  # that a keeper keeps for the next burst, in up to four hierarchies
RESTARTS = 1_000  # of keepers in a minute


async def test_nobody_ends_for_another_and_nothing_is_left(image_directory: Path, tmp_path: Path) -> None:
    limits, until_when = HostLimits(keeper_restarts=RESTARTS), monotonic() + SECONDS
    async with live_world(image_directory, tmp_path, *PROGRAMS, host_limits=limits) as world:
        await Chaos(world, random.Random(SEED), calm=True).round(CLIENTS, STEPS // 2)
        left, number = no_more_than_now(), 0
        while number == 0 or monotonic() < until_when:
            seed, number = f"{SEED} {number}", number + 1
            try:
                await Chaos(world, random.Random(seed)).round(CLIENTS, STEPS)
                await until(lambda: not left())
                assert not world.host.log.problems  # type: ignore[attr-defined]
            except BaseException as fault:
                fault.add_note(f"seed {seed!r}: {left()}")
                raise


def no_more_than_now() -> Callable[[], object]:
    """What there is later and was not now."""
    before, processes, cgroups = held(), len(descendants()), len(groups())

    def left() -> object:
        more = {name: count for name, count in (held() - before).items() if count > SLACK}
        if len(descendants()) > processes + SLACK:
            more["processes"] = len(descendants())
        if len(groups()) > cgroups + EMPTY_GROUPS:
            more["control groups"] = len(groups())
        return more

    return left
