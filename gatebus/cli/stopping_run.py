"""`gatebus run --suspend-after TIME --state FILE` and `--resume FILE`: a program that is stopped, or goes on; assembly.

In:  the plan of a run; a state file (untrusted). Out: a state file; the rest of the program's output.

Output that the program had written before the stop is written out here. Input that it had not read and that we had
read for it is in the state; what we had not read stays with the terminal. What lost: reading on until the stop is
complete, which would take a pipe's data away from whoever reads it next.
"""

import os
import struct
from functools import partial
from typing import cast

import trio

from gatebus.bounds import TERMINAL_WINDOW
from gatebus.cli.options import RunOptions, range_of, with_defaults
from gatebus.cli.running import Plan, Run, attend, board_of, check_entry
from gatebus.cli.statecommand import check_state, read_state, suspended_untrusted, write_state
from gatebus.cli.surroundings import check_out, write_out
from gatebus.cli.terminal import Terminal
from gatebus.exchange import Exchange
from gatebus.faults import StateRefused, UsageError
from gatebus.route import service_state
from gatebus.services.base import Offer
from gatebus.services.origin import Door, Origin, Windows
from gatebus.switchboard import Switchboard
from sandbox.box import Running, Sandbox
from sandbox.errors import BadState, SandboxError
from sandbox.form import Form
from sandbox.image import Image
from sandbox.packets import PacketCounter
from sandbox.program import Program
from sandbox.setup import Setup
from sandbox.statefile import Stored
from sandbox.tree import Tree

_LENGTH = struct.Struct("<I")
# Linux's longest name; a state from elsewhere may claim any.
_NAME_MAX = 255
# Limits that a program was started with and needs again, unless they are named.
_KEPT = ("memory", "stack", "table", "files", "nodes")


def prepare_to_go_on(options: RunOptions) -> Plan:
    """Raises UsageError, BadState."""
    if options.state is not None:
        check_state(options.state)
    stored = read_state(options.file)
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


def limits_untrusted(stored: Stored) -> dict[str, str]:
    """Those that it had, as one writes them; what no program can have is left to the defaults."""
    limits = stored.description.get("limits")
    found = limits if isinstance(limits, dict) else {}
    return {name: str(found[name]) for name in _KEPT if type(found.get(name)) is int and _possible(name, found[name])}


def _possible(name: str, value: int) -> bool:
    bounds = range_of(name)
    return bounds.minimum <= value <= bounds.maximum and (not bounds.steps or value in bounds.steps)


async def start_to_be_stopped(plan: Plan, box: Sandbox, run: Run) -> None:
    """Raises UsageError, and what the sandbox raises."""
    run.image = image = await box.compile(plan.wasm, principal="local", form=Form.SUSPENDABLE)
    _check(image, plan)
    run.stops = True
    running, unsent = _running(plan, box, image)
    async with running as program, trio.open_nursery() as nursery:
        run.program = program
        if unsent:
            await program.send(unsent)
        if plan.options.suspend_after is not None:
            nursery.start_soon(_suspend_later, program, plan.options.suspend_after, run)
        exchange = await attend(program, _board(plan, image), run)
        await _store(plan, run, exchange)
        nursery.cancel_scope.cancel()
        if plan.options.out is not None and run.suspended is None:
            run.notes += write_out(plan.options.out, program.tree())


def _check(image: Image, plan: Plan) -> None:
    if image.personality != "wasi":
        raise UsageError("So far only WASI programs can be stopped here; this one speaks with services.")
    if not image.suspendable:
        reasons = "; ".join(image.unsuspendable[:3])
        if plan.stored is not None:
            raise UsageError(f"It cannot go on here: {reasons}. Leave --backend out, or take the state to Linux.")
        raise UsageError(f"It cannot be stopped: {reasons}. Without --suspend-after it runs.")


def _running(plan: Plan, box: Sandbox, image: Image) -> tuple[Running, bytes]:
    """The program, and what it must be sent first."""
    options = plan.options
    if plan.stored is None:
        check_entry(image, plan.setup.function)
        return box.start(image, plan.setup, options.limits), b""
    suspended = suspended_untrusted(plan.stored)
    running = box.resume(image, suspended, options.limits, plan.setup, program=plan.wasm)
    return running, services_untrusted(plan.stored)[1]


def _board(plan: Plan, image: Image) -> "partial[Switchboard]":
    if plan.stored is None:
        return partial(board_of, image, None)
    return partial(_board_again, services_untrusted(plan.stored)[0])


def _board_again(state: bytes, terminal: Terminal) -> Switchboard:
    door, windows = Door(), Windows(window=TERMINAL_WINDOW)
    door.connect(terminal)
    board = Switchboard({})
    board.publish("origin", Offer("0", lambda outlet: Origin(outlet, door, windows)))
    try:
        cast("Origin", board.open("origin")).go_on_at_start(state)
    except StateRefused as refused:
        raise BadState("state-services", refused.text) from None
    return board


async def _suspend_later(program: Program, seconds: float, run: Run) -> None:
    await trio.sleep(seconds)
    try:
        run.suspended = await program.suspend()
    except SandboxError as fault:
        if not program.ended:  # who ended before has nothing to store, and says so itself
            run.problem = fault.text
            program.kill()


async def _store(plan: Plan, run: Run, exchange: Exchange) -> None:
    """In a thread: it may be a gigabyte."""
    if run.suspended is None:
        return
    limits = {name: getattr(plan.options.limits, name) for name in _KEPT}
    file = plan.options.file if plan.stored is None else str(plan.stored.description.get("file", ""))
    description = {"file": os.path.basename(file)[:_NAME_MAX], "limits": limits}
    origin = next((service_state(saved) for name, saved in exchange.saved if name == "origin"), b"")
    services = _LENGTH.pack(len(origin)) + origin + exchange.unsent
    state = cast("str", plan.options.state)
    store = partial(write_state, state, run.suspended, plan.wasm, description, services)
    await trio.to_thread.run_sync(store)
    run.notes.append(f"gatebus: stopped; `gatebus run --resume {state}` goes on.")


def services_untrusted(stored: Stored) -> tuple[bytes, bytes]:
    """(state of the origin, packets that are still to be sent). Raises BadState."""
    data = stored.services
    try:
        (length,) = _LENGTH.unpack_from(data)
    except struct.error:
        raise BadState("state-services", "The state does not say what its streams were doing.") from None
    origin, unsent = data[_LENGTH.size : _LENGTH.size + length], data[_LENGTH.size + length :]
    if not _whole_packets_untrusted(unsent):
        raise BadState("state-services", "What the state has for the program is no packet.")
    return origin, unsent


def _whole_packets_untrusted(data: bytes) -> bool:
    counter = PacketCounter()
    try:
        counter.count(data)
    except ValueError:
        return False
    return counter.between
