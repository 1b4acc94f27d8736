"""The native client against a keeper of our own that can be made to do everything wrong (fake_keeper.py)."""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
from fakekeeper import SOURCE, keeper_in
from openfiles import left_open, open_files
from processes import children_of, stat_fields
from trio.testing import wait_all_tasks_blocked
from waiting import until

import sandbox
from sandbox import Cause, CompileLimits, HostLimits, Limits, Settings, Setup, State
from sandbox.layerprobe import probe_layers
from sandbox.layers import LAYER_NAMES, Missing
from sandbox.packets import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the native client needs Linux")



@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return keeper_in(tmp_path_factory.mktemp("keeper"))


@pytest.fixture
def settings(keeper: str) -> Settings:
    return Settings(executable=keeper, cache_directory="")


@pytest.fixture
async def box(settings: Settings) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", settings) as made:
        yield made


async def outcome_of(box: sandbox.Sandbox, name: str, limits: Limits | None = None) -> sandbox.Outcome:
    image = await box.compile(name.encode())
    async with box.start(image, None, limits) as program:
        return await program.wait()


@pytest.fixture
def others() -> set[int]:
    """Children of this process that another test left: they are not ours to count."""
    return children_of()


def keeper_of(box: sandbox.Sandbox) -> int:
    return box._backend._keeper._process.pid


async def test_a_start_carries_the_setup_and_an_end_its_report(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"arguments")
    async with box.start(image, Setup(arguments=("a", "b"))) as program:
        assert await program.receive_some() == encode(0, 0, b"a|b")
        assert (await program.wait()).state is State.TERMINATED


async def test_a_keeper_that_was_launched_ahead_is_taken_over(settings: Settings) -> None:
    before = children_of()
    ahead = sandbox.launch_ahead(settings)
    async with sandbox.open_sandbox("native", settings, ahead=ahead) as box:
        assert children_of() - before == {ahead.pid}
        assert (await outcome_of(box, "exit-0")).ok
    assert children_of() <= before


async def test_echo_and_kill(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"echo")
    async with box.start(image) as program:
        for number in range(100):
            packet = encode(0, 0, bytes([number]) * number)
            await program.send(packet)
            assert await program.receive_some() == packet
        program.kill()
        assert (await program.wait()).cause is Cause.KILLED
        assert program.usage().packets_in == program.usage().packets_out == 100


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("exit-25", Cause.MEMORY_ACCESS_OUT_OF_BOUNDS),
        ("exit-70", Cause.INTERNAL),
        ("exit-85", Cause.INTERNAL),
        ("exit-111", Cause.INTERNAL),
        ("signal-31", Cause.FORBIDDEN_CALL),
        ("signal-24", Cause.CPU_TIME),
        ("signal-9", Cause.INTERNAL),
        ("signal-11", Cause.INTERNAL),
    ],
)
async def test_exit_codes_and_signals_become_causes(box: sandbox.Sandbox, name: str, cause: Cause) -> None:
    outcome = await outcome_of(box, name)
    assert (outcome.state, outcome.cause) == (State.KILLED, cause)


async def test_peak_memory_is_what_the_memory_file_holds(box: sandbox.Sandbox) -> None:
    # two pages were written; the kernel may hand out larger pieces
    assert 8192 <= (await outcome_of(box, "touch")).usage.peak_memory <= 2 << 20


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fail-1", "bad-request"), ("fail-2", "no-process"), ("fail-3", "too-many-programs"),
        ("fail-5", "no-such-stack"), ("fail-99", "bad-request"),
    ],
)  # fmt: skip
async def test_a_failed_start_is_said_by_wait(box: sandbox.Sandbox, name: str, code: str) -> None:
    image = await box.compile(name.encode())
    async with box.start(image) as program:
        assert await program.receive_some() == b""
        for _ in range(2):
            with pytest.raises(sandbox.StartFailed) as caught:
                await program.wait()
            assert caught.value.code == code
    assert box.statistics().running == 0


async def test_a_lost_spawner_may_have_run_the_program(box: sandbox.Sandbox) -> None:
    outcome = await outcome_of(box, "fail-4")
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.INTERNAL)
    assert outcome.text == "The keeper or spawner that held the program ended and took it along; start it again."


async def test_a_failed_start_is_said_at_the_end_of_the_body_when_nobody_waited(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"fail-2")
    with pytest.raises(sandbox.StartFailed):
        async with box.start(image):
            pass
    with pytest.raises(sandbox.StartFailed):
        async with box.start(image) as program:
            await send_for_ever(program)
    with pytest.raises(KeyError):
        async with box.start(image):
            raise KeyError


