"""How much a piece of work holds at the same time, counted by the allocator and not by the machine."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many bytes were allocated at the same time, also in threads and between two looks."""
    found = [0]
    tracemalloc.start()
    try:
        yield found
        found[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
