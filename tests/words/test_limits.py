"""Every number has a default inside its range and a reason, and is refused by name outside of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import BadSetup
from sandbox.limits import (
    GIB,
    MIB,
    STACK_LARGE,
    CompileLimits,
    HostLimits,
    Limits,
    Range,
    parse,
    parse_count,
    parse_size,
    parse_time,
)
from sandbox.settings import Settings

KINDS = (Limits, CompileLimits, HostLimits)
EVERY = [(kind, each.name, each.metadata["range"]) for kind in KINDS for each in fields(kind)]
NAMED = [f"{kind.__name__}.{name}" for kind, name, _ in EVERY]


@pytest.mark.parametrize(("kind", "name", "bounds"), EVERY, ids=NAMED)
def test_a_limit_has_a_reason_and_a_default_inside_its_range(kind: Any, name: str, bounds: Range) -> None:
    assert bounds.minimum <= getattr(kind(), name) <= bounds.maximum
    assert len(bounds.reason) > 15
    assert bounds.unit


@pytest.mark.parametrize(("kind", "name", "bounds"), EVERY, ids=NAMED)
def test_both_ends_of_the_range_are_taken(kind: Any, name: str, bounds: Range) -> None:
    for value in (bounds.minimum, bounds.maximum):
        assert getattr(replace(kind(), **{name: value}), name) == value


@pytest.mark.parametrize(("kind", "name", "bounds"), EVERY, ids=NAMED)
def test_outside_of_the_range_is_refused_by_name(kind: Any, name: str, bounds: Range) -> None:
    step = 1 if bounds.unit != "seconds" else 0.0005
    for value in (bounds.minimum - step, bounds.maximum + step, -1):
        with pytest.raises(BadSetup) as caught:
            replace(kind(), **{name: value})
        assert caught.value.code == "limit-range"
        assert name in caught.value.text
        assert bounds.unit in caught.value.text


@pytest.mark.parametrize(("kind", "name", "bounds"), EVERY, ids=NAMED)
def test_what_is_no_number_is_refused(kind: Any, name: str, bounds: Range) -> None:
    for value in ("1", True, b"1"):
        with pytest.raises(BadSetup) as caught:
            replace(kind(), **{name: value})
        assert caught.value.code == "limit-type"
    if not bounds.none_allowed:
        with pytest.raises(BadSetup) as caught:
            replace(kind(), **{name: None})
        assert caught.value.code == "limit-missing"


def test_sizes_are_whole_numbers() -> None:
    with pytest.raises(BadSetup):
        Limits(memory=1.5 * MIB)  # type: ignore[arg-type]


def test_there_are_two_stacks() -> None:
    assert Limits(stack=STACK_LARGE).data > Limits().data
    with pytest.raises(BadSetup, match="262144 or 8388608"):
        Limits(stack=MIB)


def test_times_are_whole_milliseconds_on_the_wire_and_never_zero() -> None:
    assert Limits(cpu_time=0.0014).cpu_ms == 1
    assert Limits(cpu_time=1.5, wall_time=2).wall_ms == 2000
    assert Limits(wall_time=None).wall_ms == 0
    assert Limits(wall_time=4_000_000).wall_ms < 1 << 32


def test_the_kernels_back_stop_has_room_for_files_and_tables() -> None:
    assert Limits(files=GIB, table=1_000_000).data - Limits(files=0, table=0).data == GIB + 8_000_000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096), ("64MiB", 64 * MIB), ("64 mib", 64 * MIB), ("64M", 64 * MIB), ("1.5GiB", 3 * GIB
        // 2), ("1kB", 1000),
        ("2MB", 2_000_000), ("0.5K", 512), ("10b", 10), (" 7 ", 7),
    ],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("500ms", 0.5), ("1.5 s", 1.5), ("2m", 120.0), ("2min", 120.0), ("1h", 3600.0), ("3", 3.0)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e3", "0x10", "1,5", "1 2", "１", "1PiB", "1" * 17, "nan", "inf"])
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    for read, example in ((parse_size, "64MiB"), (parse_time, "500ms"), (parse_count, "64K")):
        with pytest.raises(BadSetup, match=example) as caught:
            read(text)
        assert caught.value.code == "limit-text"


@given(st.text(max_size=20))
def test_no_text_makes_anything_but_a_number_or_a_refusal(text: str) -> None:
    for read in (parse_size, parse_time, parse_count):
        try:
            assert read(text) >= 0
        except BadSetup:
            continue


@given(st.integers(0, 1 << 50))
def test_plain_numbers_are_bytes(number: int) -> None:
    assert parse_size(str(number)) == number


def test_a_name_chooses_the_unit() -> None:
    assert parse(Limits, "memory", "1MiB") == MIB
    assert parse(Limits, "cpu_time", "2s") == 2.0
    assert parse(Limits, "wall_time", "none") is None
    assert parse(CompileLimits, "wall_time", "1m") == 60.0
    assert parse(Limits, "clock_resolution", "0.02s") == 20
    assert parse(Limits, "nodes", "2K") == 2048
    with pytest.raises(BadSetup):
        parse(Limits, "cpu_time", "none")
    with pytest.raises(BadSetup) as caught:
        parse(Limits, "colour", "1")
    assert caught.value.code == "limit-unknown"


@pytest.mark.parametrize(("pool", "good"), [(0, False), (1, True), (64, True), (65, False)])
def test_a_pool_has_one_prepared_program_at_least(pool: int, good: bool) -> None:
    if good:
        assert Settings(pool=pool).pool == pool
        return
    with pytest.raises(BadSetup) as caught:
        Settings(pool=pool)
    assert (caught.value.code, caught.value.text) == ("setting-pool", "The pool must be 1 to 64 prepared programs.")
