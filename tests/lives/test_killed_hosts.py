"""A host that is killed (-9) at each named place of an instance's life: what it had promised is there, and nothing
runs twice.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crashinghost import ONE, TEXTS, TWO
from liveworld import chained, live_world
from test_live_instances import connect, ended
from test_restarts import until

from gatebus.failpoints import LIVES

if TYPE_CHECKING:
    from busworld import BusWorld, Talker

pytestmark = pytest.mark.usefixtures("native")
SUPPORT = Path(__file__).parents[1] / "support"
ROOT = SUPPORT.parents[1]
WHOLE = b"".join(TEXTS)
PLACES = [(name, 2) for name in LIVES[:-1]] + [("save-pack-half", 2), ("save-committed", 3)]


def killed(images: Path, data: Path, place: str, times: int) -> list[list[str]]:
    """What it had promised by then."""
    line = [sys.executable, str(SUPPORT / "crashinghost.py"), str(images), str(data), place, str(times)]
    paths = os.pathsep.join((str(ROOT), str(SUPPORT)))
    done = subprocess.run(line, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return [said.split() for said in done.stdout.splitlines()]


async def judge(world: BusWorld, bus: Talker, promised: list[list[str]]) -> None:
    snapshots = {each["snapshot"].hex() for each in (await bus.ask("snapshots"))["snapshots"]}
    taken = {words[2] for words in promised if words[0] == "snapshot"}
    assert taken <= snapshots
    stored = [int(words[1]) for words in promised if words[0] == "stored"]
    if not stored:
        return  # nothing was promised of the instance itself
    status = await bus.ask("status", instance=ONE)
    assert status["state"] in ("SUSPENDED", "RUNNING")
    refused = await bus.open("io", {"stream": b"x" * 16, "instance": ONE}).error()
    assert refused.code == "conflict"  # its one connection is there, and waits for its client
    if any(words[0] == "copied" for words in promised):
        two = await connect(bus, TWO, b"!")
        assert await ended(two) == chained(WHOLE + b"!")[len(WHOLE) :]


@pytest.mark.parametrize(("place", "times"), PLACES)
async def test_what_was_promised_is_there_wherever_the_host_is_killed(
    place: str, times: int, image_directory: Path, tmp_path: Path
) -> None:
    promised = killed(image_directory, tmp_path, place, times)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await judge(world, bus, promised)
        goes_on = [int(words[1]) for words in promised if words[0] in ("stored", "snapshot")]
        if goes_on:
            last = (await bus.ask("snapshots"))["snapshots"]
            newest = next(each for each in last if each["kind"] in ("suspended", "snapshot"))
            restored = await bus.ask("restore", snapshot=newest["snapshot"], instance=b"r" * 16)
            assert restored["state"] == "RUNNING"
            other = await connect(bus, b"r" * 16, b"?")
            tails = [chained(WHOLE[:size] + b"?")[size:] for size in range(len(WHOLE) + 1)]
            assert await ended(other) in tails[max(goes_on) :]
            await until(bus, b"r" * 16, state="HALTED")
