"""What the tests of the package ipfs share: known input, blocks in memory, fixtures beside the checkout."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from ipfs.importer import PROFILES, FileImport, Profile, Root

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from ipfs.cid import Cid

T = TypeVar("T")
_PLACE = Path(os.environ.get("GATEBUS_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data") / "ipfs"


def vector(size: int) -> bytes:
    """The input of every vector of the reference."""
    return hashlib.shake_128(b"ipfs-test-vector").digest(size)


def fixture(name: str) -> bytes:
    """A CAR of other people's. Without it the test skips; where nothing may be skipped it fails."""
    if (_PLACE / name).is_file():
        return (_PLACE / name).read_bytes()
    reason = "the IPFS fixtures are not beside this checkout (shared/data/ipfs, or GATEBUS_SHARED_DATA)"
    if os.environ.get("GATEBUS_REQUIRE_DATA"):
        pytest.fail(reason)
    pytest.skip(reason)


KUBO_V1 = PROFILES["kubo-v1"]


def imported(data: bytes, profile: Profile = KUBO_V1, piece: int = 1 << 20) -> tuple[Root, dict[Cid, bytes]]:
    work, blocks = FileImport(profile), {}
    for at in range(0, len(data), piece):
        blocks.update(work.feed(data[at : at + piece]))
    blocks.update(work.finish())
    return work.root, blocks


def answered(question: Generator[Cid, bytes, T], blocks: Mapping[Cid, bytes]) -> T:
    """Runs a question of the reader over blocks in memory. A block that is not there is a KeyError."""
    try:
        wanted = next(question)
        while True:
            wanted = question.send(blocks[wanted] if wanted.inline is None else wanted.inline)
    except StopIteration as end:
        answer: T = end.value
        return answer
