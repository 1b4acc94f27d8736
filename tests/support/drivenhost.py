"""Real hosts that are killed, one process for each life: python drivenhost.py IMAGES, told by lines on its input.

    {"data": ..., "socket": ..., "place": ..., "times": n}

A host begins on that data, listens on that socket, and kills itself (-9) when that named place is passed for the n-th
time. Out, one line each: `life PID`, `ready`, `passed PLACE` (the first time), `over STATUS`. What was promised is not
said here: whoever drives the host over its socket keeps the record. All lives are forks of one process that has
imported everything and done nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import trio
from busworld import NAMES, Problems, put
from lifehistory import COUNT

import sandbox
from gatebus.host.hostconfig import HostConfig
from gatebus.host.lives import tidying
from gatebus.host.server import Host
from gatebus.web.front import Front
from gatebus.web.listening import listen_unix, serve

TIDY = 0.1  # seconds between two collections: a life here lasts about one


def say(*words: object) -> None:
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


class Points:
    """Fail-points that are told of, and that end this process."""

    def __init__(self, place: str, times: int) -> None:
        self._place, self._left = place, times
        self._passed: set[str] = set()

    def reached(self, name: str) -> None:
        if name not in self._passed:
            self._passed.add(name)
            say("passed", name)
        if name == self._place:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


class Telling(Problems):
    """What a test that fails should show. The disk has no trouble here, and our own bugs are none of a host's: both end
    this process otherwise than by SIGKILL.
    """

    def event(self, name: str, **fields: object) -> None:
        super().event(name, **fields)
        if name in ("internal-error", "store-broken", "instance-not-kept", "instance-not-woken"):
            sys.stderr.write(f"{name}: {fields}\n")
        if name in ("internal-error", "store-broken"):
            os._exit(1)


async def live(images: str, data: str, socket: str) -> None:
    box = partial(sandbox.open_sandbox, "native", sandbox.Settings(cache_directory=images))
    problems = Telling()
    async with Host(HostConfig(data=data), seed=b"host".ljust(32), known=NAMES.get, open_box=box, log=problems) as host:
        await put(host, COUNT)
        listener = listen_unix(Path(socket))
        say("ready")
        await serve([listener], Front(host.attend))


def life(images: str, wanted: dict[str, str]) -> None:
    Host.points = Points(wanted["place"], int(wanted["times"]))
    tidying.TIDY_SECONDS = TIDY  # type: ignore[misc]
    trio.run(live, images, wanted["data"], wanted["socket"])


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            life(sys.argv[1], json.loads(line))
            os._exit(0)
        say("life", pid)
        _, status = os.waitpid(pid, 0)
        say("over", status)


if __name__ == "__main__":
    main()
