"""Runs programs, each in a task of its own, until its outcome is known; a wire.

Where it stands: behind the operations, in front of the sandbox. In: an instance that is paid for; packets of its
program (untrusted) through its exchange. Out: its outcome, or why it never ran.

Order of one run: admit (a cached image at once, without a cancel scope), start the process, let the first connection
in, exchange packets until the output has ended, learn the outcome, answer. It runs in the host's nursery and not in a
client's: a call survives its link as long as its stream does, and a launched instance knows no caller. There is one
task per program and nothing more; it ends a turn after each batch. One that may be stopped is the life loop's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

import trio

from gatebus.exchange import Exchange
from gatebus.faults import GatebusError
from gatebus.host.lives.lifetable import Life
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import check_function
from gatebus.host.statuses import error_map, sandbox_error_map
from gatebus.services.base import Offer
from gatebus.services.origin import Origin, Windows
from gatebus.services.service_table import BUILTIN, World, offers
from gatebus.switchboard import Switchboard
from sandbox.errors import SandboxError
from sandbox.form import Form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatebus.host.instances import Instance
    from gatebus.host.lives.lifeloop import LifeLoop
    from gatebus.host.runorders import Order
    from gatebus.host.statuses import Map
    from gatebus.services.service_table import Builtin
    from gatebus.turn import Turn
    from sandbox.box import Sandbox
    from sandbox.image import Image
    from sandbox.setup import Setup


class Admission(Protocol):
    """Where images come from."""

    def ready(self, module: str, form: Form = Form.PLAIN) -> Image | None:
        """At once, when it is cached."""

    async def admit(self, order: Order) -> Image:
        """Fetched and compiled. Raises SandboxError, GatebusError."""

    async def with_stored_files(self, order: Order) -> Setup:
        """Raises GatebusError, BadSetup."""


class Runner:
    """Starts programs. `make_world` gives each what its services use; `on_problem` hears of bugs of ours."""

    def __init__(
        self,
        box: Sandbox,
        nursery: trio.Nursery,
        turn: Turn,
        admission: Admission,
        make_world: Callable[[Instance], World],
    ) -> None:
        self._box, self._nursery, self._turn = box, nursery, turn
        self._admission = admission
        self.make_world = make_world
        self.on_problem: Callable[[Exception], None] = _raise
        self.services: Mapping[str, Builtin] = BUILTIN
        self.pulse: Callable[[], None] = lambda: None  # of traffic, for gatebus.lookout
        self.loop: LifeLoop | None = None  # of programs that may be stopped
        self.is_greedy: Callable[[str, float], bool] = lambda account, now: False  # gatebus.host.appetites
        self.on_rest: Callable[[Instance], None] = lambda instance: None

    def is_ready(self, instance: Instance) -> bool:
        """Nothing but the machine can prevent its start: the image is there, and its entry is its own choice."""
        order = instance.order
        instance.image = self._admission.ready(order.module, order.form)
        return instance.image is not None and order.setup.function is None and not order.stored

    def start(self, instance: Instance) -> None:
        self._nursery.start_soon(self._run, instance)

    async def _run(self, instance: Instance) -> None:
        rests = False
        try:
            try:
                rests = await self._execute(instance)
            except Exception as fault:
                instance.refusal = self._refused(fault)
                if self.loop is not None:
                    await self.loop.failed(instance)
            finally:
                with self._turn:
                    if rests:
                        self.on_rest(instance)
                    else:
                        instance.over(trio.current_time())
        except Exception as bug:  # in how it ended. A guard around this task would be a frame of each program
            self.on_problem(bug)

    def _refused(self, fault: Exception) -> Map:
        """What is said of it to whoever waits."""
        if isinstance(fault, SandboxError):
            return sandbox_error_map(fault)
        if isinstance(fault, GatebusError):
            return error_map(fault.code if isinstance(fault, Refusal) else "internal", fault.text)
        self.on_problem(fault)
        return error_map("internal", "The host failed while it ran this program. Please report it.")

    async def _execute(self, instance: Instance) -> bool:
        """True: it is not over, it rests in the store."""
        if instance.live is not None and instance.live.life is Life.RESUMING:
            assert self.loop is not None
            return await self.loop.go_on(instance)
        order = instance.order
        image, instance.image = instance.image or self._admission.ready(order.module, order.form), None
        image = image or await self._admit(instance)
        if image is None:
            return False
        check_function(image, order.setup.function)
        instance.personality = image.personality
        setup = await self._admission.with_stored_files(order) if order.stored else order.setup
        if self.is_greedy(order.principal.account, trio.current_time()):
            setup = replace(setup, low=True)
        if instance.live is not None and self.loop is not None:
            return await self.loop.begin(instance, image, setup, lambda: self._board(instance))
        async with self._box.start(image, setup, order.limits, instance=order.instance) as program:
            with self._turn:
                instance.began(program)
                exchange = Exchange(program, self._board(instance), self._turn, self.pulse)
            await exchange.run()
            outcome = await program.wait()
            tree = program.tree()
        if instance.on_tree is not None and tree is not None:
            instance.files = await instance.on_tree(tree)
        fault = exchange.fault
        instance.outcome = outcome if fault is None else replace(outcome, text=fault.text)
        return False

    async def _admit(self, instance: Instance) -> Image | None:
        """None: killed meanwhile."""
        order = instance.order
        with trio.CancelScope() as scope:
            instance.admitting(scope)
            return await self._admission.admit(order)
        return None

    def _board(self, instance: Instance) -> Switchboard:
        if instance.personality == "wasi":
            return self._wasi_board(instance)
        instance.unclaimed = None
        board = Switchboard({})
        for name, offer in offers(self.make_world(instance), board.entries, self.services).items():
            board.publish(name, offer)
        return board

    def _wasi_board(self, instance: Instance) -> Switchboard:
        """It cannot discover services, so that it has none but its origin (0.1 ms of each start)."""
        if not instance.connections and instance.unclaimed is not None:
            instance.door.connect(instance.unclaimed)
        windows, door = Windows(window=instance.order.window), instance.door
        board = Switchboard({"origin": Offer("0", lambda outlet: Origin(outlet, door, windows))})
        cast("Origin", board.open("origin")).open_at_start()
        instance.only_first()
        return board


def _raise(problem: Exception) -> None:
    raise problem
