"""Suspended and resumed again and again, and copied: nothing is left of it, whatever is counted. `make soak`: 10,000
times each.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trio
from liveworld import chained, live_world
from processes import descendants
from test_live_instances import ONE, connect, ended, launch
from test_restarts import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from busworld import BusWorld, Talker

pytestmark = pytest.mark.usefixtures("native")
CYCLES = int(os.environ.get("GATEBUS_CYCLES", "40"))
WARM = 20  # cycles until pools and caches are what they stay
SLACK = 8  # pools breathe: spare processes, descriptors of what is just ending
GROWTH = 24 << 20  # bytes of this process; what leaks 4 KiB a cycle shows in the long run


class Counted(NamedTuple):
    descriptors: int
    processes: int
    groups: int
    files: int
    streams: int


def counted(world: BusWorld, data: Path) -> Counted:
    return Counted(
        len(os.listdir("/proc/self/fd")),
        len(descendants()),
        len(groups()),
        sum(1 for each in data.rglob("*") if each.is_file()),
        sum(len(each.connections) for each in world.host.parts.registry.running()),
    )


def groups() -> set[Path]:
    """Control groups of our own processes, and all that is made and removed below: others beside us come and go."""
    found: set[Path] = set()
    for pid in descendants():
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError:
            continue  # it has just ended
        for line in lines:
            _, names, place = line.split(":", 2)
            own = next((at for at, name in enumerate(Path(place).parts) if name.startswith("gatebus-")), None)
            if own is not None:
                folder = Path("/sys/fs/cgroup", names or "unified", *Path(place).parts[1 : own + 1])
                found.update(each for each in folder.rglob("*") if each.is_dir())
    return found


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def stays_flat(world: BusWorld, data: Path, cycle: Callable[[int], Awaitable[None]]) -> None:
    """What is written a little later, or ends a little later, is waited for."""
    for number in range(WARM):
        await cycle(number)
    await quiet(world)
    before, memory = counted(world, data), resident()
    for number in range(WARM, WARM + CYCLES):
        await cycle(number)
    await quiet(world)
    await eventually(
        lambda: now(world, data), lambda found: all(a <= b + SLACK for a, b in zip(found, before, strict=True))
    )
    assert resident() - memory < GROWTH


async def now(world: BusWorld, data: Path) -> Counted:
    await trio.lowlevel.checkpoint()
    return counted(world, data)


async def quiet(world: BusWorld) -> None:
    """One snapshot is left: what was stored before is forgotten behind the answers."""
    store = world.host.parts.lives.keeping.store
    account = next(iter(world.host.parts.registry.running())).order.principal.account
    await eventually(lambda: store.list(account), lambda lines: len(lines) <= 1)


async def test_a_program_that_is_suspended_and_resumed_often_leaves_nothing(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream, said = await launch(bus), bytearray(b"hello")

        async def cycle(number: int) -> None:
            await bus.ask("suspend", instance=ONE)
            await bus.ask("resume", instance=ONE)
            if not number % 20:
                stream.write(b"!")
                said.extend(b"!")
                await stream.until(lambda each: len(each.data) == len(said))

        await stays_flat(world, tmp_path, cycle)
        assert await ended(stream) == chained(bytes(said))


async def test_copies_over_the_bus_that_come_and_go_leave_nothing(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE)

        async def cycle(number: int) -> None:
            await copied(bus, (number + 1).to_bytes(16, "big"))

        await stays_flat(world, tmp_path, cycle)


async def copied(bus: Talker, name: bytes) -> None:
    """It answers, and ends."""
    await bus.ask("clone", instance=ONE, instances=[name])
    stream = await connect(bus, name, b"?")
    assert await ended(stream) == chained(b"hello?")[5:]
    bus.forget(stream)
    await eventually(lambda: bus.ask("status", instance=name), lambda told: told["state"] == "HALTED")
    await bus.ask("delete", instance=name)
