"""Who connects to a program whose input somebody else has ended: he hears that it reads nothing, and what he had
written by then goes nowhere. His link, and everything else on it, goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from busworld import Streams, bus_world, module, put

from gatebus.host.hostconfig import HostConfig
from gatebus.protocol.messages import Stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from busworld import BusWorld, Talker

    from sandbox.testing import FakeGuest

ONE, TWO = b"1" * 16, b"2" * 16


async def listens(guest: FakeGuest) -> None:
    """To its input's end, and runs on. Where it goes on, it has all that it is going to get."""
    streams = Streams(guest)
    while not guest.memory.endswith(b"."):
        data = await streams.read()
        guest.memory += data or b"."
        await streams.write(data or b".")
    await trio.sleep_forever()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[BusWorld]:
    async with bus_world(HostConfig(data=str(tmp_path)), {b"listens": listens}) as made:
        await put(made.host, b"listens")
        yield made


async def launched(bus: Talker) -> None:
    """Its input has ended."""
    await bus.ask("launch", instance=ONE, module=module(b"listens"))
    stream = await bus.io(ONE).until(lambda each: each.accepted)
    stream.write(b"all")
    stream.end()
    await stream.until(lambda each: each.data == b"all.")


async def writes_in_vain(bus: Talker, instance: bytes) -> None:
    stream = await bus.io(instance).until(lambda each: each.accepted)
    stream.write(b"and more")
    await stream.until(lambda each: any(isinstance(said, Stop) for said in each.heard))
    stream.end()
    assert (await bus.ask("status", instance=instance))["state"] == "RUNNING"
    assert not bus.session.over


@pytest.mark.parametrize("stored", [False, True])
async def test_at_a_copy(world: BusWorld, stored: bool) -> None:
    async with world.talker() as bus:
        await launched(bus)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        if stored:
            await bus.ask("suspend", instance=TWO)
            await bus.ask("resume", instance=TWO)
        await writes_in_vain(bus, TWO)


async def test_at_one_whose_client_never_came_back(world: BusWorld) -> None:
    async with world.talker() as bus:
        await launched(bus)
    async with world.talker() as bus:
        registry = world.host.parts.registry
        with world.host.parts.turn:
            for stream in tuple(registry._left.values()):
                registry.drop(stream)
        await writes_in_vain(bus, ONE)
