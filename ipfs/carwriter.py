"""A CAR of what lies in a store, written piece by piece; a wire.

In:  a store (untrusted: every block is hashed), an address and how much of it. Out: bytes, a bounded piece at a time.
Blocks that carry themselves in their name are left out, and no block comes twice.
"""

from collections.abc import Callable

from ipfs.blockstore import BlockStore
from ipfs.car import car_header, car_section
from ipfs.carorder import Blocks
from ipfs.cid import Cid
from ipfs.troubles import Unavailable


class CarWriter:
    """`more` blocks the thread for the disk."""

    def __init__(self, store: BlockStore, root: Cid, blocks: Blocks) -> None:
        self._store, self._blocks = store, blocks
        self._written: set[bytes] = set()
        self._head = car_header([root])
        self._wanted = next(blocks, None)

    def more(self, piece: int, alive: Callable[[], None] = lambda: None) -> bytes:
        """At least `piece` bytes, or what is left; nothing at the end. Raises Unavailable for a block that is not
        here, Damaged, Malformed, TooLarge, Unsupported, StoreFailed.
        """
        out, size = [self._head], len(self._head)
        self._head = b""
        while self._wanted is not None and size < piece:
            alive()
            section = self._section(self._wanted)
            out.append(section)
            size += len(section)
        return b"".join(out)

    def _section(self, cid: Cid) -> bytes:
        block = self._store.get(cid)
        if block is None:
            raise Unavailable(f"The block {cid} is not here.")
        try:
            self._wanted = self._blocks.send(block)
        except StopIteration:
            self._wanted = None
        if cid.inline is not None or cid.key in self._written:
            return b""
        self._written.add(cid.key)
        return car_section(cid, block)
