"""Copies of warm programs that wait to be wanted: processes that stand at their first read before there is a call; a
wire.

Where it stands: between what is warm (warming) and the life loop. In: what a warmed program has left, as a way to go on
from it. Out: for a call a process that needs only its input: the module is loaded, memory and tables are in place, the
continuation is entered. What a call costs then is the program's own work.

Each copy goes to its read, and is stopped by the kernel when it has had the time for that (parked): then it takes no
step and its wall time stands still. It draws on the account's quotas like any instance, and gives way whenever they
have no room: so it is never the reason why something else is refused. A copy that nobody wants for READY_SECONDS ends;
the next call makes new ones. Each is used once, so no two calls share anything but what was warm.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import (
    READY_COPIES,
    READY_EACH,
    READY_HOST,
    READY_REFILL_SECONDS,
    READY_REST_SECONDS,
    READY_RUN_SECONDS,
    READY_SECONDS,
)
from gatebus.faults import GatebusError
from gatebus.host.lives.readycopy import Ready
from gatebus.host.quotas import Amounts
from gatebus.host.refusals import Refusal
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from sandbox.limits import Limits
    from sandbox.program import Program
    from sandbox.programcontext import Running

Key = tuple[str, bytes]


class Shelf:
    """Of one warm program. `go_on`: a new copy."""

    def __init__(self, go_on: Callable[[], Running | None], limits: Limits) -> None:
        self.go_on, self.limits = go_on, limits
        self.copies: list[Ready] = []  # that nobody has yet; the oldest first

    def take(self) -> Ready | None:
        """One that waits; otherwise one that has begun, which is nearer than one that has not."""
        waiting = (each for each in self.copies if each.begun.is_set())
        copy = next(waiting, self.copies[0] if self.copies else None)
        if copy is not None:
            self.copies.remove(copy)
            copy.wanted = True
        return copy


class Waiting:
    """All of a host."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        self._shelves: dict[Key, Shelf] = {}

    def open(self, key: Key, shelf: Shelf) -> None:
        """Of something that was just warmed. Its first copies are made."""
        self.close(key)
        self._shelves[key] = shelf
        self._fill(key)

    def close(self, key: Key) -> None:
        shelf = self._shelves.pop(key, None)
        if shelf is not None:
            self._clear(shelf)

    def take(self, key: Key, instance: Instance) -> Ready | None:
        """For this instance. New ones are made when it has ended, or soon: not beside its own work, if it is short. Of
        a copy that is taken nobody is woken until it is entered: the call is waited for.
        """
        shelf = self._shelves.get(key)
        if shelf is None:
            return None
        over = trio.Event()
        instance.on_end[lambda _instance: over.set()] = None
        copy = shelf.take()
        if copy is None:
            self._parts.tasks.start_soon(self._refill, key, over)
        else:
            self._parts.quotas.release(copy.ticket)
            copy.over = over
        return copy

    def give_way(self, account: str | None) -> bool:
        """What waits for this account ends (None: for all). False: there was nothing."""
        crowded = [each for (whose, _), each in self._shelves.items() if each.copies and account in (None, whose)]
        for shelf in crowded:
            self._clear(shelf)
        return bool(crowded)

    @property
    def count(self) -> int:
        return sum(len(each.copies) for each in self._shelves.values())

    @property
    def begun(self) -> int:
        """Of these, with a process."""
        return sum(copy.begun.is_set() for each in self._shelves.values() for copy in each.copies)

    def _count_of(self, account: str) -> int:
        return sum(len(each.copies) for (whose, _), each in self._shelves.items() if whose == account)

    async def _refill(self, key: Key, over: trio.Event) -> None:
        with trio.move_on_after(READY_REFILL_SECONDS):
            await over.wait()
        await trio.sleep(READY_REST_SECONDS)
        self._fill(key)

    def _fill(self, key: Key) -> None:
        shelf, account = self._shelves.get(key), key[0]
        while shelf is not None and len(shelf.copies) < READY_COPIES and not self._parts.stopping:
            if self.count >= READY_HOST or self._count_of(account) >= READY_EACH:
                return
            running = shelf.go_on()
            if running is None:
                return
            try:
                ticket = self._parts.quotas.take(account, Amounts(instances=1, memory=shelf.limits.memory))
            except Refusal:
                return
            copy = Ready(running, ticket)
            shelf.copies.append(copy)
            self._parts.tasks.start_soon(self._keep, key, shelf, copy)

    async def _keep(self, key: Key, shelf: Shelf, copy: Ready) -> None:
        """One copy, until somebody has it or nobody wanted it; after somebody, the next ones."""
        try:
            await _until_settled(copy, await copy.begin())
            if copy.wanted:
                await copy.settled.wait()
        except (SandboxError, GatebusError) as fault:
            self._parts.note("copy-not-ready", code=fault.code)
        finally:
            self._parts.quotas.release(copy.ticket)
            copy.settled.set()
            if copy in shelf.copies:
                shelf.copies.remove(copy)
            await copy.aclose()
        if copy.over is not None:
            await self._refill(key, copy.over)

    def _clear(self, shelf: Shelf) -> None:
        copies, shelf.copies = shelf.copies, []
        for copy in copies:
            self._parts.quotas.release(copy.ticket)
            copy.give_back()


async def _until_settled(copy: Ready, program: Program) -> None:
    """Or too long, or it has ended."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, program, nursery.cancel_scope)
        with trio.move_on_after(READY_SECONDS):
            with trio.move_on_after(READY_RUN_SECONDS):
                await copy.settled.wait()
            if not copy.wanted:
                with suppress(SandboxError):  # it has ended
                    await program.park()
            await copy.settled.wait()
        nursery.cancel_scope.cancel()


async def _watch(program: Program, scope: trio.CancelScope) -> None:
    with suppress(SandboxError):
        await program.wait()
    scope.cancel()
