"""Programs that are stopped and go on, over the bus and with the true sandbox: streams, stores, copies."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from busworld import BOB, Channel, pattern
from liveworld import CHAIN, chained, digest, live_world

from sandbox.nativeclient import NativeBackend

if TYPE_CHECKING:
    from pathlib import Path

    from busworld import Talker

pytestmark = pytest.mark.usefixtures("native")
ONE, TWO, THREE = b"1" * 16, b"2" * 16, b"3" * 16


async def launch(bus: Talker, **more: object) -> Channel:
    """It has said something, and goes on."""
    await bus.ask("launch", instance=ONE, module=digest(CHAIN), **more)
    return await connect(bus, ONE, b"hello")


async def connect(bus: Talker, instance: bytes, text: bytes) -> Channel:
    stream = await bus.io(instance).until(lambda each: each.accepted)
    stream.write(text)
    return await stream.until(lambda each: len(each.data) >= len(text))


async def ended(stream: Channel) -> bytes:
    """All that came, once the program has read everything and left."""
    stream.end()
    await stream.result()
    return bytes(stream.data)


async def test_a_stored_program_goes_on_and_its_stream_notices_nothing(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        status = await bus.ask("suspend", instance=ONE)
        assert (status["state"], status["depth"], status["lives"]) == ("SUSPENDED", "stored", 0)
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")
        assert (await bus.ask("status", instance=ONE))["lives"] == 1


async def test_a_stored_program_of_a_greedy_account_goes_on_as_low_as_its_new_ones_start(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lows: list[bool] = []
    start = NativeBackend.start_process

    async def noting(self: NativeBackend, image: Any, setup: Any, limits: Any, beginning: Any) -> Any:
        lows.append(beginning.low)
        return await start(self, image, setup, limits, beginning)

    monkeypatch.setattr(NativeBackend, "start_process", noting)
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        monkeypatch.setattr(world.host.parts.runner.loop, "is_greedy", lambda _account, _now: True)
        await bus.ask("resume", instance=ONE)
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")
    assert lows == [False, True]


async def test_who_connects_hears_how_much_the_host_keeps_of_the_stream(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        instance = next(world.host.parts.registry.running())
        await bus.ask("suspend", instance=ONE)
        again = await bus.attach(stream).until(lambda each: each.accepted)
        for each in (stream, again):
            assert each.accepted is not None
            assert each.accepted.about["kept"] == instance.order.window


async def test_what_is_asked_twice_is_so_already(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        assert (await bus.ask("resume", instance=ONE))["lives"] == 0
        first = await bus.ask("suspend", instance=ONE)
        assert await bus.ask("suspend", instance=ONE) == first
        assert (await bus.ask("resume", instance=ONE))["lives"] == 1


async def test_a_stored_program_draws_on_no_memory_and_no_place(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        running = await bus.ask("usage")
        await bus.ask("suspend", instance=ONE)
        stored = await bus.ask("usage")
        assert (running["instances"]["used"], stored["instances"]["used"]) == (1, 0)
        assert (running["memory"]["used"], stored["memory"]["used"]) == (64 << 20, 0)
        assert stored["stored"]["used"] > running["stored"]["used"]


@pytest.mark.parametrize("wake", ["io", "any"])
async def test_bytes_for_a_stored_program_wake_it(wake: str, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus, policy={"wake": wake})
        await bus.ask("suspend", instance=ONE)
        stream.write(b"!")
        await stream.until(lambda each: len(each.data) == 6)
        assert (await bus.ask("status", instance=ONE))["lives"] == 1


async def test_bytes_for_one_that_nobody_may_wake_wait_until_it_is_resumed(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus, policy={"wake": "never"})
        await bus.ask("suspend", instance=ONE)
        stream.write(b"!")
        stream.end()
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        await bus.ask("resume", instance=ONE)
        await stream.result()
        assert stream.data == chained(b"hello!")


async def test_the_end_of_a_stream_wakes_its_program_too(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        assert await ended(stream) == chained(b"hello")


async def test_a_client_that_lost_its_link_finds_the_stream_of_a_stored_program(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        async with world.talker() as other:
            stream = await connect(other, await launched(bus), b"hello")
        await bus.ask("suspend", instance=ONE)
        stream = bus.attach(stream)
        await stream.until(lambda each: each.accepted)
        stream.write(b" again")
        assert await ended(stream) == chained(b"hello again")


async def launched(bus: Talker) -> bytes:
    await bus.ask("launch", instance=ONE, module=digest(CHAIN))
    return ONE


@pytest.mark.parametrize("seed", range(2))
async def test_however_often_it_is_stopped_no_byte_is_lost_or_doubled(seed: int, image_directory: Path) -> None:
    dice = random.Random(seed)
    data = pattern(0, 400_000)
    async with live_world(image_directory) as world, world.talker() as bus, world.talker() as asker:
        stream = await connect(bus, await launched(bus), b"")
        at = suspended = 0
        while at < len(data):
            assert stream.flows is not None
            piece = data[at : at + min(dice.randrange(1, 40_000), stream.flows.out.room)]
            stream.write(piece)
            at += len(piece)
            if dice.random() < 0.3:
                await asker.ask("suspend", instance=ONE)
                suspended += 1
            elif dice.random() < 0.3:
                await asker.ask("snapshot", instance=ONE)
            if not piece:
                await asker.ask("resume", instance=ONE)  # nothing new has come that would wake it
                await bus.hear()
        assert await ended(stream) == chained(data)
        assert 0 < (await bus.ask("status", instance=ONE))["lives"] <= suspended


async def test_a_snapshot_is_taken_while_it_runs_and_another_instance_goes_on_from_it(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        taken = await bus.ask("snapshot", instance=ONE, tags=["a"])
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")
        restored = await bus.ask("restore", snapshot=taken["snapshot"], instance=TWO)
        assert (restored["state"], restored["tags"], restored["instance"]) == ("RUNNING", ["a"], TWO)
        other = await connect(bus, TWO, b" there")
        assert await ended(other) == chained(b"hello there")[5:]
        (line,) = (await bus.ask("snapshots"))["snapshots"]
        assert (line["snapshot"], line["kind"], line["instance"]) == (taken["snapshot"], "snapshot", ONE)


async def test_copies_of_a_running_program_go_their_own_ways(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        made = await bus.ask("clone", instance=ONE, instances=[TWO, THREE])
        assert [(each["instance"], each["state"]) for each in made["instances"]] == [
            (TWO, "RUNNING"),
            (THREE, "RUNNING"),
        ]
        two, three = await connect(bus, TWO, b" two"), await connect(bus, THREE, b" three")
        stream.write(b" one")
        assert await ended(stream) == chained(b"hello one")
        assert await ended(two) == chained(b"hello two")[5:]
        assert await ended(three) == chained(b"hello three")[5:]


async def test_a_stored_program_is_copied_without_being_woken(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        assert (await bus.ask("status", instance=ONE))["state"] == "SUSPENDED"
        two = await connect(bus, TWO, b" two")
        assert await ended(two) == chained(b"hello two")[5:]
        stream.write(b" one")
        assert await ended(stream) == chained(b"hello one")


async def test_a_copy_of_an_instance_that_there_is_is_refused_and_the_others_are_made(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        made = (await bus.ask("clone", instance=ONE, instances=[ONE, TWO]))["instances"]
        assert (made[0]["code"], made[1]["state"]) == ("conflict", "RUNNING")


async def test_a_stored_program_is_killed_and_its_streams_are_told(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE)
        assert (await bus.ask("kill", instance=ONE))["state"] == "KILLED"
        assert (await stream.result())["ended"]["state"] == "KILLED"


async def test_one_that_ends_while_it_is_to_be_stored_says_so(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await ended(stream)
        error = await bus.open("suspend", {"instance": ONE}).error()
        assert (error.code, error.text) == ("conflict", "The instance has ended.")


async def test_a_plain_program_cannot_be_stopped(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus, suspendable=False)
        error = await bus.open("suspend", {"instance": ONE}).error()
        assert error.code == "not-suspendable"
        assert error.text == "It was started as a plain program: it cannot be stopped and go on."


async def test_another_s_snapshot_does_not_exist(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker(BOB) as bob:
        await launch(bus)
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        await bus.ask("snapshot", instance=ONE)  # from which it would go on after a crash
        for operation, given in {"restore": {"instance": TWO}, "drop": {}}.items():
            theirs = await bob.open(operation, {"snapshot": taken, **given}).error()
            missing = await bob.open(operation, {"snapshot": b"?" * 32, **given}).error()
            assert (theirs.code, theirs.text) == ("not-found", missing.text)
        assert (await bob.ask("snapshots"))["snapshots"] == []
        assert await bus.ask("drop", snapshot=taken) == {}


async def test_the_clock_of_a_program_that_was_stopped_runs_on_its_time_only(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus, limits={"cpu_time": 5.0})
        for _ in range(3):
            await bus.ask("suspend", instance=ONE)
            status = await bus.ask("resume", instance=ONE)
        assert status["usage"]["bytes_in"] > 0
        assert status["usage"]["wall_ms"] < 60_000


async def test_a_parked_program_waits_and_goes_on(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus, policy={"wake": "never"})
        status = await bus.ask("suspend", instance=ONE, depth="parked")
        assert (status["state"], status["depth"]) == ("SUSPENDED", "parked")
        stream.write(b" world")
        assert (await bus.ask("resume", instance=ONE))["lives"] == 0
        assert await ended(stream) == chained(b"hello world")


async def test_bytes_wake_a_parked_program(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE, depth="parked")
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


async def test_a_parked_program_is_stored_and_copied_and_stays_what_it_is(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        stream = await launch(bus)
        await bus.ask("suspend", instance=ONE, depth="parked")
        await bus.ask("clone", instance=ONE, instances=[TWO])
        two = await connect(bus, TWO, b" two")
        assert await ended(two) == chained(b"hello two")[5:]
        assert (await bus.ask("suspend", instance=ONE))["depth"] == "stored"
        stream.write(b" world")
        assert await ended(stream) == chained(b"hello world")


@pytest.mark.parametrize("depth", ["parked", "stored"])
async def test_one_that_is_suspended_is_killed_and_gone_when_that_is_answered(
    depth: str, image_directory: Path
) -> None:
    """T16: what stands still does not hold up its own end."""
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        await bus.ask("suspend", instance=ONE, depth=depth)
        box = world.host.parts.box
        assert box.statistics().running == (depth == "parked")
        assert (await bus.ask("kill", instance=ONE))["state"] == "KILLED"
        assert box.statistics().running == 0
        assert (await bus.ask("delete", instance=ONE))["state"] == "KILLED"
