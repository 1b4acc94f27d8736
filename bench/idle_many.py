"""How many idle programs one host holds at once, and how long it takes to kill them all.

3,000 is the target; the number is what was really held, each having said its line and waiting for input.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import trio
import trio.lowlevel

import sandbox
from bench.guests import IDLE_HELLO

WANTED = 3_000


async def hold(wanted: int) -> dict[str, float]:
    """Start `wanted` programs, wait for a line of each, then kill all and wait for every end."""
    said = 0
    all_said, all_ended = trio.Event(), trio.Event()
    ended = 0
    seconds = 0.0

    async with sandbox.open_sandbox("native") as box, trio.open_nursery() as nursery:
        image = await box.compile(IDLE_HELLO)
        finish = trio.Event()

        async def one() -> None:
            nonlocal said, ended
            async with box.start(image, sandbox.Setup(), sandbox.Limits()) as program:
                if await program.receive_some():
                    said += 1
                if said == wanted:
                    all_said.set()
                await finish.wait()
                program.kill()
                await program.wait()
                ended += 1
                if ended == wanted:
                    all_ended.set()

        # 64 at a time: more only waits in the keeper's bounded queue.
        for number in range(wanted):
            nursery.start_soon(one)
            while number - said > 64:
                await trio.lowlevel.checkpoint()
        with trio.fail_after(60):
            await all_said.wait()
        began = time.perf_counter()
        finish.set()
        with trio.fail_after(60):
            await all_ended.wait()
        seconds = time.perf_counter() - began
    return {"idle_many": said, "kill_1000_s": seconds * 1000 / wanted}


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"descriptors allowed: {hard} (was {soft})")
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else WANTED
    print(json.dumps(trio.run(hold, wanted)))


if __name__ == "__main__":
    main()
