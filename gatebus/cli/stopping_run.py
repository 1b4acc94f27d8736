"""`gatebus run --suspend-after TIME --state FILE` and `--resume FILE`: a program that is stopped, or goes on; assembly.

In:  the plan of a run; a state file (untrusted). Out: a state file; the rest of the program's output.

Output that the program had written before the stop is written out here; what nobody takes is in the state. Input that
it had not read and that we had read for it is in the state; what we had not read stays with the terminal. What lost:
reading on until the stop is complete, which would take a pipe's data away from whoever reads it next; waiting for a
reader of the output, which may never come while the state is only in memory.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple, cast

import trio

from gatebus.bounds import STOP_OUTPUT_SECONDS, TERMINAL_WINDOW
from gatebus.cli.attending import Ends, Run, attend_with, board_of, instance_of, offering
from gatebus.cli.options import RunOptions, range_of, with_defaults
from gatebus.cli.runplan import Plan, check_entry
from gatebus.cli.statecommand import check_state, read_state, suspended_untrusted, write_state
from gatebus.cli.surroundings import check_out, write_out
from gatebus.cli.terminal import CountingSink, Source, Terminal
from gatebus.exchange import Exchange
from gatebus.faults import StateRefused, UsageError
from gatebus.keptservices import Kept, encode_kept, kept_untrusted
from gatebus.route import service_state_untrusted
from gatebus.services.origin import Door
from gatebus.switchboard import Switchboard
from sandbox.box import Sandbox
from sandbox.errors import BadState, CompileLimit, NotSuspended, SandboxError
from sandbox.exportfile import state_of_untrusted
from sandbox.form import Form
from sandbox.image import Image
from sandbox.outcome import State
from sandbox.program import Program
from sandbox.programcontext import Running
from sandbox.setup import Setup
from sandbox.statefile import Stored, pieces_of
from sandbox.statewords import look_untrusted
from sandbox.suspended import Suspended
from sandbox.tree import Tree

if TYPE_CHECKING:
    from uuid import UUID

    from gatebus.services.origin import Client, Origin, Stream

# Linux's longest name; a state from elsewhere may claim any.
_NAME_MAX = 255
# Limits that a program was started with and needs again, unless they are named.
_KEPT = ("memory", "stack", "table", "files", "nodes")


def prepare_to_go_on(options: RunOptions) -> Plan:
    """Raises UsageError, BadState."""
    if options.state is not None:
        check_state(options.state)
    return _plan(options, read_state(options.file))


def prepare_exported(options: RunOptions, wasm: bytes) -> Plan | None:
    """Of a module that may have a state beside it. None: it has not. Raises UsageError, BadState."""
    stored = state_of_untrusted(wasm)
    if stored is None:
        return None
    if options.arguments or options.environment or options.directories:
        raise UsageError(
            "It goes on where it was stopped, with the arguments, variables and files that it has: name none. "
            "With --ignore-state it is run as any runtime does."
        )
    return _plan(options, stored)


def _plan(options: RunOptions, stored: Stored) -> Plan:
    _check_function(options, stored)
    at_terminal = {"wall_time": "none"} if os.isatty(0) else {}
    options = with_defaults(options, {**at_terminal, **limits_untrusted(stored)})
    if options.out is not None:
        check_out(options.out)
    setup = Setup(
        tree=Tree() if options.out is not None else None,
        origin_credit=TERMINAL_WINDOW,
        terminal=os.isatty(1),
    )
    return Plan(options, stored.program, setup, stored)


def _had_ended_untrusted(stored: Stored) -> bool:
    """It stands nowhere: its function had returned. Raises BadState."""
    return not look_untrusted(stored.state).frames


def _check_function(options: RunOptions, stored: Stored) -> None:
    """Raises UsageError, BadState."""
    ended = _had_ended_untrusted(stored)
    if ended and options.function is None:
        raise UsageError("It had come to its end. --function NAME calls one of its functions on what it has left.")
    if not ended and options.function is not None:
        raise UsageError("It was stopped on its way and goes on there: --function is for one that had come to its end.")


def limits_untrusted(stored: Stored) -> dict[str, str]:
    """Those that it had, as one writes them; what no program can have is left to the defaults."""
    limits = stored.description.get("limits")
    found = limits if isinstance(limits, dict) else {}
    return {name: str(found[name]) for name in _KEPT if type(found.get(name)) is int and _possible(name, found[name])}


def _possible(name: str, value: int) -> bool:
    bounds = range_of(name)
    return bounds.minimum <= value <= bounds.maximum and (not bounds.steps or value in bounds.steps)


class Unsaved(NamedTuple):
    """A stopped program whose state is nowhere but here."""

    why: str
    stored: Stored


async def start_to_be_stopped(plan: Plan, box: Sandbox, run: Run) -> None:
    """Raises UsageError, and what the sandbox raises. Where its state cannot be written the program goes on, once."""
    run.image = await box.compile(plan.wasm, principal="local", form=Form.SUSPENDABLE)
    _check(run.image, plan)
    unsaved = await attended(plan, box, run)
    if unsaved is None:
        return
    run.outcome = None
    options = plan.options._replace(suspend_after=None, function=None)
    said = f"gatebus: {unsaved.why} It goes on running, and is not stopped again.\n"
    try:
        await attended(plan._replace(options=options, stored=unsaved.stored), box, run, said.encode())
    except SandboxError as fault:  # before it runs; what happens to it afterwards is its outcome
        raise UsageError(f"{unsaved.why} It could not go on, either, and is lost: {fault.text}") from fault


async def attended(plan: Plan, box: Sandbox, run: Run, said: bytes = b"") -> Unsaved | None:
    """One process of it, until its end or its stop. `said`: on stderr, before what it says there."""
    image = cast("Image", run.image)
    kept = None if plan.stored is None else _kept_untrusted(plan.stored, image)
    instance = instance_of(image)
    ends = _ends(kept)
    ends.log.put(said)
    board = _board(image, instance, ends.terminal, kept)
    async with _running(plan, box, image, instance) as program, trio.open_nursery() as nursery:
        run.program = program
        run.on_end = partial(_hurry, run, ends)
        exchange = Exchange(program, board)
        exchange.keeps_state = True
        if kept is not None and kept.unsent:
            exchange.owes(kept.unsent)
        if plan.options.suspend_after is not None:
            nursery.start_soon(suspend_later, program, plan.options.suspend_after, run)
        await attend_with(program, exchange, ends, run)
        unsaved = await _left(plan, box, run, program, partial(_what_is_kept, exchange, ends, kept))
        nursery.cancel_scope.cancel()
        if plan.options.out is not None and unsaved is None:
            run.notes += _files(plan.options.out, program, run)
    return unsaved


async def _left(plan: Plan, box: Sandbox, run: Run, program: Program, services: Callable[[], bytes]) -> Unsaved | None:
    """Of a program that was stopped: its state is in its file, or not."""
    if run.outcome is None or run.outcome.state is not State.SUSPENDED:
        run.notes += _older_state(plan.options.state)
        return None
    suspended = await program.suspend()
    unsaved = await _store(plan, run, suspended, services())
    if unsaved is None:
        run.standstill = await _standstill(plan, box, run, suspended.state)
    return unsaved


async def _standstill(plan: Plan, box: Sandbox, run: Run, state: bytes) -> str:
    """Why it does not go on, if that can be told by now."""
    try:
        await box.check_places(cast("Image", run.image), state, plan.options.limits, plan.wasm)
    except (BadState, CompileLimit) as fault:
        return fault.text
    except SandboxError:  # whoever goes on hears of it, if it is still so
        return ""
    return ""


def _older_state(path: str | None) -> list[str]:
    """Nobody takes it for that of this run."""
    if path is None or not os.path.isfile(path) or not os.path.getsize(path):
        return []
    return [f"gatebus: nothing was written to {quote(path)}: the program was not stopped. What is there is older."]


def _kept_untrusted(stored: Stored, image: Image) -> Kept | None:
    """Of a program that had come to its end: what was for its process ended with that (sandbox.stateworld), and so did
    a WASI program's one stream. None: nothing is kept. Raises BadState.
    """
    kept = kept_untrusted(stored.services)
    if not _had_ended_untrusted(stored):
        return kept
    return None if image.personality == "wasi" else kept._replace(accepted=False, unsent=b"")


def _ends(kept: Kept | None) -> Ends:
    """What nobody took before the stop is written first."""
    output, owed = CountingSink(1), b"" if kept is None else kept.output
    if owed:
        output.put(owed)
    return Ends(Terminal(Source(0), output, len(owed)), output, CountingSink(2))


def _hurry(run: Run, ends: Ends) -> None:
    """A program that has stopped does not wait for readers that take nothing: what they have not is in its state."""
    if run.outcome is not None and run.outcome.state is State.SUSPENDED:
        for sink in (ends.output, ends.log):
            cast("CountingSink", sink).hurry(STOP_OUTPUT_SECONDS)


def _files(out: str, program: Program, run: Run) -> list[str]:
    if run.state is not None:
        return [f"gatebus: nothing is in {quote(out)} yet: the program's files are in its state until it ends."]
    return write_out(out, program.tree())


def _check(image: Image, plan: Plan) -> None:
    if not image.suspendable:
        reasons = "; ".join(image.unsuspendable[:3])
        if plan.stored is not None:
            raise UsageError(f"It cannot go on here: {reasons}. Leave --backend out, or take the state to Linux.")
        raise UsageError(f"It cannot be stopped: {reasons}. Without --suspend-after it runs.")


def _running(plan: Plan, box: Sandbox, image: Image, instance: "UUID | None") -> Running:
    options = plan.options
    if plan.stored is None:
        check_entry(image, plan.setup.function)
        return box.start(image, plan.setup, options.limits, instance=instance)
    if options.function is not None:
        check_entry(image, options.function)
    suspended, function = suspended_untrusted(plan.stored), options.function
    plan.stored.pieces.release()  # it has its memory in a file of its own by now, and may run for long
    return box.resume(
        image, suspended, options.limits, plan.setup, program=plan.wasm, instance=instance, function=function
    )


def _board(image: Image, instance: "UUID | None", terminal: Terminal, kept: Kept | None) -> Switchboard:
    """Raises BadState."""
    return board_of(image, instance, terminal) if kept is None else board_again(image, instance, terminal, kept)


def board_again(image: Image, instance: "UUID | None", terminal: Terminal, kept: Kept) -> Switchboard:
    """The terminal takes the place of the one that the program was connected with. Raises BadState."""
    try:
        return _board_again(image, instance, terminal, kept)
    except StateRefused as refused:
        raise BadState("state-services", refused.text) from None


def _board_again(image: Image, instance: "UUID | None", terminal: Terminal, kept: Kept) -> Switchboard:
    door = Door()
    door.stay()
    door.on_return = _goes_on
    board = offering(image, instance, door)
    if kept.accepted:
        door.kept = {0: terminal}
    if image.personality == "wasi":
        origin = cast("Origin", board.open("origin"))
        state = next((service_state_untrusted(state) for name, state in kept.services if name == "origin"), b"")
        if state:
            origin.go_on_at_start(state)
    else:
        board.restore(list(kept.services), copied=True)  # whoever has the file may run it as often as he likes
    door.resolve()
    if not kept.accepted:
        door.connect(terminal)
    return board


def _goes_on(client: "Client", stream: "Stream") -> None:
    """A host's client kept what it had and had not granted again: the terminal has nothing of that."""
    stream.hold(0)
    client.opened(stream)


