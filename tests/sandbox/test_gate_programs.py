"""Programs for Gate's personality, written anew from its facts: each does on both back-ends what it does there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio
from guestworld import Around, Caller, guest, run_guest
from waiting import PATIENCE

from gatebus.services.base import Call, Offer, Service
from sandbox import Cause, Limits, Outcome, Sandbox, Setup, State

SOURCES = Path(__file__).parent.parent / "guests"
GREETING = b"hello, world\n"
ENDLESS = Limits(wall_time=0.5)


class Echo(Service):
    """Answers each call with its content."""

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket, call.content)


def names(kind: str) -> list[tuple[str, str]]:
    """(module, function) of every TEST or TRAP in the sources of the ABI programs."""
    found = []
    for source in sorted(SOURCES.glob("gate_abi_*.c")):
        for macro, name in re.findall(r"^(TEST|TRAP|ENTRY)\((\w+)", source.read_text(), re.M):
            function = name if macro == "ENTRY" else f"{'test' if macro == 'TEST' else 'testtrap'}_{name}"
            if function.startswith(kind + "_"):
                found.append((source.stem, function))
    return found


def function(name: str) -> Setup:
    return Setup(function=name)


def halted(outcome: Outcome, result: int = 0) -> bool:
    return (outcome.state, outcome.cause, outcome.result) == (State.HALTED, Cause.NORMAL, result)


def killed_by_deficiency(outcome: Outcome) -> bool:
    return (outcome.state, outcome.cause) == (State.KILLED, Cause.ABI_DEFICIENCY)


def test_the_abi_programs_are_as_many_as_gates() -> None:
    assert len(names("test")) == 46
    assert len(names("testtrap")) == 19


@pytest.mark.parametrize(("module", "name"), names("test"))
async def test_the_abi_answers_as_gates(box: Sandbox, module: str, name: str) -> None:
    run = await run_guest(box, guest(f"tests/{module}.wasm"), function(name))
    assert run.log == b"PASS\n"
    assert halted(run.outcome)


@pytest.mark.parametrize(("module", "name"), names("testtrap"))
async def test_what_gates_runtime_cannot_do_ends_the_program(box: Sandbox, module: str, name: str) -> None:
    run = await run_guest(box, guest(f"tests/{module}.wasm"), function(name))
    assert run.log == b""
    assert killed_by_deficiency(run.outcome)


async def test_an_empty_module_ends_well(box: Sandbox) -> None:
    run = await run_guest(box, b"\0asm\1\0\0\0")
    assert halted(run.outcome)
    assert run.output == b""


async def test_without_a_function_only_the_start_section_runs(box: Sandbox) -> None:
    run = await run_guest(box, guest("tests/gate_hello.wasm"))
    assert halted(run.outcome)
    assert run.output == b""


@pytest.mark.parametrize(("name", "times"), [("greet", 1), ("twice", 2)])
async def test_hello_greets_a_connection(box: Sandbox, name: str, times: int) -> None:
    run = await run_guest(box, guest("tests/gate_hello.wasm"), function(name))
    assert run.output == GREETING * times
    assert halted(run.outcome)


async def test_a_connection_is_over_when_both_sides_have_closed_both_directions(box: Sandbox) -> None:
    caller = Caller()
    await run_guest(box, guest("tests/gate_hello.wasm"), function("greet"), Around([caller]))
    assert caller.ended_by_program.is_set()


async def test_hello_greets_one_connection_after_the_other(box: Sandbox) -> None:
    callers, enough = [Caller() for _ in range(10)], trio.Event()

    async def ended() -> None:
        for caller in callers:
            await caller.ended_by_program.wait()
        enough.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended)
        run = await run_guest(box, guest("tests/gate_hello.wasm"), function("multi"), Around(callers, enough=enough))
    assert [bytes(caller.output) for caller in callers] == [GREETING] * 10
    assert (run.outcome.state, run.outcome.cause) == (State.KILLED, Cause.KILLED)


async def test_hello_answers_input_until_it_ends(box: Sandbox) -> None:
    caller = Caller(b"one line\n")
    run = await run_guest(box, guest("tests/gate_hello.wasm"), function("repl"), Around([caller]))
    assert caller.output == GREETING
    assert halted(run.outcome)


async def test_hello_takes_no_more_input_than_it_gave_credit_for(box: Sandbox) -> None:
    run = await run_guest(box, guest("tests/gate_hello.wasm"), function("repl"), Around([Caller(bytes(5000))]))
    assert run.output.startswith(GREETING)
    assert halted(run.outcome)


async def test_hello_fails(box: Sandbox) -> None:
    run = await run_guest(box, guest("tests/gate_hello.wasm"), function("fail"))
    assert (run.outcome.state, run.outcome.result) == (State.TERMINATED, 1)


@pytest.mark.parametrize(("services", "result"), [({"test": Offer("0", Echo)}, 0), ({}, 1)])
async def test_hello_calls_a_service_that_may_be_missing(box: Sandbox, services: dict[str, Offer], result: int) -> None:
    around = Around(services=services)
    run = await run_guest(box, guest("tests/gate_hello.wasm"), function("test_ext"), around)
    assert halted(run.outcome, result)


@pytest.mark.parametrize(("debug_log", "log"), [(True, GREETING), (False, b"")])
async def test_the_debug_log_is_an_offer(box: Sandbox, debug_log: bool, log: bytes) -> None:
    setup = Setup(function="debug", debug_log=debug_log)
    run = await run_guest(box, guest("tests/gate_hello_debug.wasm"), setup)
    assert run.log == log
    assert halted(run.outcome)


async def test_random_bytes_differ_from_run_to_run(box: Sandbox) -> None:
    runs = [await run_guest(box, guest("tests/gate_randomseed.wasm"), function("dump")) for _ in range(2)]
    assert all(re.fullmatch(rb"[0-9a-f]+ [0-9a-f]+", run.log) for run in runs)
    assert runs[0].log != runs[1].log


@pytest.mark.parametrize("name", ["toomuch", "toomuch2"])
async def test_only_sixteen_random_bytes_come_with_a_start(box: Sandbox, name: str) -> None:
    run = await run_guest(box, guest("tests/gate_randomseed.wasm"), function(name))
    assert run.log == b"ping\n"
    assert killed_by_deficiency(run.outcome)


async def test_the_clock_is_there_and_advances(box: Sandbox) -> None:
    run = await run_guest(box, guest("tests/gate_time.wasm"), function("check"))
    assert run.log == b""
    assert halted(run.outcome)


async def test_a_program_that_never_reads_can_be_killed(box: Sandbox) -> None:
    image = await box.compile(guest("tests/gate_suspend.wasm"))
    async with box.start(image, function("loop"), Limits()) as program:
        assert await program.receive_some()  # its discovery
        program.kill()
        with trio.fail_after(PATIENCE):
            while await program.receive_some():
                pass
            outcome = await program.wait()
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.KILLED)


async def test_a_program_that_only_computes_ends_with_its_time(box: Sandbox) -> None:
    around = Around(limits=ENDLESS)
    run = await run_guest(box, guest("tests/gate_suspend.wasm"), function("loop2"), around)
    assert (run.outcome.state, run.outcome.cause) == (State.KILLED, Cause.WALL_TIME)
