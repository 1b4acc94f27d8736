"""What lies between two programs of one principal: one way, there and back, one to a hundred.

All programs are C over the native sandbox; the host is what a host is (one Turn, one Lookout, one Neighbourhood).
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
from gatebus.lookout import Lookout
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.services.identity import Identities
from gatebus.services.service_table import World, offers
from gatebus.switchboard import Switchboard
from gatebus.turn import Turn

WASM = Path(__file__).parent.parent / "build/guests/bench/neighbours.wasm"
LISTENERS = 100
LIMITS = sandbox.Limits(clock_resolution=1)


class Street:
    """Programs that are neighbours, each with its exchange, as in a host."""

    def __init__(self, box: sandbox.Sandbox, image: sandbox.Image, lookout: Lookout) -> None:
        self.box = box
        self._image = image
        self._turn = Turn()
        self._neighbourhood = Neighbourhood()
        self._lookout = lookout
        self.heard: dict[str, list[float]] = {}  # when packets of a program came

    async def run(self, name: str, role: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> bytes:
        """Start one and serve it until its end. What it logged."""
        log = bytearray()
        resident = self._neighbourhood.admit("local", name)
        world = World(trio.current_time, os.urandom, Identities("local", name), resident=resident)
        board = Switchboard({})
        for service, offer in offers(world, board.entries).items():
            board.publish(service, offer)
        async with self.box.start(self._image, sandbox.Setup(function=role), LIMITS) as program:
            program.on_log = lambda _stream, data: log.extend(data)
            heard = self.heard.setdefault(role, [])

            def pulse() -> None:
                heard.append(time.perf_counter())
                self._lookout.pulse()

            exchange = Exchange(program, board, self._turn, pulse)
            task_status.started()
            await exchange.run()
            outcome = await program.wait()
        assert outcome.ok, (role, outcome, exchange.fault)
        return bytes(log)


async def together(street: Street, *roles: str) -> list[int]:
    """Run the roles beside each other; the numbers that they logged."""
    logs = bytearray()

    async def one(number: int, role: str) -> None:
        logs.extend(await street.run(f"program-{number:04}", role))

    async with trio.open_nursery() as nursery:
        for number, role in enumerate(roles):
            nursery.start_soon(one, number, role)
            while street.box.statistics().running < number:
                await trio.lowlevel.checkpoint()
    return [int(line) for line in logs.split()]


async def one_way(street: Street) -> float:
    began = time.process_time()
    (rate,) = await together(street, "sink", "source")
    spent = time.process_time() - began
    print(f"one way: {rate:,}/s, {spent / 1.5:.2f} us of the host's processor each")
    return rate


async def there_and_back(street: Street) -> float:
    began = time.process_time()
    await together(street, "pinger", "ponger")
    spent = time.process_time() - began
    times = street.heard["pinger"]
    trips = [(after - before) * 1e6 for before, after in itertools.pairwise(times)][20:]
    print(f"there and back: {statistics.median(trips):.1f} us median, {spent / len(trips) * 1e6:.0f} us of the host")
    return statistics.median(trips)


async def fan_out(street: Street) -> float:
    began = time.process_time()
    rate, dropped = await together(street, "caster", *["listener"] * LISTENERS)
    spent = time.process_time() - began
    print(f"1 -> {LISTENERS}: {rate:,} deliveries/s, {spent * 10:.2f} us of the host each, {dropped} dropped")
    return rate


async def main() -> dict[str, float]:
    lookout = Lookout()
    async with sandbox.open_sandbox("native", watch=lookout) as box, trio.open_nursery() as nursery:
        nursery.start_soon(lookout.run)
        image = await box.compile(WASM.read_bytes())
        figures = {
            "peer_s": await one_way(Street(box, image, lookout)),
            "peer_us": await there_and_back(Street(box, image, lookout)),
            "fanout_s": await fan_out(Street(box, image, lookout)),
        }
        nursery.cancel_scope.cancel()
    return figures


if __name__ == "__main__":
    print(json.dumps(trio.run(main)))
