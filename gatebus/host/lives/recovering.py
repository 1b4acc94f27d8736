"""What a host finds of the instances of its last run, and how it leaves them at its end; a wire.

Where it stands: in a host's opening, before anybody can ask, and in its stopping. In: records and snapshots of its own
store. Out: instances as they were: stored ones rest, those that ran run again from what was stored of them last, of the
others it is said that they are gone. A record that cannot be understood is left alone and told of.

What is in the store of an instance's streams is read when somebody asks for one of them, or it goes on: ten thousand
instances that rest cost a start nothing but their lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import cbor2
import trio

from gatebus.accountbounds import RECOVERED_AT_ONCE
from gatebus.faults import GatebusError
from gatebus.host import requests
from gatebus.host.lives.copies import order_of
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import let_go, live_of, use
from gatebus.host.lives.manners import Manner
from gatebus.host.lives.peerwaking import names_told_untrusted
from gatebus.host.lives.remains import SavedAs, described_untrusted, usage_untrusted
from gatebus.host.principals import Kind, Principal
from gatebus.host.runorders import Order
from gatebus.snapshots.savedwords import CHECKPOINT, RUNNING
from sandbox.lifecycle import Lifecycle
from sandbox.limits import Limits
from sandbox.outcome import Cause, Outcome, State, Usage, killed
from sandbox.setup import Setup

if TYPE_CHECKING:
    from gatebus.host.instances import Instance
    from gatebus.host.wholeparts import WholeParts
    from gatebus.snapshots.savedwords import Record, SnapshotLine

_OWN = ("tags", "limits", "open", "policy")  # what a record says goes before what the snapshot says
_STOPPED = "The host stopped before the program had ended."
_GOES_BACK = f"{_STOPPED} It goes on from what was last stored of it when the host is there again."
_LOST = "The host ended while the program ran, and nothing of it had been stored."


async def recover(parts: WholeParts) -> None:
    """Once, at the start. What is to run again is woken as soon as the host's nursery runs."""
    keeping = parts.lives.keeping
    again = []
    for record in await keeping.store.records.list():
        try:
            instance = await _found(parts, record)
        except GatebusError as trouble:
            keeping.on_trouble(trouble)
            continue
        keeping.points.reached("life-recovered")
        if instance is not None and _is_to_run(record):
            use(instance)
            live_of(instance).waking += 1
            again.append(instance)
        elif instance is not None:
            parts.lives.folding.look_at(instance)
    parts.tasks.start_soon(_run_again, parts, again)


async def _found(parts: WholeParts, record: Record) -> Instance | None:
    """None: it is gone, and that is said."""
    if record.snapshot is None:
        _lost(parts, record)
        return None
    line = await parts.lives.keeping.store.line(record.snapshot)
    instance = _resting(parts, record, line)
    if (result := _about(record).get("halted")) is not None and instance.live is not None:
        instance.live.halted = result = _count(result)
        instance.outcome = Outcome(State.HALTED, result=result, usage=instance.live.before)
        instance.over(trio.current_time())
    parts.note("instance-recovered", instance=instance.id, principal=instance.owner, state=record.state)
    return instance


