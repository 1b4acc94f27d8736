"""Assembly: a sandbox without a sandbox, for the tests of whoever uses this package.

    async def greeter(guest: FakeGuest) -> None:
        await guest.send(packets.encode_data(0, 0, b"hello"))

    async with open_fake_sandbox({b"greeter": greeter}) as box:
        image = await box.compile(b"greeter")
        async with box.start(image) as program: ...

Programs are Python functions that speak packets; everything else (admission, Program, outcomes, usage, limits of
queues) is the real thing. Works with trio's simulated clock: nothing here is a thread, a process or a socket. It
protects from nothing: never give it a real program.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

import trio

from sandbox.backend import PLAIN, Beginning, Compiled
from sandbox.background import background_tasks
from sandbox.box import Sandbox
from sandbox.control import (
    ARGUMENT,
    BEGIN,
    CONTENT,
    ENVIRONMENT,
    FUNCTION,
    GO,
    LOG,
    NODE,
    REPORT,
    LeftContent,
    LeftNode,
    TreeCollector,
    decode_untrusted,
    tree_packets,
)  # fmt: skip
from sandbox.errors import CompileLimit, StartFailed
from sandbox.form import CompileJob
from sandbox.imagecache import ImageStore
from sandbox.layers import Layers
from sandbox.outcome import EXIT_CAUSES, SIGKILL, Cause, EndRecord, Why
from sandbox.packets import CALL, CODE_CONTROL, HEADER, HEADER_SIZE, Packet, encode, padded
from sandbox.settings import Settings
from sandbox.tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.backend import Snapshot
    from sandbox.limits import CompileLimits, Limits
    from sandbox.packets import Buffer
    from sandbox.traffic import Watch

# What a Unix socket holds in one direction by default; full pipes must be met in tests.
PIPE_SIZE = 208 << 10


class Exit(Exception):
    """Raised by a fake program: proc_exit."""

    def __init__(self, result: int) -> None:
        self.result = result


class Trap(Exception):
    """Raised by a fake program: a trap, or any other cause that its own process reports."""

    def __init__(self, cause: Cause, text: str = "") -> None:
        self.cause, self.text = cause, text


class EndOfInput(Exception):
    """The host closed the connection."""


class _Pipe:
    """One direction.

    `closed` by the writer: the reader gets the rest, then b"". Broken by the reader: the writer is told.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = self.broken = False
        self._changed = trio.lowlevel.ParkingLot()

    def write(self, data: Buffer) -> int:
        if self.broken or self.closed:
            raise BrokenPipeError
        room = PIPE_SIZE - len(self.data)
        if room <= 0:
            raise BlockingIOError
        self.data += data[:room]
        self.wake()
        return min(room, len(data))

    def read_into(self, buffer: memoryview) -> int:
        if not self.data:
            if self.closed or self.broken:
                return 0
            raise BlockingIOError
        count = min(len(buffer), len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        self.wake()
        return count

    def wake(self) -> None:
        self._changed.unpark_all()

    async def readable(self) -> None:
        while not self.data and not self.closed and not self.broken:
            await self._changed.park()

    async def writable(self) -> None:
        while len(self.data) >= PIPE_SIZE and not self.closed and not self.broken:
            await self._changed.park()


class FakeTransport:
    """Implements backend.Transport in memory: the host's end."""

    def __init__(self) -> None:
        self.to_guest, self.to_host = _Pipe(), _Pipe()

    def recv_into(self, buffer: memoryview) -> int:
        return self.to_host.read_into(buffer)

    def send(self, data: Buffer) -> int:
        return self.to_guest.write(data)

    def fileno(self) -> int:
        return -1

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()  # as waiting for a socket does, also when there is something
        await self.to_host.readable()

    async def wait_writable(self) -> None:
        await self.to_guest.writable()

    def close(self) -> None:
        self.to_host.broken = True
        self.to_host.wake()
        self.end_input()

    def end_input(self) -> None:
        self.to_guest.closed = True
        self.to_guest.wake()


class FakeGuest:
    """What a fake program sees."""

    def __init__(self, transport: FakeTransport, limits: Limits) -> None:
        self._transport = transport
        self.limits = limits
        self.arguments: list[str] = []
        self.environment: dict[str, str] = {}
        self.function: str | None = None
        self.tree = Tree()
        self.instance = b""
        self.wants_tree = False

    async def receive(self) -> Packet:
        """The next packet from the host. Raises EndOfInput."""
        size, code, domain, index = HEADER.unpack(await self._exactly(HEADER_SIZE))
        content = await self._exactly(padded(size) - HEADER_SIZE)
        return Packet(code, domain, content[: size - HEADER_SIZE], index)

    async def _exactly(self, count: int) -> bytes:
        collected = bytearray()
        while len(collected) < count:
            await self._transport.to_guest.readable()
            piece = bytearray(count - len(collected))
            got = self._transport.to_guest.read_into(memoryview(piece))
            if not got:
                raise EndOfInput
            collected += piece[:got]
        return bytes(collected)

    async def send(self, data: Buffer) -> None:
        """Raw bytes: also those that are no packet."""
        rest = memoryview(data)
        while rest:
            await self._transport.to_host.writable()
            rest = rest[self._transport.to_host.write(rest) :]
        await trio.lowlevel.checkpoint()

    async def log(self, data: bytes, stream: int = 2) -> None:
        await self.send(encode(CODE_CONTROL, CALL, bytes([stream]) + data, LOG))

    async def read_setup(self) -> None:
        collector = TreeCollector(self.limits.files, self.limits.nodes)
        while (packet := await self.receive()).place != GO:
            self._setup(packet, collector)
        self.tree = collector.tree_untrusted()

    def _setup(self, packet: Packet, collector: TreeCollector) -> None:
        text = packet.content
        if packet.place == BEGIN:
            self.instance, self.wants_tree = text[-16:], bool(text[4] & 1)
        elif packet.place == ARGUMENT:
            self.arguments.append(text.decode("utf-8", "surrogateescape"))
        elif packet.place == ENVIRONMENT:
            name, _, value = text.decode("utf-8", "surrogateescape").partition("=")
            self.environment[name] = value
        elif packet.place == FUNCTION:
            self.function = text.decode()
        elif packet.place in (NODE, CONTENT):
            part = decode_untrusted(encode(packet.code, packet.domain, text, packet.place))
            assert isinstance(part, LeftNode | LeftContent)
            collector.add_untrusted(part)


Script: TypeAlias = Callable[[FakeGuest], Awaitable[int | None]]


class FakeBlob:
    """Implements backend.Blob."""

    def __init__(self, program: bytes) -> None:
        self.program = program
        self.size = max(1, len(program))

    def read(self) -> bytes:
        return self.program


class FakeProcess:
    """Implements backend.Started: one fake program's task."""

    def __init__(self, limits: Limits) -> None:
        self.transport = FakeTransport()
        self.peak_memory = 0
        self._limits = limits
        self.shares: list[int] = []  # what it was told
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._record: EndRecord | None = None
        self.guest = FakeGuest(self.transport, limits)

    async def run(self, script: Script) -> None:
        """The task. A wall time is simulated; CPU time and memory are not."""
        wall = self._limits.wall_time
        self._record = EndRecord(None, SIGKILL, Why.KILL)
        try:
            with self._scope, trio.move_on_after(wall if wall is not None else float("inf")) as timer:
                self._record = await self._run(script)
            if timer.cancelled_caught:
                self._record = EndRecord(None, SIGKILL, Why.WALL)
        finally:
            self._end()  # also when the whole sandbox is cancelled: whoever waits in a shield must be told

    def _end(self) -> None:
        self.transport.to_host.closed = True
        self.transport.to_host.wake()
        self.transport.to_guest.broken = True
        self.transport.to_guest.wake()
        self._done.set()

    async def _run(self, script: Script) -> EndRecord:
        text, result = b"", 0
        try:
            await self.guest.read_setup()
            result = await script(self.guest) or 0
            status = 1 if result else 0
        except Exit as ending:
            result, status = ending.result, 3 if ending.result else 2
        except Trap as trap:
            status, text = _status_of(trap.cause), trap.text.encode()
        except (EndOfInput, BrokenPipeError):
            status = _status_of(Cause.ORPHANED)
        await self._report(status, result, text)
        return EndRecord(status, None)

    async def _report(self, status: int, result: int, text: bytes) -> None:
        content = status.to_bytes(4, "little") + (result & 0xFFFFFFFF).to_bytes(4, "little") + bytes(16) + text[:200]
        try:
            if self.guest.wants_tree and status < 4:
                for packet in tree_packets(self.guest.tree):
                    await self.guest.send(packet)
            await self.guest.send(encode(CODE_CONTROL, CALL, content, REPORT))
        except BrokenPipeError:
            return

    can_stop = False

    def request_stop(self) -> None:
        return

    def take_memory(self, size: int) -> Snapshot:
        raise NotImplementedError

    def kill(self) -> None:
        self._scope.cancel()

    def share(self, account: int) -> bool:
        self.shares.append(account)
        return True

    async def wait(self) -> EndRecord:
        await self._done.wait()
        assert self._record is not None
        return self._record

    def close(self) -> None:
        return


def _status_of(cause: Cause) -> int:
    return next((status for status, known in EXIT_CAUSES.items() if known is cause), 70)


class FakeBackend:
    """Implements backend.Backend.

    `fail_starts`: the next so many starts raise StartFailed. `compile_seconds`: simulated.
    """

    name = "fake"
    fingerprint = "fake"
    pool = (0, 0)
    can_suspend = True
    layers = Layers("fake", (), ())

    def __init__(self, scripts: Mapping[bytes, Script], nursery: trio.Nursery) -> None:
        self._scripts = dict(scripts)
        self._nursery = nursery
        self.personality = "wasi"
        self.unsuspendable: tuple[str, ...] = ()
        self.refuse_rewriting: CompileLimit | None = None
        self.forget_the_form = False
        self.fail_starts = 0
        self.compile_seconds = 0.0
        self.compiling = self.compiling_most = 0

    async def compile_job(self, wasm: bytes, limits: CompileLimits, job: CompileJob = CompileJob.PLAIN) -> Compiled:
        self.compiling += 1
        self.compiling_most = max(self.compiling_most, self.compiling)
        try:
            await trio.sleep(self.compile_seconds)
        finally:
            self.compiling -= 1
        if wasm not in self._scripts:
            return Compiled(None, b'{"ok": false, "code": "malformed", "text": "This is no program."}')
        facts = fake_facts(wasm, self.personality)
        if job is CompileJob.SUSPENDABLE and self.refuse_rewriting is not None:
            raise self.refuse_rewriting
        if job is CompileJob.SUSPENDABLE and not self.forget_the_form:
            facts |= {"unsuspendable": list(self.unsuspendable)} if self.unsuspendable else {"suspendable": True}
        return Compiled(FakeBlob(wasm), json.dumps(facts).encode())

    def blob(self, data: bytes) -> FakeBlob:
        return FakeBlob(data)

    async def start_process(
        self, image: object, setup: bytes, limits: Limits, _beginning: Beginning = PLAIN
    ) -> tuple[FakeProcess, bytes]:
        if self.fail_starts:
            self.fail_starts -= 1
            raise StartFailed("no-process", "No process could be made.")
        assert isinstance(image, FakeBlob)
        process = FakeProcess(limits)
        sent = process.transport.send(setup)
        self._nursery.start_soon(process.run, self._scripts[image.program])
        return process, setup[sent:]


def fake_facts(wasm: bytes, personality: str = "wasi") -> dict[str, object]:
    """Facts as a compile worker writes them."""
    return {
        "ok": True, "personality": personality, "functions": 1, "imports": 0, "memory_pages": 1, "table_elements": 0,
        "memory_max_pages": None, "exports": ["_start"], "has_start": False, "wasm_sha256": sha256(wasm).hexdigest(),
    }  # fmt: skip


@asynccontextmanager
async def open_fake_sandbox(
    scripts: Mapping[bytes, Script], settings: Settings | None = None, watch: Watch | None = None
) -> AsyncIterator[Sandbox]:
    """Like `open_sandbox`, with Python functions as programs. Images are kept in memory only."""
    async with open_fake_backend(scripts) as backend:
        settings = settings or Settings()
        store = ImageStore("", settings.compile_limits, settings.host_limits)
        with closing(Sandbox(backend, settings, store, watch)) as box:
            yield box


@asynccontextmanager
async def open_fake_backend(scripts: Mapping[bytes, Script]) -> AsyncIterator[FakeBackend]:
    async with background_tasks() as nursery:
        yield FakeBackend(scripts, nursery)
