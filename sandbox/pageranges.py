"""Words: ranges (offset, length) of a memory: ascending, apart, none empty, unless a function says otherwise."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Ranges: TypeAlias = tuple[tuple[int, int], ...]

# Of a list of changed pages (PROTOCOL.md, SCAN).
PAGE = 4_096
_ENTRY = struct.Struct("<II")


def join(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Any ranges, in any order, overlapping or not -> the same bytes in the fewest."""
    at, end = 0, -1
    for start, length in sorted(ranges):
        if length <= 0:
            continue
        if start <= end:
            end = max(end, start + length)
            continue
        if end > at:
            yield at, end - at
        at, end = start, start + length
    if end > at:
        yield at, end - at


def without(ranges: Iterable[tuple[int, int]], taken: Ranges) -> Ranges:
    """What of `ranges` is in none of `taken`."""
    left: list[tuple[int, int]] = []
    place = 0
    for start, length in ranges:
        at, end = start, start + length
        while place < len(taken) and taken[place][0] + taken[place][1] <= at:
            place += 1
        following = place
        while at < end and following < len(taken) and taken[following][0] < end:
            begin, count = taken[following]
            if begin > at:
                left.append((at, begin - at))
            at = max(at, begin + count)
            following += 1
        if at < end:
            left.append((at, end - at))
    return tuple(left)


def few(ranges: Ranges, most: int) -> Ranges:
    """At most so many, that hold these: the smallest gaps are filled."""
    if len(ranges) <= most:
        return ranges
    gaps = [(after[0] - before[0] - before[1], at) for at, (before, after) in enumerate(pairwise(ranges), 1)]
    kept = sorted(at for _gap, at in sorted(gaps, reverse=True)[: most - 1])
    edges = [0, *kept, len(ranges)]
    groups = [(ranges[first], ranges[last - 1]) for first, last in pairwise(edges)]
    return tuple((begin[0], end[0] + end[1] - begin[0]) for begin, end in groups)


def total(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(length for _at, length in ranges)


def from_pages_untrusted(data: bytes, size: int) -> Ranges:
    """Pages of a list (number, count) -> ranges within a memory of `size` bytes; nonsense in it is left out."""
    entries = _ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size])
    cut = ((page * PAGE, min(pages * PAGE, size - page * PAGE)) for page, pages in entries if page * PAGE < size)
    return tuple(join(cut))


def to_pages(ranges: Ranges) -> bytes:
    """Whole pages that hold the ranges, as a list."""
    pages = ((at // PAGE, -(-(at + length) // PAGE) - at // PAGE) for at, length in ranges)
    return b"".join(_ENTRY.pack(*each) for each in pages)
