"""The judge of killed hosts is judged: an honest history passes, and each kind of broken promise is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifehistory import GONE, RECORD, RUNNING, SUSPENDED, Broken, History, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, TWO = b"1" * 16, b"2" * 16
SHOT, OTHER = b"s" * 32, b"o" * 32


def begun(history: History, *fed: bytes) -> History:
    """One instance, which has answered all that it was fed."""
    history.answered(history.began("launch", None, ONE))
    history.connected(ONE)
    for data in fed:
        feed(history, data)
    return history


def feed(history: History, data: bytes, heard: int | None = None) -> None:
    """`heard`: so many of its records came."""
    before = history.instances[ONE].fed
    history.fed(ONE, data)
    new = counted(before + data)[RECORD.size * len(before) :]
    history.heard(ONE, new if heard is None else new[: RECORD.size * heard])


def did(history: History, what: str, snapshot: bytes | None = None) -> None:
    history.answered(history.began(what, ONE), snapshot)


def suspended(*fed: bytes) -> History:
    history = begun(History(), *fed)
    did(history, "suspend")
    return history


def test_a_record_says_all_input_since_the_first_byte() -> None:
    assert counted(b"ab")[:8] == counted(b"a")
    assert counted(b"ba")[8:] != counted(b"ab")[8:]
    assert len({counted(bytes([byte])) for byte in range(256)}) == 256
    assert RECORD.unpack(counted(b"abc")[-8:])[0] == 3


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=4), st.data())
def test_output_may_come_in_any_pieces(pieces: Sequence[bytes], data: st.DataObject) -> None:
    history, whole = begun(History()), b"".join(pieces)
    for piece in pieces:
        history.fed(ONE, piece)
    text = counted(whole)
    while text:
        size = data.draw(st.integers(1, len(text)))
        history.heard(ONE, text[:size])
        text = text[size:]
    assert history.instances[ONE].owed() == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("a byte twice", counted(b"aabc")),
        ("a byte lost", counted(b"ac")),
        ("two exchanged", counted(b"acb")),
        ("back to the start", counted(b"ab") + counted(b"a")),
        ("back a little", counted(b"abc")[:16] + counted(b"abc")[8:]),
        ("a record lost", counted(b"abc")[:8] + counted(b"abc")[16:]),
        ("more than it was fed", counted(b"abcd")),
    ],
)
def test_output_that_the_input_does_not_explain_is_a_fault(fault: str, said: bytes) -> None:
    history = begun(History())
    history.fed(ONE, b"abc")
    with pytest.raises(Broken, match="no input explains"):
        history.heard(ONE, said)


def test_what_was_answered_as_stored_is_there_suspended() -> None:
    for planted in (RUNNING, GONE):
        history = suspended(b"ab")
        history.died()
        with pytest.raises(Broken, match="promised was"):
            history.found(ONE, planted)
    history = suspended(b"ab")
    history.died()
    assert history.found(ONE, SUSPENDED)
    history.came_back(ONE, accepted=True)


def test_what_was_only_asked_for_is_there_or_not() -> None:
    for state in (RUNNING, SUSPENDED, GONE):
        history = begun(History(), b"ab")
        history.began("suspend", ONE)
        history.died()
        assert history.found(ONE, state) is (state != GONE)


def test_what_was_only_launched_does_not_run_again() -> None:
    history = begun(History(), b"ab")
    history.died()
    with pytest.raises(Broken, match="promised was"):
        history.found(ONE, RUNNING)


def test_what_was_resumed_runs_and_what_bytes_may_have_woken_is_either() -> None:
    history = suspended()
    did(history, "resume")
    history.died()
    with pytest.raises(Broken, match="promised was"):
        history.found(ONE, SUSPENDED)
    for state in (RUNNING, SUSPENDED):
        history = suspended()
        history.fed(ONE, b"!")
        did(history, "suspend")  # what it has not read may wake it after this
        history.died()
        assert history.found(ONE, state)
    history = suspended()
    history.fed(ONE, b"")  # its client came back
    did(history, "suspend")
    history.died()
    with pytest.raises(Broken, match="promised was"):
        history.found(ONE, RUNNING)


def test_a_client_that_was_connecting_may_have_woken_it() -> None:
    for state in (RUNNING, SUSPENDED):
        history = suspended()
        history.died()
        history.found(ONE, SUSPENDED)
        history.comes(ONE)
        history.died()
        assert history.found(ONE, state)


def test_a_suspend_that_is_answered_holds_though_its_client_had_come_back_right_before() -> None:
    history = suspended()
    history.comes(ONE)
    history.came_back(ONE, accepted=True)
    did(history, "suspend")
    history.died()
    with pytest.raises(Broken, match="promised was"):
        history.found(ONE, RUNNING)


@pytest.mark.parametrize("how", ["end", "kill"])
def test_what_has_ended_runs_no_more(how: str) -> None:
    history = begun(History(), b"ab")
    did(history, "snapshot", SHOT)
    asked = history.began(how, ONE)
    history.answered(asked)
    history.died()
    assert not history.found(ONE, GONE)
    with pytest.raises(Broken, match="had ended"):
        history.found(ONE, RUNNING)


def test_a_stream_of_which_everything_was_stored_comes_back() -> None:
    history = suspended(b"ab")
    history.died()
    history.found(ONE, SUSPENDED)
    with pytest.raises(Broken, match="was refused"):
        history.came_back(ONE, accepted=False)


def test_a_stream_whose_client_knows_more_may_be_refused_and_one_that_was_not_there_too() -> None:
    history = suspended(b"ab")
    did(history, "resume")
    feed(history, b"c")
    history.died()
    history.found(ONE, RUNNING)
    history.came_back(ONE, accepted=False)
    history = begun(History())
    did(history, "snapshot", SHOT)
    history.answered(history.began("restore", None, TWO, snapshot=SHOT))
    history.connected(TWO)
    history.died()
    history.found(TWO, RUNNING)
    history.came_back(TWO, accepted=False)


def test_a_stored_program_does_not_go_back_though_bytes_were_on_their_way() -> None:
    history = suspended(b"ab")
    history.fed(ONE, b"c")
    history.died()
    history.found(ONE, SUSPENDED)
    with pytest.raises(Broken, match="went back"):
        history.came_back(ONE, accepted=False)


def copy_of(history: History) -> History:
    history.answered(history.began("restore", None, TWO, snapshot=SHOT))
    history.connected(TWO)
    return history


def test_a_copy_goes_on_where_its_snapshot_was_and_nowhere_else() -> None:
    history = begun(History(), b"ab")
    did(history, "snapshot", SHOT)
    feed(history, b"cd")
    copy_of(history).fed(TWO, b"!")
    history.heard(TWO, counted(b"ab!")[16:])
    for planted in (counted(b"a!")[8:], counted(b"abcd!")[32:], counted(b"!"), counted(b"ab!")[8:]):
        history = begun(History(), b"ab")
        did(history, "snapshot", SHOT)
        feed(history, b"cd")
        copy_of(history).fed(TWO, b"!")
        with pytest.raises(Broken, match="no input explains"):
            history.heard(TWO, planted)


def test_a_copy_of_one_that_was_at_work_is_anywhere_between_and_stays_there() -> None:
    for start in range(1, 4):
        history = begun(History())
        feed(history, b"abc", heard=1)
        did(history, "snapshot", SHOT)
        copy_of(history).fed(TWO, b"!?")
        text = counted(b"abc!?")[RECORD.size * start :]
        history.heard(TWO, text[:8])
        assert {past.start for past in history.instances[TWO].pasts} == {start}
        with pytest.raises(Broken, match="no input explains"):
            history.heard(TWO, text[:8])


def test_one_that_went_back_is_not_behind_what_was_answered() -> None:
    history = suspended(b"ab")
    did(history, "resume")
    feed(history, b"cd")
    history.died()
    history.found(ONE, RUNNING)
    history.came_back(ONE, accepted=False)
    did(history, "suspend")
    did(history, "resume")
    did(history, "snapshot", SHOT)
    assert {past.start for past in history.shots[SHOT].pasts} == {2, 3, 4}
    copy_of(history).fed(TWO, b"!")
    with pytest.raises(Broken, match="no input explains"):
        history.heard(TWO, counted(b"a!")[8:])


def test_snapshots_that_were_answered_stay_and_dropped_ones_stay_away() -> None:
    history = begun(History())
    did(history, "snapshot", SHOT)
    did(history, "snapshot", OTHER)
    history.answered(history.began("drop", snapshot=OTHER))
    history.listed(frozenset({SHOT}))
    with pytest.raises(Broken, match="answered are gone"):
        history.listed(frozenset())
    with pytest.raises(Broken, match="dropped are there again"):
        history.listed(frozenset({SHOT, OTHER}))


def test_what_was_begun_makes_one_snapshot_at_most() -> None:
    history = begun(History())
    history.began("snapshot", ONE)
    history.died()
    history.listed(frozenset({SHOT}))
    with pytest.raises(Broken, match="nobody asked for"):
        history.listed(frozenset({SHOT, OTHER}))


def test_what_was_half_dropped_is_there_or_not_and_then_stays_so() -> None:
    for there in (frozenset({SHOT}), frozenset[bytes]()):
        history = begun(History())
        did(history, "snapshot", SHOT)
        history.began("drop", snapshot=SHOT)
        history.died()
        history.listed(there)
        with pytest.raises(Broken, match=r"gone|again"):
            history.listed(frozenset({SHOT}) - there)


def test_what_was_refused_has_changed_nothing() -> None:
    history = begun(History())
    did(history, "snapshot", SHOT)
    history.refused(history.began("restore", None, TWO, snapshot=SHOT))
    history.refused(history.began("drop", snapshot=SHOT))
    assert history.instances.keys() == {ONE}
    history.listed(frozenset({SHOT}))


def test_what_ran_when_a_host_stopped_in_good_order_runs_again() -> None:
    history = begun(History(), b"abc")
    history.stopped()
    history.died()
    with pytest.raises(Broken, match="promised was"):
        history.found(ONE, GONE)
    history = begun(History(), b"abc")
    history.stopped()
    history.died()
    assert history.found(ONE, RUNNING)
    with pytest.raises(Broken, match="of which everything was stored"):
        history.came_back(ONE, accepted=False)


def parked(then: str = "") -> History:
    """With a snapshot to go back to, and six more records."""
    history = begun(History(), b"ab")
    did(history, "snapshot", SHOT)
    feed(history, b"cdefgh")
    did(history, "park")
    if then:
        did(history, then)
    history.died()
    return history


def test_what_was_parked_is_suspended_after_a_crash_or_runs_if_that_was_not_yet_written_down() -> None:
    for state in (SUSPENDED, RUNNING):
        history = parked()
        assert history.found(ONE, state)
        history.came_back(ONE, accepted=False)  # it went back to its snapshot
    with pytest.raises(Broken, match="promised was"):
        parked().found(ONE, GONE)


def test_what_was_parked_and_resumed_runs_after_a_crash() -> None:
    with pytest.raises(Broken, match="promised was"):
        parked("resume").found(ONE, SUSPENDED)


def test_what_was_parked_and_then_stored_does_not_go_back() -> None:
    history = parked("suspend")
    assert history.found(ONE, SUSPENDED)
    with pytest.raises(Broken, match="was refused"):
        history.came_back(ONE, accepted=False)


def test_what_was_parked_when_its_host_stopped_in_good_order_does_not_go_back() -> None:
    history = begun(History(), b"ab")
    did(history, "park")
    history.stopped()
    history.died()
    with pytest.raises(Broken, match="promised was"):
        history.found(ONE, RUNNING)
    assert history.found(ONE, SUSPENDED)
    with pytest.raises(Broken, match="was refused"):
        history.came_back(ONE, accepted=False)


def test_one_that_went_back_while_it_was_parked_has_no_more_than_that_when_it_is_woken() -> None:
    history = parked()
    history.found(ONE, SUSPENDED)
    history.fed(ONE, b"!")
    assert history.instances[ONE].safe.heard == 2


def killed_on_a_full_disk(history: History) -> History:
    history.unwritten(history.began("kill", ONE))
    history.died()
    return history


def test_a_kill_that_was_not_written_down_may_be_undone_by_a_crash() -> None:
    for state in (RUNNING, SUSPENDED, GONE):
        history = killed_on_a_full_disk(suspended(b"ab"))
        assert history.found(ONE, state) is (state != GONE)
    with pytest.raises(Broken, match="promised was"):
        killed_on_a_full_disk(begun(History())).found(ONE, RUNNING)  # of which nothing was ever stored


def test_a_kill_that_was_written_down_at_last_is_one_for_good() -> None:
    history = suspended(b"ab")
    history.unwritten(history.began("kill", ONE))
    did(history, "kill")
    history.died()
    with pytest.raises(Broken, match="had ended"):
        history.found(ONE, SUSPENDED)


def test_what_was_parked_and_resumed_on_a_full_disk_may_be_suspended_after_a_crash() -> None:
    for state in (RUNNING, SUSPENDED):
        history = begun(History(), b"ab")
        did(history, "snapshot", SHOT)
        did(history, "park")
        did(history, "resume")
        history.runs_unwritten(ONE)
        history.died()
        assert history.found(ONE, state)
