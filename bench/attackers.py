"""People who take all that a host gives: each attack of bench.bystanders, in a process of its own.

    python -m bench.attackers SOCKET ATTACK

It connects to the host's unix socket, prints "ready" when the attack is under way, and goes on until its input ends.
It has the lowest priority there is, so that what it costs itself is not what is measured: an attacker of another
machine would not compete for this machine's processors either.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

import trio

from bench.guests import HELLO
from gatebus.client import HostError, Program, connect
from gatebus.protocol.messages import ClientHello, Open, Ping, encode
from gatebus.web.frames import masked_binary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

SPINNERS, FLIGHT, FLOOD_LINKS = 32, 16, 4
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


async def _calls(path: str, module: bytes, flight: int) -> None:
    """So many calls of one program at once, each followed by the next."""
    async with connect(f"unix:{path}") as bus, trio.open_nursery() as nursery:
        await bus.upload(module)

        async def again() -> None:
            while True:
                try:
                    await bus.call(Program(module))
                except HostError:
                    await trio.sleep(0.01)

        for _ in range(flight):
            nursery.start_soon(again)
        await trio.sleep(0.5)
        print("ready", flush=True)


async def spinners(path: str) -> None:
    await _calls(path, SPIN, SPINNERS)


async def short_spinners(path: str) -> None:
    await _calls(path, SHORT_SPIN, FLIGHT)


async def calls(path: str) -> None:
    await _calls(path, HELLO, FLIGHT)


def _entered(path: str) -> socket.socket:
    """A websocket that has said hello, with a mask that changes nothing."""
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    link.sendall("\r\n".join(UPGRADE).encode())
    link.sendall(_frame(encode(ClientHello((1,), "attacker", (), os.urandom(32), None))))
    return link


def _frame(message: bytes) -> bytes:
    return masked_binary(message, UNMASKED)


def _flood(path: str, pieces: Callable[[], Iterator[bytes]], links: int = FLOOD_LINKS) -> None:
    """As fast as the host reads, and whatever it answers is dropped."""

    def one() -> None:
        link = _entered(path)
        threading.Thread(target=_drop_answers, args=(link,), daemon=True).start()
        for piece in pieces():
            link.sendall(piece)

    for _ in range(links):
        threading.Thread(target=one, daemon=True).start()


def _drop_answers(link: socket.socket) -> None:
    dropped = bytearray(1 << 16)
    while link.recv_into(dropped):
        pass


def _opens() -> Iterator[bytes]:
    number = 0
    while True:
        piece = b"".join(_frame(encode(Open(number + each, "nonsense", {}, 0))) for each in range(1, 1001))
        number += 1000
        yield piece


def _repeated(message: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        while True:
            yield message * 1000

    return pieces


async def opens(path: str) -> None:
    await _flooding(path, _opens)


async def pings(path: str) -> None:
    """Of the protocol gatebus.v1."""
    await _flooding(path, _repeated(_frame(encode(Ping(7)))))


async def websocket_pings(path: str) -> None:
    await _flooding(path, _repeated(struct.pack(">BB", 0x89, 0x80) + UNMASKED))


async def _flooding(path: str, pieces: Callable[[], Iterator[bytes]]) -> None:
    _flood(path, pieces)
    await trio.sleep(0.5)
    print("ready", flush=True)
    await trio.sleep_forever()


async def links(path: str) -> None:
    """Connections that say hello and go, as fast as they can be made."""

    async def again() -> None:
        while True:
            link = await trio.to_thread.run_sync(_entered, path)
            link.close()

    async with trio.open_nursery() as nursery:
        for _ in range(FLIGHT):
            nursery.start_soon(again)
        print("ready", flush=True)


ATTACKS: dict[str, Callable[[str], Awaitable[Any]]] = {
    each.__name__: each for each in (spinners, short_spinners, calls, opens, pings, websocket_pings, links)
}


async def main(path: str, attack: str) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ATTACKS[attack], path)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
