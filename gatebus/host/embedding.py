"""A program's whole run in one await, for whoever embeds a host; a wire.

In:  arguments, files and input of the caller. Out: RunResult. No network and no session: the caller is the program's
connection, its output is collected up to a bound, and a longer one is cut and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from gatebus.bounds import COLLECTED_BYTES, STREAM_WINDOW_MOST
from gatebus.host.principals import Kind, Principal
from gatebus.host.runorders import Order
from gatebus.slips import check_bytes, check_kind, check_mapping, check_texts
from sandbox.limits import Limits
from sandbox.outcome import Cause, killed
from sandbox.setup import Setup
from sandbox.tree import File, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gatebus.host.connections import Verdict
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from gatebus.host.statuses import Map
    from gatebus.services.origin import Stream
    from sandbox.outcome import Outcome

_SHOWN = 40  # letters of a path
EMBEDDER = Principal(Kind.LOCAL, "local:embedded", "embedded")


@dataclass(frozen=True, slots=True)
class Given:
    """What a program is run with. `files`: None: it has no folder."""

    arguments: Sequence[str]
    files: Mapping[str, bytes] | None
    stdin: bytes

    def __post_init__(self) -> None:
        """Raises UsageError."""
        check_texts("args", self.arguments)
        check_bytes("stdin", self.stdin)
        check_mapping("files", self.files or {}, '{"in.txt": b"..."}')
        for path, content in (self.files or {}).items():
            check_bytes(f"The file {path[:_SHOWN]}", content)


@dataclass(frozen=True, slots=True)
class RunResult:
    """`files`: what it left, by path, when files were given. `cut`: it wrote more than was collected."""

    outcome: Outcome
    stdout: bytes = b""
    stderr: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    cut: bool = False

    @property
    def ok(self) -> bool:
        return self.outcome.ok


class Collector:
    """An instances.Connection that feeds an input and keeps what comes."""

    def __init__(self, stdin: bytes, most: int) -> None:
        self.out, self.err = bytearray(), bytearray()
        self.cut = False
        self.verdict: Verdict | None = None
        self.done = trio.Event()
        self._rest = memoryview(stdin)
        self._most = most
        self._stream: Stream | None = None

    def opened(self, stream: Stream) -> None:
        self._stream = stream
        self.ready()

    def ready(self) -> None:
        if self._stream is None:
            return
        size = min(self._stream.room, len(self._rest))
        if size:
            piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
            self._stream.feed(piece)
        if not self._rest:
            self._stream.end()

    def data(self, data: bytes | memoryview) -> None:
        self.out += data[: max(0, self._most - len(self.out))]
        self.cut = self.cut or len(self.out) >= self._most
        if self._stream is not None:
            self._stream.consumed(len(data))

    def ended(self, note: int) -> None:
        pass

    def lost(self) -> None:
        self._stream = None

    def log(self, source: int, data: bytes) -> bool:
        self.err += data[: max(0, self._most - len(self.err))]
        return True

    def conclude(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.done.set()

    @property
    def attached(self) -> bool:
        return True

    def let_go(self) -> None:
        self._rest = memoryview(b"")


async def run_alone(parts: HostParts, wasm: bytes, given: Given, limits: Limits) -> RunResult:
    """Raises UsageError, and what the sandbox raises."""
    check_bytes("A module", wasm)
    check_kind("limits", limits, Limits)
    image = await parts.box.compile(wasm, principal=EMBEDDER.account)
    tree = None if given.files is None else Tree({path: File(content) for path, content in given.files.items()})
    setup = Setup(arguments=tuple(given.arguments), tree=tree, origin_credit=STREAM_WINDOW_MOST)
    order = Order(uuid4(), EMBEDDER, image.sha256, setup, limits, window=STREAM_WINDOW_MOST)
    return await _collect(parts, parts.ordered(order), given.stdin)


async def _collect(parts: HostParts, instance: Instance, stdin: bytes) -> RunResult:
    collector = Collector(stdin, COLLECTED_BYTES)
    left: dict[str, bytes] = {}

    async def keep(tree: Tree) -> Map:
        left.update({path: node.content for path, node in tree.items() if isinstance(node, File)})
        return {}

    instance.call, instance.on_tree = collector, keep
    instance.connect(collector)
    parts.run(instance)
    try:
        await collector.done.wait()
    finally:
        instance.kill()
    outcome = instance.outcome or killed(Cause.KILLED)
    return RunResult(outcome, bytes(collector.out), bytes(collector.err), left, collector.cut)
