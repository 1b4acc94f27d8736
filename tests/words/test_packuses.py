"""Which files of chunks nobody needs: as one finds out by looking at all snapshots again, at every moment."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gatebus.snapshots.packuses import PackUses

NAMES = st.integers(0, 5).map(lambda number: bytes([number]))
SNAPSHOT = st.lists(NAMES, min_size=1, max_size=4).map(tuple)


class Forgetting(RuleBasedStateMachine):
    """Beside a model that keeps every snapshot and looks at all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.uses = PackUses([], [])
        self.packs: set[bytes] = set()
        self.snapshots: list[tuple[bytes, ...]] = []

    def unused(self, held: set[bytes]) -> list[bytes]:
        used = {name for names in self.snapshots for name in names}
        return sorted(self.packs - used - held)

    @rule(names=SNAPSHOT)
    def a_snapshot_is_kept(self, names: tuple[bytes, ...]) -> None:
        self.snapshots.append(names)
        self.packs.update(names)
        self.uses.kept(names)

    @rule(name=NAMES)
    def a_file_is_recorded(self, name: bytes) -> None:
        self.packs.add(name)
        self.uses.recorded(name)

    @precondition(lambda self: self.snapshots)
    @rule(drawn=st.data())
    def one_is_dropped(self, drawn: st.DataObject) -> None:
        names = self.snapshots.pop(drawn.draw(st.integers(0, len(self.snapshots) - 1)))
        self.uses.dropped(names)

    @rule(held=st.sets(NAMES))
    def files_are_removed_that_nobody_holds(self, held: set[bytes]) -> None:
        gone = self.uses.free(held)
        assert gone == self.unused(held)
        self.uses.removed(gone)
        self.packs.difference_update(gone)

    @rule()
    def the_host_starts_anew(self) -> None:
        self.uses = PackUses(self.packs, self.snapshots)

    @invariant()
    def nothing_that_is_needed_is_free(self) -> None:
        assert self.uses.free(()) == self.unused(set())


TestForgetting = Forgetting.TestCase
TestForgetting.settings = settings(max_examples=60, stateful_step_count=30)


def test_a_snapshot_that_names_a_file_twice_needs_it_once() -> None:
    uses = PackUses([b"a"], [(b"a", b"a")])
    uses.dropped((b"a", b"a"))
    assert uses.free(()) == [b"a"]


@pytest.mark.parametrize("held", [(), (b"a",)])
def test_what_is_held_stays_until_it_is_not(held: tuple[bytes, ...]) -> None:
    uses = PackUses([b"a", b"b"], [(b"b",)])
    assert uses.free(held) == ([] if held else [b"a"])
    assert uses.free(()) == [b"a"]
