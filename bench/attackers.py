"""People who take all that a host gives: each attack of bench.bystanders, in a process of its own.

    python -m bench.attackers SOCKET ATTACK [ROUNDS]

It connects to the host's unix socket, prints "ready" when the attack is under way, and goes on until its input ends;
with ROUNDS it does so much, prints "ready" and holds what it has got.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

import trio

from bench.bus_guests import STREAM
from bench.guests import HELLO
from gatebus.client import HostError, Program, connect
from gatebus.protocol.messages import ClientHello, Open, Ping, encode
from gatebus.web.frames import masked_binary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

SPINNERS, FLIGHT, FLOOD_LINKS = 32, 16, 4
MESSAGES = 1_000  # of one round of a flood on one link
MOST_WINDOW = 2**31 - 1
UNMASKED = bytes(4)
UPGRADE = (
    "GET /bus HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: gatebus.v1\r\n\r\n",
)

SPIN = b'(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'

# 2^24 turns of a loop: some ten milliseconds.
SHORT_SPIN = b"""
(module (memory (export "memory") 1) (func (export "_start") (local $left i32)
  (local.set $left (i32.const 16777216))
  (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))
"""


Rounds = int | None


def _ready() -> None:
    print("ready", flush=True)


async def _calls(path: str, module: bytes, flight: int, rounds: Rounds) -> None:
    """So many calls of one program at once, each followed by the next."""
    async with connect(f"unix:{path}") as bus:
        await bus.upload(module)

        async def again() -> None:
            for _ in itertools.count() if rounds is None else range(rounds):
                try:
                    await bus.call(Program(module))
                except HostError:
                    await trio.sleep(0.01)

        async with trio.open_nursery() as calling:
            for _ in range(flight):
                calling.start_soon(again)
            if rounds is None:
                await trio.sleep(0.5)
                _ready()
        _ready()


async def spinners(path: str, _rounds: Rounds) -> None:
    await _calls(path, SPIN, SPINNERS, None)


async def short_spinners(path: str, rounds: Rounds) -> None:
    await _calls(path, SHORT_SPIN, FLIGHT, rounds)


async def calls(path: str, rounds: Rounds) -> None:
    await _calls(path, HELLO, FLIGHT, rounds)


def _entered(path: str) -> socket.socket:
    """A websocket that has said hello, with a mask that changes nothing."""
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    link.sendall("\r\n".join(UPGRADE).encode())
    link.sendall(_frame(encode(ClientHello((1,), "attacker", (), os.urandom(32), None))))
    return link


def _frame(message: bytes) -> bytes:
    return masked_binary(message, UNMASKED)


def _flood_one(path: str, pieces: Iterator[bytes]) -> None:
    """As fast as the host reads; whatever it answers is dropped. To the end of what it says."""
    with _entered(path) as link:
        dropping = threading.Thread(target=_drop_answers, args=(link,), daemon=True)
        dropping.start()
        for piece in pieces:
            link.sendall(piece)
        link.shutdown(socket.SHUT_WR)
        dropping.join()


def _drop_answers(link: socket.socket) -> None:
    dropped = bytearray(1 << 16)
    while link.recv_into(dropped):
        pass


async def _flood(path: str, pieces: Callable[[], Iterator[bytes]], rounds: Rounds) -> None:
    threads = [
        threading.Thread(target=_flood_one, args=(path, itertools.islice(pieces(), rounds)), daemon=True)
        for _ in range(FLOOD_LINKS)
    ]
    for thread in threads:
        thread.start()
    if rounds is None:
        await trio.sleep(0.5)
        _ready()
        await trio.sleep_forever()
    for thread in threads:
        await trio.to_thread.run_sync(thread.join)
    _ready()


def _opens() -> Iterator[bytes]:
    for first in itertools.count(1, MESSAGES):
        yield b"".join(_frame(encode(Open(first + each, "nonsense", {}, 0))) for each in range(MESSAGES))


async def opens(path: str, rounds: Rounds) -> None:
    await _flood(path, _opens, rounds)


async def pings(path: str, rounds: Rounds) -> None:
    """Of the protocol gatebus.v1."""
    await _flood(path, lambda: itertools.repeat(_frame(encode(Ping(7))) * MESSAGES), rounds)


async def websocket_pings(path: str, rounds: Rounds) -> None:
    ping = struct.pack(">BB", 0x89, 0x80 | 100) + UNMASKED + bytes(100)
    await _flood(path, lambda: itertools.repeat(ping * MESSAGES), rounds)


async def fragments(path: str, rounds: Rounds) -> None:
    """Of a message that never ends."""
    first, more = struct.pack(">BB", 0x02, 0x80) + UNMASKED, struct.pack(">BB", 0x00, 0x80) + UNMASKED
    await _flood(path, lambda: itertools.chain([first], itertools.repeat(more * MESSAGES)), rounds)


async def unread(path: str, rounds: Rounds) -> None:
    """Programs that write for ever, to links that never read: `rounds` times SPINNERS on each of FLOOD_LINKS links."""
    async with connect(f"unix:{path}") as bus:
        await bus.upload(STREAM)
    held = [_entered(path) for _ in range(FLOOD_LINKS * (rounds or 1))]
    module = hashlib.sha256(STREAM).digest()
    for number, link in itertools.product(range(1, SPINNERS + 1), held):
        given = {"stream": os.urandom(16), "module": module}
        link.sendall(_frame(encode(Open(number, "call", given, MOST_WINDOW))))
    await trio.sleep(1)
    _ready()
    await trio.sleep_forever()


async def modules(path: str, rounds: Rounds) -> None:
    """As many as there is room for, each with bytes of its own."""
    async with connect(f"unix:{path}") as bus:
        for number in itertools.count() if rounds is None else range(rounds * 10):
            name = f"{number:08}".encode()
            await bus.upload(HELLO.replace(b"(module", b"(module (; " + name + b" ;)", 1))
            if number == FLIGHT:
                _ready()
    _ready()


async def links(path: str, rounds: Rounds) -> None:
    """Connections that say hello and go, as fast as they can be made."""

    async def again() -> None:
        for _ in itertools.count() if rounds is None else range(rounds):
            link = await trio.to_thread.run_sync(_entered, path)
            link.close()

    async with trio.open_nursery() as nursery:
        for _ in range(FLIGHT):
            nursery.start_soon(again)
        if rounds is None:
            _ready()
    _ready()


async def half_open(path: str, rounds: Rounds) -> None:
    """Connections that never say anything: more than are let in."""
    held = []
    for _ in range((rounds or 100) * 10):
        link = socket.socket(socket.AF_UNIX)
        link.connect(path)
        held.append(link)
        await trio.lowlevel.checkpoint()
    _ready()
    await trio.sleep_forever()


ATTACKS: dict[str, Callable[[str, Rounds], Awaitable[Any]]] = {
    each.__name__: each
    for each in (
        *(spinners, short_spinners, calls, opens, pings, websocket_pings),
        *(fragments, unread, modules, links, half_open),
    )
}


async def main(path: str, attack: str, rounds: str = "") -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ATTACKS[attack], path, int(rounds) if rounds else None)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
