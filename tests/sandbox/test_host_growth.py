"""What a program can make the host process spend:

at most 64 MiB for each attack, whatever it writes or does not read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio
import wat_programs as wat

import sandbox
from sandbox import Limits, Setup, Tree
from sandbox.packets import CODE_CONTROL, HEADER, encode
from sandbox.testing import FakeGuest, Script, open_fake_sandbox

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")

ALLOWED = 64 << 20
SECONDS = 0.7


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def attack(program: sandbox.Program) -> int:
    """Read what comes for a while, or until it ends; the highest growth seen."""
    before = highest = resident()
    with trio.move_on_after(SECONDS):
        try:
            async for _packets in program:
                highest = max(highest, resident())
        except sandbox.PacketViolation:
            pass
        await program.wait()
    return max(highest, resident()) - before


PROGRAMS = {
    "writes for ever": wat.WRITE_FOR_EVER,
    "logs for ever": wat.LOG_FOR_EVER,
    "writes the smallest packets": wat.gate_flood(encode(-1, 0, b"\1\0\1x") * 1000),
    "loops": wat.BUSY,
    "grows": wat.grow_to(1024),
    "recurses": wat.recurse(100_000_000),
    "sleeps": wat.SLEEP,
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_guest_cannot_make_the_host_grow(box: sandbox.Sandbox, name: str) -> None:
    image = await box.compile(PROGRAMS[name])
    setup = Setup(origin_credit=(1 << 31) - 1, tree=Tree())
    async with box.start(image, setup, Limits(log=1 << 30)) as program:
        assert await attack(program) < ALLOWED


async def test_an_unread_program_cannot_make_the_host_grow(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.WRITE_FOR_EVER)
    before = resident()
    async with box.start(image, Setup(origin_credit=(1 << 31) - 1), Limits(wall_time=SECONDS)) as program:
        await program.wait()
        assert resident() - before < ALLOWED


def for_ever(*packets: bytes) -> Script:
    """What a native attacker in the runtime's place may write."""

    async def script(guest: FakeGuest) -> None:
        while True:
            for packet in packets:
                await guest.send(packet)

    return script


async def invents_headers(guest: FakeGuest) -> None:
    for code in range(32_768):
        for index in range(256):
            await guest.send(HEADER.pack(8, code, 0, index))


async def invents_files(guest: FakeGuest) -> None:
    for number in range(1_000_000):
        path = f"{number:0200d}".encode()
        content = b"\4" + bytes(3) + len(path).to_bytes(4, "little") + bytes(8) + path
        await guest.send(encode(CODE_CONTROL, 0, content, 4))


def node(kind: int, path: str, target: str = "") -> bytes:
    name = path.encode()
    content = bytes((kind, 0, 0, 0)) + len(name).to_bytes(4, "little") + bytes(8) + name + target.encode()
    return encode(CODE_CONTROL, 0, content, 4)


async def invents_depths(guest: FakeGuest) -> None:
    """No directory is sent: the host would have to think of 255 for each node."""
    for number in range(4_096):
        await guest.send(node(3, "/".join([f"{number:015x}"] * 255)))


async def invents_names(guest: FakeGuest) -> None:
    """Letters of which Python keeps each in four bytes, because one of them needs that."""
    for number in range(4_096):
        await guest.send(node(7, f"{number}", "\N{GRINNING FACE}" + "x" * 4_000))


async def writes_one_file(guest: FakeGuest) -> None:
    await guest.send(encode(CODE_CONTROL, 0, b"\4" + bytes(3) + b"\1\0\0\0" + bytes(8) + b"a", 4))
    while True:
        await guest.send(encode(CODE_CONTROL, 0, bytes(60_000), 5))


ATTACKERS: dict[str, Script] = {
    "logs": for_ever(encode(CODE_CONTROL, 0, b"\1" + bytes(60_000), 7)),
    "reports": for_ever(encode(CODE_CONTROL, 0, bytes(24) + b"x" * 200, 8)),
    "content": writes_one_file,
    "headers": invents_headers,
    "files": invents_files,
    "depths": invents_depths,
    "names": invents_names,
    "half a packet": for_ever(HEADER.pack(65_536, 0, 0, 0)),
}


@pytest.mark.parametrize("name", ATTACKERS)
async def test_an_attacker_in_the_runtimes_place_cannot_make_the_host_grow(name: str) -> None:
    async with open_fake_sandbox({b"it": ATTACKERS[name]}) as box:
        image = await box.compile(b"it")
        async with box.start(image, Setup(tree=Tree()), Limits()) as program:
            assert await attack(program) < ALLOWED
