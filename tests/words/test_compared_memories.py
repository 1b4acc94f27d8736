"""In which pages two memories differ, and how little is read to know it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from forgedfiles import BLOCK, Held
from hypothesis import given
from hypothesis import strategies as st

from gatebus.snapshots import comparing
from gatebus.snapshots.chunking import Bytes, digests_of, section_of
from gatebus.snapshots.comparing import PAGE, Changes, Side, changes
from gatebus.snapshots.manifestwords import MEMORY, Section
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotbounds import CHUNK, SPREAD

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLD = 256


class Counted(Held):
    """How often a chunk was read."""

    reads = 0

    def read(self, digest: bytes) -> bytes:
        self.reads += 1
        return super().read(digest)


def side(content: bytes) -> Side:
    held = Counted()
    return Side(section_of(MEMORY, digests_of(Bytes(content), held), held), held)


def reads(*sides: Side) -> int:
    return sum(each.chunks.reads for each in sides if isinstance(each.chunks, Counted))


def with_pages(size: int, pages: Mapping[int, int]) -> bytes:
    """Zeros, but for a byte of each of these pages."""
    content = bytearray(size)
    for page, value in pages.items():
        if page * PAGE < size:
            content[page * PAGE + 7] = value
    return bytes(content)


def plainly(one: bytes, two: bytes) -> Changes:
    """As it was before: page by page."""
    size = max(len(one), len(two))
    one, two = one.ljust(size, b"\0"), two.ljust(size, b"\0")
    ranges: list[tuple[int, int]] = []
    for at in range(0, size, PAGE):
        if one[at : at + PAGE] != two[at : at + PAGE]:
            if ranges and sum(ranges[-1]) == at:
                ranges[-1] = (ranges[-1][0], ranges[-1][1] + PAGE)
            else:
                ranges.append((at, PAGE))
    return Changes(sum(length for _, length in ranges) // PAGE, ranges)


PAGES = st.dictionaries(st.integers(0, 3 * CHUNK // PAGE - 1), st.integers(0, 2))
SIZES = st.sampled_from([0, CHUNK, 2 * CHUNK, 3 * CHUNK])


@given(PAGES, PAGES, SIZES, SIZES)
def test_it_says_what_a_look_at_every_page_says(
    first: dict[int, int], second: dict[int, int], one: int, two: int
) -> None:
    before, after = with_pages(one, first), with_pages(two, second)
    assert changes(side(before), side(after), TOLD) == plainly(before, after)


def test_of_what_is_the_same_nothing_is_read() -> None:
    content = with_pages(3 * CHUNK, {1: 1, 40: 2})
    one, two = side(content), side(content)
    assert changes(one, two, TOLD) == (0, [])
    assert reads(one, two) == 0


def test_of_what_differs_only_that_is_read() -> None:
    content = bytearray(b"".join(bytes([value]) * CHUNK for value in range(1, 200)))
    one = side(bytes(content))
    content[77 * CHUNK] ^= 1
    two = side(bytes(content))
    assert changes(one, two, TOLD) == (1, [(77 * CHUNK, PAGE)])
    assert reads(one, two) == 4, "an index block and a chunk of each"


def test_gigabytes_of_two_chunks_are_compared_once() -> None:
    """A file of some kilobytes may say so."""
    one, two = Counted(), Counted()
    length = 4 << 30
    sides = Side(one.repeated(MEMORY, length, b"a"), one), Side(two.repeated(MEMORY, length, b"b"), two)
    assert changes(*sides, TOLD) == (length // PAGE, [(0, length)])
    assert reads(*sides) == 2 * (length // BLOCK) + 2


def test_of_very_many_different_chunks_some_are_compared_and_the_others_count_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparing, "PAIRS_COMPARED", 2)
    before = b"".join(bytes([value]) * CHUNK for value in range(1, 6))
    after = bytearray(before)
    for chunk in range(5):
        after[chunk * CHUNK] ^= 0xFF
    found = changes(side(before), side(bytes(after)), TOLD)
    assert found.ranges == [(0, PAGE), (CHUNK, PAGE), (2 * CHUNK, 3 * CHUNK)]
    assert found.pages == 2 + 3 * CHUNK // PAGE


def test_no_more_places_are_told_than_wanted_and_all_are_counted() -> None:
    every_other = dict.fromkeys(range(0, 48, 2), 1)
    assert changes(side(with_pages(3 * CHUNK, {})), side(with_pages(3 * CHUNK, every_other)), 5) == (
        24,
        [(page * PAGE, PAGE) for page in range(0, 10, 2)],
    )


def test_an_index_block_of_another_length_is_damage() -> None:
    held = Counted()
    short = sha256(b"x" * 32).digest()
    held.add(short, b"x" * 32)
    with pytest.raises(BadSnapshot, match="an index block has another length than it must"):
        changes(side(bytes(CHUNK)), Side(Section(MEMORY, SPREAD * CHUNK, short), held), TOLD)
