"""What a snapshot store must hold after any history, and histories to try: the judge of crashes.

A step is a plain map, so that a process that will be killed can write down what it begins and what was answered. The
judge replays what was answered; of the one step that was begun and not answered there may be all or nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from snapshothelpers import ADA, GRACE, PAGE, PlainMemory, about, noise, record, saved

from gatebus.host.refusals import Refusal
from gatebus.snapshots.manifestwords import retold
from gatebus.snapshots.retention import Living
from gatebus.snapshots.savedwords import Change

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from gatebus.snapshots.exportwords import Imported
    from gatebus.snapshots.savedwords import Saved
    from gatebus.snapshots.snapshotstore import SnapshotStore

Step = dict[str, Any]
PAGES = 6
INSTANCES = (1, 2, 3)
ACCOUNT_OF = {1: ADA, 2: ADA, 3: GRACE}
PROGRAM = b"\0asm, that all of them are of"
LATE = Living(frozenset(), 1e9)  # nothing is young, and of no instance anything is in the host's memory
CHECKPOINTS = 3  # of an instance that does not say how many it keeps


@dataclass(frozen=True, slots=True)
class Shot:
    """A snapshot by what it was made of: page -> seed of its noise; `state`: the seed of its state."""

    serial: int
    instance: int
    kind: str
    pages: tuple[tuple[int, int], ...]
    state: int

    @property
    def account(self) -> str:
        return ACCOUNT_OF[self.instance]

    def saved(self) -> Saved:
        memory = PlainMemory(bytes(PAGES * PAGE))
        for page, seed in self.pages:
            memory.content[page * PAGE : page * PAGE + 3_000] = noise(3_000, seed)
        state, module = b"state" + noise(2_000, self.state), hashlib.sha256(PROGRAM).hexdigest()
        return saved(memory, state, module=module, instance=self.instance, kind=self.kind, taken=self.serial)


@dataclass(frozen=True, slots=True)
class Line:
    """A record: state, serial of its snapshot, revision."""

    state: str
    serial: int | None
    revision: int


@dataclass(frozen=True)
class World:
    shots: dict[int, Shot] = field(default_factory=dict)
    lines: dict[int, Line] = field(default_factory=dict)

    def after(self, step: Step) -> World:
        """What there is once the step was answered; a step that must be refused changes nothing."""
        shots, lines = dict(self.shots), dict(self.lines)
        instance, serial = step.get("instance", 0), step.get("serial")
        match step["do"]:
            case "save":
                shots[step["serial"]] = shot_of(self, step)
                if step["record"]:
                    lines[instance] = Line("stored", serial, self.seen(instance) + 1)
            case "import":
                shots[step["serial"]] = replace(
                    shots[step["source"]], serial=step["serial"], instance=instance, kind="snapshot"
                )
            case "collect":
                shots = {name: shot for name, shot in shots.items() if name not in step["gone"]}
            case "put":
                lines[instance] = Line(step["state"], step["points"], self.seen(instance) + 1)
            case "delete":
                lines.pop(instance, None)
            case "drop" if not any(line.serial == serial for line in lines.values()):
                shots.pop(step["serial"], None)
        return World(shots, lines)

    def stages(self, step: Step) -> Iterator[World]:
        """What may be found when it died at that: what goes by itself goes one by one, everything else all at once."""
        if step["do"] != "collect":
            yield from (self, self.after(step))
            return
        for size in range(len(step["gone"]) + 1):
            for some in combinations(step["gone"], size):
                yield self.after(step | {"gone": some})

    def seen(self, instance: int) -> int:
        line = self.lines.get(instance)
        return line.revision if line is not None else 0

    def going(self) -> list[int]:
        """What a collection takes when nothing is young, and nothing else: said once more, in other words."""
        pointed = {line.serial for line in self.lines.values()}
        return [name for name, shot in self.shots.items() if name not in pointed and self._is_superseded(shot)]

    def _is_superseded(self, shot: Shot) -> bool:
        line = self.lines.get(shot.instance)
        if shot.kind == "snapshot":
            return False
        if line is None or line.state == "ended":
            return True
        mine = [each for each in self.shots.values() if each.instance == shot.instance and each.kind != "snapshot"]
        if line.serial is None or line.serial not in {each.serial for each in mine}:
            return False
        if shot.kind == "checkpoint":
            return sum(each.kind == "checkpoint" and each.serial > shot.serial for each in mine) >= CHECKPOINTS
        return shot.serial < line.serial


def shot_of(world: World, step: Step) -> Shot:
    base = world.shots.get(step["base"]) if step["base"] is not None else None
    pages = dict(base.pages if base is not None else ()) | dict.fromkeys(step["touched"], step["serial"])
    return Shot(step["serial"], step["instance"], step["kind"], tuple(sorted(pages.items())), step["serial"])


def choose(dice: random.Random, world: World, serial: int) -> Step:
    """Any step; mostly what instances do: they are saved, and go on."""
    instance = dice.choice(INSTANCES)
    mine = [each.serial for each in world.shots.values() if each.account == ACCOUNT_OF[instance]]
    some = dice.choice(mine) if mine else None
    match dice.choices(("save", "put", "delete", "drop", "load", "import", "collect"), (6, 2, 1, 3, 1, 2, 2))[0]:
        case "put":
            return {"do": "put", "instance": instance, "state": dice.choice(("running", "ended")), "points": some}
        case "delete":
            return {"do": "delete", "instance": instance}
        case "drop" if some is not None:
            return {"do": "drop", "serial": some}
        case "load" if some is not None:
            return {"do": "load", "serial": some}
        case "import" if some is not None:
            return {"do": "import", "serial": serial, "source": some, "instance": dice.choice(INSTANCES)}
        case "collect":
            return {"do": "collect", "gone": world.going()}
    touched = dice.sample(range(PAGES), dice.randint(0, 3))
    return {
        "do": "save", "instance": instance, "serial": serial, "touched": touched, "record": dice.random() < 0.6,
        "base": some if dice.random() < 0.7 else None, "told": dice.random() < 0.8,
        "kind": dice.choice(("suspended", "checkpoint", "snapshot")),
    }  # fmt: skip


async def perform(store: SnapshotStore, world: World, step: Step, ids: dict[int, bytes]) -> None:
    """As a host would. `ids`: of the snapshots that are there, by serial; kept up to date."""
    instance = step.get("instance", 0)
    match step["do"]:
        case "save":
            await _save(store, world, step, ids)
        case "put":
            pointed = ids[step["points"]] if step["points"] is not None else None
            new = record(instance, step["state"], ACCOUNT_OF[instance], snapshot=pointed)
            await store.records.put(new, world.seen(instance))
        case "delete" if world.seen(instance):
            await store.records.delete(record(instance).instance, world.seen(instance))
        case "drop":
            await _drop(store, world, step["serial"], ids)
        case "load":
            await check(store, world.shots[step["serial"]], ids[step["serial"]])
        case "import":
            await _import(store, world, step, ids)
        case "collect":
            gone = await store.collect(LATE)
            assert sorted(line.taken for line in gone) == sorted(step["gone"])
            for serial in step["gone"]:
                del ids[serial]


async def _save(store: SnapshotStore, world: World, step: Step, ids: dict[int, bytes]) -> None:
    shot = shot_of(world, step)
    base = ids[step["base"]] if step["base"] is not None else None
    changed = [(page * PAGE, PAGE) for page in step["touched"]] if step["told"] else None
    new = record(shot.instance, "stored", shot.account)
    change = Change(new, world.seen(shot.instance)) if step["record"] else None
    kept = await store.save(shot.saved(), account=shot.account, base=base, changed=changed, change=change)
    ids[shot.serial] = kept.id


async def _import(store: SnapshotStore, world: World, step: Step, ids: dict[int, bytes]) -> None:
    """Out as a file, and in again as somebody's own."""
    source, file = world.shots[step["source"]], bytearray()
    async with store.exporting(ids[source.serial], PROGRAM, source.account) as leaving:
        while piece := await leaving.read(1 << 20):
            file += piece

    async def read(size: int) -> bytes:
        piece = bytes(file[:size])
        del file[:size]
        return piece

    async def own(imported: Imported) -> bytes:
        return retold(imported.manifest, about(step["instance"], "snapshot", step["serial"]), without="streams")

    taken = await store.import_untrusted(read, ACCOUNT_OF[step["instance"]], own)
    ids[step["serial"]] = taken.id


