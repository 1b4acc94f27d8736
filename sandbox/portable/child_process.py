"""Wire: one child process of the portable back-end: made, ended, its account read.

`ChildEnd.wait` may be awaited again after it was cancelled: nothing is lost by giving up waiting. Linux tells the
end by a pidfd; elsewhere one thread per child sleeps in the system's own wait.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

# What Python itself may need to start; everything else of our environment is nobody's business.
KEPT_VARIABLES = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
KIBIBYTE = 1024
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class EndOfChild:
    """`exit_code` or `signal`, neither when somebody else has taken the child's account; times in microseconds, memory
    in bytes (0 where the system does not say).
    """

    exit_code: int | None
    signal: int | None
    user_us: int = 0
    system_us: int = 0
    max_rss: int = 0


def command(role: str, site: str, orders: str) -> list[str]:
    """Isolated, without site, warnings and the user's folders; UTF-8 whatever the locale."""
    root = Path(__file__).resolve().parents[2]
    start = Path(__file__).with_name("child_start.py")
    return [sys.executable, "-I", "-S", "-X", "utf8", str(start), role, str(root), site, orders]


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}


def start_child(arguments: list[str], packets: int | None, stop: int | None = None) -> subprocess.Popen[bytes]:
    """Blocks for some milliseconds: call it in a thread. `packets`: the descriptor that becomes the child's 0. `stop`:
    one more that it gets, under its number.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter and file; nothing of a program's is in the arguments
        arguments,
        stdin=subprocess.DEVNULL if packets is None else packets,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=os.path.abspath(os.sep),
        start_new_session=True,
        close_fds=True,
        pass_fds=() if stop is None else (stop,),
    )


class ChildEnd:
    """The end of one child. Make it in the task that started the child."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._result: EndOfChild | None = None
        self._done = trio.Event()
        self._descriptor = _pidfd(process.pid)
        if self._descriptor is None:
            token = trio.lowlevel.current_trio_token()
            threading.Thread(target=self._sleep, args=(token,), daemon=True).start()

    @property
    def result(self) -> EndOfChild | None:
        return self._result

    def kill(self) -> None:
        """At once. Never after the end was seen: the number may then be another process's."""
        if self._result is None and self._process.returncode is None:
            _kill(self._process)

    def stand_still(self) -> None:
        self._signal("SIGSTOP")

    def go_on(self) -> None:
        self._signal("SIGCONT")

    def _signal(self, name: str) -> None:
        """Windows has no such signals, and this back-end no Windows yet."""
        if self._result is None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, getattr(signal, name))

    async def wait(self) -> EndOfChild:
        if self._result is None and self._descriptor is not None:
            await trio.lowlevel.wait_readable(self._descriptor)
            if self._result is None:
                os.close(self._descriptor)
                self._finish(_account(self._process))
        await self._done.wait()
        assert self._result is not None
        return self._result

    def _finish(self, result: EndOfChild) -> None:
        self._result = result
        self._done.set()

    def _sleep(self, token: trio.lowlevel.TrioToken) -> None:
        result = _account(self._process)
        try:
            token.run_sync_soon(self._finish, result)
        except trio.RunFinishedError:
            return


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Not by Popen's own kill, which would take a child that has just ended off the table, and its account with it."""
    if os.name == "nt":
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


def _account(process: subprocess.Popen[bytes]) -> EndOfChild:
    """Waits (not at all after the pidfd said so) and takes the child off the system's table."""
    if not hasattr(os, "wait4"):
        return EndOfChild(process.wait(), None)
    try:
        _, status, used = os.wait4(process.pid, 0)
    except ChildProcessError:  # somebody in this process waits for every child, or ignores SIGCHLD
        process.returncode = 0
        return EndOfChild(None, None)
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code  # or Popen would wait for it again
    return _end(code, used)


def _end(code: int, used: Any) -> EndOfChild:
    unit = 1 if sys.platform == "darwin" else KIBIBYTE
    times = round(used.ru_utime * MICROSECONDS), round(used.ru_stime * MICROSECONDS)
    exit_code, signal = (None, -code) if code < 0 else (code, None)
    return EndOfChild(exit_code, signal, *times, used.ru_maxrss * unit)
