"""Wire: the parent's end of a stop: the pipe on which a child is told, and the file in which it leaves its memory."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.snapshotfile import SnapshotFile


class Stopping:
    """Of one program. `theirs`: the end of the pipe for the child, until it has started."""

    def __init__(self, memory: SnapshotFile) -> None:
        """Raises OSError."""
        self.memory = memory
        self.theirs, self._ours = os.pipe()

    def started(self) -> None:
        os.close(self.theirs)
        self.theirs = -1

    def request(self) -> None:
        """Idempotent: who was told once stops. A child that is gone is told in vain."""
        if self._ours >= 0:
            with suppress(BrokenPipeError):
                os.write(self._ours, b"s")
            os.close(self._ours)
            self._ours = -1

    def close(self) -> None:
        """Idempotent. The file goes with whoever holds it last."""
        if self.theirs >= 0:
            self.started()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
