"""Waiting for a fact of another process, which comes when the machine finds the time for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds. Nothing here takes two on an idle machine; the rest is for one with far more to do than processors. Below
# pytest's own limit (pyproject.toml), so that a hang is told where it is.
PATIENCE = 240.0


async def until(fact: Callable[[], object]) -> None:
    """Returns as soon as it is one; a fact that never comes is the failure, not a late one."""
    with trio.fail_after(PATIENCE):
        while not fact():  # noqa: ASYNC110, another process sets no event of ours
            await trio.sleep(0.005)
