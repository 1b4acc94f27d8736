"""Everything at once, at a host with the native sandbox: clients whose dice ask for every operation on many programs at
any moment, hang up and cancel; a machine that runs out of descriptors for a while, and a keeper that is killed.

In:  a BusWorld, a seed. Out: after a round all that was asked is answered, all that ran is ended and deleted; Unsound
when something is left over that nobody asked for. The dice choose what is done and how many turns of the loop lie
between; what the machine makes of it differs from run to run.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio
from liveworld import CHAIN, digest
from openfiles import open_files

from gatebus.protocol.messages import Error
from gatebus.web.link import LinkClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from busworld import BusWorld, Channel, Talker

# Computes, and neither reads nor writes.
SPIN = b"""(module (memory (export "memory") 1) (func (export "_start") (loop $on (br $on))))"""
# Has touched 3 MiB, and more with each byte that it reads: a shared memory, where it goes on.
LARGE = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) "\\20\\00\\00\\00\\01\\00\\00\\00")
  (func (export "_start") (local $n i32)
    (loop $touch
      (i32.store8 (i32.add (i32.const 64) (i32.shl (local.get $n) (i32.const 12))) (local.get $n))
      (br_if $touch (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 768))))
    (loop $more
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
      (if (i32.load (i32.const 16)) (then
        (i32.store8 offset=65 (i32.shl (i32.load8_u (i32.const 32)) (i32.const 14)) (i32.load8_u (i32.const 32)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
        (br $more))))))"""
# Ends at once.
BRIEF = b"""(module (memory (export "memory") 1) (func (export "_start")))"""
PROGRAMS = (CHAIN, SPIN, LARGE, BRIEF)
MOST = 12  # instances at a time
PATIENCE = 60.0
# What a cache keeps, and what comes and goes by itself.
_KEPT = ("/memfd:image", "anon_inode:[timerfd]", ".sqlite", "-wal", "-shm")


class Unsound(AssertionError):  # noqa: N818  # it is no error of the host of chaos
    """Something is left, or was never answered."""


