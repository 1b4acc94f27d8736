"""A whole host that is killed (-9) in the middle of its work, again and again, on the same data: nothing that it had
promised is lost, nothing runs or is there twice, and what programs write goes on where it was (T26).

The host is a process of its own; the recorder is here, on the other end of its socket. `make kills` kills it 50 times
at each named place, and as often at any moment.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from lifedriver import STEPS, Driver, talking

from gatebus.failpoints import COLLECT, DROP, IMPORT, LIVES, LOAD, RECORD, SAVE
from gatebus.web.link import CannotConnect, LinkClosed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.usefixtures("native")
SUPPORT = Path(__file__).parents[1] / "support"
PATHS = os.pathsep.join((str(SUPPORT.parents[1]), str(SUPPORT)))
KILLS = int(os.environ.get("GATEBUS_KILLS", "0"))  # at each place; none: at a few, once
PLACES = SAVE + LOAD + DROP + COLLECT + RECORD + IMPORT + LIVES
FEW = ("life-stopped", "save-committing", "save-committed", "life-began", "life-recovered", "import-whole")
AT_THE_START = "life-recovered"
LONG = 3_000  # steps of one life: each place comes within a tenth of it


class Lives:
    """Processes of one host, one after the other."""

    def __init__(self, template: subprocess.Popen[str], folder: Path) -> None:
        self.passed: set[str] = set()
        self._pid: int | None = None  # of the present one
        self._template, self._folder, self._count = template, folder, 0

    def begin(self, place: str = "", times: int = 0) -> str:
        """Its socket. "": it was killed before it was ready."""
        self._count += 1
        socket = f"{self._folder}/{self._count}.sock"
        wanted = {"data": f"{self._folder}/data", "socket": socket, "place": place, "times": times}
        assert self._template.stdin is not None
        print(json.dumps(wanted), file=self._template.stdin, flush=True)
        self._pid = int(self._hear("life"))
        return socket if self._hear("ready", "over") == "" else ""

    def passes(self, place: str) -> None:
        """Until it has."""
        while place not in self.passed:
            self._hear("passed")

    def kill(self) -> None:
        assert self._pid is not None, "none has begun, or it is over"
        os.kill(self._pid, signal.SIGKILL)

    def end(self) -> None:
        """Whatever has become of the test."""
        if self._pid is not None:
            self.kill()

    def over(self) -> None:
        """It was killed, and did not end otherwise."""
        self._pid = None
        assert int(self._hear("over")) == signal.SIGKILL

    def _hear(self, *wanted: str) -> str:
        assert self._template.stdout is not None
        for line in self._template.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "passed":
                self.passed.add(rest)
            if word in wanted:
                return rest
        raise AssertionError("the host ended before that")


@contextmanager
def killed_often(images: Path, folder: Path) -> Iterator[Lives]:
    line = [sys.executable, str(SUPPORT / "drivenhost.py"), str(images)]
    surroundings = {**os.environ, "PYTHONPATH": PATHS}
    pipe = subprocess.PIPE
    (folder / "data").mkdir(mode=0o700)
    with subprocess.Popen(line, env=surroundings, stdin=pipe, stdout=pipe, text=True) as template:
        lives = Lives(template, folder)
        try:
            yield lives
        finally:
            lives.end()
            assert template.stdin is not None
            template.stdin.close()


async def lived(lives: Lives, driver: Driver, place: str, times: int) -> None:
    """One life, until it is killed at that place."""
    if place == AT_THE_START:
        times = 1
        await one_stored(lives, driver)
    socket = lives.begin(place, times)
    if socket:
        try:
            async with talking(socket) as bus:
                await driver.judge(bus)
                await driver.work(bus, LONG)
                raise AssertionError(f"{place} was not passed {times} times")
        except* CannotConnect:
            pass  # it was killed before anybody could connect
        except* LinkClosed:
            driver.hear()
        lives.over()
    driver.history.died()


async def one_stored(lives: Lives, driver: Driver) -> None:
    """A life after which there is something to find again."""
    async with talking(lives.begin()) as bus:
        await driver.judge(bus)
        if not driver.history.instances:
            await driver.launch(bus)
        await driver.on_one(bus, "suspend")
        lives.kill()
    lives.over()
    driver.history.died()


async def lived_until(lives: Lives, driver: Driver, moment: random.Random) -> None:
    """One life, until it is killed at any moment."""
    socket = lives.begin()

    async def kill() -> None:
        await trio.sleep(moment.random() * 0.5)
        lives.kill()

    try:
        async with talking(socket) as bus, trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            await driver.judge(bus)
            await driver.work(bus, LONG)
    except* LinkClosed:
        driver.hear()
    lives.over()
    driver.history.died()


async def found_whole(lives: Lives, driver: Driver) -> None:
    """The last word, by a host that nobody kills."""
    async with talking(lives.begin()) as bus:
        await driver.judge(bus)
        lives.kill()
    lives.over()


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("places", [[place] * KILLS for place in PLACES] if KILLS else [FEW], ids=lambda each: each[0])
async def test_a_host_that_is_killed_at_named_places_has_kept_what_it_promised(
    places: Sequence[str], image_directory: Path, tmp_path: Path
) -> None:
    dice = random.Random(4)
    driver = Driver(dice)
    with killed_often(image_directory, tmp_path) as lives:
        for place in places:
            await lived(lives, driver, place, dice.randint(1, 3))
        await found_whole(lives, driver)


@pytest.mark.timeout(3_000)
async def test_a_host_that_is_killed_at_any_moment_has_kept_what_it_promised(
    image_directory: Path, tmp_path: Path
) -> None:
    driver, moment = Driver(random.Random(5)), random.Random(5)
    with killed_often(image_directory, tmp_path) as lives:
        for _ in range(KILLS or 2):
            await lived_until(lives, driver, moment)
        await found_whole(lives, driver)


async def test_every_named_place_is_passed_by_what_drives_a_host(image_directory: Path, tmp_path: Path) -> None:
    """So that no place is left out of the long run without anybody noticing."""
    driver = Driver(random.Random(6))
    with killed_often(image_directory, tmp_path) as lives:
        async with talking(lives.begin()) as bus:
            for step in ("launch", "feed", "suspend", "resume", "snapshot", "restore", "clone"):
                await STEPS[step](driver, bus)
            await driver.carry_as(bus, "file")
            for snapshot in driver.history.shots:
                await driver.drop_one(bus, snapshot)
            lives.passes("collect-removed")
            lives.kill()
        lives.over()
        driver.history.died()
        await found_whole(lives, driver)
    assert lives.passed == set(PLACES)
