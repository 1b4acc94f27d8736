"""A real host in a process of its own, as `gatebus serve` starts it: for tests of the command line and of documents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from commandfork import run_command
from waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """A person of their own: nothing of this machine's user is read or written."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "XDG_CACHE_HOME") if name in os.environ}
    kept.setdefault("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))  # compiled programs and built guests
    return {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), **more}


def gatebus(home: Path, *arguments: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    return run_command(arguments, surroundings(home, **variables), stdin)


class HostProcess:
    """Its log is read all the time, so that it never waits for us."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        self.home = home
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._over = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gatebus", "serve", "--log", "json", *arguments],
            env=surroundings(home, **variables),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip())
                if line.startswith("{"):
                    self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait_for(self, name: str, **fields: object) -> dict[str, Any]:
        """The first event of that name that has these fields."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.events if {**each, **fields, "event": name} == each]

        with self._changed:
            assert self._changed.wait_for(lambda: self._over or found(), PATIENCE), f"no {name}: {self.lines}"
            there = found()
        assert there, f"no {name}: {self.lines}"
        return there[0]

    def address(self, transport: str = "tcp") -> str:
        self.wait_for("host-ready")
        return next(
            str(each["address"])
            for each in self.events
            if each["event"] == "host-listening" and each["transport"] == transport
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._reader.join()
            assert self.process.stderr is not None
            self.process.stderr.close()


@contextmanager
def serving(home: Path, *arguments: str, **variables: str) -> Iterator[HostProcess]:
    """Ready; ended at the end, and then everything was right."""
    host = HostProcess(home, *arguments, **variables)
    try:
        host.wait_for("host-ready")
        yield host
    finally:
        code = host.end()
    assert code == 0, host.lines