async def suspend_later(program: Program, seconds: float, run: Run) -> None:
    """Who stops late is waited for: what it does until then is in its state. Its own limits end it, or Ctrl-C."""
    await trio.sleep(seconds)
    try:
        while True:
            with suppress(NotSuspended):
                await program.suspend()
                return
    except SandboxError as fault:
        if not program.ended:  # who ended before has nothing to store, and says so itself
            run.problem = fault.text
            program.kill()


def _what_is_kept(exchange: Exchange, ends: Ends, before: Kept | None) -> bytes:
    accepted = ends.terminal.accepted or (before is not None and before.accepted)
    output = cast("CountingSink", ends.output).unwritten
    return encode_kept(Kept(accepted, tuple(exchange.saved), output, exchange.unsent))


async def _store(plan: Plan, run: Run, suspended: Suspended, services: bytes) -> Unsaved | None:
    """In a thread: it may be a gigabyte."""
    limits = {name: getattr(plan.options.limits, name) for name in _KEPT}
    file = plan.options.file if plan.stored is None else str(plan.stored.description.get("file", ""))
    description = {
        "file": os.path.basename(file)[:_NAME_MAX],
        "limits": limits,
        "personality": cast("Image", run.image).personality,
        "window": TERMINAL_WINDOW,
    }
    state = cast("str", plan.options.state)
    try:
        await trio.to_thread.run_sync(partial(write_state, state, suspended, plan.wasm, description, services))
    except UsageError as fault:
        pieces = await trio.to_thread.run_sync(lambda: b"".join(pieces_of(suspended)))
        return Unsaved(fault.text, Stored(description, plan.wasm, suspended.state, memoryview(pieces), services))
    run.state = state
    left = len(kept_untrusted(services).output)
    if left:
        run.notes.append(f"gatebus: {left} bytes of its output were not read; they come first when it goes on.")
    return None
