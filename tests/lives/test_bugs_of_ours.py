"""What no part of a host has in mind happens to one program: it may end for it, and whoever waits hears so. The host
and all others go on, and the log says where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

import pytest
import trio.testing
from busworld import bus_world, put
from lifehistory import COUNT, counted
from liveworld import digest
from mortalhost import counting
from waiting import until

from gatebus.host.hostconfig import HostConfig
from gatebus.host.lives.lives import Lives
from gatebus.host.programs import Programs
from gatebus.host.registry import Registry
from gatebus.switchboard import Switchboard
from sandbox.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from busworld import BusWorld, Channel, Talker

ONE, OTHER = b"1" * 16, b"2" * 16


class SlipError(Exception):
    """Nobody has it in mind."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[BusWorld]:
    """It has another program, which still counts at the end."""
    async with bus_world(HostConfig(data=str(tmp_path)), {COUNT: counting}) as made:
        await put(made.host, COUNT)
        async with made.talker() as bus:
            other = await launched(bus, OTHER)
            yield made
            other.write(b"cd")
            await other.until(lambda each: len(each.data) == 32)
            assert other.data == counted(b"abcd")
        made.host.log.problems.clear()  # type: ignore[attr-defined]


async def launched(bus: Talker, instance: bytes, **more: object) -> Channel:
    await bus.ask("launch", instance=instance, module=digest(COUNT), **more)
    stream = await bus.io(instance).until(lambda each: each.accepted)
    stream.write(b"ab")
    return await stream.until(lambda each: len(each.data) == 16)


def problems(world: BusWorld) -> list[str]:
    return [str(each["error"]) for each in world.host.log.problems]  # type: ignore[attr-defined]


def slips(*_words: object, **_more: object) -> NoReturn:
    raise SlipError


async def slips_later(*_words: object, **_more: object) -> NoReturn:
    await trio.lowlevel.checkpoint()
    raise SlipError


def once(patched: pytest.MonkeyPatch, place: type, name: str, instead: Callable[..., Any] = slips) -> None:
    """The next time it does that, and then as ever."""
    true = getattr(place, name)

    def call(*words: Any, **more: Any) -> Any:
        patched.setattr(place, name, true)
        return instead(*words, **more)

    patched.setattr(place, name, call)


async def test_in_a_stop(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.talker() as bus:
        await launched(bus, ONE)
        once(monkeypatch, Program, "suspend", slips_later)
        answer = await bus.open("suspend", {"instance": ONE}, 0).error()
        assert (answer.code, answer.text) == ("conflict", "The instance ended before it had stopped.")
        assert (await bus.ask("status", instance=ONE))["state"] == "KILLED"
    assert problems(world) == ["SlipError"]


async def test_when_bytes_are_to_wake_it(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.talker() as bus:
        stream = await launched(bus, ONE)
        await bus.ask("suspend", instance=ONE)
        once(monkeypatch, Lives, "resume", slips_later)
        stream.write(b"c")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert problems(world) == ["SlipError"]
        stream.write(b"d")  # and these do
        await stream.until(lambda each: len(each.data) == 32)
        assert stream.data == counted(b"abcd")


async def test_when_what_goes_on_from_it_is_made_ready(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.talker() as bus:
        await launched(bus, ONE)
        once(monkeypatch, Programs, "prepare", slips_later)
        await bus.ask("suspend", instance=ONE)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert problems(world) == ["SlipError"]
        assert world.host.parts.lives.preparing.under_way == 0
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"


async def test_in_how_it_is_said_to_have_ended(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.talker() as bus:
        stream = await launched(bus, ONE)
        once(monkeypatch, Registry, "over")
        stream.end()
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert problems(world) == ["SlipError"]


async def test_in_what_a_service_of_its_has_for_it(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's turn has it sent."""
    async with world.talker() as bus:
        stream = await launched(bus, ONE)
        once(monkeypatch, Switchboard, "take")
        stream.write(b"c")
        await stream.until(lambda each: each.answer)
        assert problems(world) == ["SlipError"]
        assert (await bus.ask("list"))["instances"]


async def test_what_goes_round_for_all_goes_on(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatebus.host.owntasks.AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("gatebus.host.lives.minding.IDLE_SWEEP_SECONDS", 0.01)
    async with world.talker() as bus:
        await launched(bus, ONE, policy={"idle_store": 1})
        once(monkeypatch, type(world.host.parts.lives.minding), "_due")
        instance = world.host.parts.registry.known(UUID(bytes=ONE))
        assert instance is not None
        await until(lambda: problems(world))
        await until(lambda: instance.state == "SUSPENDED")
    assert problems(world) == ["SlipError"]


async def test_when_the_machine_has_no_thread_for_it(world: BusWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python says that by a RuntimeError."""
    true = trio.to_thread.run_sync

    async def none_left(*_words: object, **_more: object) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    async with world.talker() as bus:
        await launched(bus, ONE)
        monkeypatch.setattr(trio.to_thread, "run_sync", none_left)
        refused = await bus.open("suspend", {"instance": ONE}, 0).error()
        assert refused.text == "The host's data directory cannot be used: no thread could be made."
        monkeypatch.setattr(trio.to_thread, "run_sync", true)
        assert (await bus.ask("suspend", instance=OTHER))["state"] == "SUSPENDED"
    assert problems(world) == []
