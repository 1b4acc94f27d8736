"""Commands as processes that are forked from one which has imported everything: a start in milliseconds of a processor.

    python commandfork.py DESCRIPTOR

In:  on a socket, one message a command: arguments, environment and folder as JSON, and four descriptors: its own three
and a pipe. Out: into the pipe, how it ended. The process ends with its socket. A command does all that `python -m
gatebus` does, from its first line on; only modules are there already.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parent.parent.parent
MESSAGE_MAX = 1 << 17
DESCRIPTORS_MAX = 1 << 10


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], stdin: bytes = b"", folder: Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    """From nothing, the first time that these tests run such a command: what it needs it must import itself. Each time
    after that it is forked.
    """
    fork, known = _fork(), arguments[:1]
    if tuple(known) in fork.known:
        return fork.run(arguments, environment, stdin, folder)
    fork.known.add(tuple(known))
    line = [sys.executable, "-m", "gatebus", *arguments]
    return subprocess.run(
        line, env=environment, input=stdin, cwd=folder, capture_output=True, check=False, timeout=PATIENCE
    )


@cache
def _fork() -> CommandFork:
    return CommandFork()


class CommandFork:
    """The process, and how to ask it. Any thread may."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self.known = set[tuple[str, ...]]()  # commands that have been started from nothing
        with theirs:
            line = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(line, pass_fds=[theirs.fileno()])
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], stdin: bytes, folder: Path
    ) -> subprocess.CompletedProcess[bytes]:
        """As subprocess.run with all output captured."""
        order = json.dumps([arguments, dict(environment), str(folder)]).encode()
        pipes = [os.pipe() for _ in range(4)]  # reader, writer: of stdin, stdout, stderr, its end
        theirs = [pipes[0][0], *(writer for _, writer in pipes[1:])]
        ours = [pipes[0][1], *(reader for reader, _ in pipes[1:])]
        socket.send_fds(self._socket, [order], theirs)
        for each in theirs:
            os.close(each)
        told = [bytearray() for _ in ours[1:]]
        threads = [threading.Thread(target=_write, args=(ours[0], stdin))]
        threads += [threading.Thread(target=_read, args=each) for each in zip(ours[1:], told, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), (arguments, told)
        out, err, end = told
        return subprocess.CompletedProcess(list(arguments), int(end), bytes(out), bytes(err))


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        try:
            while data:
                data = data[file.write(data) :]
        except BrokenPipeError:
            return


def _read(descriptor: int, into: bytearray) -> None:
    with os.fdopen(descriptor, "rb") as file:
        into += file.read()


# The process itself.


class Order(NamedTuple):
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    descriptors: list[int]


def main() -> None:
    (number,) = sys.argv[1:]
    sys.path[0] = str(ROOT)  # as `python -m` has it
    import gatebus.cli

    for module in pkgutil.iter_modules(gatebus.cli.__path__, "gatebus.cli."):
        importlib.import_module(module.name)
    with socket.socket(fileno=int(number)) as orders, selectors.DefaultSelector() as waiting:
        waiting.register(orders, selectors.EVENT_READ)
        order = _serve(orders, waiting)
    if order is not None:
        _become(order)


def _serve(orders: socket.socket, waiting: selectors.DefaultSelector) -> Order | None:
    """Returns in each child, with what it is to do; and at the end of the socket."""
    while True:
        for key, _ in waiting.select():
            if key.fileobj is not orders:
                _tell_end(waiting, key)
                continue
            message, descriptors, *_ = socket.recv_fds(orders, MESSAGE_MAX, 4)
            if not message:
                return None
            child = os.fork()
            if not child:
                return Order(*json.loads(message), descriptors[:3])
            for each in descriptors[:3]:
                os.close(each)
            waiting.register(os.pidfd_open(child), selectors.EVENT_READ, (child, descriptors[3]))


def _tell_end(waiting: selectors.DefaultSelector, key: selectors.SelectorKey) -> None:
    child, told = key.data
    _, status = os.waitpid(child, 0)
    waiting.unregister(key.fd)
    os.close(key.fd)
    os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(told)


def _become(order: Order) -> None:
    for target, each in enumerate(order.descriptors):
        os.dup2(each, target)
    os.closerange(3, DESCRIPTORS_MAX)  # those of other commands, too: their ends are told when nobody holds them
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    sys.argv = ["gatebus", *order.arguments]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # of this process, to its end
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    runpy.run_module("gatebus", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
