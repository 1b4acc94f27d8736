"""An instance that is not made after all, while somebody else ends it: whoever asked for it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import trio
from busworld import bus_world, put
from lifehistory import COUNT
from liveworld import digest
from mortalhost import counting
from waiting import until

from gatebus.host.hostconfig import HostConfig
from gatebus.host.lives.keeping import Keeping
from gatebus.host.lives.unmaking import unmade
from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gatebus.host.instances import Instance
    from gatebus.host.lives.lifetable import Life

ONE = b"1" * 16


async def test_one_that_ends_while_its_end_is_written_down_is_waited_for_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end comes only once."""
    true = Keeping.ended

    async def ended(keeping: Keeping, instance: Instance, *among: Life) -> bool:
        monkeypatch.setattr(Keeping, "ended", true)
        instance.kill()
        await until(lambda: instance.ended_at is not None)
        return await true(keeping, instance, *among)

    async with bus_world(HostConfig(data=str(tmp_path)), {COUNT: counting}) as world, world.talker() as bus:
        await put(world.host, COUNT)
        await bus.ask("launch", instance=ONE, module=digest(COUNT))
        await bus.ask("suspend", instance=ONE)
        instance = world.host.parts.registry.known(UUID(bytes=ONE))
        assert instance is not None
        monkeypatch.setattr(Keeping, "ended", ended)
        with trio.fail_after(5):
            await unmade(world.host.parts, instance, Refusal("busy", "Not now."))