async def send_for_ever(program: sandbox.Program) -> None:
    while True:  # until the hang-up arrives
        await program.send(encode(0, 0, bytes(1000)))


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("compile-exit-62", sandbox.CompileLimit, "compile-memory"),
        ("compile-signal-9", sandbox.CompileLimit, "compile-crashed"),
        ("compile-signal-24", sandbox.CompileLimit, "compile-cpu-time"),
        ("compile-lie", sandbox.SandboxBroken, "compiler-facts"),
        ("compile-other", sandbox.SandboxBroken, "compiler-facts"),
        ("compile-exit-0", sandbox.SandboxBroken, "compiler-facts"),
        ("compile-refuse", sandbox.Refused, "invalid"),
    ],
)
async def test_a_worker_that_fails_is_an_error_with_a_code(
    box: sandbox.Sandbox, name: str, kind: type[sandbox.SandboxError], code: str
) -> None:
    for _ in range(2):  # nothing of it is kept
        with pytest.raises(kind) as caught:
            await box.compile(name.encode())
        assert caught.value.code == code
    assert (await outcome_of(box, "exit-0")).ok


async def test_a_keeper_that_dies_ends_every_program_and_is_replaced(box: sandbox.Sandbox) -> None:
    hang, die = await box.compile(b"hang"), await box.compile(b"die")
    async with box.start(hang) as first, box.start(hang) as second, box.start(die):
        for program in (first, second):
            outcome = await program.wait()
            assert (outcome.state, outcome.cause) == (State.KILLED, Cause.INTERNAL)
            assert "keeper" in outcome.text
            assert await program.receive_some() == b""
    assert (await outcome_of(box, "exit-0")).ok
    assert box.statistics().running == 0


async def test_a_keeper_killed_from_outside_is_noticed(box: sandbox.Sandbox) -> None:
    keeper = keeper_of(box)
    hang = await box.compile(b"hang")
    async with box.start(hang) as program:
        os.kill(keeper, signal.SIGKILL)
        assert (await program.wait()).cause is Cause.INTERNAL
    assert (await outcome_of(box, "exit-0")).ok
    await until(lambda: keeper not in children_of())


async def test_a_keeper_that_talks_nonsense_is_replaced(box: sandbox.Sandbox) -> None:
    outcome = await outcome_of(box, "nonsense")
    assert outcome.cause is Cause.INTERNAL
    assert (await outcome_of(box, "exit-0")).ok


async def test_a_keeper_that_dies_during_a_compilation_is_an_error(box: sandbox.Sandbox) -> None:
    async with trio.open_nursery() as nursery:

        async def compile_it() -> None:
            with pytest.raises(sandbox.SandboxBroken) as caught:
                await box.compile(b"compile-hang")
            assert caught.value.code == "keeper-lost"

        nursery.start_soon(compile_it)
        await until(lambda: children_of(keeper_of(box)))
        os.kill(keeper_of(box), signal.SIGKILL)


async def test_a_request_that_a_dead_keeper_did_not_take_is_made_again_of_a_new_one(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"exit-0")
    for request in ("start", "compile"):
        dead = keeper_of(box)
        os.kill(dead, signal.SIGKILL)
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222, nobody else shall have a turn
        if request == "start":
            async with box.start(image) as program:
                assert (await program.wait()).ok
        else:
            assert (await box._backend.compile_job(b"exit-1", CompileLimits())).blob
        assert keeper_of(box) != dead


async def test_keepers_that_die_again_and_again_are_given_up(settings: Settings) -> None:
    settings = replace(settings, host_limits=HostLimits(keeper_restarts=2))
    async with sandbox.open_sandbox("native", settings) as box:
        die = await box.compile(b"die")
        for _ in range(3):
            async with box.start(die) as program:
                assert (await program.wait()).cause is Cause.INTERNAL
        with pytest.raises(sandbox.SandboxBroken) as caught:
            async with box.start(die):
                pytest.fail("the body must not run")
        assert caught.value.code == "keeper-dies"


async def test_a_keeper_that_does_not_kill_is_ended_itself(settings: Settings) -> None:
    settings = replace(settings, host_limits=HostLimits(kill_seconds=0.2))
    async with sandbox.open_sandbox("native", settings) as box:
        image = await box.compile(b"stubborn")
        with pytest.raises(sandbox.SandboxBroken) as caught:
            async with box.start(image):
                pass
        assert caught.value.code == "kill-late"
        assert (await outcome_of(box, "exit-0")).ok
        assert box.statistics().running == 0


async def test_a_cancelled_compilation_leaves_no_worker(box: sandbox.Sandbox) -> None:
    keeper = keeper_of(box)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.compile, b"compile-hang")
        await until(lambda: children_of(keeper))
        nursery.cancel_scope.cancel()
    await until(lambda: not children_of(keeper))
    assert (await outcome_of(box, "exit-0")).ok


async def test_nothing_is_left_open_after_programs_of_every_kind(settings: Settings, others: set[int]) -> None:
    async with sandbox.open_sandbox("native", settings) as box:
        for name in ("exit-0", "signal-11", "fail-2"):  # the images stay in memory
            await box.compile(name.encode())
        before = open_files()
        for _ in range(20):
            await outcome_of(box, "exit-0")
            await outcome_of(box, "signal-11")
            with pytest.raises(sandbox.StartFailed):
                await outcome_of(box, "fail-2")
        assert left_open(before) == []
    assert children_of() <= others


