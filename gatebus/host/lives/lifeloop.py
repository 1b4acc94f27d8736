"""An instance's task when its program may be stopped: one process after the other, until it ends or rests; a wire.

Where it stands: in the place of Runner's plain run. In: an instance whose turn it is; packets of its program
(untrusted) through its exchange. Out: its outcome, or True: it rests in the store and has no task any more.

Order of one life: process, board, exchange until its output has ended; then either the outcome, or what it has left.
Whoever wished for a copy has it at once, and the program goes on while the copy is written down; whoever wished it
stored is answered when that is durable. Nothing that a stopped program has left is ever thrown away because a new
process could not be had: then it is stored.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import trio

from gatebus.exchange import Exchange
from gatebus.faults import GatebusError
from gatebus.host.lives.boards import Boards, prepare_door
from gatebus.host.lives.lifetable import Life, Step
from gatebus.host.lives.peerwaking import peer_names_untrusted
from gatebus.host.lives.readycopy import NotReady
from gatebus.host.lives.remains import Leftover, limits_left, usage_sum
from gatebus.host.lives.streamkeeping import mark_of, streams_of
from gatebus.host.refusals import Refusal, as_refusal
from sandbox.errors import BadState, SandboxError
from sandbox.form import Form
from sandbox.lifecycle import Lifecycle
from sandbox.outcome import Cause, State, Usage, killed
from sandbox.setup import Setup
from sandbox.tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.lives.live import Live
    from gatebus.host.lives.readycopy import Ready
    from gatebus.host.programs import Programs
    from gatebus.switchboard import Switchboard
    from gatebus.turn import Turn
    from sandbox.box import Sandbox
    from sandbox.image import Image
    from sandbox.outcome import Outcome
    from sandbox.program import Program
    from sandbox.programcontext import Running


@dataclass(slots=True)
class Beginning:
    """Of one life. `open` gets the program's bytes when they are needed. `owed`: packets that come first. `copied`: it
    was stopped only for a copy.
    """

    open: Callable[[bytes | None], Running]
    board: Callable[[], Switchboard]
    owed: bytes = b""
    copied: bool = False

    def over(self) -> None:
        """It has begun: nobody keeps what it began with as long as it lasts."""
        self.open, self.board, self.owed = _gone, _gone, b""


class LifeLoop:
    """One for all instances of a host. `first_board`: of a program that begins."""

    def __init__(self, box: Sandbox, turn: Turn, programs: Programs, boards: Boards, keeping: Keeping) -> None:
        self._box, self._turn, self._programs, self._boards = box, turn, programs, boards
        self.keeping = keeping
        self.load: Callable[[Instance, int], Awaitable[Leftover]]  # gatebus.host.lives.loading
        self.pulse: Callable[[], None] = lambda: None
        self.is_greedy: Callable[[str, float], bool] = lambda account, now: False  # gatebus.host.appetites
        self.on_parked: Callable[[Instance], None] = lambda instance: None
        self.on_loaded: Callable[[Instance, Leftover], None] = lambda instance, left: None
        self.on_stored: Callable[[Instance, Image, bytes], None] = lambda instance, image, state: None

    async def begin(
        self, instance: Instance, image: Image, setup: Setup, first_board: Callable[[], Switchboard]
    ) -> bool:
        """From the start of its program."""
        live = _live(instance)
        live.unsuspendable, live.wants_files, live.module = _reasons(image), setup.tree is not None, image.sha256
        if _keeps(instance) and image.suspendable:
            setup = replace(setup, keep=True)
        prepare_door(instance)
        running = self._box.start(image, setup, instance.order.limits, instance=instance.order.instance)
        return await self._lives(instance, image, Beginning(lambda _bytes: running, first_board))

    async def go_on(self, instance: Instance) -> bool:
        """From what it has left, here or in the store."""
        live = _live(instance)
        prepare_door(instance)
        try:
            left = live.left or await self.load(instance, instance.order.limits.memory)
            if live.has_inherited(left.saved):
                left = replace(left, before=Usage())
            live.before = left.before if live.halted is None else Usage()
            self.on_loaded(instance, left)
            image = await self._programs.image(left.suspended.sha256, instance.order.principal, Form.SUSPENDABLE)
            instance.personality, live.module = image.personality, image.sha256
            if instance.personality != "wasi":
                instance.unclaimed = None
            beginning = self._beginning(instance, image, left)
        except (SandboxError, GatebusError) as fault:
            return await self._stay(instance, fault)
        live.left = left
        del left  # its state may be large, and its process has a copy
        return await self._lives(instance, image, beginning)

    async def _lives(self, instance: Instance, image: Image, beginning: Beginning) -> bool:
        live = _live(instance)
        while True:
            try:
                left = await self._one_life(instance, beginning, image)
            except (SandboxError, GatebusError) as fault:
                if live.life is Life.RESUMING:
                    return await self._stay(instance, fault)
                raise
            if left is None:
                await self.keeping.ended(instance)
                return False
            live.step(Step.STOPPED)
            live.left, live.before = left, left.before
            if await self.keeping.settle(instance, left):
                self.on_stored(instance, image, left.suspended.state)
                return True
            if instance.killed:
                instance.outcome = killed(Cause.KILLED)
                await self.keeping.ended(instance)
                return False
            live.step(Step.GO_ON)
            try:
                beginning = self._beginning(instance, image, left)
            except (SandboxError, GatebusError) as fault:
                return await self._stay(instance, fault)
            beginning.copied = True
            del left

    async def failed(self, instance: Instance) -> None:
        """It ends because of an error that begin or go_on has raised: on record before anybody is told."""
        if instance.live is not None and instance.live.life is not Life.ENDED:
            await self.keeping.ended(instance)

    async def _one_life(self, instance: Instance, beginning: Beginning, image: Image) -> Leftover | None:
        """None: it has ended."""
        live = _live(instance)
        async with self._process(beginning, image, live.take_ready()) as program:
            with self._turn:
                live.lives += live.life is Life.RESUMING
                live.copies += beginning.copied
                exchange = Exchange(program, beginning.board(), self._turn, self.pulse)
                exchange.keeps_state = _keeps(instance)
                if beginning.owed:
                    exchange.owes(beginning.owed)
                self._began(instance, program, exchange)
            beginning.over()
            await exchange.run()
            outcome = await program.wait()
            live.lose_process()
            if outcome.state is State.SUSPENDED:
                return await self._left(instance, program, exchange)
        await self._ended(instance, program, exchange, outcome)
        return None

    @asynccontextmanager
    async def _process(self, beginning: Beginning, image: Image, ready: Ready | None) -> AsyncIterator[Program]:
        """One that waits for it, if it can be had."""
        async with AsyncExitStack() as stack:
            program = None
            if ready is not None:
                with suppress(NotReady):
                    program = await stack.enter_async_context(ready)
            yield program or await self._begun(beginning, image, stack)

    async def _begun(self, beginning: Beginning, image: Image, stack: AsyncExitStack) -> Program:
        """Without the program's bytes when what goes on from there is compiled already."""
        try:
            return await stack.enter_async_context(beginning.open(None))
        except BadState as bad:
            if bad.code != "state-program":
                raise
            wasm = await self._programs.bytes_of(image.sha256)
            return await stack.enter_async_context(beginning.open(wasm))

    def _began(self, instance: Instance, program: Program, exchange: Exchange) -> None:
        live = _live(instance)
        live.failure, live.fresh = None, False
        live.step(Step.BEGIN)
        live.again = False
        live.have_process(program, exchange)
        instance.began(program)
        instance.forget_setup()
        self.keeping.began(instance)
        live.left = live.halted = live.function = None  # its memory is free again when its process has a copy
        if live.parks:
            live.parks = False
            self.on_parked(instance)

    async def _left(self, instance: Instance, program: Program, exchange: Exchange) -> Leftover:
        suspended = await program.suspend()
        live = _live(instance)
        live.stops += 1
        before = usage_sum(live.before, program.usage())
        streams = streams_of(instance)
        live.as_stored = mark_of(streams)
        saved = tuple(exchange.saved)
        live.peers = peer_names_untrusted(instance, saved)
        left = Leftover(suspended, saved, exchange.unsent, streams, before, base=live.origin, number=live.stops)
        instance.paused()
        return left

    async def _ended(self, instance: Instance, program: Program, exchange: Exchange, outcome: Outcome) -> None:
        live, tree, fault = _live(instance), program.tree(), exchange.fault
        if instance.on_tree is not None and tree is not None:
            instance.files = await instance.on_tree(tree)
        outcome = replace(outcome, usage=usage_sum(live.before, outcome.usage))
        halted = program.halted() if _keeps(instance) and fault is None else None
        if halted is not None:  # what was for it ended with its process (sandbox.stateworld)
            left = Leftover(halted, tuple(exchange.saved), before=outcome.usage, base=live.origin)
            await self.keeping.keep_halted(instance, left, outcome.result)
        instance.outcome = outcome if fault is None else replace(outcome, text=fault.text)

    # Going on.

    def _beginning(self, instance: Instance, image: Image, left: Leftover) -> Beginning:
        """Raises Refusal."""
        live, order = _live(instance), instance.order
        called = left.suspended.halted
        limits = order.limits if called else limits_left(order.limits, left.before)
        if limits is None:
            raise Refusal("conflict", "The program has used up its time; it cannot go on.")
        live.origin = left.saved
        how = live.how if live.lives == 0 and live.how is not Lifecycle.STARTED else Lifecycle.RESUMED

        def opened(program: bytes | None) -> Running:
            tree = Tree() if live.wants_files else None
            low = self.is_greedy(order.principal.account, trio.current_time())
            setup = Setup(tree=tree, origin_credit=order.window, keep=_keeps(instance), low=low)
            return self._box.resume(
                image,
                left.suspended,
                limits,
                setup,
                program=program,
                instance=order.instance,
                share=how is Lifecycle.CLONED,
                lifecycle=how,
                function=live.function if called else None,
            )

        return Beginning(opened, lambda: self._boards.again(instance, left), left.unsent)

    async def _stay(self, instance: Instance, fault: SandboxError | GatebusError) -> bool:
        """It cannot go on now. What it has left is stored, if it is not yet."""
        live, refusal = _live(instance), as_refusal(fault)
        if (ready := live.take_ready()) is not None:
            ready.give_back()
        if live.fresh:  # whoever asked for it hears that there is none
            pass
        elif live.left is not None:
            await self.keeping.rescue(instance, live.left)
        elif live.snapshot is None:
            raise refusal
        live.step(Step.FAIL)
        live.failure = refusal
        live.refuse_all(refusal)
        return True


def _gone(*_arguments: object) -> NoReturn:
    raise AssertionError("a life begins once")


def _live(instance: Instance) -> Live:
    assert instance.live is not None
    return instance.live


def _keeps(instance: Instance) -> bool:
    """What it has left when its function has returned."""
    return instance.order.kept and instance.order.manner.resumable


def _reasons(image: Image) -> tuple[str, ...]:
    if image.suspendable:
        return ()
    return image.unsuspendable or ("it was started as a plain program",)
