"""gatebus.host.contest: who must make do with a share, and that nobody must as long as there is one account."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from gatebus.accountbounds import CONTEST_SECONDS, SHARE_SECONDS, SHARES_TOLD
from gatebus.host.contest import Contest


class Program:
    """Remembers what it was told; `deaf`: it cannot be told so many times."""

    def __init__(self, deaf: int = 0) -> None:
        self.told: list[int] = []
        self.deaf = deaf

    def share(self, account: int) -> bool:
        if self.deaf:
            self.deaf -= 1
            return False
        self.told.append(account)
        return True


class Woken:
    def __init__(self) -> None:
        self.times = 0
        self.contest = Contest(self.wake)

    def wake(self) -> None:
        self.times += 1


LATER = SHARE_SECONDS


def test_one_account_is_told_nothing_however_much_it_runs() -> None:
    woken, programs = Woken(), [Program() for _ in range(100)]
    for program in programs:
        woken.contest.began(program, "alice", 0.0)
    assert woken.contest.turn(1.0) == inf
    assert (woken.times, [each for program in programs for each in program.told]) == (0, [])


def test_with_a_second_account_everything_that_lasts_is_told_whose_it_is() -> None:
    woken, alices, bobs = Woken(), [Program(), Program()], Program()
    for program in alices:
        woken.contest.began(program, "alice", 0.0)
    woken.contest.began(bobs, "bob", 5.0)
    assert woken.times == 1
    assert woken.contest.turn(5.0) == SHARE_SECONDS, "bob's has just begun: most are over soon"
    assert ([each.told for each in alices], bobs.told) == ([[1], [1]], [])
    assert woken.contest.turn(5.0 + LATER) == inf
    assert bobs.told == [2]


def test_what_is_over_soon_is_never_told() -> None:
    woken, hello = Woken(), Program()
    woken.contest.began(Program(), "alice", 0.0)
    woken.contest.began(hello, "bob", 1.0)
    woken.contest.turn(1.0)
    woken.contest.over(hello, "bob", 1.0 + LATER / 2)
    woken.contest.turn(1.0 + LATER)
    assert hello.told == []


def test_an_account_counts_for_some_seconds_after_its_last_program_and_then_the_others_are_free() -> None:
    woken, alices, hello = Woken(), Program(), Program()
    woken.contest.began(alices, "alice", 0.0)
    woken.contest.began(hello, "bob", 1.0)
    woken.contest.turn(1.2)
    woken.contest.over(hello, "bob", 1.5)
    assert woken.times == 2, "its time runs from now on"
    assert woken.contest.turn(2.0) == CONTEST_SECONDS - 0.5
    assert alices.told == [1]
    assert woken.contest.turn(1.5 + CONTEST_SECONDS) == inf
    assert alices.told == [1, 0]
    again = Program()
    woken.contest.began(again, "bob", 100.0)
    woken.contest.turn(100.0)
    assert alices.told == [1, 0, 1], "the same number as before"


def test_two_programs_of_one_account_end_one_after_the_other() -> None:
    woken, alices, first, second = Woken(), Program(), Program(), Program()
    woken.contest.began(alices, "alice", 0.0)
    for program in (first, second):
        woken.contest.began(program, "bob", 0.0)
    woken.contest.over(first, "bob", 1.0)
    assert woken.contest.turn(1.0 + CONTEST_SECONDS) == inf
    assert (alices.told, second.told) == ([1], [2]), "bob still runs one"


def test_who_cannot_be_told_now_is_told_later() -> None:
    woken, busy = Woken(), Program(deaf=2)
    woken.contest.began(busy, "alice", 0.0)
    woken.contest.began(Program(), "bob", 0.0)
    for turn in (1.0, 2.0):
        assert woken.contest.turn(turn) == SHARE_SECONDS
        assert busy.told == []
    assert woken.contest.turn(3.0) == inf
    assert busy.told == [1]


def test_a_turn_tells_a_bounded_number_both_ways() -> None:
    woken, programs, other = Woken(), [Program() for _ in range(SHARES_TOLD * 2)], Program()
    for program in programs:
        woken.contest.began(program, "alice", 0.0)
    woken.contest.began(other, "bob", 0.0)
    woken.contest.turn(1.0)
    assert sum(len(program.told) for program in [*programs, other]) == SHARES_TOLD
    woken.contest.turn(2.0)
    woken.contest.turn(3.0)
    woken.contest.over(other, "bob", 4.0)
    assert woken.contest.turn(4.0 + CONTEST_SECONDS) == SHARE_SECONDS
    assert sum(program.told[-1] == 0 for program in programs) == SHARES_TOLD


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.floats(0, 15)), max_size=60)


@given(STEPS)
def test_at_rest_everybody_has_heard_what_is_true(steps: list[tuple[str, int, float]]) -> None:
    """Programs come and go; after a while in which nothing happens those that run know whether they compete."""
    woken, now, running = Woken(), 0.0, dict[Program, str]()
    for account, kind, pause in steps:
        now += pause
        if kind == 0 and running:
            program, owner = running.popitem()
            woken.contest.over(program, owner, now)
        else:
            program = Program(deaf=kind - 1 if kind else 0)
            running[program] = account
            woken.contest.began(program, account, now)
        woken.contest.turn(now)
    for _ in range(10):
        now += CONTEST_SECONDS
        woken.contest.turn(now)
    assert woken.contest.turn(now) == inf
    several = len(set(running.values())) > 1
    for program in running:
        assert (program.told[-1:] or [0])[0] > 0 if several else (program.told[-1:] or [0]) == [0]
