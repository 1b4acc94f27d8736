"""How a program ended: every rule of the decision, and that a report cannot lie about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.outcome import (
    CAUSE_TEXTS,
    EXIT_CAUSES,
    SIGKILL,
    SIGSYS,
    SIGXCPU,
    Cause,
    EndRecord,
    Outcome,
    Report,
    State,
    Why,
    Wish,
    decide,
)

NOTHING = Wish()


def ended(status: int | None = None, signal: int | None = None, why: Why = Why.ITSELF, cpu: float = 0.0) -> EndRecord:
    return EndRecord(status, signal, why, user_us=int(cpu * 1e6))


def report(status: int, result: int = 0, text: str = "") -> Report:
    return Report(status, result, 0, 0, text)


@pytest.mark.parametrize(
    ("status", "said", "state", "result"),
    [
        (0, 0, State.HALTED, 0),
        (1, 1, State.HALTED, 1),
        (1, 77, State.HALTED, 77),
        (2, 0, State.TERMINATED, 0),
        (3, 3, State.TERMINATED, 3),
        (3, 0xFFFFFFFF, State.TERMINATED, 0xFFFFFFFF),
    ],
)
def test_an_end_by_itself_has_the_result_of_its_report(status: int, said: int, state: State, result: int) -> None:
    outcome = decide(ended(status), report(status, said), NOTHING, 1.0)
    assert outcome == Outcome(state, Cause.NORMAL, result, "")
    assert outcome.ok == (result == 0)


@pytest.mark.parametrize(("status", "result"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_without_a_report_the_result_is_what_the_status_says(status: int, result: int) -> None:
    assert decide(ended(status), None, NOTHING, 1.0).result == result


@pytest.mark.parametrize(("status", "said"), [(0, 5), (2, 5), (1, 0), (3, 0)])
def test_a_report_whose_result_contradicts_the_status_is_not_believed(status: int, said: int) -> None:
    assert decide(ended(status), report(status, said), NOTHING, 1.0).result == status & 1


def test_a_report_of_another_status_is_not_believed() -> None:
    outcome = decide(ended(25), report(0, 0, "all is well"), NOTHING, 1.0)
    assert outcome.cause is Cause.MEMORY_ACCESS_OUT_OF_BOUNDS
    assert outcome.text == CAUSE_TEXTS[outcome.cause]


@pytest.mark.parametrize(("status", "cause"), EXIT_CAUSES.items())
def test_every_trap_status_is_killed_with_its_cause_and_text(status: int, cause: Cause) -> None:
    outcome = decide(ended(status), None, NOTHING, 1.0)
    assert (outcome.state, outcome.cause, outcome.result) == (State.KILLED, cause, 0)
    assert outcome.text == CAUSE_TEXTS[cause]
    assert not outcome.ok


def test_the_reports_text_stands_behind_the_causes_own() -> None:
    outcome = decide(ended(30), report(30, 0, "uncaught exception\x1b[31m"), NOTHING, 1.0)
    assert outcome.text == "The program trapped (uncaught exception [31m)."


@pytest.mark.parametrize("status", [23, 24, 25, 27, 28])
def test_what_the_cause_says_is_not_said_twice(status: int) -> None:
    outcome = decide(ended(status), report(status, 0, "the same in other words"), NOTHING, 1.0)
    assert outcome.text == CAUSE_TEXTS[EXIT_CAUSES[status]]


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (70, "a bug in the runtime"),
        (71, "image"),
        (74, "setup"),
        (83, "step 3 of its jail"),
        (111, "signal 11"),
        (45, "unknown status"),
    ],
)
def test_failures_of_ours_are_internal_and_name_their_number(status: int, phrase: str) -> None:
    outcome = decide(ended(status), report(status, 0, "/secret/path"), NOTHING, 1.0)
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.INTERNAL)
    assert phrase in outcome.text
    assert str(status) in outcome.text
    assert "secret" not in outcome.text


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (ended(signal=SIGSYS), Cause.FORBIDDEN_CALL),
        (ended(signal=SIGXCPU), Cause.CPU_TIME),
        (ended(signal=SIGKILL, cpu=1.0), Cause.CPU_TIME),
        (ended(signal=SIGKILL, cpu=0.9), Cause.INTERNAL),
        (ended(signal=11), Cause.INTERNAL),
        (ended(signal=SIGKILL, why=Why.WALL), Cause.WALL_TIME),
        (ended(signal=SIGKILL, why=Why.MEMORY), Cause.MEMORY_LIMIT),
        (ended(signal=SIGKILL, why=Why.KILL), Cause.KILLED),
        (EndRecord(None, None, Why.LOST), Cause.INTERNAL),
    ],
)
def test_signals_and_limits_have_their_causes(end: EndRecord, cause: Cause) -> None:
    outcome = decide(end, None, NOTHING, 1.0)
    assert (outcome.state, outcome.cause) == (State.KILLED, cause)
    assert outcome.text.endswith(".")


def test_a_kill_has_the_cause_that_was_asked_for() -> None:
    end = ended(signal=SIGKILL, why=Why.KILL)
    assert decide(end, None, Wish(Cause.WALL_TIME), 1.0).cause is Cause.WALL_TIME


def test_a_kill_that_came_too_late_changes_nothing() -> None:
    late = decide(ended(3, why=Why.KILL), report(3, 9), Wish(Cause.KILLED), 1.0)
    assert (late.state, late.result) == (State.TERMINATED, 9)


def test_a_violation_that_the_host_saw_outranks_a_good_end() -> None:
    outcome = decide(ended(0), report(0), Wish(Cause.ABI_VIOLATION, "It wrote nonsense."), 1.0)
    assert outcome == Outcome(State.KILLED, Cause.ABI_VIOLATION, 0, "It wrote nonsense.")


@given(
    st.integers(0, 255),
    st.builds(Report, st.integers(0, 255), st.integers(0, 2**32 - 1), st.just(0), st.just(0), st.text(max_size=250)),
)
def test_no_report_makes_a_killed_program_look_well(status: int, said: Report) -> None:
    outcome = decide(ended(status), said, NOTHING, 1.0)
    assert outcome.ok == (status in (0, 2))
    assert (outcome.state is State.KILLED) == (status > 3)
    assert outcome.text.isprintable()
    assert len(outcome.text) < 400


def test_every_cause_has_a_text_except_the_normal_one() -> None:
    assert {cause for cause in Cause if not CAUSE_TEXTS[cause]} == {Cause.NORMAL}