def _resting(parts: WholeParts, record: Record, line: SnapshotLine) -> Instance:
    about = _about(record)
    described = described_untrusted({**line.about, **{name: about[name] for name in _OWN if name in about}})
    manner = Manner(
        suspendable=True, transient=False, resumable=about.get("resumable") is True, policy=described.policy
    )
    order = order_of(described, _principal(record), UUID(bytes=record.instance), line.module, manner)
    instance = parts.resting(order)
    live = instance.live
    assert live is not None
    live.life, live.snapshot, live.origin = Life.STORED, line.id, SavedAs(line.id)
    live.revision, live.dormant, live.before = record.revision, True, usage_untrusted(line.about.get("usage"))
    live.lives, live.copies = _count(line.about.get("lives")), _count(line.about.get("copies"))
    live.wants_files, live.module = described.files, line.module
    instance.created = _count(about.get("created", line.about.get("created"))) / 1000
    if record.state == RUNNING and about.get("stopped") is not True:
        live.recovered, live.runs = line.taken, _is_to_run(record)
    if (how := about.get("copied")) in (Lifecycle.RESTORED, Lifecycle.CLONED):
        live.inherited, live.how, live.lives, live.before = live.origin, Lifecycle(_count(how)), 0, Usage()
        live.copies = 0
    if line.kind == CHECKPOINT:
        live.kept.append(line.id)
    instance.personality = described.personality
    live.peers = names_told_untrusted(about.get("peers"))
    parts.lives.enter(instance)
    names = about.get("streams")
    known = names if isinstance(names, list) else []
    live.names = [each for each in known if isinstance(each, bytes)]
    parts.registry.sleep(instance, live.names)
    return instance


def _is_to_run(record: Record) -> bool:
    """It ran, and nobody had parked it."""
    return record.state == RUNNING and _about(record).get("parked") is not True


def _lost(parts: WholeParts, record: Record) -> None:
    """As if it had just been killed. Raises Refusal."""
    about = _about(record)
    module, tags = about.get("module"), requests.tags_untrusted(about)
    named = module if isinstance(module, str) else ""
    order = Order(UUID(bytes=record.instance), _principal(record), named, Setup(), Limits(), tags=tags, kept=True)
    instance = parts.resting(order)
    instance.created = _count(about.get("created")) / 1000
    parts.registry.add(instance)
    instance.outcome = killed(Cause.KILLED, _LOST)
    instance.over(trio.current_time())
    parts.tasks.start_soon(_delete, parts, record)


async def _delete(parts: WholeParts, record: Record) -> None:
    keeping = parts.lives.keeping
    try:
        await keeping.store.records.delete(record.instance, record.revision)
    except GatebusError as trouble:
        keeping.on_trouble(trouble)


async def _run_again(parts: WholeParts, instances: list[Instance]) -> None:
    room = trio.CapacityLimiter(RECOVERED_AT_ONCE)

    async def one(instance: Instance) -> None:
        async with room:
            await parts.lives.try_to(parts.lives.resume, instance)
        let_go(instance)
        live_of(instance).no_longer_woken()

    async with trio.open_nursery() as nursery:
        for each in instances:
            nursery.start_soon(one, each)


async def put_away(parts: WholeParts) -> None:
    """At a graceful stop: what is not transient is stored, whatever its owner's quota says; what runs runs again after
    the start.
    """
    room = trio.CapacityLimiter(RECOVERED_AT_ONCE)

    async def one(instance: Instance) -> None:
        async with room:
            try:
                await parts.lives.store(instance, again=True)
            except GatebusError as fault:
                parts.note("instance-not-stored", instance=instance.id, code=fault.code)
        let_go(instance)

    async with trio.open_nursery() as nursery:
        for each in parts.registry.running():
            if each.live is not None and not each.live.unsuspendable and not each.order.manner.transient:
                use(each)  # from now on: while it waits for room it may come to rest
                nursery.start_soon(one, each)


def left_behind(instance: Instance) -> str:
    """At a graceful stop: one that could not be put away. Why it ends; what is stored of it stays on record, and else
    that it is lost.
    """
    live = instance.live
    if live is None or instance.killed or not live.revision:
        return _STOPPED
    live.goes_back = True
    return _GOES_BACK if live.snapshot is not None else _STOPPED


def _principal(record: Record) -> Principal:
    kind = Kind.KEY if record.owner.startswith("key:") else Kind.LOCAL
    return Principal(kind, record.owner)


def _about(record: Record) -> dict[str, object]:
    try:
        about = cbor2.loads(record.about)
    except cbor2.CBORDecodeError:
        return {}
    return about if isinstance(about, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
