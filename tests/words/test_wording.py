"""gatebus.cli.wording: exit codes and the one line that a person reads."""

import json

import pytest

from gatebus.cli.wording import (
    ended,
    ended_again,
    failed,
    not_found,
    progress_text,
    refused,
    result_json,
    size_text,
    state_refused,
    stopped,
    usage_lines,
)
from sandbox.image import Image
from sandbox.limits import MIB, Limits
from sandbox.outcome import CAUSE_TEXTS, Cause, Outcome, State, Usage, killed


@pytest.mark.parametrize(
    ("result", "code"), [(0, 0), (1, 1), (42, 42), (125, 125), (255, 255), (256, 255), (0xFFFFFFFF, 255)]
)
@pytest.mark.parametrize("state", [State.HALTED, State.TERMINATED])
def test_the_programs_exit_code_is_ours_and_failure_never_becomes_success(state: State, result: int, code: int) -> None:
    outcome = ended("x.wasm", Outcome(state, result=result), Limits())
    assert (outcome.code, outcome.line) == (code, "")


@pytest.mark.parametrize(
    ("cause", "end"),
    [
        (Cause.CPU_TIME, "It had 30s: try --cpu-time 120s."),
        (Cause.WALL_TIME, "It had 300s: try --wall-time 1200s."),
        (Cause.MEMORY_LIMIT, "It had 64MiB: try --memory 256MiB."),
        (Cause.RUNTIME_MEMORY, "It had 32MiB: try --files 128MiB."),
        (Cause.CALL_STACK_EXHAUSTED, "Try --stack 8MiB."),
        (Cause.UNREACHABLE, "Tell its author."),
        (Cause.MEMORY_ACCESS_OUT_OF_BOUNDS, "Tell its author."),
        (Cause.ABI_VIOLATION, "Tell its author."),
        (Cause.FORBIDDEN_CALL, "Tell its author."),
        (Cause.TRAP, "Tell its author."),
    ],
)
def test_a_killed_program_is_126_and_the_line_says_why_and_what_to_do(cause: Cause, end: str) -> None:
    result = ended("dir/x.wasm", killed(cause), Limits())
    assert result.code == 126
    text = CAUSE_TEXTS[cause]
    why = text if end == "Tell its author." else f"{text.partition(';')[0].rstrip('.')}."
    assert result.line == f"gatebus: dir/x.wasm was killed: {why} {end}"


@pytest.mark.parametrize("cause", [Cause.UNREACHABLE, Cause.ABI_VIOLATION, Cause.MEMORY_ACCESS_OUT_OF_BOUNDS])
def test_of_a_program_that_went_on_from_a_state_its_author_is_not_the_first_to_be_told(cause: Cause) -> None:
    outcome = killed(cause, "The service origin has no stream 0.")
    result = ended_again("it.state", outcome, Limits())
    assert (result.code, result.error) == (126, cause.name.lower().replace("_", "-"))
    assert result.line == (
        "gatebus: it.state was killed: The service origin has no stream 0. It went on from a state, which may be at "
        "fault: ask whoever gave it for another copy, or tell the program's author."
    )


CID = "bafkreibuymcm2p7reiphguft3iwtc2jwogp5iwjqe2axylwdrqw3r7psfe"


def test_what_is_no_fault_of_anybodys_is_said_alike_with_and_without_a_state() -> None:
    for outcome in (killed(Cause.CPU_TIME), killed(Cause.BAD_STATE, "The state is broken."), killed(Cause.INTERNAL)):
        assert ended_again("x", outcome, Limits()) == ended("x", outcome, Limits())


def test_a_stack_that_is_the_largest_is_not_said_to_have_more_room() -> None:
    result = ended("x.wasm", killed(Cause.CALL_STACK_EXHAUSTED), Limits(stack=8 * MIB))
    assert result.line == (
        "gatebus: x.wasm was killed: The program's call stack is exhausted. It had 8MiB, and --stack goes no further."
    )


