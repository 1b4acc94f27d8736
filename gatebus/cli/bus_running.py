"""`gatebus call` and `gatebus io`: a program at a host with the terminal at its other end; assembly.

In:  options; stdin; what the host says (untrusted). Out: stdout, stderr, an exit code, at most one line about what went
wrong.

Order: files and options first, because they are free and their faults are the person's; then the host; then the stream,
with a task for each direction. What the program wrote is written out before its end is told. A signal lets go of
the stream: the program of a call ends then, that of an instance goes on. Where that has but one connection, it is left
as a lost link leaves it, and not ended: the next `gatebus io` has it.
"""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import trio

from gatebus.cli.bus_options import BusOptions
from gatebus.cli.bus_wording import ended, result_json, usage_lines
from gatebus.cli.busprogram import Order, read_order
from gatebus.cli.connecting_host import Connection, FileFault, about_file, ready, told, told_if_fetched, with_host
from gatebus.cli.ending import Ending
from gatebus.cli.groundwork import open_missing_descriptors
from gatebus.cli.hostbookfile import target
from gatebus.cli.saying import tell
from gatebus.cli.surroundings import write_out
from gatebus.cli.terminal import Sink, Source
from gatebus.cli.wording import BY_SIGNAL, Result
from gatebus.client import Bus, BusError, Outcome, Program, Running, Stored
from gatebus.client.answers import files_untrusted
from gatebus.faults import UsageError
from sandbox.tree import File, Tree

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
Work = Callable[[Connection], Awaitable[Result]]
_READ = 65_536
# Of one file that a program left, when it does not come with the answer.
_FILE_MAX = 1 << 30


@dataclass(slots=True)
class Conversation(Ending):
    """What becomes known while it runs."""

    options: BusOptions
    instance: UUID | None = None
    outcome: Outcome | None = None
    connection: Running | None = None
    """To an instance, which goes on."""
    notes: list[str] = field(default_factory=list)

    def stop(self, number: int) -> None:
        """Before anything is cancelled: what is cancelled says so to the host."""
        if self.connection is not None and self.connection.only:
            self.connection.detach()
        Ending.stop(self, number)

    @property
    def file(self) -> str:
        return self.options.program.module if self.options.program else self.options.arguments[0]


def call(options: BusOptions) -> int:
    """The whole command. The exit code."""
    open_missing_descriptors()
    talk = Conversation(options)
    order: list[Order] = []

    async def work(connection: Connection) -> Result:
        (wanted,) = order
        async with _ended_by_signals(talk):
            program = await ready(connection, wanted)
            log = Sink(2)
            async with connection.bus.open_call(program, on_log=lambda _stream, data: log.put(data)) as running:
                await _converse(running, talk, log, program)
                if talk.options.program is not None and talk.options.program.out is not None:
                    talk.notes += write_out(talk.options.program.out, await _left(connection.bus, running))
        return _result(talk)

    def prepare() -> None:
        order.append(read_order(options))
        talk.notes += order[0].notes

    return _whole(options, talk, prepare, work)


def io(options: BusOptions) -> int:
    """The whole command. The exit code."""
    open_missing_descriptors()
    talk = Conversation(options)

    async def work(connection: Connection) -> Result:
        async with _ended_by_signals(talk):
            talk.instance = await connection.instance(options.arguments[0])
            async with connection.bus.io(talk.instance) as talk.connection:
                await _converse(talk.connection, talk, Sink(2), "")
        return _result(talk)

    return _whole(options, talk, lambda: None, work)


def _whole(options: BusOptions, talk: Conversation, prepare: Callable[[], None], work: Work) -> int:
    host = ""
    try:
        with about_file(talk.file):
            prepare()
        chosen = target(options)
        host = chosen.shown
        result = with_host(options, chosen, work)
    except Exception as raised:
        result = told(talk.file, raised)
    usage = ""
    if talk.outcome is not None and options.program is not None and options.program.usage:
        usage = usage_lines(talk.outcome.usage)
    line = result_json(talk.file, host, result, talk.outcome, talk.instance) if options.json else result.line
    text = "\n".join(filter(None, (*talk.notes, usage, line)))
    if text:
        tell(text + "\n")
    return result.code


def _result(talk: Conversation) -> Result:
    if talk.problem:
        raise FileFault(talk.file, UsageError(talk.problem))
    if talk.signal:
        if talk.connection is not None and talk.connection.only and os.isatty(2):
            talk.notes.append(f"gatebus: {talk.instance} goes on. `gatebus io` connects again, `gatebus kill` ends it.")
        return Result(BY_SIGNAL + talk.signal, error=f"signal-{talk.signal}")
    asked = talk.options.program.limits if talk.options.program else {}
    return ended(talk.file, talk.outcome, asked) if talk.outcome is not None else Result(0)


@asynccontextmanager
async def _ended_by_signals(talk: Conversation) -> AsyncIterator[None]:
    """The first signal ends the body; the second one finds us gone."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_listen, talk)
        with trio.CancelScope() as talk.scope:
            yield
        nursery.cancel_scope.cancel()


async def _listen(talk: Conversation, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(*_ENDING) as arrived:
        task_status.started()
        async for number in arrived:
            talk.stop(number)


async def _converse(running: Running, talk: Conversation, log: Sink, program: Program | str) -> None:
    """Until the stream is answered and everything is written."""
    output = Sink(1)
    output.on_broken = talk.cannot_write
    async with trio.open_nursery() as nursery:
        reading = trio.CancelScope()
        nursery.start_soon(_within, reading, running)
        nursery.start_soon(output.run)
        nursery.start_soon(log.run)
        async with told_if_fetched(program):
            talk.instance = await running.started()
        await _write_output(running, output)
        talk.outcome = await running.wait()
        reading.cancel()
        output.end()
        log.end()


async def _within(scope: trio.CancelScope, running: Running) -> None:
    with scope:
        await _read_input(running)


async def _read_input(running: Running) -> None:
    """Until the end of stdin, or until the program wants no more of it; why is told where its output is read."""
    source = Source(0)
    try:
        while data := await source.read(lambda: _READ):
            await running.send(data)
    except BusError:
        return
    running.end()


async def _write_output(running: Running, output: Sink) -> None:
    """Not faster than whoever reads us: the next bytes are asked for when these are written."""
    written = trio.Event()
    output.on_written = lambda _size: written.set()
    async for data in running:
        output.put(data)
        await written.wait()
        written = trio.Event()


async def _left(bus: Bus, running: Running) -> Tree | None:
    """The files that the program left; None: it was killed, and they went with it."""
    answer = await running.answer()
    if "files" not in answer:
        return None
    files: dict[str, File] = {}
    for path, content in files_untrusted(answer).items():
        whole = await bus.download(content.sha256, most=_FILE_MAX) if isinstance(content, Stored) else content
        files[path] = File(whole)
    return Tree(files)
