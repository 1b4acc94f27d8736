"""A service of one's own in a host: one class, one line in a table, and programs find it by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from busworld import bus_world

import sandbox.testing
from gatebus.discovery import request_content
from gatebus.host.server import Host
from gatebus.protocol.messages import Log
from gatebus.services.base import Call, Service
from gatebus.services.service_table import BUILTIN, Builtin
from sandbox.packets import CALL, CODE_DISCOVERY, encode
from sandbox.testing import fake_facts

if TYPE_CHECKING:
    from busworld import Talker

    from sandbox.testing import FakeGuest


class Upper(Service):
    """Answers each call with its text in capitals."""

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, call.content.upper())


UPPER = Builtin(Upper, "0", lambda world, entries, outlet: Upper(outlet))


async def shouts(guest: FakeGuest) -> None:
    """Looks for `upper`, asks it, and logs what it said; or that there is none."""
    await guest.send(encode(CODE_DISCOVERY, CALL, request_content(["upper"])))
    found = await guest.receive()
    said = b"no upper here"
    if found.content[-1] & 1:
        await guest.send(encode(0, CALL, b"hello"))
        said = (await guest.receive()).content
    await guest.log(said)


@pytest.fixture(autouse=True)
def programs_that_speak_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have no way to look for services, and get none."""
    monkeypatch.setattr(sandbox.testing, "fake_facts", lambda wasm, _personality: fake_facts(wasm, "gate"))


async def said_by(bus: Talker) -> bytes:
    call = bus.call(shouts)
    await call.result()
    return b"".join(each.data for each in call.heard if isinstance(each, Log))


async def test_a_program_finds_a_service_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "services", {**BUILTIN, "upper": UPPER})
    async with bus_world(programs={b"shouts": shouts}) as world, world.talker() as bus:
        assert await said_by(bus) == b"HELLO"


async def test_without_its_line_nobody_finds_it() -> None:
    async with bus_world(programs={b"shouts": shouts}) as world, world.talker() as bus:
        assert await said_by(bus) == b"no upper here"