def test_a_state_that_is_refused_is_125_and_nobody_is_sent_to_the_programs_author() -> None:
    why = "The program cannot go on from this state: the state is broken in its tables."
    result = ended("x.state", killed(Cause.BAD_STATE, why), Limits())
    assert (result.code, result.error) == (125, "bad-state")
    assert result.line == f"gatebus: x.state: {why} Ask whoever gave you the state for another copy."
    for limit in ("memory", "table"):
        why = f"The program cannot go on from this state: its parts are larger than the limit `{limit}`."
        result = ended("x.state", killed(Cause.BAD_STATE, why), Limits())
        assert result.line == f"gatebus: x.state: {why} Try a higher --{limit}."
    damaged = state_refused("x.state", "state-damaged", "The file is damaged. Copy it again.")
    assert damaged.line == "gatebus: x.state: The file is damaged. Copy it again."
    memory = state_refused("x.state", "state-memory", "The limit `memory` is 1.")
    assert memory.line.endswith("is 1. Try a higher --memory.")


def needing(memory: int = 0, table: int = 0) -> Image:
    return Image("0" * 64, "wasi", (), memory, table, 0, "key", None)


@pytest.mark.parametrize(
    ("cause", "limits", "image", "end"),
    [
        (Cause.MEMORY_LIMIT, Limits(), needing(memory=300 * MIB), "It had 64MiB: try --memory 1GiB."),
        (Cause.MEMORY_LIMIT, Limits(), needing(table=100_000), "It had 65536: try --table 262144."),
        (Cause.MEMORY_LIMIT, Limits(), needing(table=20_000_000), "It had 65536, and --table goes no further."),
        (Cause.MEMORY_LIMIT, Limits(memory=3 << 30), needing(4 << 30), "It had 3GiB: try --memory 4GiB."),
        (Cause.MEMORY_LIMIT, Limits(memory=4 << 30), None, "It had 4GiB, and --memory goes no further."),
        (Cause.RUNTIME_MEMORY, Limits(files=0), None, "It had 0: try --files 32MiB."),
        (Cause.CPU_TIME, Limits(cpu_time=80_000), None, "It had 80000s: try --cpu-time 86400s."),
    ],
)
def test_the_advice_is_enough_and_can_be_followed(cause: Cause, limits: Limits, image: Image | None, end: str) -> None:
    assert ended("x", killed(cause), limits, image).line.endswith(end)


@pytest.mark.parametrize(
    ("code", "text", "line"),
    [
        ("malformed", "not a module", "not a module. Build it again for wasm32-wasip1, or tell its author."),
        ("malformed", "malformed text: expected `)` (line 1, column 2)", None),
        ("bad-import", "import a.b is not provided", "import a.b is not provided. Build it for wasm32-wasip1."),
        ("too-large", "It is large.", "It is large. Make it smaller: strip it, or split it."),
        ("unsupported", "a component is not supported: build for wasm32-wasip1", None),
    ],
)
def test_a_refusal_says_what_to_do(code: str, text: str, line: str | None) -> None:
    result = refused("x", code, text)
    assert (result.code, result.line, result.error) == (125, f"gatebus: x: {line or text}", code)


@pytest.mark.parametrize("cause", [Cause.INTERNAL, Cause.ORPHANED, Cause.NO_FUNCTION])
def test_what_is_not_the_programs_doing_is_125_and_nobody_is_sent_to_its_author(cause: Cause) -> None:
    result = ended("x", killed(cause), Limits())
    assert result.code == 125
    assert "author" not in result.line


@pytest.mark.parametrize("cause", list(Cause))
def test_every_kill_is_told_in_one_line(cause: Cause) -> None:
    line = ended("a\nb\x1b[31m", killed(cause), Limits()).line
    said = "gatebus: a b [31m: " if cause is Cause.BAD_STATE else "gatebus: a b [31m was killed: "
    assert line.startswith(said)
    assert line.isprintable()


