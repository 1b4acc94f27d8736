"""Copies of warm programs that wait for calls: who gets them, what they draw on, when they go; with fake programs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from busworld import Channel, Streams, Talker, bus_world, module, put

from gatebus.accountbounds import READY_COPIES, READY_EACH
from gatebus.host.hostconfig import HostConfig
from gatebus.host.lives import waitingcopies
from gatebus.host.quotas import Amounts
from sandbox.errors import BrokenProgram

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from busworld import BusWorld

    from gatebus.host.lives.waitingcopies import Waiting
    from sandbox.testing import FakeGuest


async def says_it_twice(guest: FakeGuest) -> None:
    """Once it has an input."""
    streams = Streams(guest)
    text = await streams.read()
    await streams.write(text + text)


@asynccontextmanager
async def warm_world(monkeypatch: pytest.MonkeyPatch, instances: int = 64) -> AsyncIterator[tuple[BusWorld, Talker]]:
    """One program is warm, and its copies wait. New ones are made only when a call has ended."""
    monkeypatch.setattr(waitingcopies, "READY_REFILL_SECONDS", inf)
    config = HostConfig()
    config = replace(config, quotas=replace(config.quotas, principal=Amounts(instances, 1 << 34, 1 << 30, 8, 8)))
    async with bus_world(config, {b"twice": says_it_twice}) as world:
        await put(world.host, b"twice")
        async with world.talker() as bus:
            await bus.ask("warm", module=module(b"twice"))
            await becomes(lambda: all_wait(world) and used(world) == READY_COPIES)
            yield world, bus


def copies(world: BusWorld) -> Waiting:
    return world.host.parts.lives.warming.waiting


def all_wait(world: BusWorld, count: int = READY_COPIES) -> bool:
    return copies(world).count == count == running(world) and copies(world).begun == count


def running(world: BusWorld) -> int:
    return world.host.parts.box.statistics().running


def used(world: BusWorld) -> int:
    return world.host.parts.quotas.total.instances


def started(world: BusWorld) -> int:
    return world.host.parts.box.statistics().started


async def becomes(holds: Callable[[], object]) -> None:
    while not holds():
        await trio.testing.wait_all_tasks_blocked()


async def called(bus: Talker, text: bytes = b"a") -> Channel:
    call = await bus.call(b"twice", warm=True).until(lambda each: each.accepted)
    call.write(text)
    return call


async def test_a_call_has_a_process_that_was_there_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        before = started(world)
        call = await bus.call(b"twice", warm=True).until(lambda each: each.accepted)
        assert (started(world), copies(world).count) == (before, READY_COPIES - 1)
        call.write(b"a")
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"aa"
        await becomes(lambda: all_wait(world))
        assert started(world) == before + 1


async def test_a_copy_gets_the_input_that_came_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (_world, bus):
        call = bus.call(b"twice", warm=True, input=b"a", end=0)
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"aa"
        assert call.accepted is not None
        assert call.accepted.about["taken"] == 1


async def test_each_copy_has_one_call_and_more_calls_than_copies_are_answered_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        texts = [bytes([letter]) for letter in range(97, 97 + READY_COPIES + 3)]
        calls = [await called(bus, text) for text in texts]
        for call, text in zip(calls, texts, strict=True):
            assert (await call.result())["state"] == "HALTED"
            assert call.data == 2 * text
        await becomes(lambda: all_wait(world))


async def test_copies_draw_on_the_account_and_give_way_to_whatever_else_it_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with warm_world(monkeypatch, instances=3) as (world, bus):
        assert (await bus.ask("usage"))["instances"]["used"] == READY_COPIES
        for number in range(3):
            await bus.ask("launch", instance=bytes([number]) * 16, module=module(b"twice"))
        assert copies(world).count == 0
        await becomes(lambda: running(world) == 3)
        error = await bus.open("launch", {"instance": b"4" * 16, "module": module(b"twice")}).error()
        assert error.text.startswith("You have 3 of 3 instances")


async def test_a_host_that_is_full_lets_those_of_all_accounts_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, _bus):
        parts = world.host.parts
        full = replace(parts.quotas.bounds.host, instances=READY_COPIES)
        parts.quotas.bounds = replace(parts.quotas.bounds, host=full)
        async with world.talker(b"bob".ljust(32)) as bob:
            assert (await bob.call(b"twice").until(lambda each: each.accepted)).accepted
        assert copies(world).count == 0


async def test_what_was_dropped_has_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        (line,) = (await bus.ask("snapshots"))["snapshots"]
        await bus.ask("drop", snapshot=line["snapshot"])
        await becomes(lambda: running(world) == 0)
        assert (copies(world).count, (await bus.ask("usage"))["instances"]["used"]) == (0, 0)


async def test_a_copy_that_nobody_wants_ends_and_the_next_call_makes_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        copies(world).give_way(None)
        monkeypatch.setattr(waitingcopies, "READY_SECONDS", 0.0)
        before = started(world)
        assert (await (await called(bus)).result())["state"] == "HALTED"
        await becomes(lambda: started(world) == before + 1 + READY_COPIES and running(world) == 0)
        assert (await bus.ask("usage"))["instances"]["used"] == 0
        monkeypatch.setattr(waitingcopies, "READY_SECONDS", inf)
        assert (await (await called(bus)).result())["state"] == "HALTED"
        await becomes(lambda: all_wait(world))


async def test_a_copy_that_ended_by_itself_is_nobody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        for copy in tuple(each for shelf in copies(world)._shelves.values() for each in shelf.copies):
            assert copy._program is not None
            copy._program.kill()
        await becomes(lambda: copies(world).count == 0)
        call = await called(bus)
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"aa"


async def test_a_copy_that_ends_as_it_is_taken_is_replaced_for_the_same_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        for copy in tuple(each for shelf in copies(world)._shelves.values() for each in shelf.copies):
            copy.settled.set()  # its keeper has given it up, and a call has it in its hand
        call = await called(bus)
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"aa"


@pytest.mark.parametrize("where", ["sandbox.program.Program.park", "sandbox.programcontext.Running.aclose"])
async def test_what_the_sandbox_cannot_do_with_a_copy_is_no_harm_to_anybody(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async def fails(_self: object) -> None:
        raise BrokenProgram("program-gone", "The program has ended.")

    async with warm_world(monkeypatch) as (world, bus):
        monkeypatch.setattr(where, fails)
        monkeypatch.setattr(waitingcopies, "READY_RUN_SECONDS", 0.0)
        copies(world).give_way(None)
        assert (await (await called(bus)).result())["state"] == "HALTED"
        await becomes(lambda: copies(world).count == copies(world).begun == READY_COPIES)
        call = await called(bus)
        assert (await call.result())["state"] == "HALTED"
        assert call.data == b"aa"


async def test_a_call_that_ends_before_it_begins_gives_its_copy_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        before = started(world)
        call = bus.call(b"twice", warm=True)
        call.cancel()
        await becomes(lambda: started(world) == before + 1 and all_wait(world))
        assert (await bus.ask("usage"))["instances"]["used"] == READY_COPIES


async def test_what_cannot_be_begun_ahead_is_begun_by_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        copies(world).give_way(None)
        await becomes(lambda: running(world) == 0)
        world.host.parts.box._backend.fail_starts = READY_COPIES  # type: ignore[attr-defined]
        for key in copies(world)._shelves:
            copies(world)._fill(key)
        await becomes(lambda: not copies(world).count)
        call = await called(bus)
        assert (await call.result())["state"] == "HALTED"


async def test_an_account_with_many_warm_programs_has_few_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        for number in range(READY_EACH):
            await bus.ask("warm", module=module(b"twice"), args=[str(number)])
        assert copies(world).count == READY_EACH
        await becomes(lambda: used(world) == READY_EACH)  # the last one that was warmed has ended, too


async def test_files_that_are_wanted_back_are_asked_for_when_a_process_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    async with warm_world(monkeypatch) as (world, bus):
        call = bus.call(b"twice", warm=True, want_files=True)
        await call.until(lambda each: each.accepted)
        assert copies(world).count == READY_COPIES
        call.write(b"a")
        assert (await call.result())["state"] == "HALTED"
