"""A program that was started by hand, its terminal, and the services between them; a wire.

In:  a program that runs; what the terminal gives. Out: its output, written; how it ended.
The exchange runs inside the tasks of input, output and log, because what the program wrote is written out before its
end is told.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, cast

import trio

from gatebus.bounds import TERMINAL_WINDOW
from gatebus.cli.ending import Ending
from gatebus.cli.terminal import Sink, Terminal
from gatebus.exchange import Exchange
from gatebus.services.base import Offer
from gatebus.services.origin import Door, Origin, Windows
from gatebus.switchboard import Switchboard
from sandbox.image import Image
from sandbox.keeperprocess import KeeperProcess
from sandbox.outcome import Outcome
from sandbox.program import Program

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(slots=True)
class Run(Ending):
    """What becomes known while it runs."""

    ahead: KeeperProcess | None = None
    image: Image | None = None
    program: Program | None = None
    outcome: Outcome | None = None
    state: str | None = None
    """The file, once the stopped program's state is in it."""
    standstill: str = ""
    """Why it does not go on from there as it is, and what does."""
    on_end: Callable[[], None] = lambda: None
    notes: list[str] = field(default_factory=list)


def instance_of(image: Image) -> "UUID | None":
    """Only a Gate program can ask for its name; whoever runs another one does not pay for the import."""
    if image.personality != "gate":
        return None
    from uuid import uuid4

    return uuid4()


class Ends(NamedTuple):
    """What stands at the other side of a program that was started by hand."""

    terminal: Terminal
    output: Sink
    log: Sink


async def attend_with(program: Program, exchange: Exchange, ends: Ends, run: Run) -> None:
    """`run.on_end` is told when the program has ended and its output may still be to be written."""
    terminal, output, log = ends
    program.on_log = lambda _stream, data: log.put(data)
    async with trio.open_nursery() as nursery:
        output.on_broken = run.cannot_write
        reading = trio.CancelScope()
        nursery.start_soon(_within, reading, terminal.read_input)
        nursery.start_soon(output.run)
        nursery.start_soon(log.run)
        await exchange.run()
        run.outcome = await program.wait()
        if exchange.fault is not None:
            run.outcome = replace(run.outcome, text=exchange.fault.text)
        run.on_end()
        reading.cancel()
        terminal.lost()
        log.end()


async def _within(scope: trio.CancelScope, function: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await function()


def board_of(image: Image, instance: "UUID | None", terminal: Terminal) -> Switchboard:
    door = Door()
    door.connect(terminal)
    board = offering(image, instance, door)
    if image.personality == "wasi":
        cast("Origin", board.open("origin")).open_at_start()
    return board


def offering(image: Image, instance: "UUID | None", door: Door) -> Switchboard:
    """A WASI program can reach nothing but its origin, and whoever runs one does not pay for the other services."""
    windows = Windows(window=TERMINAL_WINDOW)
    board = Switchboard({})
    if image.personality == "wasi":
        board.publish("origin", Offer("0", lambda outlet: Origin(outlet, door, windows)))
        return board
    from gatebus.services.identity import Identities
    from gatebus.services.service_table import World, offers

    world = World(trio.current_time, os.urandom, Identities("local", str(instance)), door=door, windows=windows)
    for name, offer in offers(world, board.entries).items():
        board.publish(name, offer)
    return board