def test_errors_name_the_file() -> None:
    assert failed("x.wasm", "malformed", "It is no module.").line == "gatebus: x.wasm: It is no module."
    assert failed("", "usage", "Write more.").line == "gatebus: Write more."
    assert (not_found("x").code, not_found("x").line) == (127, "gatebus: x: there is no such file. Check the name.")
    assert not_found(CID).line == f"gatebus: {CID}: there is no such file. Content is written ipfs://{CID}."


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (13, 141)])
def test_a_signal_is_counted_as_shells_do_and_nothing_is_said(number: int, code: int) -> None:
    assert (stopped(number, None).code, stopped(number, None).line) == (code, "")


def test_the_json_of_a_program_that_ended() -> None:
    outcome = Outcome(State.TERMINATED, result=3, usage=Usage(cpu_user=0.25, bytes_out=7))
    said = json.loads(result_json("x.wasm", "native", ended("x.wasm", outcome, Limits())))
    assert (said["exit"], said["state"], said["cause"], said["result"]) == (3, "TERMINATED", "NORMAL", 3)
    assert (said["error"], said["text"], said["file"], said["backend"]) == (None, None, "x.wasm", "native")
    assert (said["usage"]["cpu_user"], said["usage"]["bytes_out"]) == (0.25, 7)


def test_the_json_of_a_program_that_was_not_started() -> None:
    said = json.loads(result_json("x", "portable", failed("x", "malformed", "It is no module.")))
    assert (said["exit"], said["error"], said["text"]) == (125, "malformed", "x: It is no module.")
    assert said["state"] is said["usage"] is None


def test_the_json_of_a_killed_program_has_a_stable_code() -> None:
    said = json.loads(result_json("x", "native", ended("x", killed(Cause.CPU_TIME), Limits())))
    assert (said["error"], said["state"], said["cause"], said["result"]) == ("cpu-time", "KILLED", "CPU_TIME", None)


def test_the_costs_are_a_table_with_the_limits_beside() -> None:
    usage = Usage(0.010, 0.002, 3 * MIB, 9 * MIB, 5, 2048, 1, 3, wall=1.5)
    assert usage_lines(usage, Limits()).splitlines() == [
        "CPU time   12.0 ms of 30s (kernel: 2.0 ms)",
        "wall time  1.50 s of 300s",
        "memory     3.0 MiB of 64MiB",
        "process    9.0 MiB with everything",
        "to it      5 B in 1 packet",
        "from it    2.0 KiB in 3 packets",
    ]


def test_what_was_dropped_from_the_log_is_said() -> None:
    assert (
        usage_lines(Usage(log_dropped=5000), Limits()).splitlines()[-1]
        == "log        4.9 KiB were too much and dropped"
    )


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")])
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("done", "whole", "text"),
    [
        (0, 3 << 20, "0 % of 3.0 MiB sent"),
        (1 << 20, 3 << 20, "33 % of 3.0 MiB sent"),
        ((3 << 20) - 1, 3 << 20, "99 % of 3.0 MiB sent"),
        (4 << 20, 3 << 20, "100 % of 3.0 MiB sent"),
        (2048, None, "2.0 KiB sent"),
        (2048, 0, "2.0 KiB sent"),
    ],
)
def test_of_a_long_transfer_the_part_is_said_where_the_whole_is_known(done: int, whole: int | None, text: str) -> None:
    assert progress_text(done, whole, "sent") == text


def test_an_error_that_quotes_a_program_cannot_write_on_the_terminal() -> None:
    line = failed("x.wasm", "usage", "There is: \x1b[2J\x1b]0;title\x07, a\nb, \u202egnp.").line
    assert line.isprintable()
    assert "\x1b" not in line
    assert len(failed("x.wasm", "usage", "x" * 70_000).line) < 2_100
