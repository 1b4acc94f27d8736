"""Operations on live state: suspend, resume, snapshot, restore, clone, keep, policy, snapshots, drop; a
wire.

Where it stands: see operations. In: ids, numbers, policies of clients (untrusted). Out: what Lives and the store make
of them. All of them wait for something, so each goes on in a task of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from gatebus.accountbounds import CLONES
from gatebus.bounds import MODULES_LISTED
from gatebus.faults import GatebusError
from gatebus.host import requests
from gatebus.host.lives.describing import described
from gatebus.host.lives.halting import call_again
from gatebus.host.lives.live import not_ended, stoppable
from gatebus.host.lives.manners import (
    Manner,
    last_untrusted,
    other_policy_untrusted,
    policy_untrusted,
    seconds_untrusted,
)
from gatebus.host.lives.offspring import check_own
from gatebus.host.lives.standing import parked
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import Order
from gatebus.host.statuses import Map, fitting

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.host.attendant import Line
    from gatebus.host.instances import Instance
    from gatebus.host.lives.manners import Policy
    from gatebus.host.requests import Parameters
    from gatebus.host.wholeparts import WholeParts
    from gatebus.snapshots.savedwords import SnapshotLine


def suspend(parts: WholeParts, line: Line, given: Parameters) -> None:
    instance, depth = _own(parts, line, given), given.get("depth", "stored")
    if depth not in ("stored", "parked"):
        raise Refusal("bad-request", "The parameter `depth` must be stored or parked.")

    async def work() -> None:
        if depth == "parked":
            await parts.lives.park(instance)
            parked(parts.lives.keeping, instance)
        else:
            await parts.lives.store(instance)
        _answer(parts, line, instance.status())

    parts.answer_later(line, work, instance)


def resume(parts: WholeParts, line: Line, given: Parameters) -> None:
    found, function = _own(parts, line, given), requests.function_untrusted(given)

    async def work() -> None:
        instance = found
        if function is None:
            await parts.lives.resume(instance)
        else:
            instance = await call_again(parts, instance, function)
        _answer(parts, line, instance.status())

    parts.answer_later(line, work, found)


def snapshot(parts: WholeParts, line: Line, given: Parameters) -> None:
    instance, tags = _own(parts, line, given), requests.tags_untrusted(given)

    async def work() -> None:
        left = await parts.lives.copy(instance)
        kept = await parts.lives.keeping.snapshot(instance, left, tags)
        parts.events.note("snapshot", instance)
        _answer(parts, line, {"snapshot": kept.id, "size": kept.size, "written": kept.written})

    parts.answer_later(line, work, instance)


def restore(parts: WholeParts, line: Line, given: Parameters) -> None:
    if "policy" in given:
        check_policy(parts, line, policy_untrusted(given["policy"]))
    wanted, digest = requests.instance_untrusted(given), requests.digest_untrusted(given, "snapshot")
    known = parts.registry.known(wanted)
    if known is not None:
        check_own(known, line.principal)
        line.result(known.status())
        return

    async def work() -> None:
        shown = await parts.lives.keeping.own_line(line.principal, digest)
        instance = await parts.lives.offspring.restored(line.principal, wanted, shown.id, given)
        _answer(parts, line, instance.status())

    parts.answer_later(line, work)


def clone(parts: WholeParts, line: Line, given: Parameters) -> None:
    if "policy" in given:
        check_policy(parts, line, policy_untrusted(given["policy"]))
    instance, wanted = _own(parts, line, given), _ids_untrusted(given)

    async def work() -> None:
        told = await parts.lives.offspring.cloned(instance, wanted, given)
        _answer(parts, line, {"instances": told})

    parts.answer_later(line, work, instance)


def _ids_untrusted(given: Parameters) -> list[UUID]:
    wanted = given.get("instances")
    ids = wanted if isinstance(wanted, list) else []
    if not 0 < len(ids) <= CLONES or len({each for each in ids if isinstance(each, bytes)}) < len(ids):
        raise Refusal("bad-request", f"The parameter `instances` must be 1 to {CLONES} different ids of 16 bytes.")
    return [UUID(bytes=requests.id_untrusted({"instances": each}, "instances")) for each in ids]


def keep(parts: WholeParts, line: Line, given: Parameters) -> None:
    instance = _own(parts, line, given)
    every, last = seconds_untrusted(given, "every"), last_untrusted(given, "last")
    _live_so(parts, line, instance, lambda now: replace(now, keep_every=every, keep_last=last))


def policy(parts: WholeParts, line: Line, given: Parameters) -> None:
    """What is not said stays as it is."""
    instance, asked = _own(parts, line, given), given.get("policy")
    check_policy(parts, line, policy_untrusted(asked))
    _live_so(parts, line, instance, lambda now: other_policy_untrusted(asked, now))


def check_policy(parts: WholeParts, line: Line, asked: Policy) -> None:
    """Raises Refusal."""
    for operation in asked.operations:
        parts.config.policy.check(line.principal, operation)


def _live_so(parts: WholeParts, line: Line, instance: Instance, other: Callable[[Policy], Policy]) -> None:
    """On record when it is answered."""

    async def work() -> None:
        live = not_ended(stoppable(instance))
        former, live.policy = live.policy, other(live.policy)
        try:
            await described(parts.lives.keeping, instance)
        except GatebusError:
            live.policy = former
            raise
        live.unkept = None
        parts.lives.has_policy(instance)
        _answer(parts, line, instance.status())

    parts.answer_later(line, work, instance)


def snapshots(parts: WholeParts, line: Line, given: Parameters) -> None:
    """The newest first; `after` the last one that the client knows. `more`: ask again."""
    wanted = requests.id_untrusted(given, "instance") if "instance" in given else None
    after = requests.digest_untrusted(given, "after") if "after" in given else None

    async def work() -> None:
        found = await parts.lives.keeping.lines(line.principal)
        found = [each for each in found if wanted in (None, each.instance)]
        places = [place for place, each in enumerate(found) if each.id == after]
        found = found[places[0] + 1 :] if places else found
        shown = fitting([_told(each) for each in found[:MODULES_LISTED]])
        _answer(parts, line, {"snapshots": shown, "more": len(found) > len(shown)})

    parts.answer_later(line, work)


def _told(line: SnapshotLine) -> Map:
    told: Map = {
        "snapshot": line.id,
        "instance": line.instance,
        "module": bytes.fromhex(line.module),
        "size": line.size,
        "taken": line.taken,
        "kind": line.kind,
        "tags": [],
        "tags" if line.named else "instance_tags": line.about.get("tags", []),
    }
    parent = line.about.get("parent")
    return told if parent is None else told | {"parent": parent}


def drop(parts: WholeParts, line: Line, given: Parameters) -> None:
    digest = requests.digest_untrusted(given, "snapshot")

    async def work() -> None:
        await parts.lives.keeping.own_line(line.principal, digest)
        await parts.lives.keeping.drop(line.principal, digest)
        parts.lives.warming.forget(digest)
        _answer(parts, line, {})

    parts.answer_later(line, work)


def warm(parts: WholeParts, line: Line, given: Parameters) -> None:
    """The program's own instance is nobody's, and gone when this is answered."""
    window = parts.registry.window(line.principal.account, 1)
    request = requests.run_untrusted(given, parts.bounds, window)
    if request.setup.tree is not None or request.stored:
        raise Refusal("bad-request", "A program that is warmed has no files: they would be the same for all calls.")
    manner = Manner(suspendable=True, warm=True)
    order = Order(uuid4(), line.principal, request.module, request.setup, request.limits, window=window, manner=manner)

    async def work() -> None:
        kept = await parts.lives.warming.warm(order)
        _answer(parts, line, {"snapshot": kept.id, "size": kept.size, "written": kept.written})

    parts.answer_later(line, work)


def _own(parts: WholeParts, line: Line, given: Parameters) -> Instance:
    return parts.registry.own_instance(line.principal, requests.instance_untrusted(given))


def _answer(parts: WholeParts, line: Line, about: Map) -> None:
    """Unless its link was lost meanwhile."""
    with parts.turn:
        if line.open:
            line.result(about)
