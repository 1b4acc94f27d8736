"""The life of an instance: every state x every step, and what follows from the table as a whole."""

from __future__ import annotations

from itertools import product

import pytest

from gatebus.host.lives.lifetable import HAS_PROCESS, ON_ITS_WAY, SUSPENDED, Life, Step, WrongStep, after, can

L, S = Life, Step
# One row per state, in the words of the page: anything else is refused.
ALLOWED: dict[Life, dict[Step, Life]] = {
    L.STARTING: {S.BEGIN: L.RUNNING, S.END: L.ENDED},
    L.RUNNING: {S.PARK: L.PARKED, S.STOP: L.STOPPING, S.END: L.ENDED},
    L.PARKED: {S.UNPARK: L.RUNNING, S.STOP: L.STOPPING, S.END: L.ENDED},
    L.STOPPING: {S.STOPPED: L.SAVING, S.END: L.ENDED},
    L.SAVING: {S.STORE: L.STORED, S.GO_ON: L.RESUMING, S.END: L.ENDED},
    L.STORED: {S.GO_ON: L.RESUMING, S.FOLD: L.FOLDED, S.END: L.ENDED},
    L.FOLDED: {},
    L.RESUMING: {S.BEGIN: L.RUNNING, S.FAIL: L.STORED, S.END: L.ENDED},
    L.ENDED: {},
}


@pytest.mark.parametrize(("life", "step"), list(product(Life, Step)))
def test_each_step_of_each_state(life: Life, step: Step) -> None:
    assert can(life, step) is (step in ALLOWED[life])
    if can(life, step):
        assert after(life, step) is ALLOWED[life][step]
    else:
        with pytest.raises(WrongStep, match=f"{step.value}: an instance that is {life.value} cannot"):
            after(life, step)


def reachable(start: Life) -> set[Life]:
    found, rest = {start}, [start]
    while rest:
        life = rest.pop()
        for following in ALLOWED[life].values():
            if following not in found:
                found.add(following)
                rest.append(following)
    return found


def test_every_state_is_reached_and_every_one_can_end() -> None:
    assert reachable(L.STARTING) == set(Life)
    assert all(L.ENDED in reachable(life) for life in Life if life is not L.FOLDED)


@pytest.mark.parametrize("over", [L.ENDED, L.FOLDED])
def test_what_has_ended_never_lives_again(over: Life) -> None:
    assert reachable(over) == {over}


def test_a_process_is_begun_only_where_there_is_none() -> None:
    """Nothing runs twice."""
    assert not any(can(life, S.BEGIN) for life in HAS_PROCESS)
    begins = {life for life in Life if can(life, S.BEGIN)}
    assert begins == {L.STARTING, L.RESUMING}
    assert not begins & {after(life, S.STOP) for life in Life if can(life, S.STOP)}


def test_a_process_is_left_only_by_stopping_or_its_end() -> None:
    for life in HAS_PROCESS:
        leaving = {step for step, following in ALLOWED[life].items() if following not in HAS_PROCESS}
        assert leaving <= {S.STOPPED, S.END}


def test_whoever_waits_for_what_is_under_way_waits_for_something() -> None:
    """None of these states is one that a program can stay in by itself."""
    assert set(Life) - {L.ENDED, L.FOLDED} == ON_ITS_WAY | SUSPENDED | {L.RUNNING}
    for life in ON_ITS_WAY:
        assert len(ALLOWED[life]) >= 2