async def test_the_end_of_the_box_ends_programs_and_keeper(settings: Settings, others: set[int]) -> None:
    async with sandbox.open_sandbox("native", settings) as box:
        image = await box.compile(b"hang")
        running = box.start(image)
        program = await running.__aenter__()
        assert not children_of() <= others
    assert children_of() <= others
    assert (await program.wait()).cause is Cause.INTERNAL


async def test_many_starts_and_kills_at_once_all_end(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"hang")
    ended = 0

    async def one() -> None:
        nonlocal ended
        async with box.start(image) as program:
            await trio.lowlevel.checkpoint()
            program.kill()
            assert (await program.wait()).cause is Cause.KILLED
            ended += 1

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(one)
    assert ended == 300
    assert box.statistics().started == box.statistics().ended == 300


@pytest.mark.parametrize("then", ["goes on", "dies"])
async def test_many_may_wait_for_a_keeper_that_is_behind(box: sandbox.Sandbox, then: str) -> None:
    image, keeper = await box.compile(b"hang"), keeper_of(box)
    programs, outcomes = [], []

    async def one() -> None:
        async with box.start(image) as program:
            programs.append(program)
            outcomes.append(await program.wait())

    box._backend._keeper._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)  # the least: a few requests
    os.kill(keeper, signal.SIGSTOP)
    await until(lambda: stat_fields(keeper)[0] == "T")
    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(one)
        await wait_all_tasks_blocked()
        assert 0 < len(programs) < 50  # at least ten wait for room, and now the kills, too
        for program in programs:
            program.kill()
        await wait_all_tasks_blocked()
        os.kill(keeper, signal.SIGCONT if then == "goes on" else signal.SIGKILL)
        await until(lambda: len(programs) == 60)  # those that waited have asked again, of a new keeper if they must
        for program in programs:
            program.kill()
    assert len(outcomes) == 60
    assert box.statistics().running == 0
    assert (await outcome_of(box, "exit-0")).ok


async def test_a_missing_executable_says_what_to_do() -> None:
    with pytest.raises(sandbox.BackendUnavailable) as caught:
        async with sandbox.open_sandbox("native", Settings(executable="/nowhere/gatebus-sandbox")):
            pytest.fail("the body must not run")
    assert caught.value.text == "The native part is missing: run make build, or use --backend portable."
    assert "nowhere" not in str(caught.value)


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat"], ids=["it ends", "it says nothing"])
async def test_an_executable_that_is_no_keeper_is_unavailable(program: str, others: set[int]) -> None:
    settings = Settings(executable=program, host_limits=HostLimits(keeper_seconds=0.3))
    with pytest.raises(sandbox.BackendUnavailable) as caught:
        async with sandbox.open_sandbox("native", settings):
            pytest.fail("the body must not run")
    assert caught.value.code == "keeper-silent"
    assert children_of() <= others


PROBE = """
if sys.argv[1:] == ["probe"]:
    names = {names!r}
    row = {{"why": "the kernel lacks it", "advice": "Ask\\x1b for it."}}
    rows = [{{"name": name, "on": name != "seccomp", **row}} for name in names]
    print(json.dumps({{"layers": rows, "cgroups": "v1"}}))
    sys.exit(78)
"""


async def test_a_required_layer_that_is_missing_forbids_the_back_end_and_says_why(tmp_path: Path) -> None:
    weaker = SOURCE.replace("0x1FFFF, 0, 1, 77", "0x1FEFF, 0x100, 1, 77")
    probing = weaker.replace("\nSTART, KILL", PROBE.format(names=LAYER_NAMES) + "\nSTART, KILL")
    executable = keeper_in(tmp_path, probing)
    with pytest.raises(sandbox.BackendUnavailable) as caught:
        async with sandbox.open_sandbox("native", Settings(executable=executable, cache_directory="")):
            pytest.fail("the body must not run")
    assert caught.value.code == "layers-missing"
    assert caught.value.text == (
        "Required layers of the sandbox are missing: seccomp (seccomp: the kernel lacks it). What helps: Ask  for it."
    )
    settings = Settings(executable=executable, cache_directory="", require=("user",))
    async with sandbox.open_sandbox("native", settings) as box:
        assert [missing.name for missing in box.layers.missing] == ["seccomp"]
    layers = await probe_layers(str(executable))
    assert layers.required_missing == ("seccomp",)
    assert layers.missing == (Missing("seccomp", "the kernel lacks it", "Ask  for it."),)


async def test_there_are_two_back_ends() -> None:
    with pytest.raises(sandbox.BackendUnavailable) as caught:
        async with sandbox.open_sandbox("other"):  # type: ignore[arg-type]
            pytest.fail("the body must not run")
    assert caught.value.code == "no-such-backend"
