"""Which snapshots go by themselves: nothing that anybody asked for, points to, or may still need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gatebus.snapshots.retention import Living, expired
from gatebus.snapshots.savedwords import IMPORTED, KINDS, STATES, Record, SnapshotLine
from gatebus.snapshots.snapshotbounds import CHECKPOINTS_KEPT, LEFT_SECONDS

NOW = 10_000_000.0
OLD = NOW - LEFT_SECONDS - 1
NOBODY = Living(frozenset(), NOW)
ONE, TWO = b"\1" * 16, b"\2" * 16


def line(number: int, kind: str, taken: float = OLD, instance: bytes = ONE, **more: object) -> SnapshotLine:
    about = {"instance": instance, "kind": kind, "taken": int(taken * 1000) + number, **more}
    return SnapshotLine(bytes([number]) * 32, "ada", "ab" * 32, about, 1, 1)


def record(state: str = "running", snapshot: int | None = None, account: str = "ada") -> Record:
    return Record(ONE, "ada", account, state, bytes([snapshot]) * 32 if snapshot is not None else None)


def numbers(lines: list[SnapshotLine]) -> list[int]:
    return sorted(each.id[0] for each in lines)


def test_what_somebody_asked_for_stays() -> None:
    lines = [line(1, "snapshot"), line(2, "warm"), line(3, "suspended", **{IMPORTED: True})]
    assert expired(lines, [], NOBODY) == []


def test_what_a_record_points_to_stays() -> None:
    assert expired([line(1, "suspended")], [record("stored", 1)], NOBODY) == []


def test_what_nobody_has_any_more_goes_when_it_is_old() -> None:
    lines = [line(1, "suspended"), line(2, "checkpoint"), line(3, "clone"), line(4, "suspended", NOW - 5)]
    assert numbers(expired(lines, [], NOBODY)) == [1, 2, 3]


def test_an_instance_keeps_its_last_checkpoints() -> None:
    lines = [line(number, "checkpoint", NOW) for number in range(1, 8)]
    assert numbers(expired(lines, [record("running", 7)], NOBODY)) == [1, 2, 3, 4]
    assert len(lines) - 4 == CHECKPOINTS_KEPT
    assert numbers(expired(lines, [record("running", 2)], NOBODY)) == [1, 3, 4], "from an older one it goes on"


def test_its_policy_says_how_many() -> None:
    lines = [line(number, "checkpoint", policy={"keep_last": 5}) for number in range(1, 8)]
    assert numbers(expired(lines, [record("running", 7)], NOBODY)) == [1, 2]


def test_an_instance_without_a_record_that_lives_keeps_its_last_checkpoints() -> None:
    lines = [line(number, "checkpoint") for number in range(1, 6)]
    assert numbers(expired(lines, [], Living(frozenset({ONE}), NOW))) == [1, 2]


def test_what_was_stored_before_goes_once_something_newer_is_pointed_to() -> None:
    lines = [line(1, "suspended"), line(2, "suspended"), line(3, "suspended", NOW)]
    assert numbers(expired(lines, [record("stored", 2)], NOBODY)) == [1], "what is newer may be about to be recorded"


def test_on_doubt_nothing_goes() -> None:
    lines = [line(1, "suspended"), line(2, "checkpoint")]
    assert expired(lines, [record("running")], NOBODY) == [], "a record that points nowhere yet"
    assert expired(lines, [record("running", 9)], NOBODY) == [], "a record that points to what is not in the list"


def test_a_record_of_another_account_keeps_nothing_of_mine() -> None:
    assert numbers(expired([line(1, "suspended")], [record("stored", 1, "grace")], NOBODY)) == [1]


lines_strategy = st.builds(
    line,
    st.integers(1, 250),
    st.sampled_from(KINDS),
    st.floats(0, NOW),
    st.sampled_from((ONE, TWO)),
)
records_strategy = st.lists(
    st.builds(record, st.sampled_from(STATES), st.none() | st.integers(1, 250), st.sampled_from(("ada", "grace"))),
    max_size=1,
)


@given(st.lists(lines_strategy, max_size=12, unique_by=lambda each: each.id), records_strategy)
def test_whatever_there_is_the_newest_of_what_lives_and_what_is_asked_for_stay(
    lines: list[SnapshotLine], records: list[Record]
) -> None:
    living = Living(frozenset({TWO}), NOW)
    gone = expired(lines, records, living)
    assert len({each.id for each in gone}) == len(gone)
    for each in gone:
        assert each.kind in ("suspended", "checkpoint", "clone")
        assert each.id not in {r.snapshot for r in records if r.account == "ada" and r.state != "ended"}
    checkpoints = [each for each in lines if each.kind == "checkpoint" and each.instance == TWO]
    assert max(checkpoints, key=lambda each: each.taken, default=None) not in gone
