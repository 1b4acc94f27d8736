"""Memories of programs that were stopped, went on and were stopped again, whatever each has changed: what the next
process maps is what the last one left, for the first that goes on from there and for every later one.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.layeredmemory import PIECES_MAX, Files, LayeredMemory, shareable
from sandbox.memfd import MemfdSnapshot, memory_memfd
from sandbox.pageranges import PAGE, join

if TYPE_CHECKING:
    from sandbox.pageranges import Ranges

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory files need Linux")

PAGES = 256
LIMIT = PAGES * PAGE


class Lives:
    """One memory through many processes, and beside it what it must hold."""

    def __init__(self, size: int = LIMIT) -> None:
        self.content = bytearray(os.urandom(size))
        file = memory_memfd(LIMIT)
        os.pwrite(file, self.content, 0)
        self.memory: MemfdSnapshot | LayeredMemory = MemfdSnapshot(file, size)

    def goes_on(self) -> Files:
        """As a process that begins: it maps what it is given."""
        files = shareable(self.memory)
        assert files is not None
        assert mapped(files) == self.content
        assert self.memory.read(0, self.memory.size) == self.content
        assert len(files.pieces) <= PIECES_MAX
        return files

    def stops(self, changed: Ranges, grown: int = 0) -> None:
        """It has changed these pages, and grown by so many bytes."""
        self.content += bytes(grown)
        changed = tuple(join((at, min(length, len(self.content) - at)) for at, length in changed))
        file = memory_memfd(LIMIT)
        for at, length in changed:
            self.content[at : at + length] = os.urandom(length)
            os.pwrite(file, self.content[at : at + length], at)
        self.memory = LayeredMemory(self.memory, file, changed, len(self.content))
        assert self.memory.read(0, self.memory.size) == self.content


def mapped(files: Files) -> bytes:
    seen = bytearray(os.pread(files.base, files.size, 0).ljust(files.size, b"\0"))
    for at, length in files.pieces:
        seen[at : at + length] = os.pread(files.changes, length, at)
    return bytes(seen)


def test_after_one_that_has_changed_most_the_next_one_finds_all_of_it() -> None:
    lives = Lives()
    lives.goes_on()
    lives.stops(((0, LIMIT * 3 // 4),))
    assert len(lives.goes_on().descriptors) == 1
    lives.stops(((PAGE, PAGE),))
    assert len(lives.goes_on().descriptors) == 2


def test_a_second_copy_is_given_what_the_first_one_has_though_filled_gaps_are_most_of_it() -> None:
    lives = Lives()
    lives.goes_on()
    lives.stops(tuple((page * PAGE, PAGE) for page in range(0, PAGES, 3)))
    first = lives.goes_on()
    assert lives.goes_on() == first
    assert lives.goes_on() == first


pages = st.integers(0, PAGES - 1)
some = st.lists(st.tuples(pages, st.integers(1, 16)), max_size=12)
scattered = st.tuples(pages, st.integers(2, 9)).map(lambda each: [(page, 1) for page in range(each[0], PAGES, each[1])])
much = st.integers(PAGES // 2, PAGES).map(lambda count: [(0, count)])
life = st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 16 * PAGE]), some | scattered | much)


@given(st.sampled_from([LIMIT, LIMIT // 2]), st.lists(life, min_size=1, max_size=6))
def test_any_history_of_stops_and_copies_keeps_every_byte(
    size: int, history: list[tuple[int, int, list[tuple[int, int]]]]
) -> None:
    """Of each life: how many go on beside the one that is stopped next."""
    lives = Lives(size)
    for others, grown, changed in history:
        given_out = {lives.goes_on() for _ in range(others + 1)}
        assert len(given_out) == 1
        room = min(grown, LIMIT - len(lives.content))
        lives.stops(tuple((page * PAGE, count * PAGE) for page, count in changed), room)
    lives.goes_on()
