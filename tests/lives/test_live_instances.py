"""Programs that are stopped and go on, over the bus and with the true sandbox: streams, stores, copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from liveworld import CHAIN, chained, digest, live_world

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import Talker

pytestmark = pytest.mark.usefixtures("native")
ONE, TWO = b"1" * 16, b"2" * 16


async def launch(bus: Talker, **more: object) -> None:
    await bus.ask("launch", instance=ONE, module=digest(CHAIN), **more)


async def test_a_stored_program_goes_on_and_its_stream_notices_nothing(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        stream.write(b"hello")
        await stream.until(lambda each: len(each.data) == 5)
        status = await bus.ask("suspend", instance=ONE)
        assert (status["state"], status["depth"], status["lives"]) == ("SUSPENDED", "stored", 0)
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
        stream.write(b" world")
        await stream.until(lambda each: len(each.data) == 11)
        stream.end()
        await stream.result()
        assert stream.data == chained(b"hello world")
        assert (await bus.ask("status", instance=ONE))["lives"] == 1
