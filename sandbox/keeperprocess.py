"""Wire: the process of the keeper: found, started with its socket as descriptor 3, ended, waited for.

In:  where the executable is, and its arguments. Out: KeeperProcess. Nothing untrusted is here: the keeper takes
only numbers and descriptors.

It gets an empty environment, a process group of its own (Ctrl-C of a terminal is for the host, who ends it in
order), and a pipe for what it says on standard error, of which the last line is kept for whoever must find out why
it does not start.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from sandbox.errors import BackendUnavailable

if TYPE_CHECKING:
    from sandbox.settings import Settings

KEEPER_SOCKET = 3
# A keeper that was told to end (its socket closed) has this long before it is killed; it only has to kill and wait
# for its children.
END_SECONDS = 5.0
# Enough for a message, not for a flood.
STDERR_MAX = 4_096

_NOT_STARTABLE = "not-startable", "The native part cannot be started: run make build again."
_SHORT = "no-resources", "The machine has no descriptors, memory or processes left for the sandbox. Try again later."
_TOO_LITTLE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS}

EXECUTABLE_VARIABLE = "GATEBUS_SANDBOX"


def find_executable(given: str | None) -> str:
    """Raises BackendUnavailable."""
    if not sys.platform.startswith("linux"):
        raise BackendUnavailable("not-linux", "The native back-end needs Linux; use --backend portable.")
    path = given or os.environ.get(EXECUTABLE_VARIABLE) or str(Path(__file__).parent / "bin" / "gatebus-sandbox")
    if not os.access(path, os.X_OK):
        raise BackendUnavailable("not-built", "The native part is missing: run make build, or use --backend portable.")
    return path


def keeper_arguments(settings: Settings) -> list[str]:
    """The keeper's command line."""
    arguments = ["keeper", "--pool", str(settings.pool)]
    required = [name for name in settings.require if name not in settings.without]
    if required:
        arguments += ["--require", ",".join(required)]
    if settings.without:
        arguments += ["--without", ",".join(settings.without)]
    return arguments


def launch_ahead(settings: Settings) -> KeeperProcess:
    """A keeper that gets ready while its host is still busy with something else. Raises BackendUnavailable.

    Who gives it to nobody has nothing to do: it ends when the host does.
    """
    return KeeperProcess(find_executable(settings.executable), keeper_arguments(settings))


class KeeperProcess:
    """A started keeper. `socket` is the host's end; closing it asks the keeper to end."""

    def __init__(self, executable: str, arguments: list[str]) -> None:
        """Raises BackendUnavailable."""
        try:
            self._begin(executable, arguments)
        except OSError as error:
            raise BackendUnavailable(*(_SHORT if error.errno in _TOO_LITTLE else _NOT_STARTABLE)) from error

    def _begin(self, executable: str, arguments: list[str]) -> None:
        with ExitStack() as ours, ExitStack() as theirs:
            self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(self.socket.close)
            theirs.callback(other.close)
            self.socket.settimeout(0)
            self._stderr, said = os.pipe()
            ours.callback(os.close, self._stderr)
            theirs.callback(os.close, said)
            os.set_blocking(self._stderr, False)
            self.pid = _spawn(executable, arguments, other.fileno(), said)
            ours.callback(_end_at_once, self.pid)
            self._pidfd = os.pidfd_open(self.pid)
            ours.pop_all()

    def last_words(self) -> str:
        """The last line that it wrote to standard error, for the developer, not for the public."""
        try:
            said = os.read(self._stderr, 64 * STDERR_MAX)
        except BlockingIOError:
            return ""
        lines = said[-STDERR_MAX:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    async def wait(self) -> None:
        """Until the process is gone."""
        await trio.lowlevel.wait_readable(self._pidfd)

    def terminate(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def end(self) -> None:
        """Close its socket, wait for it, kill it if it does not end. Shielded, with a deadline."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(END_SECONDS) as patience:
                await self.wait()
            if patience.cancelled_caught:
                self.terminate()
                with trio.move_on_after(END_SECONDS):
                    await self.wait()
        self._reap()

    def _reap(self) -> None:
        with suppress(ChildProcessError):  # whoever ignores SIGCHLD (it is inherited) has children that nobody reaps
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        os.close(self._pidfd)
        os.close(self._stderr)


def _end_at_once(pid: int) -> None:
    """Of one that has just been made, and is our child."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _spawn(executable: str, arguments: list[str], theirs: int, stderr: int) -> int:
    with ExitStack() as ours:
        null = os.open(os.devnull, os.O_RDWR)
        ours.callback(os.close, null)
        # The lowest of our descriptors may be 3 itself: copies far above, so that no dup2 below overwrites one that is
        # still needed.
        high = [_high_copy(fd, ours) for fd in (theirs, stderr, null)]
        return os.posix_spawn(
            executable,
            [executable, *arguments],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, high[2], 0),
                (os.POSIX_SPAWN_DUP2, high[2], 1),
                (os.POSIX_SPAWN_DUP2, high[1], 2),
                (os.POSIX_SPAWN_DUP2, high[0], KEEPER_SOCKET),
            ],
            setpgroup=0,
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
            setsigmask=[],
        )


def _high_copy(fd: int, owner: ExitStack) -> int:
    import fcntl  # Linux only; this function runs nowhere else

    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
    owner.callback(os.close, copy)
    return copy
