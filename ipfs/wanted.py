"""Which blocks below a root are there, and which are missing; words.

In:  blocks whose hashes were right (what they name is untrusted). Out: what is still wanted; TooLarge when that is more
than was allowed for.

A name that carries its block (identity) is there without being sent, and costs its reading all the same: 8 bytes of a
block may name one again that has 15 links inside. So each is read once for a block, counted, and in the same thread.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ipfs.cid import DAG_PB, RAW, Cid
from ipfs.dagpb import linked_untrusted
from ipfs.troubles import TooLarge

# What a file is made of. A file that names anything else is none, and nobody reads that.
OF_FILES = frozenset((RAW, DAG_PB))


class Terms(NamedTuple):
    """`most`: blocks that may be wanted, and names with blocks inside that are read for it. `codecs`: of others nothing
    is wanted; None: of all.
    """

    most: int
    codecs: frozenset[int] | None


class Named(NamedTuple):
    """What a block asks for, by its keys; how many blocks inside of names were read to know that."""

    cids: Mapping[bytes, Cid]
    inside: int


def named_untrusted(cid: Cid, block: bytes, terms: Terms) -> Named:
    """What carries itself in its name is read at once, and once however often it is named. Raises TooLarge, Malformed.
    As decoding is: work for a thread.
    """
    found: dict[bytes, Cid] = {}
    seen: set[Cid] = set()
    waiting = [(cid, block)]
    while waiting:
        for each in linked_untrusted(*waiting.pop()):
            if terms.codecs is not None and each.codec not in terms.codecs:
                continue
            if each.inline is None:
                found.setdefault(each.key, each)
            elif each.codec != RAW and each not in seen:
                seen.add(each)
                waiting.append((each, each.inline))
        if len(seen) > terms.most:
            raise _too_many(terms)
    return Named(found, len(seen))


def _too_many(terms: Terms) -> TooLarge:
    return TooLarge(f"It has more than the {terms.most} blocks that this request may fetch.")


class Wanted:
    """Blocks that are there, and those that they ask for. What carries itself in its name is there without being sent.
    How a block is read says who asks for it, never who sends it: as raw bytes it would ask for nothing.
    """

    def __init__(self, root: Cid, terms: Terms) -> None:
        self.terms = terms
        self._inside = 0
        self._there: set[bytes] = set()
        self._missing: dict[bytes, Cid] = {}
        if root.inline is None:
            self._missing[root.key] = root
        else:
            self.take(root, named_untrusted(root, root.inline, terms))

    @property
    def whole(self) -> bool:
        return not self._missing

    def named(self, cid: Cid) -> Cid | None:
        """As it is asked for; nothing if it is there."""
        return self._missing.get(cid.key)

    def knows(self, cid: Cid) -> bool:
        return cid.key in self._missing or cid.key in self._there

    def take(self, cid: Cid, named: Named) -> None:
        """Raises TooLarge."""
        self._there.add(cid.key)
        self._missing.pop(cid.key, None)
        for key in named.cids.keys() - self._there:
            self._missing.setdefault(key, named.cids[key])
        self._inside += named.inside
        if len(self._missing) + self._inside > self.terms.most:
            raise _too_many(self.terms)
