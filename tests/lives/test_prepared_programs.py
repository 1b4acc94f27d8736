"""What a stored program goes on with is compiled before anybody wakes it: fake programs, counted compilations."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import trio
import trio.testing
from busworld import Streams, Talker, bus_world, module, put

from gatebus.accountbounds import PREPARED_EACH
from sandbox.errors import CompileLimit, SandboxBroken, SandboxError
from sandbox.form import CompileJob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest
    from busworld import BusWorld

    from sandbox.testing import FakeGuest

ONE = b"1" * 16


async def waits(guest: FakeGuest) -> None:
    streams = Streams(guest)
    while data := await streams.read():
        await streams.write(data)


class Compiler:
    """In the place of the fake one: counts continuations, and holds them while the gate is shut."""

    def __init__(self, world: BusWorld) -> None:
        self._backend: Any = world.host.parts.box._backend
        self._compile, self._backend.compile_job = self._backend.compile_job, self.compile_job
        self.asked = self.made = 0
        self.gate = trio.Event()
        self.fault: SandboxError | None = None

    async def compile_job(self, wasm: bytes, limits: Any, job: CompileJob = CompileJob.PLAIN) -> Any:
        if job is not CompileJob.CONTINUE:
            return await self._compile(wasm, limits, job)
        self.asked += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.made += 1
        return await self._compile(wasm, limits, job)


@asynccontextmanager
async def world_of_stored() -> AsyncIterator[tuple[BusWorld, Talker, Compiler]]:
    """One program is launched; it waits."""
    async with bus_world(None, {b"waits": waits}) as world:
        await put(world.host, b"waits")
        async with world.talker() as bus:
            await launch(bus, ONE)
            yield world, bus, Compiler(world)


async def launch(bus: Talker, instance: bytes) -> None:
    await bus.ask("launch", instance=instance, module=module(b"waits"))
    while not (await bus.ask("status", instance=instance))["usage"]["bytes_out"]:
        continue


def known(world: BusWorld) -> Any:
    return world.host.parts.registry.known(UUID(bytes=ONE))


async def comes_to(compiler: Compiler, count: int) -> None:
    while compiler.asked < count:
        await trio.testing.wait_all_tasks_blocked()


async def test_a_stored_program_is_woken_without_the_compiler() -> None:
    async with world_of_stored() as (_world, bus, compiler):
        compiler.gate.set()
        await bus.ask("suspend", instance=ONE)
        await comes_to(compiler, 1)
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        stream.write(b"x")
        await stream.until(lambda each: each.data == b"x")
        assert (compiler.asked, compiler.made) == (1, 1)


async def test_who_wakes_it_meanwhile_waits_for_the_same_compiler() -> None:
    async with world_of_stored() as (_world, bus, compiler):
        await bus.ask("suspend", instance=ONE)
        await comes_to(compiler, 1)
        woken = bus.open("resume", {"instance": ONE})
        await trio.testing.wait_all_tasks_blocked()
        assert (compiler.asked, compiler.made) == (1, 0)
        compiler.gate.set()
        assert (await woken.result())["state"] == "RUNNING"
        assert compiler.asked == 1


async def test_what_the_compiler_cannot_make_ahead_is_tried_again_when_it_is_wanted() -> None:
    async with world_of_stored() as (world, bus, compiler):
        compiler.fault = SandboxBroken("compiler-lost", "The compiler ended.")
        compiler.gate.set()
        await bus.ask("suspend", instance=ONE)
        await comes_to(compiler, 1)
        while world.host.parts.lives.preparing.under_way:
            await trio.testing.wait_all_tasks_blocked()
        compiler.fault = None
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
        assert (compiler.asked, compiler.made) == (2, 1)


async def test_an_account_has_few_of_these_at_a_time() -> None:
    async with world_of_stored() as (world, bus, compiler):
        for number in range(PREPARED_EACH + 2):
            instance = bytes([number]) * 16
            await launch(bus, instance)
            await bus.ask("suspend", instance=instance)
        assert world.host.parts.lives.preparing.under_way == PREPARED_EACH
        assert compiler.asked <= 1
        compiler.gate.set()
        while world.host.parts.lives.preparing.under_way:
            await trio.testing.wait_all_tasks_blocked()
        assert compiler.made == 1


async def test_a_host_that_stops_makes_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world_of_stored() as (world, bus, compiler):
        monkeypatch.setattr(world.host.parts, "stopping", True)
        await world.host.parts.lives.store(known(world), again=True)
        await trio.testing.wait_all_tasks_blocked()
        assert (world.host.parts.lives.preparing.under_way, compiler.asked) == (0, 0)
        assert (await bus.ask("status", instance=ONE))["depth"] == "stored"


async def test_who_asks_how_it_is_hears_that_it_does_not_go_on_before_anybody_has_tried() -> None:
    async with world_of_stored() as (world, bus, compiler):
        compiler.fault = CompileLimit("compile-memory", "Compiling the program needs more than 9 MiB of memory.")
        compiler.gate.set()
        await bus.ask("suspend", instance=ONE)
        while world.host.parts.lives.preparing.under_way:
            await trio.testing.wait_all_tasks_blocked()
        failure = (await bus.ask("status", instance=ONE))["failure"]
        assert failure["text"] == (
            "Compiling the program needs more than 9 MiB of memory. So it does not go on from its state as it is. "
            "`gatebus export` makes one module of the state, with which `gatebus run --ignore-state` goes on; "
            "one of more than 32 MiB takes another runtime."
        )
        compiler.fault = None
        assert (await bus.ask("resume", instance=ONE))["state"] == "RUNNING"
        assert "failure" not in await bus.ask("status", instance=ONE)
