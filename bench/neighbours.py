"""What lies between two programs of one principal: one way, there and back, one to a hundred.

All programs are C over the native sandbox; the host is what a host is (one Turn, one Spinner, one Neighbourhood).
Rates are measured by the guests' own clocks, a round trip as the time between two packets of the program that asks.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from pathlib import Path

import trio

import sandbox
from gatebus.exchange import Exchange
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.services.identity import Identities
from gatebus.services.service_table import World, offers
from gatebus.spinner import Spinner
from gatebus.switchboard import Switchboard
from gatebus.turn import Turn

WASM = Path(__file__).parent.parent / "build/guests/bench/neighbours.wasm"
LISTENERS = 100
LIMITS = sandbox.Limits(clock_resolution=1)


class Street:
    """Programs that are neighbours, each with its exchange, as in a host."""

    def __init__(self, box: sandbox.Sandbox, image: sandbox.Image) -> None:
        self._box = box
        self._image = image
        self._turn = Turn()
        self._neighbourhood = Neighbourhood()
        self.spinner = Spinner()
        self.heard: dict[str, list[float]] = {}  # when packets of a program came

    async def run(self, name: str, role: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> bytes:
        """Start one and serve it until its end. What it logged."""
        log = bytearray()
        resident = self._neighbourhood.admit("local", name)
        world = World(trio.current_time, os.urandom, Identities("local", name), resident=resident)
        board = Switchboard({})
        for service, offer in offers(world, board.entries).items():
            board.publish(service, offer)
        async with self._box.start(self._image, sandbox.Setup(function=role), LIMITS) as program:
            program.on_log = lambda _stream, data: log.extend(data)
            heard = self.heard.setdefault(role, [])

            def pulse() -> None:
                heard.append(time.perf_counter())
                self.spinner.pulse()

            exchange = Exchange(program, board, self._turn, pulse)
            task_status.started()
            await exchange.run()
            outcome = await program.wait()
        assert outcome.ok, (role, outcome, exchange.fault)
        return bytes(log)


async def together(box: sandbox.Sandbox, image: sandbox.Image, *roles: str) -> tuple[list[int], Street]:
    """Run the roles beside each other; the numbers that they logged."""
    street, logs = Street(box, image), bytearray()

    async def one(number: int, role: str) -> None:
        logs.extend(await street.run(f"program-{number:04}", role))

    async with trio.open_nursery() as everything:
        everything.start_soon(street.spinner.run)
        async with trio.open_nursery() as nursery:
            for number, role in enumerate(roles):
                nursery.start_soon(one, number, role)
                while box.statistics().running < number:
                    await trio.lowlevel.checkpoint()
        everything.cancel_scope.cancel()
    return [int(line) for line in logs.split()], street


async def one_way(box: sandbox.Sandbox, image: sandbox.Image) -> float:
    began = time.process_time()
    (rate,), _ = await together(box, image, "sink", "source")
    spent = time.process_time() - began
    print(f"one way: {rate:,}/s, {spent / 1.5:.2f} us of the host's processor each")
    return rate


async def there_and_back(box: sandbox.Sandbox, image: sandbox.Image) -> float:
    began = time.process_time()
    _, street = await together(box, image, "pinger", "ponger")
    spent = time.process_time() - began
    times = street.heard["pinger"]
    trips = [(after - before) * 1e6 for before, after in itertools.pairwise(times)][20:]
    print(f"there and back: {statistics.median(trips):.1f} us median, {spent / len(trips) * 1e6:.0f} us of the host")
    return statistics.median(trips)


async def fan_out(box: sandbox.Sandbox, image: sandbox.Image) -> float:
    began = time.process_time()
    (rate, dropped), _ = await together(box, image, "caster", *["listener"] * LISTENERS)
    spent = time.process_time() - began
    print(f"1 -> {LISTENERS}: {rate:,} deliveries/s, {spent * 10:.2f} us of the host each, {dropped} dropped")
    return rate


async def main() -> dict[str, float]:
    # A host has its own spinner: the sandbox's would be a second one.
    async with sandbox.open_sandbox("native", sandbox.Settings(spin=0.0)) as box:
        image = await box.compile(WASM.read_bytes())
        return {
            "peer_s": await one_way(box, image),
            "peer_us": await there_and_back(box, image),
            "fanout_s": await fan_out(box, image),
        }


if __name__ == "__main__":
    print(json.dumps(trio.run(main)))
