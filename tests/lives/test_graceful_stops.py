"""What a host that stops in good order makes of programs that stand still, or cannot be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from liveworld import chained, live_world
from test_live_instances import ONE, ended, launch
from test_restarts import full, graceful, recorded, until

from gatebus.host.hostconfig import HostConfig
from gatebus.host.refusals import Refusal
from gatebus.snapshots.storedbytes import StoredBytes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("native")


@pytest.mark.parametrize("wake", ["never", "io"])
async def test_one_that_was_parked_is_suspended_after_a_graceful_stop(
    wake: str, image_directory: Path, tmp_path: Path
) -> None:
    """Who parks something wants it to stand still."""
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        stream = await launch(bus, policy={"wake": wake})
        await bus.ask("suspend", instance=ONE, depth="parked")
        await graceful(world)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        told = await bus.ask("status", instance=ONE)
        assert (told["state"], told["depth"], told["lives"]) == ("SUSPENDED", "stored", 0)
        assert "recovered" not in told
        await bus.ask("resume", instance=ONE)
        stream = await bus.attach(stream).until(lambda each: each.accepted)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_what_runs_is_stored_at_a_graceful_stop_whatever_the_quota_of_its_owner_says(
    image_directory: Path, tmp_path: Path
) -> None:
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        await launch(bus)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StoredBytes, "room", lambda *_: 0)
            patch.setattr(StoredBytes, "spend", no_room)
            assert (await bus.open("snapshot", {"instance": ONE}).error()).code == "quota-storage"
            await graceful(world)
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        assert "recovered" not in await until(bus, ONE, state="RUNNING")


def no_room(*_: object) -> None:
    raise Refusal("quota-storage", "You have all that you may have.")


async def test_one_that_cannot_be_stored_at_a_graceful_stop_is_said_to_be_gone(
    image_directory: Path, tmp_path: Path
) -> None:
    config = HostConfig(stop_seconds=0.05)
    async with live_world(image_directory, tmp_path, config=config) as world, world.talker() as bus:
        await launch(bus)
        await recorded(world, ONE, "running")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.host.parts.lives.keeping, "rescue", full)
            world.host.stop()
            await world.host.stopped()
    async with live_world(image_directory, tmp_path) as world, world.talker() as bus:
        told = await bus.ask("status", instance=ONE)
        assert (told["state"], told["text"]) == (
            "KILLED",
            "The host ended while the program ran, and nothing of it had been stored.",
        )
