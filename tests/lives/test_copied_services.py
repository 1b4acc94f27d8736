"""What a service keeps of a program is the program's own: a copy begins without, unless the service says otherwise.

The service `lease` is as an author writes one: it gives a handle to whoever opens one, and keeps it. The program opens
one when it begins, and then does what its client asks.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from guestfiles import require_guest
from liveworld import digest, live_world
from test_live_instances import ONE, THREE, TWO
from test_restarts import graceful, recorded, until
from test_snapshots_as_files import brought, exported, taken

from gatebus.host.lives.recordsof import record_of
from gatebus.host.server import Host
from gatebus.services.base import Call, Service
from gatebus.services.service_table import BUILTIN, Builtin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from busworld import Channel, Talker

    from gatebus.services.base import Outlet

pytestmark = pytest.mark.usefixtures("native")


class Lease(Service):
    """`o` opens a handle, `w` waits for something that never comes, anything else says which handle there is."""

    def __init__(self, outlet: Outlet, numbers: Iterator[int]) -> None:
        super().__init__(outlet)
        self._numbers, self._handle = numbers, b""

    def call(self, call: Call) -> None:
        if call.content == b"w":
            return
        if call.content == b"o":
            self._handle = b"lease-%d" % next(self._numbers)
        self.outlet.reply(call.ticket, self._handle)

    def save(self) -> bytes:
        return self._handle

    def restore(self, state: bytes) -> None:
        self._handle = state


class SharedLease(Lease):
    """It says otherwise."""

    def for_copy(self, state: bytes) -> bytes:
        return state


@pytest.fixture
def program() -> bytes:
    return require_guest("tests/gate_lease.wasm").read_bytes()


@pytest.fixture(autouse=True)
def leases(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Lease, 1)


def offer(monkeypatch: pytest.MonkeyPatch, service: type[Lease], first: int) -> None:
    """By the hosts that begin from now on. Their handles are numbered from there."""
    numbers = count(first)
    line = Builtin(service, "0", lambda world, entries, outlet: service(outlet, numbers))
    monkeypatch.setattr(Host, "services", {**BUILTIN, "lease": line})


async def launch(bus: Talker, program: bytes) -> None:
    """It has the first handle."""
    await bus.ask("launch", instance=ONE, module=digest(program), function="serve")
    assert await says(bus, ONE, b"u") == "lease-1"


async def says(bus: Talker, instance: bytes, asked: bytes) -> str:
    """To a client of its own."""
    client = await bus.io(instance).until(lambda each: each.accepted)
    said = await answer(client, asked)
    client.end()
    await client.result()
    return said


async def answer(client: Channel, asked: bytes) -> str:
    client.write(asked)
    await client.until(lambda each: each.data.endswith(b"\n"))
    return client.data.decode().splitlines()[-1]


async def test_who_goes_on_after_a_stop_has_its_handle(image_directory: Path, program: bytes) -> None:
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await launch(bus, program)
        for depth in ("stored", "parked"):
            await bus.ask("suspend", instance=ONE, depth=depth)
            assert await says(bus, ONE, b"u") == "lease-1"
        await bus.ask("snapshot", instance=ONE)
        assert await says(bus, ONE, b"u") == "lease-1", "for a snapshot it is stopped, too"


@pytest.mark.parametrize("in_good_order", [True, False])
async def test_who_goes_on_after_a_restart_has_its_handle(
    in_good_order: bool, image_directory: Path, tmp_path: Path, program: bytes
) -> None:
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        await launch(bus, program)
        await taken(bus)
        if in_good_order:
            await graceful(world)
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        assert await says(bus, ONE, b"u") == "lease-1"


async def test_copies_begin_without_their_original_s_handle(image_directory: Path, program: bytes) -> None:
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await launch(bus, program)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        await bus.ask("restore", snapshot=await taken(bus), instance=THREE)
        for each, how in ((TWO, "3"), (THREE, "2")):
            assert await says(bus, each, b"i") == how
            assert await says(bus, each, b"u") == "nothing"
        assert await says(bus, ONE, b"u") == "lease-1"


async def test_a_copy_keeps_a_handle_of_its_own(image_directory: Path, tmp_path: Path, program: bytes) -> None:
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        await launch(bus, program)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        assert await says(bus, TWO, b"o") == "lease-2"
        await bus.ask("suspend", instance=TWO)
        assert await says(bus, TWO, b"u") == "lease-2"
        await graceful(world)
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        assert [await says(bus, each, b"u") for each in (ONE, TWO)] == ["lease-1", "lease-2"]


async def test_what_is_restored_when_its_original_is_gone_is_a_copy_still(
    image_directory: Path, program: bytes
) -> None:
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await launch(bus, program)
        snapshot = await taken(bus)
        await bus.ask("kill", instance=ONE)
        await bus.ask("delete", instance=ONE)
        await bus.ask("restore", snapshot=snapshot, instance=TWO)
        assert await says(bus, TWO, b"u") == "nothing"


@pytest.mark.parametrize("operation", ["clone", "restore"])
async def test_a_copy_that_goes_back_to_its_beginning_is_a_copy_still(
    operation: str, image_directory: Path, tmp_path: Path, program: bytes
) -> None:
    """Nothing of its own was stored when the host crashed."""
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        await launch(bus, program)
        if operation == "clone":
            await bus.ask("clone", instance=ONE, instances=[TWO], durable=True)
        else:
            await bus.ask("restore", snapshot=await taken(bus), instance=TWO)
        assert await says(bus, TWO, b"o") == "lease-2"
        await recorded(world, TWO, "running")
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        await until(bus, TWO, state="RUNNING")
        assert await says(bus, TWO, b"u") == "nothing"


async def test_a_copy_that_had_no_room_is_a_copy_still(image_directory: Path, tmp_path: Path, program: bytes) -> None:
    """It is loaded anew, and its record is written again: that does not make it an original."""
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        await launch(bus, program)
        await bus.ask("restore", snapshot=await taken(bus), instance=TWO)
        await recorded(world, TWO, "running")
    async with live_world(image_directory, tmp_path, program) as world, world.talker() as bus:
        await until(bus, TWO, state="RUNNING")
        parts = world.host.parts
        copy = next(each for each in parts.registry.running() if each.id == TWO)
        assert copy.live is not None
        assert copy.live.snapshot is not None
        loaded = await parts.lives.loading.fetch(copy.live.snapshot, copy.order.principal.account)
        assert b"copied" in record_of(copy, "stored", loaded).about


@pytest.mark.parametrize("form", ["file", "state"])
async def test_a_file_brings_no_handle_into_another_host(
    form: str, image_directory: Path, program: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which has never given it out: whoever writes files would have any that he likes."""
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await launch(bus, program)
        data = await exported(bus, await taken(bus), form=form)
    offer(monkeypatch, Lease, 1_000)
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        snapshot = (await brought(bus, data))["snapshot"]
        await bus.ask("restore", snapshot=snapshot, instance=ONE)
        assert await says(bus, ONE, b"u") == "nothing"
        assert await says(bus, ONE, b"o") == "lease-1000"
        await bus.ask("suspend", instance=ONE)
        assert await says(bus, ONE, b"u") == "lease-1000"


