"""What of a store is pinned, by every block of it, so that others can be told nothing of the rest; a wire.

In:  a store and its pins, which other processes change, too. Out: whether a block belongs to something pinned.

A store also holds what was only fetched: whether it has that is nobody's business. Whoever asks for a part of something
pinned asks for it by its own CID, so every key below every pin is known here. They are learned once for each pin, from
blocks that are hashed on the way; the folder's time says when to look again.
"""

from collections.abc import Callable, Mapping

from ipfs.blockstore import BlockStore
from ipfs.caps import SHELF_MAX
from ipfs.cid import Cid
from ipfs.pins import Pins, below
from ipfs.troubles import IpfsError


class Shelf:
    """`told` hears what cannot be offered. `look` blocks the thread for the disk; one thread at a time."""

    def __init__(self, store: BlockStore, told: Callable[[str], None] = lambda _text: None) -> None:
        self.store = store
        self._pins, self._told = Pins(store), told
        self._stamp: object = None
        self._below: Mapping[Cid, frozenset[bytes]] = {}
        self._keys: frozenset[bytes] = frozenset()

    def holds(self, cid: Cid) -> bool:
        return cid.key in self._keys

    def look(self, alive: Callable[[], None] = lambda: None) -> None:
        """Raises StoreFailed, Damaged. `alive` may raise to stop it; then nothing has changed."""
        stamp = self._pins.stamp()
        if stamp == self._stamp:
            return
        found: dict[Cid, frozenset[bytes]] = {}
        room = SHELF_MAX
        for cid in self._pins.all():
            keys = self._below.get(cid) or self._learned(cid, alive)
            if len(keys) > room:
                self._told(f"There is no room to offer {cid}: more than {SHELF_MAX} blocks are pinned.")
            elif keys:
                found[cid] = keys
                room -= len(keys)
        self._below, self._keys, self._stamp = found, frozenset().union(*found.values()), stamp

    def _learned(self, cid: Cid, alive: Callable[[], None]) -> frozenset[bytes]:
        """Nothing of what is not whole: it is no use to anybody."""
        try:
            return frozenset(below(self.store, cid, alive))
        except IpfsError as fault:
            self._told(fault.text)
            return frozenset()
