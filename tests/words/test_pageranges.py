"""Ranges of a memory against a model of single bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sandbox.pageranges import PAGE, few, from_pages_untrusted, join, to_pages, total, without

anything = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)
orderly = anything.map(lambda ranges: tuple(join(ranges)))


def places(ranges: object) -> set[int]:
    return {place for at, length in ranges for place in range(at, at + length)}  # type: ignore[attr-defined]


def is_orderly(ranges: tuple[tuple[int, int], ...]) -> bool:
    apart = all(at + length < following for (at, length), (following, _) in pairwise(ranges))
    return apart and all(length > 0 for _at, length in ranges)


@given(anything)
def test_joined_they_are_the_same_bytes_in_the_fewest_ranges(ranges: list[tuple[int, int]]) -> None:
    joined = tuple(join(ranges))
    assert places(joined) == places(ranges)
    assert is_orderly(joined)
    assert total(joined) == len(places(ranges))


@given(orderly, orderly)
def test_without_others_they_are_what_is_left(
    ranges: tuple[tuple[int, int], ...], taken: tuple[tuple[int, int], ...]
) -> None:
    left = without(ranges, taken)
    assert places(left) == places(ranges) - places(taken)
    assert is_orderly(left)


@given(orderly, st.integers(1, 8))
def test_a_few_hold_all_of_them_and_fill_the_smallest_gaps(ranges: tuple[tuple[int, int], ...], most: int) -> None:
    fewer = few(ranges, most)
    assert len(fewer) <= most
    assert places(fewer) >= places(ranges)
    assert is_orderly(fewer)
    gaps = sorted(after[0] - before[0] - before[1] for before, after in pairwise(ranges))
    assert total(fewer) - total(ranges) == sum(gaps[: max(0, len(ranges) - most)])


@given(orderly)
def test_pages_that_hold_ranges_are_listed_and_read_back(ranges: tuple[tuple[int, int], ...]) -> None:
    whole = tuple((at * PAGE, length * PAGE) for at, length in ranges)
    assert from_pages_untrusted(to_pages(whole), 1 << 20) == whole
    assert places(from_pages_untrusted(to_pages(ranges), 1 << 20)) >= places(ranges)


@given(st.binary(max_size=100), st.integers(0, 1 << 20))
def test_a_list_of_nonsense_gives_ranges_within_the_memory(data: bytes, size: int) -> None:
    ranges = from_pages_untrusted(data, size)
    assert is_orderly(ranges)
    assert all(at + length <= size for at, length in ranges)
