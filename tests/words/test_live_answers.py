"""gatebus.client.liveanswers: what hosts say about stopped programs; every field of it may be wrong."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from buswords import values
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.live_wording import difference_lines, failed_copy, policy_lines, shown_lines, snapshots_table
from gatebus.client import liveanswers
from gatebus.client.answers import Clients, Live, clients_untrusted, live_untrusted, status_untrusted
from gatebus.client.complaints import HostNonsense

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME, OTHER = b"s" * 32, b"t" * 32
ID = UUID("7c1f3bd7-e35b-4439-beb3-d1984745ab3f")
FRAME = {"depth": 0, "function": 7, "name": "fib", "place": "loop 2"}
RUDE = "\x1b[2Jrude"

LINE = {
    "snapshot": NAME, "instance": ID.bytes, "module": b"m" * 32, "size": 66_000, "taken": 1_000_000,
    "kind": "snapshot", "tags": ["a"], "parent": OTHER,
}  # fmt: skip
SHOWN = {
    "snapshot": NAME, "module": b"m" * 32, "frames": [FRAME], "memory": {"pages": 2, "touched": 4096},
    "sizes": {"state": 100, "services": 7}, "about": {"kind": "snapshot", "instance": ID.bytes},
}  # fmt: skip
DIFFERENCE = {"changed": 2, "ranges": [[0, 4096], [65536, 4096]], "sizes": [1, 2], "frames": [[FRAME], []]}
LIVE = {
    "depth": "stored", "lives": 3, "suspendable": True, "unsuspendable": ["f: why"], "snapshot": NAME,
    "recovered": 5, "policy": {"wake": "io"},
}  # fmt: skip
TROUBLED = {"unkept": {"since": 1, "text": "Why."}, "due": True, "failure": {"code": "busy", "text": "No room."}}
CLIENTS = {"attached": 1, "lost": 2, "over": True}
READERS: list[tuple[Mapping[str, Any], Callable[[Mapping[str, Any]], object]]] = [
    (LINE, liveanswers.snapshot_untrusted),
    ({"snapshot": NAME, "size": 1, "written": 0}, liveanswers.taken_untrusted),
    ({"snapshot": NAME, "module": OTHER}, liveanswers.imported_untrusted),
    (SHOWN, liveanswers.shown_untrusted),
    (DIFFERENCE, liveanswers.difference_untrusted),
    (LIVE, live_untrusted),
    ({**LIVE, **TROUBLED}, live_untrusted),
    (CLIENTS, clients_untrusted),
]


def test_a_snapshot_of_the_list_has_its_types() -> None:
    assert liveanswers.snapshot_untrusted(LINE) == liveanswers.Snapshot(
        NAME, ID, (b"m" * 32).hex(), 66_000, 1_000_000, "snapshot", ("a",), OTHER
    )


def test_a_first_snapshot_has_no_parent() -> None:
    assert liveanswers.snapshot_untrusted({**LINE, "parent": None}).parent is None


def test_what_is_shown_has_its_types() -> None:
    assert liveanswers.shown_untrusted(SHOWN) == liveanswers.Shown(
        NAME, (b"m" * 32).hex(), (FRAME,), 2, 4096, {"state": 100, "services": 7}, SHOWN["about"]
    )


def test_a_difference_has_its_types() -> None:
    assert liveanswers.difference_untrusted(DIFFERENCE) == liveanswers.Difference(
        2, ((0, 4096), (65536, 4096)), (1, 2), ((FRAME,), ())
    )


def test_a_status_tells_of_its_life_only_where_there_is_one() -> None:
    status = {"instance": ID.bytes, "state": "SUSPENDED", "module": b"m" * 32, "created": 1}
    assert status_untrusted(status).live is None
    assert status_untrusted({**status, **LIVE}).live == Live("stored", 3, True, ("f: why",), NAME, 5, {"wake": "io"})
    assert status_untrusted({**status, **LIVE, **TROUBLED}).live == Live(
        "stored", 3, True, ("f: why",), NAME, 5, {"wake": "io"},
        unkept_since=1, unkept="Why.", due=True, failure="No room.",
    )  # fmt: skip


def test_a_status_tells_of_clients_only_where_there_may_be_some() -> None:
    status = {"instance": ID.bytes, "state": "RUNNING", "module": b"m" * 32, "created": 1}
    assert status_untrusted(status).clients is None
    assert status_untrusted({**status, "clients": CLIENTS}).clients == Clients(1, 2, over=True)
    assert status_untrusted({**status, "clients": {}}).clients == Clients()
    with pytest.raises(HostNonsense):
        status_untrusted({**status, "clients": 1})


@pytest.mark.parametrize("number", range(len(READERS)))
@given(data=st.data())
def test_any_field_may_be_anything_and_is_refused_or_typed(number: int, data: st.DataObject) -> None:
    answer, read = READERS[number]
    told = copy.deepcopy(dict(answer))
    told[data.draw(st.sampled_from(sorted(told)))] = data.draw(values)
    with suppress(HostNonsense):
        assert read(told)


@pytest.mark.parametrize(
    "frames", [[[FRAME]], [[FRAME], [FRAME], []], [[FRAME], [7]], {}], ids=["one", "three", "no frame", "a map"]
)
def test_frames_that_are_not_two_lists_are_nonsense(frames: object) -> None:
    with pytest.raises(HostNonsense):
        liveanswers.difference_untrusted({**DIFFERENCE, "frames": frames})


# What a person sees.


def test_snapshots_are_a_table() -> None:
    lines = snapshots_table([liveanswers.snapshot_untrusted(LINE)], 1060.0).splitlines()
    assert [line.split() for line in lines] == [
        ["SNAPSHOT", "INSTANCE", "KIND", "SIZE", "AGE", "MODULE", "TAGS"],
        ["737373737373", "7c1f3bd7", "snapshot", "64.5", "KiB", "60s", "6d6d6d6d6d6d", "a"],
    ]


def test_a_snapshot_without_a_name_is_listed_with_its_instance_s_in_brackets() -> None:
    unnamed = {**LINE, "tags": [], "instance_tags": ["a", "b"]}
    assert snapshots_table([liveanswers.snapshot_untrusted(unnamed)], 1060.0).endswith(" (a b)")


def test_a_stopped_program_is_shown_with_its_frames() -> None:
    lines = shown_lines(liveanswers.shown_untrusted(SHOWN)).splitlines()
    assert lines[1] == "kind       snapshot of 7c1f3bd7"
    assert lines[3:6] == ["memory     128.0 KiB; 4.0 KiB of it may not be zero", "services   7 B", "state      100 B"]
    assert lines[-1].split() == ["0", "7", "fib", "loop", "2"]


def test_a_thousand_frames_do_not_fill_the_terminal() -> None:
    deep = liveanswers.shown_untrusted({**SHOWN, "frames": [FRAME] * 1000})
    assert shown_lines(deep).splitlines()[-1].strip() == "... 936 more ..."


def test_a_difference_says_what_differs() -> None:
    assert difference_lines(liveanswers.difference_untrusted(DIFFERENCE)).splitlines() == [
        "changed    2 pages of 4 KiB",
        "sizes      1 B -> 2 B",
        "frames     1 -> 0",
        "  0x00000000 .. 0x00001000",
        "  0x00010000 .. 0x00011000",
    ]


def test_copies_that_were_refused_are_counted_with_the_first_ones_reason() -> None:
    result = failed_copy([{"code": "quota-instances", "text": "At most 2."}], 3)
    assert (result.code, result.error) == (125, "quota-instances")
    assert result.line == "gatebus: 1 of 3 copies were refused: At most 2."


@pytest.mark.parametrize(
    "shown",
    [
        {**SHOWN, "frames": [{"depth": RUDE, "function": RUDE, "name": RUDE, "place": RUDE}]},
        {**SHOWN, "module": RUDE},
        {**SHOWN, "sizes": {RUDE: 1}},
    ],
    ids=["frame", "module", "part"],
)
def test_nothing_that_a_host_says_moves_the_cursor(shown: dict[str, Any]) -> None:
    assert "\x1b" not in shown_lines(liveanswers.shown_untrusted(shown))


def test_a_refusal_of_a_copy_does_not_either() -> None:
    assert "\x1b" not in failed_copy([{"code": 5, "text": RUDE}], 1).line


def test_a_policy_is_said_by_the_names_of_the_options_that_change_it() -> None:
    told = {"wake": "never", "idle_park": 0.0, "idle_store": 90.0, "keep_last": 2, RUDE: RUDE, "x": [1]}
    assert policy_lines(told).splitlines() == [
        "wake       never", "idle-park  no", "idle-store 90s", "keep-last  2", " [2Jrude    [2Jrude", "x          ",
    ]  # fmt: skip