async def _drop(store: SnapshotStore, world: World, serial: int, ids: dict[int, bytes]) -> None:
    name = ids[serial]
    if any(line.serial == serial for line in world.lines.values()):
        with pytest.raises(Refusal, match="goes on from this snapshot"):
            await store.drop(world.shots[serial].account, name)
        return
    await store.drop(world.shots[serial].account, name)
    del ids[serial]


async def check(store: SnapshotStore, shot: Shot, name: bytes) -> None:
    found, wanted = await store.load(name), shot.saved()
    assert found == wanted
    assert digest_of(found) == digest_of(wanted)


def digest_of(saved: Saved) -> str:
    return hashlib.sha256(saved.memory.read(0, saved.memory.size)).hexdigest()


async def observe(store: SnapshotStore) -> tuple[dict[int, bytes], dict[int, Line]]:
    """Ids by serial, and records; what a host finds when it starts."""
    ids = {line.taken: line.id for account in (ADA, GRACE) for line in await store.list(account)}
    serials = {name: serial for serial, name in ids.items()}
    lines = {
        each.instance[0]: Line(each.state, serials[each.snapshot] if each.snapshot else None, each.revision)
        for each in await store.records.list()
    }
    return ids, lines


async def judge(store: SnapshotStore, answered: World, begun: Step | None) -> tuple[World, dict[int, bytes]]:
    """What is there is what was answered, and of the step that was begun all or nothing; every byte is read.

    Returns what it is, and the ids.
    """
    ids, lines = await observe(store)
    possible = [answered] if begun is None else [*answered.stages(begun)]
    found = [each for each in possible if each.shots.keys() == ids.keys() and each.lines == lines]
    assert found, f"there is {sorted(ids)}, {lines}; possible: {possible}; begun: {begun}"
    for serial, shot in found[0].shots.items():
        await check(store, shot, ids[serial])
    return found[0], ids


def history(said: bytes) -> tuple[World, Step | None]:
    """What a process had answered, and what it was at when it died; the last line may be cut."""
    world, begun = World(), None
    for line in said.decode().splitlines(keepends=True):
        if line.endswith("\n"):
            ((word, step),) = json.loads(line).items()
            world, begun = (world, step) if word == "begin" else (world.after(step), None)
    return world, begun


def next_serial(world: World) -> int:
    return max(world.shots, default=0) + 1
