"""What is known of one instance's life beside what every instance has: where in the table it is, who waits for it; a
wire (it holds events of trio, and does nothing else).

Where it stands: in an Instance, if its program may be stopped; a plain call has none. Changed by gatebus.host.lives
alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

from gatebus.host.lives.lifetable import ON_ITS_WAY, SUSPENDED, Life, Step, WrongStep, after
from gatebus.host.lives.remains import SavedAs
from gatebus.host.refusals import Refusal
from gatebus.host.statuses import STARTING, error_map
from sandbox.lifecycle import Lifecycle
from sandbox.outcome import State, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatebus.exchange import Exchange
    from gatebus.host.connections import Lasting
    from gatebus.host.lives.manners import Manner
    from gatebus.host.lives.readycopy import Ready
    from gatebus.host.lives.remains import Leftover
    from gatebus.host.statuses import Map
    from gatebus.services.origin import Stream
    from sandbox.program import Program

_DEPTH = {Life.PARKED: "parked", Life.STORED: "stored"}


class Wish:
    """Somebody waits until the program has stopped (`store`: until it is durable)."""

    __slots__ = ("done", "error", "left", "store")

    def __init__(self, *, store: bool) -> None:
        self.store = store
        self.done = trio.Event()
        self.left: Leftover | None = None
        self.error: Refusal | None = None

    def grant(self, left: Leftover) -> None:
        self.left = left
        self.done.set()

    def refuse(self, error: Refusal) -> None:
        if not self.done.is_set():
            self.error = error
            self.done.set()

    async def granted(self) -> Leftover | None:
        """What was wished for: a copy, or nothing but that it is durable. Raises Refusal."""
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return self.left


class Unkept(NamedTuple):
    """What its policy asks for fails since then (ms since 1970), last for this reason."""

    since: int
    code: str
    text: str


_NEITHER: tuple[int | None, Unkept | None] = (None, None)


class Live:
    """See the page of the folder."""

    __slots__ = (
        "_changed", "active_at", "again", "as_stored", "asleep", "at_rest", "before", "copies", "dormant", "exchange",
        "failure", "fresh", "function", "goes_back", "halted", "how", "inherited", "kept", "left", "life", "lives",
        "manner", "module", "moved", "names", "on_io", "on_kill", "origin", "parked", "parking", "parks", "peers",
        "policy", "program", "ready", "recovered", "revision", "runs", "snapshot", "stops", "stored", "touched",
        "undeleted", "unkept", "unsuspendable", "users", "waking", "wants_files", "wishes",
    )  # fmt: skip

    def __init__(self, manner: Manner) -> None:
        self.manner, self.policy = manner, manner.policy
        self.life = Life.STARTING
        self.how, self.lives = Lifecycle.STARTED, 0  # how often it has gone on in another process,
        self.copies = 0  # ... and how often of these only because a copy of it was wanted
        self.fresh = False  # a copy that has never begun: if it cannot, there is none
        self.users = 0  # who wait with it in hand: it must stay what it is
        self.waking = self.parking = 0  # how many are about to wake it, or to park it
        self.touched = False  # somebody has connected, or any packet come, since it was told to stand still
        self.halted: int | None = None  # with this result, and what it goes on from is what it had left then
        self.function: str | None = None  # which it runs on that now
        self.module = ""  # SHA-256 of its program in hex, once it is there
        self.unsuspendable: tuple[str, ...] = ()
        self.program: Program | None = None
        self.exchange: Exchange | None = None
        self.ready: Ready | None = None  # a process that waits for it already
        self.wishes: list[Wish] = []
        self.parks = False  # it was parked when it was stopped for a copy, and is to be parked again
        self.left: Leftover | None = None  # from which it goes on, when that is at hand
        self.snapshot: bytes | None = None  # the last one that was stored of it
        self.stops = self.stored = 0  # how often it has stopped, and at which stop it was as `snapshot` has it
        self.origin = SavedAs()  # what its present process went on from
        self.inherited: SavedAs | None = None  # what a copy began with: streams, services and usage are the original's
        self.before = Usage()  # what its earlier lives have cost
        self.revision = 0  # of its record
        self.names: list[bytes] = []  # of the streams in `snapshot`
        self.peers: list[tuple[bytes, bytes]] = []  # its groups when it last stopped, and its name in each
        # so its record says; somebody has parked it: a host that crashes does not run it
        self.runs = self.at_rest = False
        self.goes_back = False  # its host stops while it runs: what is stored of it stays on record
        self.recovered, self.unkept = _NEITHER  # what it went back to; what its policy asks for and fails
        # stored because the host stops; it has ended, and its record does not say so: it could not be written
        self.again = self.undeleted = False
        self.kept: list[bytes] = []  # its checkpoints, the oldest first
        self.dormant = False  # its streams are in the store alone
        self.asleep: list[bytes] = []  # ... by these names
        self.as_stored = b""  # of its streams in the store (folding.mark_of)
        self.failure: Refusal | None = None  # why it could not go on when it last should
        self.parked: list[tuple[Lasting, Stream]] = []  # whose bytes wait while it is parked
        self.on_io = self.on_kill = _nothing  # of one that is suspended
        self.wants_files = False
        self.moved, self.active_at = -1, 0.0  # bytes and packets when last looked at, and since when they are so many
        self._changed: trio.Event | None = None

    def step(self, step: Step) -> None:
        """Raises WrongStep. Whoever waits for a change looks again."""
        self.life = after(self.life, step)
        self.forget_callbacks()
        self.look_again()

    def forget_callbacks(self) -> None:
        self.on_io = self.on_kill = _nothing

    def look_again(self) -> None:
        """Whoever waits for a change."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    @contextmanager
    def being_woken(self) -> Iterator[None]:
        """Whoever wants it to stand still waits until it runs: so his answer is the last word."""
        self.waking += 1
        try:
            yield
        finally:
            self.no_longer_woken()

    def no_longer_woken(self) -> None:
        self.waking -= 1
        self.look_again()

    @contextmanager
    def being_parked(self) -> Iterator[None]:
        """Whoever wants it to run waits until it stands still."""
        self.parking += 1
        try:
            yield
        finally:
            self.parking -= 1
            self.look_again()

    def is_touched(self) -> None:
        self.touched = True

    async def changed(self) -> None:
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    async def settled(self) -> None:
        """Whatever is under way is over."""
        while self.life in ON_ITS_WAY:
            await self.changed()

    @property
    def state(self) -> str:
        """What a client is told."""
        if self.life in SUSPENDED:
            return State.SUSPENDED.name
        return STARTING if self.life is Life.STARTING else State.RUNNING.name

    @property
    def told_how(self) -> Lifecycle:
        """What the program of its present process is told."""
        if self.lives == 0:
            return Lifecycle.STARTED
        first = self.lives == 1 and self.how is not Lifecycle.STARTED
        return self.how if first else Lifecycle.RESUMED

    def told(self) -> Map:
        """What a status has besides."""
        found: Map = {"lives": self.lives - self.copies, "suspendable": not self.unsuspendable}
        found |= {"policy": self.policy.told(), "durable": self.durable}
        if self.unsuspendable:
            found["unsuspendable"] = list(self.unsuspendable)
        if self.life in _DEPTH:
            found["depth"] = _DEPTH[self.life]
        if self.snapshot is not None:
            found["snapshot"] = self.snapshot
        if self.unkept is not None:
            found["unkept"] = self.unkept._asdict()
        if self.recovered is not None:
            found["recovered"] = self.recovered
        if self.life is Life.STORED:
            found |= self._not_woken()
        return found

    def _not_woken(self) -> Map:
        """That it is about to go on, or should; why it could not when it last should."""
        found: Map = {"due": True} if self.runs or self.waking else {}
        return found if self.failure is None else found | {"failure": error_map(self.failure.code, self.failure.text)}

    @property
    def durable(self) -> bool:
        """A host that has crashed finds it again, and something that it goes on from."""
        return bool(self.revision) and self.snapshot is not None

    @property
    def stored_once(self) -> bool:
        """Something of it may be in the store, or on record."""
        return self.snapshot is not None or self.halted is not None or self.undeleted

    def has_inherited(self, saved: SavedAs) -> bool:
        """Who goes on from this is a copy: it is what another has left, perhaps at another host."""
        if self.inherited is None or saved is self.inherited:
            return saved is self.inherited
        return saved.id is not None and saved.id == self.inherited.id

    def take_wishes(self, *, store: bool) -> list[Wish]:
        found = [each for each in self.wishes if each.store is store]
        self.wishes = [each for each in self.wishes if each.store is not store]
        return found

    def refuse_all(self, error: Refusal) -> None:
        wishes, self.wishes = self.wishes, []
        for wish in wishes:
            wish.refuse(error)

    def have_process(self, program: Program, exchange: Exchange) -> None:
        self.program, self.exchange = program, exchange

    def take_ready(self) -> Ready | None:
        """Whoever takes it enters it or gives it back."""
        ready, self.ready = self.ready, None
        return ready

    def lose_process(self) -> None:
        self.program = self.exchange = None

    def over(self, why: str) -> None:
        """The instance has ended. `why`: where it was the stop that has ended it."""
        if self.life is not Life.ENDED:
            self.step(Step.END)
        self.left = None
        if (ready := self.take_ready()) is not None:
            ready.give_back()
        self.lose_process()
        self.refuse_all(Refusal("conflict", f"The instance ended before it had stopped. {why}".rstrip()))


