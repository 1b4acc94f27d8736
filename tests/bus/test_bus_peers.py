"""Programs at a host that are neighbours: one principal's meet, whatever links they hang on; others' are invisible."""

from __future__ import annotations

from contextlib import asynccontextmanager
from struct import pack, unpack_from
from typing import TYPE_CHECKING

from busworld import BOB, NAMES, BusWorld, Channel, Problems, Talker

from gatebus.discovery import request_content
from gatebus.host.server import Host
from gatebus.peers.shorttexts import texts
from gatebus.web.memorylink import MemoryNetwork
from sandbox import Sandbox, Settings
from sandbox.imagecache import ImageStore
from sandbox.packets import CALL, CODE_DISCOVERY, DATA, INFO, PAIR, encode, encode_data, encode_flow
from sandbox.testing import FakeGuest, open_fake_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JOINED, LEFT = 1, 2


async def neighbour(guest: FakeGuest) -> None:
    """Says in a group what its client says, and tells its client what it hears there, a line each."""
    await guest.send(encode(CODE_DISCOVERY, CALL, request_content(("origin", "group"))))
    assert (await guest.receive()).code == CODE_DISCOVERY
    await guest.send(encode(0, CALL))
    assert (await guest.receive()).domain == CALL
    await guest.send(encode(1, CALL, pack("<HH", 1, 1) + texts(b"room", b"", b"")))
    await guest.send(encode_flow(0, [(0, 60_000)]))
    while True:
        packet = await guest.receive()
        if (packet.code, packet.domain) == (0, DATA):
            said = packet.content[PAIR.size :]
            if not said:
                return
            await guest.send(encode(1, INFO, pack("<HHI", 4, 0, 0) + said))
        elif (packet.code, packet.domain) == (1, INFO):
            (kind,) = unpack_from("<H", packet.content)
            line = {JOINED: b"came", LEFT: b"went"}.get(kind, packet.content[8:])
            await guest.send(encode_data(0, 0, line + b"\n"))
        elif (packet.code, packet.domain) == (1, CALL):
            assert unpack_from("<h", packet.content) == (0,)
            await guest.send(encode_data(0, 0, b"here\n"))


@asynccontextmanager
async def street() -> AsyncIterator[BusWorld]:
    """A host whose fake programs are Gate's: those of WASI have no services."""

    @asynccontextmanager
    async def open_box() -> AsyncIterator[Sandbox]:
        async with open_fake_backend({b"neighbour": neighbour}) as backend:
            backend.personality = "gate"
            settings = Settings()
            yield Sandbox(backend, settings, ImageStore("", settings.compile_limits, settings.host_limits))

    problems = Problems()
    async with Host(known=NAMES.get, open_box=open_box, log=problems) as host:
        await host.parts.box.compile(b"neighbour")
        network = MemoryNetwork(host.attend, None)
        async with network.running():
            yield BusWorld(host, network)
    assert not problems.problems


async def arrive(bus: Talker) -> Channel:
    """It is in its group."""
    call = bus.call(neighbour)
    await call.until(lambda each: each.data.startswith(b"here\n"))
    return call


async def lines(call: Channel, *wanted: bytes) -> None:
    """Exactly these, after `here`."""
    whole = b"".join(line + b"\n" for line in (b"here", *wanted))
    await call.until(lambda each: len(each.data) >= len(whole))
    assert call.data == whole


async def test_programs_of_one_principal_meet_over_different_links() -> None:
    async with street() as world, world.talker() as bus, world.talker() as another:
        one = await arrive(bus)
        two = await arrive(another)
        await lines(two, b"came")
        one.write(b"hello")
        await lines(two, b"came", b"hello")
        two.write(b"hello yourself")
        await lines(one, b"came", b"hello yourself")
        one.end()
        await one.result()
        await lines(two, b"came", b"hello", b"went")


async def test_a_call_that_is_cancelled_is_a_death_to_the_others() -> None:
    async with street() as world, world.talker() as bus:
        one, two = await arrive(bus), await arrive(bus)
        one.cancel()
        await lines(two, b"came", b"went")


async def test_another_principal_and_strangers_see_nothing_and_each_stranger_is_alone() -> None:
    async with (
        street() as world,
        world.talker() as bus,
        world.talker(BOB) as bob,
        world.talker(None) as stranger,
        world.talker(None) as another,
    ):
        everybody = [await arrive(each) for each in (bus, bob, stranger, another)]
        for number, call in enumerate(everybody):
            call.write(b"is anybody there %d" % number)
        for call in everybody:
            call.end()
            await call.result()
            assert call.data == b"here\n"


async def test_two_programs_of_one_stranger_s_link_meet() -> None:
    async with street() as world, world.talker(None) as stranger:
        one, two = await arrive(stranger), await arrive(stranger)
        one.write(b"me too")
        await lines(two, b"came", b"me too")
