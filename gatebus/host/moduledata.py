"""Records of stored modules: what there is, who holds it, what is half here; words.

In:  rows of the database (untrusted: disks flip bits) and tags of a client (untrusted). Out: frozen values, the seal of
each row, and which modules go when there are too many.

A module is the bytes; a holding is one account's interest in it, and its right to them: it has sent them, or they were
got or made for it. A module without holdings goes.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from gatebus.bounds import TAG_CHARACTERS, TAGS
from gatebus.host.refusals import Refusal

_SEAL_BYTES = 16  # of SHA-256: against accidents, not against whoever may write the file


@dataclass(frozen=True, slots=True)
class Module:
    sha256: bytes
    size: int
    created: int
    used: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Holding:
    sha256: bytes
    account: str
    pinned: bool
    tags: tuple[str, ...]
    created: int
    revision: int = 0
    """Grows with every change; whoever changes it says which one it has seen."""


@dataclass(frozen=True, slots=True)
class Partial:
    sha256: bytes
    account: str
    size: int
    created: int


def seal(record: Module | Holding | Partial) -> bytes:
    """Stored beside a row, so that a flipped bit is seen before it is believed."""
    written = [each.hex() if isinstance(each, bytes) else each for each in astuple(record)]
    return hashlib.sha256(json.dumps([type(record).__name__, written]).encode()).digest()[:_SEAL_BYTES]


def tags_untrusted(tags: object) -> tuple[str, ...]:
    """Sorted, each once. Raises Refusal."""
    if not isinstance(tags, list | tuple) or not all(isinstance(each, str) for each in tags):
        raise Refusal("bad-request", "Tags are a list of texts.")
    if any(not 1 <= len(each) <= TAG_CHARACTERS or not each.isprintable() for each in tags):
        raise Refusal("bad-request", f"A tag has 1 to {TAG_CHARACTERS} printable characters.")
    if len(set(tags)) > TAGS:
        raise Refusal("bad-request", f"A module has at most {TAGS} tags.")
    return tuple(sorted(set(tags)))


def expired(modules: Iterable[Module], pinned: frozenset[bytes], oldest: float, most_bytes: int) -> tuple[Module, ...]:
    """Modules that go: unpinned and not used since `oldest`, or the longest unused beyond `most_bytes`."""
    loose = sorted((each for each in modules if each.sha256 not in pinned), key=lambda each: (each.used, each.sha256))
    total = sum(each.size for each in loose)
    gone = []
    for each in loose:
        if each.used >= oldest and total <= most_bytes:
            break
        gone.append(each)
        total -= each.size
    return tuple(gone)
