"""`gatebus run FILE [args]`: one program in a sandbox, with the terminal as its origin; assembly.

In:  options; the program, its input, its files. Out: its output, its exit code, and at most one line about what went
     wrong.

Order: options and files first, because they are free and their faults are the person's; then the sandbox; then the
program with four tasks of ours (input, output, log, signals) around the exchange. What the program wrote is written
out before its exit code is told. A signal ends everything at once: what is still unwritten then is dropped, as with
any other program.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Literal, cast

import trio

from gatebus.bounds import TERMINAL_WINDOW
from gatebus.cli.attending import Ends, Run, attend_with, board_of, instance_of
from gatebus.cli.ending import alone
from gatebus.cli.groundwork import SETTINGS
from gatebus.cli.options import RunOptions, environment, with_defaults
from gatebus.cli.runplan import Plan, check_entry
from gatebus.cli.saying import tell
from gatebus.cli.surroundings import (
    FileNotFound,
    check_directories,
    check_out,
    choose,
    inherited,
    read_interpreters,
    read_module,
    read_tree,
    with_files,
    write_out,
)
from gatebus.cli.terminal import Sink, Source, Terminal
from gatebus.cli.wording import (
    Result,
    ended,
    ended_again,
    failed,
    not_found,
    put_aside,
    refused,
    result_json,
    state_refused,
    stopped,
    usage_lines,
)
from gatebus.exchange import Exchange
from gatebus.faults import UsageError
from gatebus.switchboard import Switchboard
from sandbox.box import Sandbox, open_sandbox
from sandbox.errors import (
    BackendUnavailable,
    BadState,
    CompileLimit,
    Refused,
    SandboxBroken,
    SandboxError,
    StartFailed,
)
from sandbox.keeperprocess import KeeperProcess
from sandbox.limits import CompileLimits, Limits
from sandbox.outcome import Cause
from sandbox.program import Program
from sandbox.setup import Setup

# Signals that end the command, and with it the program.
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# Of a name that the program's author chose: enough to know it again.
_NAME_MAX = 60
_BY_CONTENT = "ipfs://"
_ENTRY = "_start"
# exportfile.NAME: a module without these bytes is no exported program with its state.
_STATE = b"gatebus.state"
# Nobody who sent a program can be blamed for these.
_FAILURES = (BackendUnavailable, CompileLimit, SandboxBroken, StartFailed)


def run_command(options: RunOptions, ahead: KeeperProcess | None) -> int:
    """The whole command, after groundwork.py. The exit code."""
    run = Run(ahead=ahead)
    try:
        plan = prepare(options, run)
        options = plan.options
        result = trio.run(_execute, plan, run, restrict_keyboard_interrupt_to_checkpoints=True)
        failed_us = result.outcome is not None and result.outcome.cause is Cause.INTERNAL
    except Exception as raised:
        fault = alone(raised)
        result = _told(options.file, fault)
        failed_us = isinstance(fault, _FAILURES)
    if failed_us:
        result = _with_shortages(result, options.limits)
    _tell(options, result, run.notes)
    return result.code


def _told(file: str, fault: Exception) -> Result:
    if isinstance(fault, FileNotFound):
        return not_found(file)
    if isinstance(fault, Refused):
        return refused(file, fault.code, fault.text)
    if isinstance(fault, BadState):
        return state_refused(file, fault.code, fault.text)
    if isinstance(fault, UsageError | SandboxError):
        return failed(file, fault.code, fault.text)
    raise fault


def _with_shortages(result: Result, limits: Limits) -> Result:
    """What looks like our fault may come of limits that were set before we were started."""
    from gatebus.cli import shortages  # only what has failed is worth its import

    low = inherited(shortages.NAMES)
    why = shortages.why_it_may_have_failed(low, limits, has_proc=os.path.exists("/proc/self/exe"))
    return result._replace(line=f"{result.line} {why}".rstrip())


def prepare(options: RunOptions, run: Run) -> Plan:
    """Raises FileNotFound, UsageError, BadSetup."""
    if options.resume:
        from gatebus.cli.stopping_run import prepare_to_go_on  # only who goes on pays for it

        return prepare_to_go_on(options)
    if options.state is not None:
        from gatebus.cli.statecommand import check_state  # only who stops pays for it

        check_state(options.state)
        options = with_defaults(options, {"stack": "8MiB"})  # frames of the suspendable form are larger
    chosen = choose(options.file, options.arguments, read_interpreters(options.config), _reader(options))
    if _STATE in chosen.wasm and not options.ignore_state:
        from gatebus.cli.stopping_run import prepare_exported  # only who goes on pays for it

        if plan := prepare_exported(options, chosen.wasm):
            return plan
    at_terminal = {"wall_time": "none"} if os.isatty(0) else {}
    options = with_defaults(options, {**at_terminal, **chosen.limits})
    check_directories(options.directories)
    if options.out is not None:
        check_out(options.out)
    copies, notes = read_tree(options.directories, options.limits)
    run.notes += notes
    tree = with_files(copies, chosen.files)
    setup = Setup(
        arguments=chosen.arguments,
        environment=environment(options.environment, dict(os.environ)),
        function=options.function,
        tree=tree if tree or options.out is not None else None,
        origin_credit=TERMINAL_WINDOW,
        terminal=os.isatty(1),
    )
    return Plan(options, chosen.wasm, setup)


def _reader(options: RunOptions) -> Callable[[str], bytes]:
    """Where the program's bytes come from. Whoever runs a local file does not pay for an HTTP client."""
    if not options.file.startswith(_BY_CONTENT):
        return read_module
    from gatebus.cli.ipfs_command import read_program

    return partial(read_program, options.sources, CompileLimits().program_size)


