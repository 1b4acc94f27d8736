"""A host that kills itself (-9) when a named place is reached for the n-th time; and says before what it has promised.

    python crashinghost.py IMAGES DATA PLACE N

It launches a program, talks to it, stores it, goes on with it, copies it; each line of its output is a promise that was
kept when it was said: whoever started it judges what is there afterwards.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from uuid import UUID

import trio
from liveworld import CHAIN, digest, live_world

from gatebus.host.server import Host

ONE, TWO = b"1" * 16, b"2" * 16
TEXTS = (b"one", b"two", b"three")


class Killer:
    """Failpoints that end this process."""

    def __init__(self, place: str, times: int) -> None:
        self._place, self._left = place, times

    def reached(self, name: str) -> None:
        if name == self._place:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def main(images: Path, data: Path) -> None:
    async with live_world(images, data) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(CHAIN))
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        said = b""
        for text in TEXTS:
            stream.write(text)
            said += text
            while len(stream.data) < len(said):
                await bus.hear()
            say("said", str(len(said)))
            status = await bus.ask("suspend", instance=ONE)
            say("stored", str(len(said)), status["snapshot"].hex())
            await bus.ask("resume", instance=ONE)
            taken = await bus.ask("snapshot", instance=ONE)
            say("snapshot", str(len(said)), taken["snapshot"].hex())
        await bus.ask("clone", instance=ONE, instances=[TWO])
        await bus.ask("suspend", instance=TWO)
        say("copied", str(len(said)), UUID(bytes=TWO).hex)
        await bus.ask("suspend", instance=ONE)
        say("stored", str(len(said)), "")


if __name__ == "__main__":
    Host.points = Killer(sys.argv[3], int(sys.argv[4]))
    trio.run(main, Path(sys.argv[1]), Path(sys.argv[2]))
