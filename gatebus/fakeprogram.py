"""Shipped for tests: a program without a sandbox, which says and reads what a test wants; a wire (trio's events).

In:  packets that a test has for the host. Out: those that the host has for the program. It is the program's side of an
     Exchange, with MockClock where time matters.
"""

from collections import deque
from dataclasses import dataclass, field

import trio

from gatebus.discovery import request_content
from sandbox.errors import BrokenProgram
from sandbox.outcome import Cause
from sandbox.packets import CALL, CODE_DISCOVERY, HEADER, Packet, encode, padded


def arrived(data: bytes) -> tuple[list[Packet], bytes]:
    """What a guest reads: whole packets that the host made, and the beginning of one that is still under way."""
    packets, at = [], 0
    while at + HEADER.size <= len(data):
        size, code, domain, index = HEADER.unpack_from(data, at)
        if at + padded(size) > len(data):
            break
        packets.append(Packet(code, domain, bytes(data[at + HEADER.size : at + size]), index))
        at += padded(size)
    return packets, bytes(data[at:])


@dataclass
class FakeProgram:
    """What sandbox.Program is to an Exchange, with a test in the guest's place.

    `buffer` is what the kernel would hold for a guest that does not read.
    """

    buffer: int = 64 * 1024
    killed: Cause | None = None
    _output: deque[bytes] = field(default_factory=deque)
    _input: bytearray = field(default_factory=bytearray)
    _partial: bytes = b""
    _packets: list[Packet] = field(default_factory=list)
    _ended: bool = False
    _changed: trio.Event = field(default_factory=trio.Event)

    # The exchange's side.

    @property
    def said_all(self) -> bool:
        return self._ended and not self._output

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._output:
            if self._ended:
                return b""
            await self._change()
        batch = b"".join(self._output)
        self._output.clear()
        self._note()
        return batch

    def send_nowait(self, data: bytes) -> int:
        if self._ended:
            raise BrokenProgram("program-gone", "The program is gone.")
        taken = min(len(data), self.buffer - len(self._input))
        self._input += data[:taken]
        self._note()
        return taken

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        sent = 0
        while (sent := sent + self.send_nowait(data[sent : sent + self.buffer])) < len(data):
            await self._change()

    def kill(self, cause: Cause = Cause.KILLED) -> None:
        self.killed = self.killed or cause
        self.end()

    # The guest's side.

    def write(self, *packets: bytes) -> None:
        """What the guest sends, as one batch with whatever was not read yet."""
        self._output.extend(packets)
        self._note()

    def discover(self, *names: str) -> None:
        self.write(encode(CODE_DISCOVERY, CALL, request_content(names)))

    @property
    def unread(self) -> int:
        """Bytes of output that the exchange has not taken: back-pressure on the guest."""
        return sum(map(len, self._output))

    async def read(self) -> Packet:
        """The next packet that arrives at the guest."""
        while not self._packets:
            self._partial += self._input
            self._input.clear()
            self._note()
            self._packets, self._partial = arrived(self._partial)
            if not self._packets:
                await self._change()
        return self._packets.pop(0)

    def end(self) -> None:
        self._ended = True
        self._note()

    async def _change(self) -> None:
        await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
