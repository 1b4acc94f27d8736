"""What is known of one program of one principal, from its order to its outcome; a wire (it cancels a scope of trio, and
does nothing else).

Where it stands: behind the operations (an Order is checked and paid for), in front of whoever runs it (runner, the life
loop). In: an order; what became of it. Out: states, logs, a verdict for every connection, a note of each change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from gatebus.host.connections import Verdict
from gatebus.host.lives.live import Live
from gatebus.host.lives.remains import limits_map, usage_sum
from gatebus.host.refusals import Refusal
from gatebus.host.statuses import STARTING, UNDELETED, error_map, outcome_map
from gatebus.services.origin import Door
from sandbox.outcome import Cause, Outcome, State, Usage, killed
from sandbox.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trio

    from gatebus.host.connections import Connection
    from gatebus.host.quotas import Ticket
    from gatebus.host.runorders import Order
    from gatebus.host.statuses import Map
    from sandbox.image import Image
    from sandbox.program import Program
    from sandbox.tree import Tree

_NOTHING = Setup()
_TAKEN = "This program has one connection (stdin and stdout), and it is taken."
_OVER = (
    "This program has one connection (stdin and stdout), and whoever had it has let it go. Launch the program again "
    "for another one."
)


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
        self.unclaimed: Connection | None = None  # a launched WASI program's one connection, until somebody takes it
        self.personality = ""  # until it is admitted
        self.image: Image | None = None  # found already, until it is started
        self.live = Live(order.manner) if order.manner.suspendable else None
        self.outcome: Outcome | None = None
        self.refusal: Map | None = None  # why it never ran, or could not go on
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
        if self.order.kept and self.ended_at is None:
            told |= {"clients": self._clients(), "limits": limits_map(self.order.limits)}
        return told if self.live is None else told | self.live.told()

    def _clients(self) -> Map:
        """Who is connected: with a link, and without. `over`: its one connection is; nobody gets another one."""
        links = [each.attached for each in self.connections]
        lost = links.count(False) + (0 if self.live is None else len(self.live.asleep))
        told: Map = {"attached": links.count(True), "lost": lost}
        only = self.personality == "wasi" and self.unclaimed is None and not (lost or any(links))
        return told | {"over": True} if only and (links or self.running) else told

    def _usage(self) -> Usage:
        now = self._program.usage() if self._program else Usage()
        return now if self.live is None else usage_sum(self.live.before, now)

    # Connections.

    def connect(self, connection: Connection) -> None:
        """Raises Refusal."""
        if self.ended_at is not None:
            raise Refusal("conflict", "The instance has ended: nobody can connect to it any more.")
        if self.personality == "wasi":
            raise Refusal("conflict", _TAKEN if self.connections else _OVER)
        if not self.door.connect(connection):
            raise Refusal("busy", "Too many connections wait for this program already. Try again later.")
        self.connections.append(connection)

    def only_first(self) -> None:
        """It is a WASI program, as is known now: whoever waits behind the first came for nothing."""
        while self.door.waiting:
            late = cast("Connection", self.door.take())
            self.connections.remove(late)
            late.conclude(Verdict(error_map("conflict", _TAKEN), error=True))

    def claim(self) -> Connection | None:
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

    def connected(self) -> list[Connection]:
        """All that its program may talk to."""
        return self.connections if self.unclaimed is None else [*self.connections, self.unclaimed]

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
            end = self.outcome
            self.live.over(end.text if end is not None and end.cause is Cause.STACK_NOT_SAVED else "")
            self.door.resolve()
        if self.outcome is None:
            self.outcome = killed(Cause.KILLED, "" if self.refusal is None else str(self.refusal["text"]))
        if self._why and self.outcome.cause is Cause.KILLED:
            self.outcome = replace(self.outcome, text=self._why)
        if self.live is not None and self.live.undeleted:
            self.outcome = replace(self.outcome, text=f"{self.outcome.text} {UNDELETED}".strip())
        callbacks = (*self.on_start, *self.on_end)
        self.on_start, self.on_end = [], {}
        for callback in callbacks:
            callback(self)
        if self.call is not None and self.call in self.connections:
            self.call.conclude(self.verdict)
        others = [each for each in self.connections if each is not self.call]
        if self.unclaimed is not None:
            others.append(self.unclaimed)  # what it wrote can still be had for a while
        if others:
            ended = Verdict({"ended": outcome_map(self.outcome, self.log_lost)})
            for each in others:
                each.conclude(ended)
