"""A host that copies a running program and kills itself (-9): as soon as it has said that the copies are durable.

python cloninghost.py IMAGES DATA asked|told

`asked`: the answer of `clone` waits for the disk; `told`: their status says it a little later.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import trio
from liveworld import CHAIN, digest, live_world

ONE = b"1" * 16
COPIES = [bytes([number]) * 16 for number in range(1, 4)]
TEXT = b"hello"


async def main(images: Path, data: Path, *, asked: bool) -> None:
    async with live_world(images, data) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(CHAIN))
        stream = await bus.io(ONE).until(lambda each: each.accepted)
        stream.write(TEXT)
        await stream.until(lambda each: len(each.data) == len(TEXT))
        told = (await bus.ask("clone", instance=ONE, instances=COPIES, durable=asked))["instances"]
        if asked:
            assert [each["durable"] for each in told] == [True] * len(COPIES)
        for each in COPIES:
            while not (await bus.ask("status", instance=each))["durable"]:
                continue
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    trio.run(lambda: main(Path(sys.argv[1]), Path(sys.argv[2]), asked=sys.argv[3] == "asked"))
