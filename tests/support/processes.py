"""Processes of the machine, as the kernel shows them (Linux)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def children_of(parent: int | None = None) -> set[int]:
    """That still exist, ended or not; of all its threads, because the portable back-end starts processes in one."""
    found: set[int] = set()
    for each in Path(f"/proc/{parent or os.getpid()}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # this thread has just ended
            found |= {int(pid) for pid in each.read_text().split()}
    return found


def descendants(parent: int | None = None) -> set[int]:
    found: set[int] = set()
    waiting = {parent or os.getpid()}
    while waiting:
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
