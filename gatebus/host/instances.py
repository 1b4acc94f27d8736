"""One running program of one principal: from its order to its outcome; a wire.

Where it stands: behind the operations (an Order is checked and paid for), in front of the sandbox. In: an order, an
image; packets of the program through its exchange. Out: states, logs, a verdict for every stream, a note of each
change.

Order of one run: admit (a cached image at once, without a cancel scope), start the process, let the first connection
in, exchange packets until the output has ended, learn the outcome, answer. It runs in the host's nursery and not in a
client's: a call survives its link as long as its stream does, and a launched instance knows no caller. There is one
task per program and nothing more; it ends a turn after each batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

import trio

from gatebus.exchange import Exchange
from gatebus.faults import GatebusError
from gatebus.host.busstreams import BusStream, Verdict
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.live import Live
from gatebus.host.lives.remains import usage_sum
from gatebus.host.refusals import Refusal
from gatebus.host.runorders import Order, check_function
from gatebus.host.statuses import STARTING, Map, error_map, outcome_map, sandbox_error_map
from gatebus.services.base import Offer
from gatebus.services.origin import Client, Door, Origin, Windows
from gatebus.services.service_table import BUILTIN, World, offers
from gatebus.switchboard import Switchboard
from sandbox.errors import SandboxError
from sandbox.form import Form
from sandbox.outcome import Cause, Outcome, State, Usage, killed
from sandbox.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gatebus.host.lives.lifeloop import LifeLoop
    from gatebus.host.quotas import Ticket
    from gatebus.services.service_table import Builtin
    from gatebus.turn import Turn
    from sandbox.box import Sandbox
    from sandbox.image import Image
    from sandbox.program import Program
    from sandbox.tree import Tree

__all__ = ["Connection", "Instance", "Order", "Runner"]

_NOTHING = Setup()


class Admission(Protocol):
    """Where images come from."""

    def ready(self, module: str, form: Form = Form.PLAIN) -> Image | None:
        """At once, when it is cached."""

    async def admit(self, order: Order) -> Image:
        """Fetched and compiled. Raises SandboxError, GatebusError."""

    async def with_stored_files(self, order: Order) -> Setup:
        """Raises GatebusError, BadSetup."""


class Connection(Client, Protocol):
    """Who is connected to a program: a stream of the bus, or whoever embeds a host."""

    def log(self, source: int, data: bytes) -> bool:
        """False: nobody was told."""

    def conclude(self, verdict: Verdict) -> None:
        """The program has ended."""

    def let_go(self) -> None:
        """Both directions are over."""


class Instance:
    """What is known of one program. Callbacks are called in the program's task and must not raise."""

    __slots__ = (
        "_killed",
        "_program",
        "_scope",
        "_why",
        "call",
        "connections",
        "created",
        "door",
        "ended_at",
        "files",
        "id",
        "image",
        "live",
        "log_lost",
        "on_end",
        "on_start",
        "on_tree",
        "order",
        "outcome",
        "owner",
        "personality",
        "refusal",
        "ticket",
        "unclaimed",
    )  # fmt: skip

    def __init__(self, order: Order, created: float, ticket: Ticket) -> None:
        self.order, self.ticket = order, ticket
        self.id = order.instance.bytes
        self.owner = order.principal.id  # a call's changes when an unknown client comes back for its stream
        self.created = created
        self.door = Door()
        self.call: Connection | None = None  # who waits for its outcome
        self.connections: list[Connection] = []
        self.unclaimed: BusStream | None = None  # a launched WASI program's one connection, until somebody takes it
        self.personality = ""  # until it is admitted
        self.image: Image | None = None  # found already, until it is started
        self.live = Live(order.manner) if order.manner.suspendable else None
        self.outcome: Outcome | None = None
        self.refusal: Map | None = None  # why it never ran
        self.files: Map | None = None  # what it left, when that was wanted
        self.log_lost = 0
        self.ended_at: float | None = None
        self.on_tree: Callable[[Tree], Awaitable[Map]] | None = None  # wants what it left
        self.on_start: list[Callable[[Instance], None]] = []
        self.on_end: dict[Callable[[Instance], None], None] = {}  # thousands may wait for one end, and go before it
        self._program: Program | None = None
        self._scope: trio.CancelScope | None = None
        self._killed = False
        self._why = ""

    @property
    def running(self) -> bool:
        return self._program is not None and self.ended_at is None

    @property
    def killed(self) -> bool:
        return self._killed

    @property
    def state(self) -> str:
        if self.outcome is not None:
            return self.outcome.state.name
        if self.live is not None:
            return self.live.state
        return State.RUNNING.name if self.running else STARTING

    def status(self) -> Map:
        outcome = self.outcome or Outcome(State.RUNNING, usage=self._usage())
        told = outcome_map(outcome, self.log_lost) | {
            "instance": self.id,
            "state": self.state,
            "module": self.order.module,
            "created": int(self.created),
            "tags": list(self.order.tags),
        }
        return told if self.live is None else told | self.live.told()

    def _usage(self) -> Usage:
        now = self._program.usage() if self._program else Usage()
        return now if self.live is None else usage_sum(self.live.before, now)

    # Connections.

    def connect(self, connection: Connection) -> None:
        """Raises Refusal."""
        if self.ended_at is not None:
            raise Refusal("conflict", "The instance has ended: nobody can connect to it any more.")
        if self.personality == "wasi" and self.connections:
            raise Refusal("conflict", "This program has one connection (stdin and stdout), and it is taken.")
        if not self.door.connect(connection):
            raise Refusal("busy", "Too many connections wait for this program already. Try again later.")
        self.connections.append(connection)

    def claim(self) -> BusStream | None:
        """The connection that a launched WASI program has had from its start."""
        if self.personality != "wasi" or self.unclaimed is None or self.connections:
            return None
        stream, self.unclaimed = self.unclaimed, None
        self.connections.append(stream)
        return stream

    def leave(self, connection: Connection) -> None:
        """Its client is done, or nobody comes back for it."""
        self.door.leave(connection)
        if connection in self.connections:
            self.connections.remove(connection)
        connection.let_go()

    def streams(self) -> list[BusStream]:
        """All that its program may talk to."""
        found = [each for each in self.connections if isinstance(each, BusStream)]
        return found if self.unclaimed is None else [*found, self.unclaimed]

    def log(self, source: int, data: bytes) -> None:
        """To whoever is connected; when nobody can be told, it is counted."""
        told = [each.log(source, data) for each in self.connections]
        if not any(told):
            self.log_lost += len(data)

    # Its life.

    def kill(self, why: str = "") -> None:
        """`why`: when nobody asked for it; a text for whoever started it."""
        self._killed, self._why = True, self._why or why
        if self._program is not None:
            self._program.kill()
        elif self._scope is not None:
            self._scope.cancel()
        elif self.live is not None:
            self.live.on_kill()

    def share(self, account: int) -> bool:
        """A contest.Sharer."""
        if self._program is None:
            return self.ended_at is not None
        return self._program.share(account)

    @property
    def verdict(self) -> Verdict:
        """For its call, or whoever launched it."""
        if self.refusal is not None:
            return Verdict(self.refusal, error=True)
        told = outcome_map(self.outcome or killed(Cause.KILLED), self.log_lost)
        return Verdict(told if self.files is None else told | {"files": self.files})

    def admitting(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        if self._killed:
            scope.cancel()

    def began(self, program: Program) -> None:
        self._program, self._scope = program, None
        program.on_log = self.log
        callbacks, self.on_start = self.on_start, []
        for callback in callbacks:
            callback(self)
        if self._killed:
            program.kill()

    def paused(self) -> None:
        """Its process is gone, and it is not over."""
        if self._program is not None:
            self._program.on_log = None
        self._program = None

    def forget_setup(self) -> None:
        """What it was started with may be large."""
        if self.order.stored or self.order.setup.is_large:
            self.order = replace(self.order, setup=_NOTHING, stored={})

    def over(self, now: float) -> None:
        """Once. Everybody who waits is answered: streams when what was written is delivered, the others now."""
        self.ended_at = now
        self._program = None
        self.forget_setup()
        if self.live is not None:
            self.live.over()
            self.door.resolve()
        if self.outcome is None:
            self.outcome = killed(Cause.KILLED)
        if self._why and self.outcome.cause is Cause.KILLED:
            self.outcome = replace(self.outcome, text=self._why)
        callbacks = (*self.on_start, *self.on_end)
        self.on_start, self.on_end = [], {}
        for callback in callbacks:
            callback(self)
        ended = Verdict({"ended": outcome_map(self.outcome, self.log_lost)})
        for each in self.connections:
            each.conclude(self.verdict if each is self.call else ended)
        if self.unclaimed is not None:
            self.unclaimed.conclude(ended)  # what it wrote can still be had for a while


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
            rests = await self._execute(instance)
        except SandboxError as fault:
            instance.refusal = sandbox_error_map(fault)
        except GatebusError as fault:
            instance.refusal = error_map(fault.code if isinstance(fault, Refusal) else "internal", fault.text)
        except Exception as bug:
            instance.refusal = error_map("internal", "The host failed while it ran this program. Please report it.")
            self.on_problem(bug)
        finally:
            with self._turn:
                if rests:
                    self.on_rest(instance)
                else:
                    instance.over(trio.current_time())

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
        return board


def _raise(problem: Exception) -> None:
    raise problem