async def _execute(plan: Plan, run: Run) -> Result:
    async with trio.open_nursery() as nursery:
        run.scope = nursery.cancel_scope
        await nursery.start(_end_by_signal, run)
        try:
            await _run_program(plan, run)
        finally:
            nursery.cancel_scope.cancel()
    if run.outcome is None and run.program is not None:
        run.outcome = await run.program.wait()
    if run.problem:
        raise UsageError(run.problem)
    if run.state is not None and run.outcome is not None:
        return put_aside(run.state, run.outcome, run.standstill)
    if run.signal or run.outcome is None:
        return stopped(run.signal, run.outcome)
    told = ended if plan.stored is None else ended_again
    return told(plan.options.file, run.outcome, plan.options.limits, run.image)


async def _end_by_signal(run: Run, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(*_ENDING) as arrived:
        task_status.started()
        async for number in arrived:
            run.stop(number)


async def _run_program(plan: Plan, run: Run) -> None:
    backend = cast('Literal["native", "portable"]', plan.options.backend)
    async with open_sandbox(backend, SETTINGS, ahead=run.ahead) as box:
        with trio.CancelScope() as run.scope:  # from here on a signal ends the program and leaves its sandbox in order
            await _start(plan, box, run)


async def _start(plan: Plan, box: Sandbox, run: Run) -> None:
    if plan.stored is not None or plan.options.state is not None:
        from gatebus.cli.stopping_run import start_to_be_stopped

        await start_to_be_stopped(plan, box, run)
        return
    run.image = image = await box.compile(plan.wasm, principal="local")
    check_entry(image, plan.setup.function)
    instance = instance_of(image)
    async with box.start(image, plan.setup, plan.options.limits, instance=instance) as program:
        run.program = program
        await _attend(program, partial(board_of, image, instance), run)
        left = program.tree()
        if plan.options.out is not None:
            run.notes += write_out(plan.options.out, left)


async def _attend(program: Program, board: Callable[[Terminal], Switchboard], run: Run) -> None:
    """Until the program has ended and its output is written."""
    output, log = Sink(1), Sink(2)
    terminal = Terminal(Source(0), output)
    await attend_with(program, Exchange(program, board(terminal)), Ends(terminal, output, log), run)


def _tell(options: RunOptions, result: Result, notes: list[str]) -> None:
    """On stderr, so that stdout stays the program's."""
    usage = usage_lines(result.outcome.usage, options.limits) if result.outcome and options.usage else ""
    line = result_json(options.file, options.backend, result) if options.json else result.line
    text = "\n".join(filter(None, (*notes, usage, line)))
    if text:
        tell(text + "\n")