@dataclass
class Chaos:
    """One round. `calm`: no shortage, and no keeper that is killed."""

    world: BusWorld
    dice: random.Random
    calm: bool = False
    instances: list[bytes] = field(default_factory=list)
    snapshots: list[bytes] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    async def round(self, clients: int, steps: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(self._client, random.Random(self.dice.random()), steps)
        await self._clear()

    async def _client(self, dice: random.Random, steps: int) -> None:
        while steps > 0:
            async with talking(self.world) as bus:
                client = Client(self, bus, dice)
                for _ in range(min(steps, dice.randrange(1, 40))):
                    steps -= 1
                    await client.step()
                if dice.random() < 0.5:
                    await client.all_answered()

    # The end of a round.

    async def _clear(self) -> None:
        """Whoever asks for nothing more has nothing: and the host neither."""
        async with talking(self.world) as bus:
            client = Client(self, bus, self.dice)
            await self._no_instances(client)
            while told := (await client.asks("snapshots"))["snapshots"]:
                for each in told:
                    await client.tries("drop", snapshot=each["snapshot"])
        await self._until(self._leftovers)

    async def _no_instances(self, client: Client) -> None:
        """Again and again: an answer holds some, and a copy may have come while the others were killed."""
        with trio.move_on_after(PATIENCE):
            while told := (await client.asks("list"))["instances"]:
                for each in told:
                    if each["state"] not in ("TERMINATED", "HALTED", "KILLED"):
                        await client.tries("kill", instance=each["instance"])
                    await client.tries("delete", instance=each["instance"])
            return
        raise Unsound(f"cannot be ended: {told}")

    async def _until(self, left: Callable[[], object]) -> None:
        with trio.move_on_after(PATIENCE):
            while left():  # noqa: ASYNC110, another process sets no event of ours
                await trio.sleep(0.02)
        if found := left():
            raise Unsound(f"left over: {found}")

    def _leftovers(self) -> dict[str, object]:
        parts = self.world.host.parts
        counts = {
            "running": parts.box.statistics().running,
            "instances": parts.quotas.total.instances,
            "memory": parts.quotas.total.memory,
            "known": len(parts.registry),
            "jobs": len(keeper_of(self.world)._jobs),
            "preparing": parts.lives.preparing.under_way,
            "tasks": parts._tasks.total(),
        }
        return {name: count for name, count in counts.items() if count}


class Client:
    """One link of one of those who play."""

    def __init__(self, chaos: Chaos, bus: Hearing, dice: random.Random) -> None:
        self.chaos, self.bus, self.dice = chaos, bus, dice
        self.open: list[tuple[str, Channel]] = []

    async def step(self) -> None:
        what = self.dice.choices(list(STEPS), [weight for weight, _ in STEPS.values()])[0]
        if self.chaos.calm and what in ("shortage", "kill_keeper"):
            return
        self.chaos.done[what] += 1
        await STEPS[what][1](self)
        await turns(self.dice.choice((0, 0, 1, 3, 10, 40)))

    def some(self, among: list[bytes]) -> bytes:
        return self.dice.choice(among) if among else self.dice.randbytes(16)

    @property
    def instance(self) -> bytes:
        return self.some(self.chaos.instances)

    def new(self) -> bytes:
        name = self.dice.randbytes(16)
        self.chaos.instances.append(name)
        del self.chaos.instances[:-MOST]
        return name

    def ask(self, operation: str, window: int = 0, **given: object) -> Channel:
        channel = self.bus.talker.open(operation, given, window)
        self.open.append((operation, channel))
        return channel

    async def asks(self, operation: str, **given: object) -> dict[str, Any]:
        channel = await self.answered(operation, self.ask(operation, **given))
        if isinstance(channel.answer, Error):
            raise Unsound(f"{operation}: {channel.answer}")
        assert channel.answer is not None
        return dict(channel.answer.value)

    async def tries(self, operation: str, **given: object) -> None:
        await self.answered(operation, self.ask(operation, **given))

    async def answered(self, operation: str, channel: Channel) -> Channel:
        with trio.move_on_after(PATIENCE):
            while channel.answer is None:
                await self.bus.heard()
        if channel.answer is None:
            raise Unsound(f"{operation} was never answered")
        return channel

    async def all_answered(self) -> None:
        """But for those who wait for a program."""
        for operation, channel in self.open:
            if operation not in ("io", "call", "wait"):
                await self.answered(operation, channel)
                said = channel.answer
                code = said.code if isinstance(said, Error) else "answered"
                self.chaos.answers[f"{operation} {code}"] += 1
        self.open = [each for each in self.open if each[1].answer is None]

    async def perhaps(self, channel: Channel) -> Channel:
        """Waited for, or not."""
        if self.dice.random() < 0.4:
            with trio.move_on_after(PATIENCE):
                while channel.answer is None and channel.accepted is None:
                    await self.bus.heard()
        return channel

    async def launch(self) -> None:
        policy = self.dice.choice(({}, {"wake": "any"}, {"wake": "never"}, {"keep_every": 1}, {"idle_park": 1}))
        wasm = self.dice.choice(PROGRAMS)
        more: dict[str, object] = {"transient": True} if self.dice.random() < 0.2 else {}
        if wasm is SPIN:
            more["limits"] = {"cpu_time": self.dice.choice((0.2, 1.0))}
        if self.dice.random() < 0.2:
            more["resumable"] = True
        await self.perhaps(self.ask("launch", instance=self.new(), module=digest(wasm), policy=policy, **more))

    async def call(self) -> None:
        wasm = self.dice.choice((CHAIN, LARGE, BRIEF))
        name = self.bus.talker.name()
        channel = await self.perhaps(self.ask("call", 1 << 20, stream=name, module=digest(wasm)))
        await self._use(channel)

    async def io(self) -> None:
        await self._use(
            await self.perhaps(self.ask("io", 1 << 20, stream=self.bus.talker.name(), instance=self.instance))
        )

    async def _use(self, channel: Channel) -> None:
        out = channel.flows.out if channel.flows is not None else None
        if out is not None and out.note is None and not out.stopped and channel.answer is None:
            channel.write(self.dice.randbytes(self.dice.choice((1, 5, 400, 30_000))))
            if self.dice.random() < 0.4:
                channel.end()

    async def write(self) -> None:
        streams = [each for operation, each in self.open if operation in ("io", "call")]
        if streams:
            await self._use(self.dice.choice(streams))

    async def suspend(self) -> None:
        depth = self.dice.choice(("stored", "stored", "parked"))
        await self.perhaps(self.ask("suspend", instance=self.instance, depth=depth))

    async def resume(self) -> None:
        await self.perhaps(self.ask("resume", instance=self.instance))

    async def snapshot(self) -> None:
        channel = await self.perhaps(self.ask("snapshot", instance=self.instance))
        if channel.answer is not None and not isinstance(channel.answer, Error):
            self.chaos.snapshots.append(channel.answer.value["snapshot"])

    async def clone(self) -> None:
        original = self.instance
        wanted = [self.new() for _ in range(self.dice.randrange(1, 4))]
        durable = self.dice.random() < 0.3
        await self.perhaps(self.ask("clone", instance=original, instances=wanted, durable=durable))

    async def restore(self) -> None:
        shot = self.dice.choice(self.chaos.snapshots) if self.chaos.snapshots else self.dice.randbytes(32)
        await self.perhaps(self.ask("restore", instance=self.new(), snapshot=shot))

    async def warm(self) -> None:
        await self.perhaps(self.ask("warm", module=digest(self.dice.choice((CHAIN, LARGE)))))

    async def kill(self) -> None:
        await self.perhaps(self.ask("kill", instance=self.instance))

    async def delete(self) -> None:
        await self.perhaps(self.ask("delete", instance=self.instance))

    async def wait(self) -> None:
        self.ask("wait", instance=self.instance)

    async def look(self) -> None:
        await self.perhaps(self.ask(self.dice.choice(("status", "keep")), instance=self.instance))

    async def cancel(self) -> None:
        waiting = [each for _, each in self.open if each.answer is None]
        if waiting:
            self.dice.choice(waiting).cancel()

    async def shortage(self) -> None:
        """No more descriptors than these, for some turns."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            return  # somebody else has made one
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + self.dice.randrange(8), hard)
        )
        try:
            await turns(self.dice.choice((1, 10, 100)))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def kill_keeper(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(keeper_of(self.chaos.world)._process.pid, signal.SIGKILL)


STEPS: dict[str, tuple[float, Callable[[Client], Awaitable[None]]]] = {
    "launch": (10, Client.launch), "call": (6, Client.call), "io": (10, Client.io), "write": (12, Client.write),
    "suspend": (12, Client.suspend), "resume": (12, Client.resume), "snapshot": (5, Client.snapshot),
    "clone": (6, Client.clone), "restore": (3, Client.restore), "warm": (1, Client.warm), "kill": (5, Client.kill),
    "delete": (3, Client.delete), "wait": (2, Client.wait), "look": (2, Client.look), "cancel": (5, Client.cancel),
    "shortage": (1.5, Client.shortage), "kill_keeper": (0.1, Client.kill_keeper),
}  # fmt: skip


class Hearing:
    """A talker of which one task hears all; others wait for the next that has come."""

    def __init__(self, talker: Talker) -> None:
        self.talker = talker
        self._lot = trio.lowlevel.ParkingLot()

    async def hear(self) -> None:
        with suppress(LinkClosed):
            while True:
                await self.talker.hear()
                self._lot.unpark_all()
                if self.talker.session.over:
                    raise Unsound(f"a client is at odds with its host: {self.talker.heard[-1]}")

    async def heard(self) -> None:
        await self._lot.park()


@asynccontextmanager
async def talking(world: BusWorld) -> AsyncIterator[Hearing]:
    async with world.talker() as talker, trio.open_nursery() as nursery:
        hearing = Hearing(talker)
        nursery.start_soon(hearing.hear)
        yield hearing
        nursery.cancel_scope.cancel()


async def turns(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()


def keeper_of(world: BusWorld) -> Any:
    return world.host.parts.box._backend._keeper  # type: ignore[attr-defined]


def held() -> Counter[str]:
    """Kinds of what this process holds open, but for what caches keep."""
    gc.collect()
    kinds: Counter[str] = Counter()
    for name, count in open_files().items():
        if not any(each in name for each in _KEPT):
            kinds[name.partition(":[")[0].partition(" ")[0]] += count
    return kinds
