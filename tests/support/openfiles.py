"""What this process holds open (Linux), so that a test can say what was left behind instead of how many."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress


def open_files() -> Counter[str]:
    """What each descriptor leads to.

    Sockets and pipes are told apart by their number, memory files and process descriptors only by their kind.
    """
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the directory itself, which is being listed
            found[os.readlink(f"/proc/self/fd/{number}")] += 1
    return found


def left_open(before: Counter[str]) -> list[str]:
    """What is open now and was not then.

    What other tests' garbage closes meanwhile does not count, in neither direction.
    """
    return sorted((open_files() - before).elements())
