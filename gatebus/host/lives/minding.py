"""Looks at the time for programs whose policy asks for it: who is idle, whose checkpoint is due, who must make room; a
wire.

In:  policies, what programs send and are sent. Out: they are parked, stored, saved. Idle means that no packet went to
     a program or came from it: one that only computes is idle, too. When an account or the host has nearly used up its
     memory, what is parked is stored, the longest idle first, one at each look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import CHECKPOINTS_AT_ONCE, IDLE_SWEEP_SECONDS, MEMORY_NEAR
from gatebus.faults import GatebusError
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import Unkept, in_use

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.live import Live


class Minding:
    """One for a host."""

    def __init__(self, parts: HostParts, on_look: Callable[[], None]) -> None:
        self._parts, self._on_look = parts, on_look
        self._minded: dict[Instance, float] = {}  # and when its last checkpoint was taken
        self._busy: set[Instance] = set()
        self._room = trio.CapacityLimiter(CHECKPOINTS_AT_ONCE)

    def mind(self, instance: Instance) -> None:
        """Its policy may ask for something, or it is parked."""
        if instance not in self._minded:
            self._minded[instance] = trio.current_time()

    def let_go(self, instance: Instance) -> None:
        """It is folded."""
        self._minded.pop(instance, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(IDLE_SWEEP_SECONDS)
            self.look(trio.current_time())
            self._on_look()

    def look(self, now: float) -> None:
        for instance in tuple(self._minded):
            live = instance.live
            if live is None or instance.ended_at is not None:
                del self._minded[instance]
            elif instance not in self._busy and not self._parts.stopping:
                due = self._due(instance, live, now)
                if due is not None:
                    self._start(instance, due)
        self._make_room()

    def _due(self, instance: Instance, live: Live, now: float) -> Callable[[Instance], Awaitable[None]] | None:
        idle, policy, lives = self._idle(live, now), live.policy, self._parts.lives
        if live.life not in (Life.RUNNING, Life.PARKED):
            return None
        if policy.idle_store and idle >= policy.idle_store:
            return lives.store
        if live.life is Life.PARKED:
            return None
        if policy.idle_park and idle >= policy.idle_park:
            return lives.park
        if policy.keep_every and now - self._minded[instance] >= policy.keep_every:
            self._minded[instance] = now
            return lives.checkpoint
        return None

    def _idle(self, live: Live, now: float) -> float:
        usage = live.program.usage() if live.program is not None else None
        moved = 0 if usage is None else usage.packets_in + usage.packets_out
        if moved != live.moved or usage is None:
            live.moved, live.active_at = moved, now
        return now - live.active_at

    def _start(self, instance: Instance, what: Callable[[Instance], Awaitable[None]]) -> None:
        self._busy.add(instance)
        self._parts.tasks.start_soon(self._do, instance, what)

    async def _do(self, instance: Instance, what: Callable[[Instance], Awaitable[None]]) -> None:
        """What cannot be done now is tried again at a later look."""
        try:
            with in_use(instance):
                async with self._room:
                    await what(instance)
            self._is_kept(instance)
        except GatebusError as fault:
            self._is_not_kept(instance, fault)
        finally:
            self._busy.discard(instance)

    def _is_kept(self, instance: Instance) -> None:
        if instance.live is not None:
            instance.live.unkept = None

    def _is_not_kept(self, instance: Instance, fault: GatebusError) -> None:
        """Its owner is told once, and sees since when; each failure is in the log."""
        self._parts.note("instance-not-kept", instance=instance.id, code=fault.code)
        live = instance.live
        if live is not None and instance.ended_at is None:
            before, since = live.unkept, round(self._parts.clock() * 1000)
            live.unkept = Unkept(since if before is None else before.since, fault.code, fault.text)
            if before is None:
                self._parts.events.note("unkept", instance)

    def _make_room(self) -> None:
        parked = [each for each in self._minded if each.live is not None and each.live.life is Life.PARKED]
        parked = [each for each in parked if each not in self._busy and self._crowded(each)]
        if parked:
            self._start(min(parked, key=_active_at), self._parts.lives.store)

    def _crowded(self, instance: Instance) -> bool:
        quotas, account = self._parts.quotas, instance.order.principal.account
        mine, host = quotas.used(account).memory, quotas.total.memory
        bounds = quotas.bounds
        return mine >= MEMORY_NEAR * bounds.of(account).memory or host >= MEMORY_NEAR * bounds.host.memory


def _active_at(instance: Instance) -> float:
    assert instance.live is not None
    return instance.live.active_at
