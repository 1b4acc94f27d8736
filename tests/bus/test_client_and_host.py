"""gatebus.client against the product's Host (programs are fakes, links in memory): what each says the other takes."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from busworld import ALICE, BOB, bus_world, hello, module, pattern

from gatebus.bounds import STREAM_WINDOW
from gatebus.client import Bus, Denied, Program, ProgramRefused, SeedSigner
from gatebus.client.connecting import Manner, connected
from gatebus.client.handshake import Introduction
from gatebus.client.trustfile import SameMachine
from gatebus.host.principals import by_key
from gatebus.protocol.proofs import public_key
from gatebus.web.memorytransport import Wires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from busworld import BusWorld


@asynccontextmanager
async def client(world: BusWorld, seed: bytes | None = ALICE) -> AsyncIterator[Bus]:
    ours = Introduction("test", None if seed is None else SeedSigner(seed), SameMachine())
    async with connected(world.network.dial, ours, Manner(dice=lambda: -1.0)) as bus:  # -1: no pauses
        yield bus


async def test_a_call_gives_back_its_output_and_outcome() -> None:
    async with bus_world() as world, client(world) as bus:
        result = await bus.call(Program(module(b"echo")), stdin=pattern(0, 3_000_000))
        assert result.output == pattern(0, 3_000_000)
        assert (result.ok, result.outcome.state, result.outcome.cause) == (True, "HALTED", "NORMAL")
        assert result.outcome.usage.bytes_in > 3_000_000


@pytest.mark.parametrize("instances", [6, 20])
async def test_who_has_many_programs_has_little_of_each_under_way_and_loses_nothing(instances: int) -> None:
    """What a host keeps of one of many streams is less than a step of what its client would let be under way."""
    async with bus_world() as world, client(world) as bus:
        for _ in range(instances):
            await bus.launch(Program(module(b"deaf")))
        assert world.host.parts.registry.window(by_key(public_key(ALICE)).account, 1) < STREAM_WINDOW // 4
        with trio.fail_after(60):
            result = await bus.call(Program(module(b"narrow")), stdin=pattern(0, 600_000))
        assert result.output == pattern(0, 600_000)


async def test_a_strangers_call_needs_a_module_that_is_there() -> None:
    async with bus_world() as world, client(world, None) as bus:
        assert (await bus.call(Program(module(b"hello")))).output == b"hello"
        with pytest.raises(Denied) as caught:
            await bus.call(Program(b"m" * 32))
        assert caught.value.code == "not-found"


async def test_arguments_and_environment_arrive() -> None:
    async with bus_world() as world, client(world) as bus:
        result = await bus.call(Program(module(b"arguments"), args=["one", "two"], env={"A": "b"}))
        assert result.output == b"one\ntwo\nA=b"


async def test_what_a_program_logs_is_heard() -> None:
    async with bus_world() as world, client(world) as bus:
        result = await bus.call(Program(module(b"logs")))
        assert result.log == b"".join(b"line %d\n" % number for number in range(10))


async def test_how_a_program_ends_is_told_as_it_was() -> None:
    async with bus_world() as world, client(world) as bus:
        seven = await bus.call(Program(module(b"seven")))
        assert (seven.outcome.result, seven.ok) == (7, False)
        trapped = await bus.call(Program(module(b"trap")))
        assert (trapped.outcome.cause, trapped.ok) == ("UNREACHABLE", False)
        with pytest.raises(ProgramRefused) as caught:
            await bus.call(Program(module(b"hello"), limits={"memory": 1}))
        assert caught.value.code == "bad-setup"


async def test_a_stream_goes_on_over_lost_links_without_a_lost_or_doubled_byte() -> None:
    sent = pattern(0, 400_000)
    program = Program(module(b"echo"))
    async with bus_world() as world, client(world) as bus, bus.open_call(program, window=16_000) as running:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak, running, sent)
            heard, cuts = bytearray(), 0
            async for data in running:
                heard += data
                if len(heard) > 80_000 * (cuts + 1):
                    cuts += 1
                    world.network.cut()
        assert heard == sent
        assert cuts == 4
        assert world.network.dialled == cuts + 1
        outcome = await running.wait()
        assert outcome is not None
        assert outcome.cause == "NORMAL"


async def speak(running: Any, data: bytes) -> None:
    await running.send(data)
    running.end()


@pytest.mark.parametrize("direction", [0, 1])
async def test_a_stream_survives_links_that_all_break_somewhere(direction: int) -> None:
    """Each link but the last breaks after another number of bytes, so that over time each kind of message is cut."""
    sent = pattern(0, 60_000)
    async with bus_world() as world:
        links = 0

        def wires() -> tuple[Wires, Wires]:
            nonlocal links
            links += 1
            made = Wires(capacity=300), Wires(capacity=300)  # little is under way, so little is lost with a link
            if 1 < links < 40:
                made[direction].cut_after = 700 + 331 * links
            return made

        world.network._wires = wires
        async with client(world) as bus, bus.open_call(Program(module(b"echo"))) as running:
            await running.started()
            world.network.cut()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speak, running, sent)
                assert b"".join([data async for data in running]) == sent


async def test_a_launched_program_is_used_and_ends_when_it_is_told() -> None:
    async with bus_world() as world, client(world) as bus:
        instance = await bus.launch(Program(module(b"echo"), tags=["mine"]))
        assert [(each.instance, each.tags) for each in await bus.list()] == [(instance, ("mine",))]
        async with bus.io(instance) as running:
            await running.send(b"hello")
            assert await running.receive() == b"hello"
        status = await bus.kill(instance)
        assert (status.state, (await bus.wait(instance)).state) == ("KILLED", "KILLED")
        await bus.delete(instance)
        assert await bus.list() == []
        with pytest.raises(Denied):
            await bus.status(instance)


async def test_what_belongs_to_another_is_not_there() -> None:
    async with bus_world() as world, client(world) as alice, client(world, BOB) as bob:
        instance = await alice.launch(Program(module(b"busy")))
        for operation in (bob.status, bob.kill, bob.wait, bob.delete):
            with pytest.raises(Denied) as caught:
                await operation(instance)
            assert caught.value.code == "not-found"
        await alice.kill(instance)


async def test_modules_are_uploaded_once_pinned_and_listed() -> None:
    async with bus_world() as world, client(world) as bus:
        content = b"\0asm" + pattern(0, 700_000)
        seen: list[int] = []
        first = await bus.upload(content, lambda done, _size: seen.append(done))
        again = await bus.upload(content)
        assert (first.known, again.known, first.size) == (False, True, 700_004)
        assert (seen[0], seen[-1]) == (0, 700_004)
        digest = hashlib.sha256(content).digest()
        await bus.pin(digest, ["tool"])
        (held,) = await bus.modules(digest)
        assert (held.sha256, held.tags, held.pinned) == (digest, ("tool",), True)
        assert await bus.download(digest) == content
        await bus.unpin(digest)


async def test_a_module_that_the_host_lacks_is_sent_with_the_call() -> None:
    content = b"\0asm hello"
    async with bus_world(programs={content: hello}) as world, client(world) as bus:
        assert (await bus.call(Program(content))).output == b"hello"
        assert [each.size for each in await bus.modules()] == [len(content)]


async def test_an_upload_goes_on_where_the_link_broke() -> None:
    content = b"\0asm" + pattern(0, 600_000)
    async with bus_world() as world:
        passed: list[int] = []

        def progress(done: int, _size: int) -> None:
            passed.append(done)
            if done > 100_000 and world.network.dialled == 1:
                world.network.cut()

        async with client(world) as bus:
            assert (await bus.upload(content, progress)).size == len(content)
        assert world.network.dialled == 2
        assert passed[-1] == len(content)


async def test_events_tell_what_happens_to_our_instances() -> None:
    async with bus_world() as world, client(world) as bus, bus.events() as watching:
        instance = await bus.launch(Program(module(b"busy")))
        first = await anext(watching)
        assert first.about["instance"] == instance.bytes
        await bus.kill(instance)
        kinds = [first.event]
        while kinds[-1] != "ended":
            kinds.append((await anext(watching)).event)
        assert kinds == ["started", "ended"]


async def test_a_cancelled_call_ends_its_program() -> None:
    async with bus_world() as world, client(world) as bus:
        with trio.CancelScope() as scope:
            async with bus.open_call(Program(module(b"busy"))) as running:
                await running.started()
                scope.cancel()
                await running.wait()
        while world.host.parts.box.statistics().running:
            await bus.usage()
        assert "operations" in await bus.features()
