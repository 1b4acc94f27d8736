"""The host that the benchmarks of the bus talk to: a process of its own, ordinary but for its quotas.

Prints one line of JSON when it listens (port, key, hashes of its modules); ends at the end of its input.
"""

from __future__ import annotations

import json
import os
import resource
import sys

import trio

from bench.bus_guests import ECHO, STREAM
from bench.guests import HELLO, IDLE_HELLO
from gatebus.host.hostconfig import Address, HostConfig
from gatebus.host.quotas import Amounts, QuotaBounds
from gatebus.host.server import Host

MODULES = {"hello": HELLO, "idle": IDLE_HELLO, "echo": ECHO, "stream": STREAM}
PLENTY = Amounts(instances=1 << 20, memory=1 << 60, stored=1 << 40, uploads=1_000, connections=1 << 20)


class Announcement:
    """A host's log of which only the address is of interest."""

    def __init__(self) -> None:
        self.port = 0
        self.ready = trio.Event()

    def event(self, name: str, **fields: object) -> None:
        if name == "host-listening" and fields["transport"] == "tcp":
            self.port = int(str(fields["address"]).rpartition(":")[2])
        if name == "host-ready":
            self.ready.set()
        if name == "internal-error":
            print(f"bench: {fields}", file=sys.stderr)


async def main() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    announcement = Announcement()
    config = HostConfig(
        listen=(Address("127.0.0.1", 0),),
        socket=os.environ.get("GATEBUS_BENCH_SOCKET"),
        quotas=QuotaBounds(PLENTY, PLENTY, PLENTY),
        stop_seconds=0.0,
    )
    async with Host(config, log=announcement) as host, trio.open_nursery() as nursery:
        hashes = {name: (await host.parts.box.compile(wasm)).sha256 for name, wasm in MODULES.items()}
        nursery.start_soon(host.serve)
        await announcement.ready.wait()
        print(json.dumps({"port": announcement.port, "key": host.key.hex()} | hashes), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        host.stop()


if __name__ == "__main__":
    trio.run(main)