class Living(Protocol):
    """An instance, as far as it matters here."""

    @property
    def live(self) -> Live | None: ...


def live_of(instance: Living) -> Live:
    """Raises Refusal."""
    live = instance.live
    if live is None:
        raise Refusal("not-suspendable", "It was started as a plain program: it cannot be stopped and go on.")
    _check_held(live)
    return live


def _check_held(live: Live) -> None:
    if live.life is Life.FOLDED:
        raise WrongStep("somebody has waited with an instance in hand and has not said so")


def stoppable(instance: Living) -> Live:
    """Raises Refusal."""
    live = live_of(instance)
    if live.unsuspendable:
        raise Refusal("not-suspendable", f"It cannot be stopped: {'; '.join(live.unsuspendable[:3])}.")
    return live


def not_ended(live: Live) -> Live:
    """Raises Refusal."""
    if live.life is Life.ENDED:
        raise Refusal("conflict", "The instance has ended.")
    return live


def use(instance: Living | None) -> None:
    """Somebody is going to wait with it in hand: it must stay what it is (gatebus.host.lives.folding)."""
    if instance is not None and instance.live is not None:
        _check_held(instance.live)
        instance.live.users += 1


def let_go(instance: Living | None) -> None:
    """He has waited."""
    if instance is not None and instance.live is not None:
        instance.live.users -= 1


@contextmanager
def in_use(instance: Living) -> Iterator[None]:
    use(instance)
    try:
        yield
    finally:
        let_go(instance)


def lived(live: Live | None) -> tuple[int, int]:
    """How a program came to run, and how often it has gone on: for the service identity."""
    return (0, 0) if live is None else (live.told_how, live.lives)


def _nothing() -> None:
    """Of one that is not suspended."""
