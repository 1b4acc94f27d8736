"""What the tests of the module store share: a store on a temporary folder, a clock that only a test moves."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gatebus.host.hostconfig import StoreBounds
from gatebus.host.modulestore import ModuleStore, open_module_store
from gatebus.host.principals import anonymous, by_key
from gatebus.host.quotas import Quotas
from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gatebus.host.principals import Principal

ADA, GRACE, SOMEBODY = by_key(b"a" * 32), by_key(b"g" * 32), anonymous("1")
WASM = b"\0asm" + b"module" * 4000  # more than the least that a module counts


class Day:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@asynccontextmanager
async def opened(
    folder: Path, quotas: Quotas | None = None, day: Day | None = None, bounds: StoreBounds | None = None
) -> AsyncIterator[ModuleStore]:
    quotas = Quotas() if quotas is None else quotas
    async with open_module_store(folder, bounds or StoreBounds(), quotas, day or Day()) as store:
        yield store


async def put(store: ModuleStore, data: bytes = WASM, who: Principal = ADA, piece: int = 1000) -> None:
    upload = await store.upload(sha(data), len(data), who)
    while upload.taken < len(data):
        await upload.write(data[upload.taken : upload.taken + piece])
    assert (await upload.finish()).sha256 == sha(data)


async def refusal(wanted: object) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        await wanted  # type: ignore[misc]
    return caught.value.code, caught.value.text


NOT_HERE = ("not-found", "This host does not have the module. Upload it first.")
