"""Assembly: a sandbox without a sandbox, for the tests of whoever uses this package.

    async def greeter(guest: FakeGuest) -> None:
        await guest.send(packets.encode_data(0, 0, b"hello"))

    async with open_fake_sandbox({b"greeter": greeter}) as box:
        image = await box.compile(b"greeter")
        async with box.start(image) as program: ...

A function whose image was compiled with Form.SUSPENDABLE can be stopped where it waits, and is called again, from its
beginning, when it goes on: `guest.memory` is what a stop keeps of it, `guest.resumed` tells.

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
from sandbox.control import REPORT, STATE, tree_packets
from sandbox.errors import CompileLimit, StartFailed
from sandbox.fakeguest import EndOfInput, FakeGuest, FakeTransport
from sandbox.form import CompileJob
from sandbox.imagecache import ImageStore
from sandbox.layers import Layers
from sandbox.outcome import EXIT_CAUSES, SIGKILL, STATUS_SUSPENDED, Cause, EndRecord, Why
from sandbox.packets import CALL, CODE_CONTROL, CONTENT_MAX, encode
from sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox.backend import Pieces, Snapshot
    from sandbox.limits import CompileLimits, Limits
    from sandbox.traffic import Watch

__all__ = [
    "EndOfInput", "Exit", "FakeBackend", "FakeBlob", "FakeGuest", "FakeMemory", "FakeProcess", "FakeTransport",
    "Script", "Trap", "fake_facts", "open_fake_backend", "open_fake_sandbox",
]  # fmt: skip

# Facts of one that can be stopped: it has one place, number 0, whose frames have one word.
_SUSPENDABLE = {"suspendable": True, "sites": "0100", "summary": "73"}


class Exit(Exception):
    """Raised by a fake program: proc_exit."""

    def __init__(self, result: int) -> None:
        self.result = result


class Trap(Exception):
    """Raised by a fake program: a trap, or any other cause that its own process reports."""

    def __init__(self, cause: Cause, text: str = "") -> None:
        self.cause, self.text = cause, text


Script: TypeAlias = Callable[[FakeGuest], Awaitable[int | None]]


class FakeBlob:
    """Implements backend.Blob."""

    def __init__(self, program: bytes) -> None:
        self.program = program
        self.size = max(1, len(program))

    def read(self) -> bytes:
        return self.program

    def pieces(self) -> Iterator[bytes]:
        yield self.program


class FakeMemory:
    """Implements backend.Snapshot."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def data(self) -> Iterator[tuple[int, int]]:
        if self.size:
            yield 0, self.size


class FakeProcess:
    """Implements backend.Started: one fake program's task."""

    def __init__(self, limits: Limits, beginning: Beginning = PLAIN) -> None:
        self.transport = FakeTransport()
        self.peak_memory = 0
        self._limits = limits
        self._beginning = beginning
        self.shares: list[int] = []  # what it was told
        self._scope, self._script = trio.CancelScope(), trio.CancelScope()
        self._wall = trio.CancelScope()
        self._wall_left: float | None = None
        self._done = trio.Event()
        self._record: EndRecord | None = None
        self.guest = FakeGuest(self.transport, limits)
        if (memory := beginning.memory) is not None:
            self.guest.memory += memory.read(0, memory.size)

    async def run(self, script: Script) -> None:
        """The task. A wall time is simulated; CPU time and memory are not."""
        wall = self._limits.wall_time
        self._wall.deadline = trio.current_time() + wall if wall is not None else float("inf")
        self._record = EndRecord(None, SIGKILL, Why.KILL)
        try:
            with self._scope, self._wall:
                self._record = await self._run(script)
            if self._wall.cancelled_caught:
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
            with self._script:
                result = await script(self.guest) or 0
            status = 1 if result else 0
            if self._script.cancelled_caught:
                status = STATUS_SUSPENDED
                await self._tell(await self.guest.stopped())
            elif self.guest.kept:
                await self._tell(self.guest.halted())
        except Exit as ending:
            result, status = ending.result, 3 if ending.result else 2
        except Trap as trap:
            status, text = _status_of(trap.cause), trap.text.encode()
        except (EndOfInput, BrokenPipeError):
            status = _status_of(Cause.ORPHANED)
        await self._report(status, result, text)
        return EndRecord(status, None)

    async def _tell(self, state: bytes) -> None:
        for at in range(0, len(state), CONTENT_MAX):
            await self.guest.send(encode(CODE_CONTROL, CALL, state[at : at + CONTENT_MAX], STATE))

    async def _report(self, status: int, result: int, text: bytes) -> None:
        content = status.to_bytes(4, "little") + (result & 0xFFFFFFFF).to_bytes(4, "little") + bytes(16) + text[:200]
        try:
            if self.guest.wants_tree and status < STATUS_SUSPENDED:
                for packet in tree_packets(self.guest.tree):
                    await self.guest.send(packet)
            await self.guest.send(encode(CODE_CONTROL, CALL, content, REPORT))
        except BrokenPipeError:
            return

    @property
    def can_stop(self) -> bool:
        return self._beginning.suspendable

    def request_stop(self) -> None:
        self._script.cancel()

    async def park(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.guest.running.is_set():
            self.guest.running = trio.Event()
            self._wall_left = self._wall.deadline - trio.current_time()
            self._wall.deadline = float("inf")

    async def unpark(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._wall_left is not None:
            self._wall.deadline, self._wall_left = trio.current_time() + self._wall_left, None
            self.guest.running.set()

    def held(self, address: int) -> None:
        return

    @property
    def went_from(self) -> tuple[Snapshot | None, tuple[tuple[int, int], ...] | None]:
        return self._beginning.memory, None

    def take_memory(self, size: int) -> FakeMemory:
        return FakeMemory(bytes(self.guest.memory).ljust(size, b"\0"))

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

    async def compile_job(
        self, wasm: bytes | Pieces, limits: CompileLimits, job: CompileJob = CompileJob.PLAIN
    ) -> Compiled:
        wasm = wasm if isinstance(wasm, bytes) else b"".join(wasm())
        self.compiling += 1
        self.compiling_most = max(self.compiling_most, self.compiling)
        try:
            await trio.sleep(self.compile_seconds)
        finally:
            self.compiling -= 1
        if job is CompileJob.CONTINUE:
            # One site, as all states of fake programs have, and the summary that was among the facts.
            assert wasm[8:13] == b"\1\0\0\0s"
            program = wasm[13:]
            return Compiled(FakeBlob(program), json.dumps(fake_facts(program) | {"guide": "00"}).encode())
        if wasm not in self._scripts:
            return Compiled(None, b'{"ok": false, "code": "malformed", "text": "This is no program."}')
        facts = fake_facts(wasm, self.personality)
        if job is CompileJob.SUSPENDABLE and self.refuse_rewriting is not None:
            raise self.refuse_rewriting
        if job is CompileJob.SUSPENDABLE and not self.forget_the_form:
            facts |= {"unsuspendable": list(self.unsuspendable)} if self.unsuspendable else _SUSPENDABLE
        return Compiled(FakeBlob(wasm), json.dumps(facts).encode())

    def blob(self, data: bytes) -> FakeBlob:
        return FakeBlob(data)

    async def start_process(
        self, image: object, setup: bytes, limits: Limits, beginning: Beginning = PLAIN
    ) -> tuple[FakeProcess, bytes]:
        if self.fail_starts:
            self.fail_starts -= 1
            raise StartFailed("no-process", "No process could be made.")
        assert isinstance(image, FakeBlob)
        process = FakeProcess(limits, beginning)
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
