"""Wire: the control memory of a program that can be stopped, and the thread that hears the word.

    byte on the pipe -> [this thread] -> ones in the zone -> the guest leaves at its next loop or call
    SUSPEND packet   -> [host call that would wait] -> `unwind`: the same, and the call is made again later

In: a byte of the parent. Out: writes into memory that the guest cannot reach (native/module/src/layout.rs). The engine
runs without Python's lock, so the thread comes to run while the guest computes.
"""

from __future__ import annotations

import ctypes
import os
import threading

CONTROL_EXPORT = "gatebus:control"
CONTROL_BYTES = 1024 << 16
ZONE = 4096
UNWINDING, WRITTEN, REFERENCES_WRITTEN, FRAMES = 4096, 4100, 4108, 4128


class Control:
    """Made before the guest; `attach` gives it its memory."""

    def __init__(self, pipe: int) -> None:
        self._address = 0
        self._attached = threading.Event()
        threading.Thread(target=self._listen, args=(pipe,), daemon=True).start()

    def _listen(self, pipe: int) -> None:
        if os.read(pipe, 1):
            self._attached.wait()
            self._fill()

    def attach(self, address: int) -> None:
        """Where the control memory lies: it never moves."""
        self._address = address
        self._attached.set()

    def unwind(self) -> None:
        """Of a host call that is to be made again."""
        self._fill()
        ctypes.c_uint32.from_address(self._address + UNWINDING).value = 1

    def _fill(self) -> None:
        ctypes.memset(self._address, 1, ZONE)

    @property
    def is_unwinding(self) -> bool:
        return self._attached.is_set() and self.word(UNWINDING) == 1

    def word(self, offset: int) -> int:
        return int(ctypes.c_uint32.from_address(self._address + offset).value)

    def frames(self) -> bytes:
        length = min(self.word(WRITTEN), CONTROL_BYTES - FRAMES)
        return ctypes.string_at(self._address + FRAMES, length)

    def put_frames(self, frames: bytes) -> None:
        ctypes.memmove(self._address + FRAMES, frames, len(frames))
