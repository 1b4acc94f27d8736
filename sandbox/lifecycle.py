"""Words: how a program came to run: what its runtime tells it, and what a host tells its services."""

from __future__ import annotations

import enum


class Lifecycle(enum.IntEnum):
    """The numbers are those of BEGIN's flags (PROTOCOL.md section C) and of Gate's flag word."""

    STARTED = 0
    """From its beginning."""
    RESUMED = 1
    """The same instance goes on where it was stopped."""
    RESTORED = 2
    """It goes on from a snapshot: what it did after that never happened to it, but to the world."""
    CLONED = 3
    """It is a copy; the other one may be running."""
