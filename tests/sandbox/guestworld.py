"""A world for one guest program in a test: its services, scripted callers at its origin, its log; all through the
public interface of `sandbox` and the exchange.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
from guestfiles import require_guest

from gatebus.exchange import Exchange
from gatebus.peers.neighbourhood import Resident
from gatebus.services.identity import Identities
from gatebus.services.origin import Door, Origin, Stream
from gatebus.services.service_table import World, offers
from gatebus.switchboard import Switchboard
from sandbox import Limits, Outcome, Program, Sandbox, Setup, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gatebus.services.base import Offer
    from gatebus.turn import Turn

INSTANCE = "5d4f93d5-2a7c-4d7a-9c0b-1d5f0b6f7a55"


def guest(path: str) -> bytes:
    """A program that `make guests` has built."""
    return require_guest(path).read_bytes()


class Caller:
    """Somebody at the other end of a connection: sends its input as it gets credit, then ends it; keeps the output."""

    def __init__(self, data: bytes = b"") -> None:
        self.output = bytearray()
        self.packets = 0  # of output
        self.ended_by_program = trio.Event()
        self._input = data
        self._stream: Stream | None = None
        self._taken = 0
        self._lost = False
        self._news = trio.Event()

    def opened(self, stream: Stream) -> None:
        self._stream = stream
        self._news.set()

    def ready(self) -> None:
        self._news.set()

    def data(self, data: bytes) -> None:
        self.output += data
        self.packets += 1
        self._taken += len(data)
        self._news.set()

    def ended(self, note: int) -> None:
        assert note == 0
        self.ended_by_program.set()

    def lost(self) -> None:
        self._lost = True
        self._news.set()

    async def serve(self) -> None:
        """Until the program is gone."""
        while not self._lost:
            await self._news.wait()
            self._news = trio.Event()
            if self._stream is not None and not self._lost:
                self._step(self._stream)

    def _step(self, stream: Stream) -> None:
        taken, self._taken = self._taken, 0
        if taken:
            stream.consumed(taken)
        while self._input and stream.room:
            part, self._input = self._input[: stream.room], self._input[stream.room :]
            stream.feed(part)
        if not self._input:
            stream.end()


@dataclass(slots=True)
class Run:
    """What a program did."""

    outcome: Outcome
    output: bytes = b""
    log: bytes = b""
    tree: Tree | None = None
    fault: Exception | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What a program finds around itself besides its setup."""

    callers: Sequence[Caller] = field(default_factory=lambda: (Caller(),))
    services: Mapping[str, Offer] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(clock_resolution=1))
    resident: Resident = field(default_factory=Resident)
    door: Door = field(default_factory=Door)
    turn: Turn | None = None
    enough: trio.Event = field(default_factory=trio.Event)  # set: a program without an end is killed


def board_for(personality: str, around: Around) -> Switchboard:
    door, identities = around.door, Identities("local", INSTANCE)
    world = World(trio.current_time, os.urandom, identities, door=door, resident=around.resident)
    board = Switchboard({})
    for name, offer in {**offers(world, board.entries), **around.services}.items():
        board.publish(name, offer)
    for caller in around.callers:
        assert door.connect(caller)
    if personality == "wasi":
        origin = board.open("origin")
        assert isinstance(origin, Origin)
        origin.open_at_start()
    return board


async def kill_at(enough: trio.Event, program: Program) -> None:
    await enough.wait()
    program.kill()


async def run_guest(box: Sandbox, wasm: bytes, setup: Setup | None = None, around: Around | None = None) -> Run:
    """Start a program, talk to it until it has ended, tell what it did."""
    around = around or Around()
    image = await box.compile(wasm)
    log = bytearray()
    async with box.start(image, setup or Setup(), around.limits) as program, trio.open_nursery() as nursery:
        program.on_log = lambda _stream, data: log.extend(data)
        for caller in around.callers:
            nursery.start_soon(caller.serve)
        nursery.start_soon(kill_at, around.enough, program)
        exchange = Exchange(program, board_for(image.personality, around), around.turn)
        await exchange.run()
        outcome = await program.wait()
        nursery.cancel_scope.cancel()
    output = b"".join(bytes(caller.output) for caller in around.callers)
    return Run(outcome, output, bytes(log), program.tree(), exchange.fault)
