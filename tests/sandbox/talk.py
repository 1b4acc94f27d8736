"""What the tests do with a program: be the origin of a WASI program, until it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import sandbox
from sandbox.packets import DATA, DATA_MAX, FLOW, PAIR, encode_data, encode_flow, split_untrusted


@dataclass
class Result:
    outcome: sandbox.Outcome
    stdout: bytes
    log: bytes
    tree: sandbox.Tree | None = None


@dataclass
class Origin:
    """The other end of a WASI program's standard input and output: gives credit as it reads, sends when it may."""

    program: sandbox.Program
    stdin: bytes = b""
    stdout: bytearray = field(default_factory=bytearray)
    finished: bool = False

    async def handle(self, packets: bytes) -> None:
        for packet in split_untrusted(packets):
            assert packet.code == 0
            if packet.domain == DATA and len(packet.content) > PAIR.size:
                self.stdout += packet.content[PAIR.size :]
                await self.answer(encode_flow(0, [(0, len(packet.content) - PAIR.size)]))
            elif packet.domain == FLOW and not self.finished:
                _stream, credit = PAIR.unpack_from(packet.content)
                piece, self.stdin = self.stdin[:credit], self.stdin[credit:]
                for at in range(0, len(piece), DATA_MAX):
                    await self.answer(encode_data(0, 0, piece[at : at + DATA_MAX]))
                if not self.stdin:
                    self.finished = True
                    await self.answer(encode_data(0, 0, b""))

    async def answer(self, packet: bytes) -> None:
        try:
            await self.program.send(packet)
        except sandbox.BrokenProgram:
            return  # it ended while we read what it wrote before


async def run(
    box: sandbox.Sandbox,
    wasm: bytes,
    setup: sandbox.Setup | None = None,
    limits: sandbox.Limits | None = None,
    stdin: bytes = b"",
) -> Result:
    image = await box.compile(wasm)
    log = bytearray()
    async with box.start(image, setup, limits) as program:
        program.on_log = lambda _stream, data: log.extend(data)
        origin = Origin(program, stdin)
        async for packets in program:
            await origin.handle(packets)
        outcome = await program.wait()
        return Result(outcome, bytes(origin.stdout), bytes(log), program.tree())
