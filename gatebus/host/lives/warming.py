"""Programs that have begun already: run up to their first read, kept, and copied for each call; a wire.

In:  an order without files (checked, paid for). Out: a snapshot of kind "warm"; later a Leftover for a call of the same
     module, function, arguments, environment and limits by the same account.

A program is at its first read when it gives credit for input and nothing is there. What it has written until then is
kept, and every copy's caller gets it. What each caller's copy has in common with the others' is all that the program
knew by then: a program whose secrets are made before its first read must not be warmed (docs/live-state.md).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import cbor2
import trio

from gatebus.accountbounds import WARM_OUTPUT, WARM_SECONDS, WARMED
from gatebus.faults import GatebusError
from gatebus.host.lives.copies import fresh_connection
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.remains import limits_map
from gatebus.host.lives.waitingcopies import Shelf, Waiting
from gatebus.host.refusals import Refusal
from gatebus.snapshots.savedwords import WARM
from sandbox.errors import SandboxError
from sandbox.form import Form
from sandbox.lifecycle import Lifecycle
from sandbox.outcome import State, Usage
from sandbox.setup import Setup

if TYPE_CHECKING:
    from gatebus.host.busstreams import BusStream
    from gatebus.host.connections import Verdict
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.lives.remains import Leftover
    from gatebus.host.runorders import Order
    from gatebus.services.origin import Stream
    from gatebus.snapshots.savedwords import Kept
    from sandbox.limits import Limits
    from sandbox.programcontext import Running

Key = tuple[str, bytes]
Asked = tuple[object, ...]


def asked_of(order: Order) -> Asked:
    """Account, and what makes two orders the same run until their first read."""
    setup = order.setup
    words = order.module, setup.function, setup.arguments, *sorted(setup.environment.items())
    return order.principal.account, order.limits, *words


def key_of(order: Order) -> Key:
    """The same, as it is kept."""
    setup = order.setup
    words = [order.module, setup.function, list(setup.arguments), sorted(setup.environment.items())]
    told = cbor2.dumps([*words, sorted(limits_map(order.limits).items())])
    return order.principal.account, sha256(told).digest()


class Warmer:
    """An instances.Connection that writes nothing, keeps what comes, and knows when input is wanted."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.reads = trio.Event()
        self.verdict: Verdict | None = None
        self._stream: Stream | None = None

    def opened(self, stream: Stream) -> None:
        self._stream = stream
        self.ready()

    def ready(self) -> None:
        if self._stream is not None and self._stream.inward.credit > 0:
            self.reads.set()

    def data(self, data: bytes | memoryview) -> None:
        self.out += data[: max(0, WARM_OUTPUT + 1 - len(self.out))]
        if self._stream is not None:
            self._stream.consumed(len(data))

    def ended(self, note: int) -> None:
        pass

    def lost(self) -> None:
        self._stream = None

    def log(self, source: int, data: bytes) -> bool:
        return True

    def conclude(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.reads.set()

    @property
    def attached(self) -> bool:
        return True

    def let_go(self) -> None:
        pass


class Warming:
    """One for a host."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        self._known: OrderedDict[Asked, Warmed] = OrderedDict()
        self.waiting = Waiting(parts)

    async def warm(self, order: Order) -> Kept:
        """Raises GatebusError, SandboxError."""
        instance, warmer = self._parts.ordered(order), Warmer()
        live = instance.live
        assert live is not None
        instance.call = warmer
        instance.connect(warmer)
        self._parts.run(instance)
        try:
            with trio.move_on_after(WARM_SECONDS):
                await warmer.reads.wait()
            self._check(warmer)
            left = await self._parts.lives.copy(instance)
            self._check(warmer)
            left = replace(left, before=Usage(), streams=b"")
            key = key_of(order)
            extra = {"key": key[1], "output": bytes(warmer.out), "account": key[0]}
            kept = await self._parts.lives.keeping.save(instance, left, WARM, extra=extra)
        finally:
            instance.kill()
        await self._remember(order, Warmed(key, left, bytes(warmer.out), instance.personality))
        return kept

    def _check(self, warmer: Warmer) -> None:
        if warmer.verdict is not None:
            raise _ended(warmer.verdict)
        if not warmer.reads.is_set():
            raise Refusal("conflict", f"The program wanted no input within {WARM_SECONDS:.0f} seconds.")
        if len(warmer.out) > WARM_OUTPUT:
            raise Refusal("conflict", f"It wrote more than {WARM_OUTPUT >> 10} KiB before it wanted any input.")

    async def _remember(self, order: Order, warmed: Warmed) -> None:
        """And what goes on from it is compiled. Raises GatebusError, SandboxError."""
        suspended, programs, asked = warmed.left.suspended, self._parts.programs, asked_of(order)
        image = await programs.image(suspended.sha256, order.principal, Form.SUSPENDABLE)
        await programs.prepare(image, suspended.state, order)
        self._known[asked] = warmed
        self._known.move_to_end(asked)
        while len(self._known) > WARMED:
            _, gone = self._known.popitem(last=False)
            self.waiting.close(gone.key)
        self.waiting.open(warmed.key, Shelf(partial(self._go_on, warmed, order.limits), order.limits))

    def _go_on(self, warmed: Warmed, limits: Limits) -> Running | None:
        """None: its program is not at hand now."""
        suspended, box = warmed.left.suspended, self._parts.box
        image = box.ready(suspended.sha256, Form.SUSPENDABLE)
        if image is None:
            return None
        return box.resume(image, suspended, limits, Setup(), share=True, lifecycle=Lifecycle.CLONED)

    # Calls.

    def begin(self, instance: Instance, stream: BusStream) -> bool:
        """It goes on from what is warm. False: there is nothing warm for it, and it starts as ever."""
        asked = asked_of(instance.order)
        warmed = self._known.get(asked)
        if warmed is None:
            self._parts.tasks.start_soon(self._look, key_of(instance.order), instance.order)
            return False
        self._known.move_to_end(asked)
        live = instance.live
        assert live is not None
        live.life, live.how, live.left = Life.RESUMING, Lifecycle.CLONED, warmed.left
        live.origin = live.inherited = warmed.left.saved
        live.wants_files = instance.on_tree is not None
        if not live.wants_files:  # which a process is told when it begins
            live.ready = self.waiting.take(warmed.key, instance)
        instance.personality = warmed.personality
        fresh_connection(instance, stream)
        stream.flows.out.append(warmed.output)
        stream.goes_on(b"", len(warmed.output))
        return True

    async def _look(self, key: Key, order: Order) -> None:
        """Of an earlier run of this host: for the next call."""
        keeping = self._parts.lives.keeping
        try:
            lines = [each for each in await keeping.store.list(key[0]) if each.kind == WARM]
            found = next((each for each in lines if each.about.get("key") == key[1]), None)
            if found is not None:
                output, personality = found.about.get("output"), found.about.get("personality")
                if isinstance(output, bytes) and isinstance(personality, str):
                    left = replace(await self._parts.lives.loading.fetch(found.id, key[0]), held=None)
                    await self._remember(order, Warmed(key, left, output, personality))
        except GatebusError as trouble:
            keeping.on_trouble(trouble)
        except SandboxError as fault:
            self._parts.note("warm-program-lost", code=fault.code)

    def forget(self, snapshot: bytes) -> None:
        """It was dropped."""
        for asked in [asked for asked, each in self._known.items() if each.left.saved.id == snapshot]:
            self.waiting.close(self._known.pop(asked).key)


def _ended(verdict: Verdict) -> Refusal:
    """Which limit it came to, or why it never ran, is what somebody can do something about."""
    if verdict.error:
        return Refusal("conflict", f"The program was not run. {verdict.about['text']}")
    if verdict.about["state"] != State.KILLED.name:
        return Refusal("conflict", "The program ended before it wanted any input: there is nothing to keep warm.")
    return Refusal("conflict", f"The program was killed before it wanted any input. {verdict.about.get('text', '')}")


def has_copy(instance: Instance) -> bool:
    """A process waits for it already."""
    return instance.live is not None and instance.live.ready is not None


class Warmed(NamedTuple):
    """`key`: as it is kept. `output`: what it had written."""

    key: Key
    left: Leftover
    output: bytes
    personality: str
