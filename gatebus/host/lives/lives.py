"""What is done to instances that outlive their processes: stopped, parked, woken, copied; a wire.

Where it stands: behind the operations (who may is asked there), in front of the life loop and the store. In: an
instance, and what is wished for. Out: it is so when a call returns, or a Refusal says why not. Each looks at the table
of lives first and waits for whatever is under way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gatebus.accountbounds import STORED_EACH
from gatebus.faults import GatebusError
from gatebus.host.busstreams import bus_streams
from gatebus.host.lives.carrying import Importing
from gatebus.host.lives.copies import connect_copy_untrusted
from gatebus.host.lives.folding import Folding
from gatebus.host.lives.halting import why_not
from gatebus.host.lives.hearing import has_news, listen, listen_no_longer, mark, watch
from gatebus.host.lives.lifetable import ON_ITS_WAY, SUSPENDED, Life, Step
from gatebus.host.lives.live import Wish, in_use, let_go, live_of, not_ended, stoppable, use
from gatebus.host.lives.loading import Loading
from gatebus.host.lives.manners import Wake
from gatebus.host.lives.minding import Minding
from gatebus.host.lives.offspring import Offspring
from gatebus.host.lives.peerwaking import PeerWaking
from gatebus.host.lives.preparing import Preparing
from gatebus.host.lives.standing import awake
from gatebus.host.lives.storedends import end_stored
from gatebus.host.lives.streamkeeping import connect_again_untrusted, mark_of
from gatebus.host.lives.tidying import Tidying
from gatebus.host.lives.warming import Warming
from gatebus.host.refusals import Refusal, as_refusal
from sandbox.errors import BrokenProgram, NotSuspended, SandboxError
from sandbox.outcome import Cause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.lives.live import Live
    from gatebus.host.lives.remains import Leftover
    from gatebus.peers.neighbourhood import Neighbourhood
    from sandbox.program import Program

    Wished = Callable[[Instance], Awaitable[None]]


class Lives:
    """One for a host."""

    def __init__(self, parts: HostParts, keeping: Keeping, neighbourhood: Neighbourhood) -> None:
        self._parts, self.keeping, self.loading = parts, keeping, Loading(keeping, parts.quotas)
        self.warming, self.importing, self.preparing = Warming(parts), Importing(parts), Preparing(parts)
        self.peers = PeerWaking(parts.registry, neighbourhood)
        self.tidying = Tidying(keeping, parts.registry, parts.clock)
        self.folding, self.offspring = Folding(parts, self._rests), Offspring(parts, keeping)
        self.minding = Minding(parts, self.folding.look)
        self.mind, self.let_be = self.minding.mind, self.minding.let_go
        self.give_way = self.warming.waiting.give_way

    # Stopping.

    async def store(self, instance: Instance, *, again: bool = False) -> None:
        """Durable when it returns. `again`: what runs is to run when the host is there again. Raises Refusal."""
        live = stoppable(instance)
        _ = self.keeping.store
        self._check_stored(instance)
        while live.waking or live.life in ON_ITS_WAY - {Life.STOPPING}:
            await live.changed()
        if live.life is Life.STORED:
            return
        live.again, live.parks = again and not (live.parks or live.life is Life.PARKED), False
        mark(instance)
        await self._wish(instance, Wish(store=True))

    async def copy(self, instance: Instance) -> Leftover:
        """What it is now; a program that runs goes on at once. Raises Refusal."""
        live = stoppable(instance)
        while live.life in ON_ITS_WAY - {Life.STOPPING}:
            await live.changed()
        if live.life is Life.STORED:
            return await self.loading.load(instance)
        left = await self._wish(instance, Wish(store=False))
        assert left is not None
        return left

    async def _wish(self, instance: Instance, wish: Wish) -> Leftover | None:
        live = not_ended(stoppable(instance))
        live.wishes.append(wish)
        self._order_stop(instance)
        return await wish.granted()

    def _order_stop(self, instance: Instance) -> None:
        live = stoppable(instance)
        if live.life is Life.STOPPING or live.program is None:
            return  # or it ends just now, and then whoever waits hears of it
        assert live.exchange is not None
        live.parks = live.life is Life.PARKED and not any(wish.store for wish in live.wishes)
        self._release(instance)
        if live.parks:
            watch(live)
        live.step(Step.STOP)
        instance.door.stay()
        live.exchange.keeps_state = True
        self._parts.tasks.start_soon(self._stop, live, live.program)

    async def _stop(self, live: Live, program: Program) -> None:
        try:
            await program.suspend()
        except NotSuspended as late:
            live.refuse_all(as_refusal(late))
        except SandboxError as fault:  # it ends, and whoever waits hears of it then
            if not program.ended:
                live.refuse_all(as_refusal(fault))
        except Exception as bug:  # of ours: nobody knows what it is now
            self._parts.on_problem(bug)
            program.kill(Cause.INTERNAL)

    def _check_stored(self, instance: Instance) -> None:
        account = instance.order.principal.account
        stored = sum(each.live is not None and each.live.life is Life.STORED for each in self._of(account))
        stored += self._parts.registry.folded(account)
        if stored >= STORED_EACH:
            raise Refusal("quota-instances", f"You have {stored} stored instances, the most there can be. Delete some.")

    def _of(self, account: str) -> list[Instance]:
        return [each for each in self._parts.registry.running() if each.order.principal.account == account]

    def loaded(self, instance: Instance, left: Leftover) -> None:
        """It goes on from what was in the store (LifeLoop.on_loaded). Raises StateRefused."""
        with self._parts.turn:
            self._rouse(instance, left)

    def rest(self, instance: Instance) -> None:
        """It is stored, and has no task any more (Runner.on_rest)."""
        live = live_of(instance)
        self._parts.rest(instance)
        self._rests(instance)
        for wish in live.take_wishes(store=True):
            wish.done.set()
        if instance.killed:
            self._end(instance)
        elif live.failure is None and has_news(instance):  # after a failure the next bytes call it again
            live.on_io()

    def _rests(self, instance: Instance) -> None:
        """What is to be done when something comes for it."""
        live = live_of(instance)
        live.on_kill = partial(self._end, instance)
        live.on_io = partial(self._called, instance)
        if live.policy.acts:
            self.minding.mind(instance)
        self.folding.rests(instance)
        self.peers.rests(instance)

    def _end(self, instance: Instance) -> None:
        """A stored one is killed."""
        self.peers.over(instance)
        self._parts.tasks.start_soon(end_stored, self._parts, instance)

    # Going on.

    async def resume(self, instance: Instance) -> None:
        """It runs when it returns, or has run and come to its end. Raises Refusal."""
        live = live_of(instance)
        lives = live.lives
        with in_use(instance), live.being_woken():
            while live.life is not Life.RUNNING or live.parking:
                if live.life is Life.ENDED and live.lives > lives:
                    return
                if live.life is Life.ENDED:
                    raise Refusal("conflict", why_not(live))
                if live.life is Life.PARKED and live.program is not None:
                    await self.unpark(instance)
                elif live.life is Life.STORED:
                    await self._go_on(instance)
                else:
                    await live.changed()
            await awake(self.keeping, instance)

    async def _go_on(self, instance: Instance) -> None:
        async with self.loading.ahead(instance) as read:
            recorded = await self.keeping.goes_on(instance)
            await read.wait()
            if live_of(instance).life is Life.STORED:  # or somebody else was first
                await self._begin(instance, recorded=recorded)

    async def _begin(self, instance: Instance, *, recorded: bool) -> None:
        live = live_of(instance)
        try:
            if self._parts.stopping:
                raise Refusal("stopping", "The host is about to stop. Try again later, or at another host.")
            self.wake(instance)
            await live.settled()
            if live.failure is not None:
                raise live.failure
        except GatebusError:
            if recorded:
                await self.keeping.stays(instance)
            raise

    def wake(self, instance: Instance) -> None:
        """A stored one wants a process. Raises Refusal."""
        live, left = live_of(instance), self.loading.at_hand(instance)
        if left is not None and left.held is not None:
            left.held.cover(instance.order.limits.memory)
        try:
            self._parts.take_again(instance)
        except Refusal as full:
            live.failure = full
            raise
        live.failure = None
        if self._resumed not in instance.on_start:  # an earlier one was refused
            instance.on_start.append(self._resumed)
        live.step(Step.GO_ON)
        self._parts.runner.start(instance)

    def _resumed(self, instance: Instance) -> None:
        """It runs, or it never will."""
        if instance.running:
            self.peers.over(instance)
            self._parts.events.note("resumed", instance)

    def _called(self, instance: Instance) -> None:
        """Bytes for it have come."""
        live = live_of(instance)
        if live.policy.wake is Wake.NEVER or self._parts.stopping:
            return
        live.on_io = _already
        live.waking += 1  # from now on, and not when its task begins
        self._soon(self._woken, instance)

    async def _woken(self, instance: Instance) -> None:
        try:
            await self.resume(instance)
        finally:
            live_of(instance).no_longer_woken()

    def _soon(self, what: Wished, instance: Instance) -> None:
        use(instance)
        self._parts.tasks.start_soon(self._let_go_after, what, instance)

    async def _let_go_after(self, what: Wished, instance: Instance) -> None:
        try:
            await self.try_to(what, instance)
        finally:
            let_go(instance)

    async def try_to(self, what: Wished, instance: Instance) -> None:
        """Nobody waits for it. What has no room now is called again by the next bytes."""
        live = live_of(instance)
        try:
            await what(instance)
        except Exception as fault:
            if isinstance(fault, GatebusError):
                self._parts.note("instance-not-woken", instance=instance.id, code=fault.code)
            else:
                self._parts.on_problem(fault)
            if live.life in (Life.STORED, Life.PARKED):
                live.on_io = partial(self._called, instance)

    async def rouse(self, instance: Instance) -> None:
        """Its streams are in the store alone: now they are here. Raises GatebusError."""
        live = live_of(instance)
        if live.dormant:
            left = await self.loading.load(instance)
            with self._parts.turn:
                self._rouse(instance, left)

    def _rouse(self, instance: Instance, left: Leftover) -> None:
        live = live_of(instance)
        if live.dormant:
            live.dormant = False
            live.as_stored = mark_of(left.streams)
            if not live.has_inherited(left.saved):
                parts = self._parts
                streams = connect_again_untrusted(instance, left.streams, parts.turn, parts.stream_broke)
            else:
                streams = []
                connect_copy_untrusted(self._parts, instance, left)
            self._parts.registry.awake(instance, streams)

    def touched(self, instance: Instance) -> None:
        """Somebody connects or comes back to it."""
        if instance.live is None:
            return
        if instance.live.life in (Life.PARKED, Life.STORED):
            self._called(instance)
        else:
            instance.live.is_touched()  # it may be about to stand still

    # Parking.

    async def park(self, instance: Instance) -> None:
        """Raises Refusal."""
        live = live_of(instance)
        while live.waking or live.life in ON_ITS_WAY:
            await live.changed()
        if live.life is Life.RUNNING:
            mark(instance)
            await self._park(instance)
        while live.life is Life.RUNNING and live.program is None:  # its process has just ended
            await live.changed()
        not_ended(live)

    def park_again(self, instance: Instance) -> None:
        """It was parked when somebody wanted a copy (LifeLoop.on_parked). What has come for it since wakes it."""
        live = live_of(instance)
        if live.waking or (live.policy.wake is not Wake.NEVER and has_news(instance)):
            self._parts.events.note("resumed", instance)
        else:
            self._soon(self._park, instance)

    async def _park(self, instance: Instance) -> None:
        """After a copy that somebody wants meanwhile, too; what comes meanwhile wakes it."""
        live = live_of(instance)
        with live.being_parked():
            while live.life is Life.RUNNING and not live.waking and live.program is not None:
                watch(live)
                try:
                    await live.program.park()
                except BrokenProgram as ended:
                    raise as_refusal(ended) from None
                if live.life is Life.RUNNING:
                    self._hold(instance)
                await live.settled()

    def _hold(self, instance: Instance) -> None:
        """What comes for it waits here."""
        live = live_of(instance)
        live.step(Step.PARK)
        for stream in bus_streams(instance):
            if (held := stream.rests()) is not None:
                live.parked.append((stream, held))
        self.minding.mind(instance)
        live.on_io = partial(self._called, instance)
        listen(live)
        self._parts.events.note("suspended", instance)
        if has_news(instance):
            live.on_io()

    async def unpark(self, instance: Instance) -> None:
        """Raises Refusal."""
        live = live_of(instance)
        if live.life is not Life.PARKED or live.program is None:
            return
        await live.program.unpark()
        if live.life is Life.PARKED:
            live.step(Step.UNPARK)
            self._release(instance)
            self._parts.events.note("resumed", instance)

    def _release(self, instance: Instance) -> None:
        live = live_of(instance)
        parked, live.parked = live.parked, []
        with self._parts.turn:
            for stream, held in parked:
                stream.moves_on(held)
            if live.exchange is not None:
                live.exchange.release()

    # What rests.

    def enter(self, instance: Instance) -> None:
        """One that rests."""
        self._parts.registry.add(instance)
        self._rests(instance)

    def has_policy(self, instance: Instance) -> None:
        """Another one than before: what rests is woken by others now."""
        live = live_of(instance)
        self.minding.mind(instance)
        if live.life is Life.PARKED:
            listen(live)
            with self._parts.turn:
                listen_no_longer(live)
        elif live.life is Life.STORED:
            self.peers.rests(instance)
        if live.life in SUSPENDED and has_news(instance):
            live.on_io()

    # Keeping.

    async def checkpoint(self, instance: Instance) -> None:
        """What it goes back to after a crash; older ones go. Raises GatebusError."""
        live = live_of(instance)
        if live.life is Life.RUNNING:
            await self.keeping.checkpoint(instance, await self.copy(instance))
            self._parts.events.note("snapshot", instance)


def _already() -> None:
    """It has been called, and is on its way."""
