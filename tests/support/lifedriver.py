"""Traffic for a host that is killed, and the record of what it has promised.

In:  a link to a host that has just begun (or begun again), the History of its lives until then. Out: what a client did
and saw, told to the history, which judges it. Every operation of live state is asked for, in an order that a seed
chooses; each instance is a counting program that is fed a few bytes now and then.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import trio
from busworld import ALICE, Channel, Talker
from lifehistory import COUNT, GONE, RUNNING, SUSPENDED, Asked, History

from gatebus.protocol.messages import Error
from gatebus.web.dialling import dial
from gatebus.web.places import parse_address

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable

MODULE = sha256(COUNT).digest()
INSTANCES, SHOTS, FED = 6, 6, 60  # at the same time; bytes for one instance
"""What a host has to find again stays small, and a life short."""


@asynccontextmanager
async def talking(socket: str) -> AsyncIterator[Talker]:
    async with dial(parse_address(f"unix:{socket}")) as link:
        talker = Talker(link, ALICE)
        await talker.greet()
        yield talker


@dataclass
class Driver:
    """One client. Its streams outlive its links."""

    dice: random.Random
    history: History = field(default_factory=History)
    streams: dict[bytes, Channel] = field(default_factory=dict)
    counted: int = 0
    done: dict[str, int] = field(default_factory=dict)
    fill: Callable[[bool], None] | None = None  # the disk of this life, or makes room there
    full: bool = False
    undead: set[bytes] = field(default_factory=set)  # who were killed while it was: that is written later

    # After a death.

    async def judge(self, bus: Talker) -> None:
        """Everything that was promised is there; and its streams go on."""
        for instance in (*self.history.instances, *self.history.ended):
            if not self.history.found(instance, await state_of(bus, instance)):
                self.streams.pop(instance, None)
        await self.look(bus)
        for instance, seen in tuple(self.history.instances.items()):
            await self._come_back(bus, instance)
            if seen.ending:  # it was under way to its end, which may come at any moment
                await self._kill(bus, instance)

    async def look(self, bus: Talker) -> None:
        told = (await bus.ask("snapshots"))["snapshots"]
        self.history.listed(frozenset(each["snapshot"] for each in told if each["kind"] == "snapshot"))

    async def _come_back(self, bus: Talker, instance: bytes) -> None:
        stream = self.streams.get(instance)
        if stream is None:
            if not self.history.instances[instance].lost:
                await self.connect(bus, instance)
            return
        self.history.comes(instance)
        again = await bus.attach(stream).until(lambda each: each.accepted or each.answer)
        accepted = again.accepted is not None
        assert accepted or isinstance(again.answer, Error), again.answer
        self.history.came_back(instance, accepted=accepted)
        if accepted:
            self.streams[instance] = again
        else:
            del self.streams[instance]

    # Traffic.

    def has_disk(self, fill: Callable[[bool], None]) -> None:
        """Of the next life; with room."""
        self.fill, self.full = fill, False

    async def fill_or_empty(self, _bus: Talker | None = None) -> None:
        assert self.fill is not None
        self.full = not self.full
        self.fill(self.full)

    async def work(self, bus: Talker, steps: int) -> None:
        for _ in range(steps):
            choices = [each for each in CHOICES if self._possible(each)]
            step = self.dice.choices(choices, [self._weight(each) for each in choices])[0]
            await STEPS[step](self, bus)
            self.done[step] = self.done.get(step, 0) + 1
            self.hear()

    def _weight(self, step: str) -> int:
        """Where many snapshots are, some go: so that there is room for others."""
        there = sum(bool(each.there) for each in self.history.shots.values())
        return CHOICES[step] * (2 if step == "drop" and there > SHOTS // 2 else 1)

    def _possible(self, step: str) -> bool:
        history = self.history
        if step == "fill":
            return self.fill is not None
        if step == "end" and self.full:
            return False  # what is stored could not go on, and so not to its end
        if step in ("launch", "clone"):
            return len(history.instances) < INSTANCES and (step == "launch" or bool(history.instances))
        if step in ("restore", "drop", "carry"):
            there = [each for each in history.shots.values() if each.there]
            room = step == "drop" or (len(history.instances) if step == "restore" else len(there)) < SHOTS
            return bool(there) and room
        if step == "snapshot":
            return bool(history.instances) and sum(bool(each.there) for each in history.shots.values()) < SHOTS
        return bool(self.streams if step in ("feed", "end") else history.instances)

    def hear(self) -> None:
        """What has come on the streams."""
        for instance, stream in self.streams.items():
            seen = self.history.instances[instance]
            new = bytes(stream.data[len(seen.part) + 8 * seen.heard :])
            if new:
                self.history.heard(instance, new)

    async def asked(self, bus: Talker, asked: Asked, **given: object) -> dict[str, Any] | None:
        """None: refused, which some may be: an instance can end or be on its way to that."""
        channel = bus.open(asked.what if asked.what != "park" else "suspend", given, 0)
        await channel.until(lambda each: each.answer)
        self.hear()
        if isinstance(channel.answer, Error):
            full = channel.answer.code == "disk-full"
            if full and asked.what == "kill" and asked.instance is not None:
                assert self.full or asked.instance in self.undead, channel.answer
                self.undead.add(asked.instance)
                self.history.unwritten(asked)
                self.streams.pop(asked.instance, None)
                return None
            assert (full and self.full) or channel.answer.code in ("conflict", "not-found"), channel.answer
            self.history.refused(asked)
            return None
        assert channel.answer is not None
        return dict(channel.answer.value)

    def begin(self, what: str, instance: bytes | None = None, *wanted: bytes, snapshot: bytes | None = None) -> Asked:
        self.hear()
        return self.history.began(what, instance, *wanted, snapshot=snapshot)

    def new(self) -> bytes:
        self.counted += 1
        return self.counted.to_bytes(16, "big")

    def some(self, among: dict[bytes, Any]) -> bytes:
        return self.dice.choice(sorted(among))

    def shot(self) -> bytes:
        return self.dice.choice(sorted(name for name, each in self.history.shots.items() if each.there))

    async def launch(self, bus: Talker) -> None:
        instance = self.new()
        asked = self.begin("launch", None, instance)
        await self.asked(bus, asked, instance=instance, module=MODULE)
        self.history.answered(asked)
        await self.connect(bus, instance)

    async def connect(self, bus: Talker, instance: bytes) -> None:
        self.history.comes(instance)
        channel = await bus.io(instance).until(lambda each: each.accepted or each.answer)
        if channel.accepted is None:
            self.history.coming = None
        else:
            self.history.connected(instance)
            self.streams[instance] = channel
            await self._feed(instance, 1)
            await self.settle(instance)

    async def feed(self, _bus: Talker) -> None:
        """Waiting without new bytes could be for ever: what was suspended with unread ones stays so."""
        instance = self.some(self.streams)
        if len(self.history.instances[instance].fed) < FED:
            await self._feed(instance, self.dice.randrange(1, 6))
            if self.dice.random() < 0.5 and not self.full:
                await self.settle(instance)

    async def _feed(self, instance: bytes, size: int) -> None:
        data = self.dice.randbytes(size)
        self.history.fed(instance, data)
        self.streams[instance].write(data)

    async def settle(self, instance: bytes) -> None:
        """All that it owes has come."""
        self.hear()
        while instance in self.streams and self.history.instances[instance].owed() > 0:
            await self.streams[instance].bus.hear()
            self.hear()

    async def on_one(self, bus: Talker, what: str, **given: object) -> None:
        instance = self.some(self.history.instances)
        asked = self.begin(what, instance)
        told = await self.asked(bus, asked, instance=instance, **given)
        if told is not None:
            self.history.answered(asked, told.get("snapshot") if what == "snapshot" else None)
            if what == "resume" and self.full:
                self.history.runs_unwritten(instance)

    async def clone(self, bus: Talker) -> None:
        source, wanted = self.some(self.history.instances), [self.new() for _ in range(self.dice.randint(1, 2))]
        asked = self.begin("clone", source, *wanted)
        told = await self.asked(bus, asked, instance=source, instances=wanted)
        if told is not None:
            bad = tuple(each["instance"] for each in told["instances"] if "code" in each)
            self.history.answered(asked, refused=bad)
            for each in set(wanted) - {*bad}:
                await self.connect(bus, each)

    async def restore(self, bus: Talker) -> None:
        instance, snapshot = self.new(), self.shot()
        asked = self.begin("restore", None, instance, snapshot=snapshot)
        if await self.asked(bus, asked, instance=instance, snapshot=snapshot) is not None:
            self.history.answered(asked)
            await self.connect(bus, instance)

    async def drop(self, bus: Talker) -> None:
        await self.drop_one(bus, self.shot())

    async def drop_one(self, bus: Talker, snapshot: bytes) -> None:
        asked = self.begin("drop", snapshot=snapshot)
        if await self.asked(bus, asked, snapshot=snapshot) is not None:
            self.history.answered(asked)

    async def carry(self, bus: Talker) -> None:
        await self.carry_as(bus, self.dice.choice(("file", "file", "state")))

    async def carry_as(self, bus: Talker, form: str) -> None:
        """Out as a file, and in again."""
        snapshot = self.shot()
        channel = bus.open("export", {"snapshot": snapshot, "form": form})
        told = await channel.result()
        data = bytes(channel.data)
        assert (told["size"], told["sha256"]) == (len(data), sha256(data).digest())
        asked = self.begin("import", snapshot=snapshot)
        channel = bus.open("import", {"size": len(data), "sha256": sha256(data).digest()})
        await channel.until(lambda each: each.accepted)
        channel.write(data)
        channel.end()
        await channel.until(lambda each: each.answer)
        if isinstance(channel.answer, Error):  # a state has its output in it, and only a person could read that
            unread = (form, "have not been read" in channel.answer.text) == ("state", True)
            assert unread or (self.full and channel.answer.code == "disk-full"), channel.answer
            self.history.refused(asked)
        else:
            self.history.answered(asked, (await channel.result())["snapshot"])

    async def end(self, bus: Talker) -> None:
        instance = self.some(self.streams)
        asked, stream = self.begin("end", instance), self.streams[instance]
        stream.end()
        assert "ended" in await stream.result()
        self.hear()
        assert self.history.instances[instance].owed() == 0, "it has said everything"
        del self.streams[instance]
        self.history.answered(asked)

    async def kill(self, bus: Talker) -> None:
        await self._kill(bus, self.some(self.history.instances))

    async def _kill(self, bus: Talker, instance: bytes) -> None:
        asked = self.begin("kill", instance)
        if await self.asked(bus, asked, instance=instance) is not None:
            self.streams.pop(instance, None)
            self.history.answered(asked)

    async def keep(self, bus: Talker) -> None:
        await self.on_one(bus, "keep", every=1, last=self.dice.randint(1, 2))


STEPS: dict[str, Callable[[Driver, Talker], Awaitable[None]]] = {
    "launch": Driver.launch,
    "feed": Driver.feed,
    "suspend": lambda self, bus: self.on_one(bus, "suspend"),
    "park": lambda self, bus: self.on_one(bus, "park", depth="parked"),
    "resume": lambda self, bus: self.on_one(bus, "resume"),
    "snapshot": lambda self, bus: self.on_one(bus, "snapshot"),
    "clone": Driver.clone,
    "restore": Driver.restore,
    "drop": Driver.drop,
    "carry": Driver.carry,
    "keep": Driver.keep,
    "end": Driver.end,
    "kill": Driver.kill,
    "fill": Driver.fill_or_empty,
}
CHOICES = {
    "launch": 2, "feed": 8, "suspend": 4, "park": 2, "resume": 3, "snapshot": 2, "clone": 1, "restore": 2, "drop": 1,
    "carry": 2, "keep": 1, "end": 1, "kill": 1, "fill": 1,
}  # fmt: skip


async def state_of(bus: Talker, instance: bytes) -> str:
    """Once it is clear: what ran before runs again a little after the host's start."""
    while True:
        channel = bus.open("status", {"instance": instance}, 0)
        await channel.until(lambda each: each.answer)
        if isinstance(channel.answer, Error):
            assert channel.answer.code == "not-found", channel.answer
            return GONE
        assert channel.answer is not None
        told = channel.answer.value
        if told["state"] != SUSPENDED or "due" not in told:
            return str(told["state"]) if told["state"] in (SUSPENDED, RUNNING) else GONE
        await trio.sleep(0.005)
