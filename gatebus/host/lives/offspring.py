"""New instances out of what others have left, as the operations restore and clone ask for them; a wire.

Where it stands: behind the operations (who may is asked there), in front of copies, the store and the life loop. In: a
snapshot or an instance, ids that a client chose. Out: instances of their own that rest or run.

Copies of a running program run before anything of them is on a disk: nobody waits for one to answer. What they went on
from is stored once for all of them right after that, and each is on record with it (`durable` in its status, event
"snapshot"); from then on a crash of the host costs a copy what it has done, and never its existence.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from gatebus.bounds import ORIGIN_STREAMS
from gatebus.faults import GatebusError
from gatebus.host import requests
from gatebus.host.lives.copies import Copy, copied, order_of
from gatebus.host.lives.copyrecords import keep_copies
from gatebus.host.lives.live import in_use, let_go, live_of, stoppable, use
from gatebus.host.lives.manners import Manner, policy_untrusted
from gatebus.host.lives.remains import described_untrusted, limits_map
from gatebus.host.lives.unmaking import unmade
from gatebus.host.refusals import Refusal, as_refusal
from gatebus.host.requests import flag_untrusted
from gatebus.host.runorders import check_function
from sandbox.lanes import Lanes
from sandbox.lifecycle import Lifecycle
from sandbox.setup import Setup

if TYPE_CHECKING:
    from uuid import UUID

    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.lives.remains import Leftover
    from gatebus.host.principals import Principal
    from gatebus.host.requests import Parameters
    from gatebus.host.runorders import Order
    from gatebus.host.statuses import Map

_THERE_IS_ONE = "There is an instance of this id. Choose another one, at random."
_HALTED = "The program has halted. Say which function is to run on what it has left: `restore` with `function`."
_NOT_HALTED = "The program was stopped on its way: it goes on there, with `restore` without a function."


class Offspring:
    """One for a host."""

    def __init__(self, parts: HostParts, keeping: Keeping) -> None:
        self._parts, self._keeping = parts, keeping
        self._coming = Lanes()

    # Out of a snapshot.

    async def restored(self, principal: Principal, wanted: UUID, snapshot: bytes, given: Parameters) -> Instance:
        """One that runs; asked twice at once, the one that the first has made. Raises GatebusError, SandboxError: then
        there is none.
        """
        async with self._coming.one(wanted):
            known = self._parts.registry.known(wanted)
            if known is not None:
                check_own(known, principal)
                return known
            instance = await self._made(principal, wanted, snapshot, given)
            await self._keeping.copied(instance)
            if self._parts.registry.known(wanted) is not None:  # launched meanwhile
                await self._keeping.unrecord(instance)
                raise Refusal("conflict", _THERE_IS_ONE)
            self._parts.lives.enter(instance)
            try:
                await self._parts.lives.resume(instance)
            except GatebusError as refused:
                await unmade(self._parts, instance, as_refusal(refused))
                raise
            return instance

    async def _made(self, principal: Principal, wanted: UUID, snapshot: bytes, given: Parameters) -> Instance:
        left = await self._parts.lives.loading.fetch(snapshot, principal.account)
        described = described_untrusted(await self._keeping.store.about(snapshot))
        manner = Manner(
            suspendable=True,
            transient=flag_untrusted(given, "transient"),
            resumable=left.suspended.halted,
            policy=policy_untrusted(given["policy"]) if "policy" in given else described.policy,
        )
        order = order_of(described, principal, wanted, left.suspended.sha256, manner)
        order = self._as_asked(order, given)
        function = requests.function_untrusted(given)
        await self._check_entry(order, left, function)
        instance = copied(self._parts, order, Copy(left, Lifecycle.RESTORED, described.personality))
        live_of(instance).function = function
        return instance

    async def _check_entry(self, order: Order, left: Leftover, function: str | None) -> None:
        """Raises Refusal, BadSetup."""
        if left.suspended.halted:
            if function is None:
                raise Refusal("conflict", _HALTED)
            check_function(await self._parts.programs.image(order.module, order.principal, order.form), function)
        elif function is not None:
            raise Refusal("conflict", _NOT_HALTED)

    def _as_asked(self, order: Order, given: Parameters) -> Order:
        """What the request says goes before what the snapshot says; neither is more than this host allows."""
        bounds = self._parts.bounds
        asked = {**limits_map(order.limits), **requests.map_untrusted(given, "limits")}
        return replace(
            order,
            limits=requests.limits_untrusted({"limits": asked}, bounds),
            tags=requests.tags_untrusted(given) if "tags" in given else order.tags,
            open=flag_untrusted(given, "open") if "open" in given else order.open,
        )

    # Out of an instance.

    async def cloned(self, instance: Instance, wanted: list[UUID], given: Parameters) -> list[Map]:
        """One line for each. Raises GatebusError, when there is nothing to copy."""
        manner, waits = _as_manner(instance, given), flag_untrusted(given, "durable")
        tags = requests.tags_untrusted(given) if "tags" in given else instance.order.tags
        left = await self._parts.lives.copy(instance)
        order = replace(instance.order, connections=ORIGIN_STREAMS, kept=True, setup=Setup(), stored={})
        order = replace(order, module=left.suspended.sha256, manner=manner, tags=tags)
        copy = Copy(left, Lifecycle.CLONED, instance.personality)
        made = [self._clone(replace(order, instance=each), copy) for each in wanted]
        copies = [each for each in made if not isinstance(each, dict)]
        with ExitStack() as stack:
            for each in copies:
                stack.enter_context(in_use(each))
            try:
                if left.saved.id is not None:  # that is quick, and then nothing that they do is forgotten
                    await keep_copies(self._keeping, instance, left, copies)
                await self._begin(copies)
                begun = [each for each in copies if each.refusal is None]
                if waits:
                    await self._keep(instance, left, begun)
            except GatebusError as refused:
                for each in copies:
                    await unmade(self._parts, each, as_refusal(refused))
                raise
            if not waits:
                self._keep_soon(instance, left, begun)
            return [each if isinstance(each, dict) else _said(each) for each in made]

    async def _begin(self, copies: list[Instance]) -> None:
        """One that cannot is gone when this returns, and its refusal says why."""
        async with trio.open_nursery() as nursery:
            for each in copies:
                nursery.start_soon(self._parts.lives.try_to, self._begun, each)

    async def _begun(self, copy: Instance) -> None:
        """Raises GatebusError."""
        try:
            await self._parts.lives.resume(copy)
        except GatebusError as refused:
            await unmade(self._parts, copy, as_refusal(refused))
            raise

    def _clone(self, order: Order, copy: Copy) -> Instance | Map:
        try:
            instance = copied(self._parts, order, copy)
        except GatebusError as fault:
            return {"instance": order.instance.bytes, "code": as_refusal(fault).code, "text": fault.text}
        self._parts.lives.enter(instance)
        self._parts.events.note("cloned", instance)
        return instance

    def _keep_soon(self, original: Instance, left: Leftover, copies: list[Instance]) -> None:
        behind = [each for each in copies if not live_of(each).durable]
        if behind:
            for each in behind:
                use(each)
            self._parts.tasks.start_soon(self._keep_behind, original, left, behind)

    async def _keep_behind(self, original: Instance, left: Leftover, copies: list[Instance]) -> None:
        """What cannot be kept is not durable; its status says so."""
        try:
            await self._keep(original, left, copies)
        except GatebusError as fault:
            for each in copies:
                self._parts.note("instance-not-kept", instance=each.id, code=fault.code)
        finally:
            for each in copies:
                let_go(each)

    async def _keep(self, original: Instance, left: Leftover, copies: list[Instance]) -> None:
        """Raises GatebusError."""
        behind = [each for each in copies if not live_of(each).durable]
        await keep_copies(self._keeping, original, left, behind)
        for each in behind:
            if live_of(each).durable and each.ended_at is None:
                self._parts.events.note("snapshot", each)


def _as_manner(instance: Instance, given: Parameters) -> Manner:
    """As its original, but for what the request says."""
    live = stoppable(instance)
    policy = policy_untrusted(given["policy"]) if "policy" in given else live.policy
    manner = replace(live.manner, policy=policy)
    return replace(manner, transient=flag_untrusted(given, "transient")) if "transient" in given else manner


def check_own(instance: Instance, principal: Principal) -> None:
    """Asking twice is asking once. Raises Refusal: it is somebody else's, or another kind of thing."""
    if instance.owner != principal.id or not instance.order.kept:
        raise Refusal("conflict", _THERE_IS_ONE)


def _said(instance: Instance) -> Map:
    """As it is now; or why there is none."""
    return instance.status() if instance.refusal is None else {"instance": instance.id, **instance.refusal}
