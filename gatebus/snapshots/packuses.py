"""How many snapshots need each file of chunks, and which files none needs; words.

Where it stands: in the records of snapshots, so that forgetting one does not read all others: a host with thousands of
stored programs read every row each time one was stored anew. In: names of files, as they are recorded, with the
snapshots that need them. Out: names that nobody needs. Kept in memory alone: what is on disk may be damaged, and
nothing goes on doubt.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class PackUses:
    """`packs`: all that are recorded; `snapshots`: the files of each."""

    def __init__(self, packs: Iterable[bytes], snapshots: Iterable[Iterable[bytes]]) -> None:
        self._needed = Counter(name for names in snapshots for name in set(names))
        self._free = set(packs) - self._needed.keys()

    def recorded(self, pack: bytes) -> None:
        """A file; who needs it may come later."""
        if pack not in self._needed:
            self._free.add(pack)

    def kept(self, names: Iterable[bytes]) -> None:
        """A snapshot of these files."""
        for name in set(names):
            self._needed[name] += 1
            self._free.discard(name)

    def dropped(self, names: Iterable[bytes]) -> None:
        for name in set(names):
            self._needed[name] -= 1
            if not self._needed[name]:
                del self._needed[name]
                self._free.add(name)

    def removed(self, names: Iterable[bytes]) -> None:
        """Those files are not recorded any more."""
        self._free.difference_update(names)

    def free(self, held: Collection[bytes]) -> list[bytes]:
        """What nobody needs, and nobody of `held` reads or is about to share."""
        return sorted(self._free.difference(held))
