"""Power cuts without hardware: a loop-mounted file system, whose file holds only what was sent to the disk.

The process at work is stopped at a random moment, the file is copied, and the process goes on: the copy is what a
machine would find after the power came back. (Way of the laboratory; it needs root and loop devices.)
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

IMAGE = 64 << 20


def possible() -> bool:
    tools = all(map(shutil.which, ("mkfs.ext4", "mount", "umount")))
    return tools and os.geteuid() == 0 and Path("/dev/loop-control").exists()


@contextmanager
def mounted(image: Path, *options: str) -> Iterator[Path]:
    place = image.with_suffix(".mount")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", ",".join(("loop", *options)), image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def make_image(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(IMAGE)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)


class Worker:
    """A process whose words are kept, and which can be stopped in the middle of anything."""

    def __init__(self, command: list[str], environment: dict[str, str], dice: random.Random) -> None:
        self.said = b""
        self._dice = dice
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)

    def runs_a_while(self) -> bool:
        """Some steps, and a part of one. False: it has ended."""
        lines = self.said.count(b"\n") + self._dice.randint(1, 9)
        while self.said.count(b"\n") < lines:
            if not self._hears(None):
                return False
        self._hears(self._dice.random() * 0.01)
        return True

    def _hears(self, seconds: float | None) -> bool:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        more = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
        self.said += more
        return bool(more)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Everything that it has said until then was heard."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)
        while self._hears(0):
            pass
        yield
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
