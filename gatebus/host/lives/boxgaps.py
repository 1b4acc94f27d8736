"""What the package sandbox is going to have, until it has it (helper clone); words. This file goes then."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from gatebus.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lifecycle(enum.IntEnum):
    STARTED = 0
    RESUMED = 1
    RESTORED = 2
    CLONED = 3


class Whole:
    """A memory of which it is not known where it is zero."""

    def __init__(self, memory: Any) -> None:
        self._memory, self.size = memory, memory.size

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._memory.read(offset, size))

    def data(self) -> Iterator[tuple[int, int]]:
        if self.size:
            yield 0, self.size


def with_data(memory: Any) -> Any:
    return memory if hasattr(memory, "data") else Whole(memory)


def changed_of(suspended: Any) -> Any:
    return getattr(suspended, "changed", None)


async def park(program: Any) -> None:
    if not hasattr(program, "park"):
        raise Refusal("conflict", "This host cannot park programs yet; store it.")
    await program.park()


async def unpark(program: Any) -> None:
    await program.unpark()
