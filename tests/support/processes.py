"""Processes of the machine, as the kernel shows them (Linux)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def children_of(parent: int | None = None) -> set[int]:
    """That still exist, ended or not; of all its threads, because the portable back-end starts processes in one."""
    lists = [each.read_text() for each in Path(f"/proc/{parent or os.getpid()}/task").glob("*/children")]
    return {int(pid) for each in lists for pid in each.split()}


def descendants() -> set[int]:
    found: set[int] = set()
    waiting = {os.getpid()}
    while waiting:
        with contextlib.suppress(OSError):  # it has just ended
            children = children_of(waiting.pop())
            found |= children
            waiting |= children
    return found


def stat_fields(pid: int) -> list[str]:
    """From the state on: the name before it may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_ticks(pid: int) -> int:
    """Hundredths of a second that it computed; 0 when it is gone."""
    try:
        return int(stat_fields(pid)[11]) + int(stat_fields(pid)[12])
    except (OSError, IndexError):
        return 0