async def test_calls_of_what_is_warm_begin_without_its_handle(image_directory: Path, program: bytes) -> None:
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await bus.ask("warm", module=digest(program), function="serve")
        for _ in range(2):
            call = await bus.call(program, warm=True, function="serve").until(lambda each: each.accepted)
            assert await answer(call, b"u") == "nothing"
            call.cancel()


async def test_in_a_copy_what_its_original_waits_for_is_answered_with_nothing(
    image_directory: Path, program: bytes
) -> None:
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await launch(bus, program)
        client = await bus.io(ONE).until(lambda each: each.accepted)
        client.write(b"w")
        await bus.ask("clone", instance=ONE, instances=[TWO])
        assert await says(bus, TWO, b"o") == "lease-2"
        await bus.ask("clone", instance=TWO, instances=[THREE])
        assert await says(bus, THREE, b"u") == "nothing"
        assert not client.data


async def test_a_service_that_says_so_has_its_state_in_copies_too(
    image_directory: Path, program: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, SharedLease, 1)
    async with live_world(image_directory, None, program) as world, world.talker() as bus:
        await launch(bus, program)
        await bus.ask("clone", instance=ONE, instances=[TWO])
        assert [await says(bus, each, b"u") for each in (ONE, TWO)] == ["lease-1", "lease-1"]
