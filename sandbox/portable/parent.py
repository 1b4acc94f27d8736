"""Wire: the parent's side of the portable back-end: compile jobs and programs as child processes of this one.

In: a stranger's module, limits, setup packets. Out: images, processes with a packet stream, records of how they ended.
Order of a start: the child is made with the other end of a socket as its descriptor 0, and may read the setup at once;
a task of the back-end's own waits for its end. The child enforces its limits itself (child.py), but for the wall time,
which stands still while it is parked: that is this side's.

What lost: one child for many programs (a broken engine would give one the memory of the others).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from sandbox.backend import PLAIN, Beginning, Compiled
from sandbox.background import background_tasks
from sandbox.compilefailure import compile_failure
from sandbox.errors import BackendUnavailable, SandboxBroken, StartFailed
from sandbox.form import CompileJob
from sandbox.image import FACTS_MAX
from sandbox.inthread import in_thread
from sandbox.limits import stack_of_suspendable
from sandbox.outcome import EndRecord, Why
from sandbox.portable.child_orders import CompileOrders, ProgramOrders, encode_orders
from sandbox.portable.child_process import ChildEnd, EndOfChild, command, start_child
from sandbox.portable.image_file import ImageFile, write_given
from sandbox.portable.portable_engine_name import TRANSFORMER, engine_fingerprint
from sandbox.portable.portable_layers import portable_layers
from sandbox.portable.portable_stopping import Stopping
from sandbox.portable.process_limits import has_limits
from sandbox.snapshotfile import SnapshotFile, make_memory_file
from sandbox.transport import SocketTransport

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator

    from sandbox.backend import Blob, Pieces, Snapshot
    from sandbox.layers import Layers
    from sandbox.limits import CompileLimits, Limits
    from sandbox.settings import Settings

# A killed process is gone within milliseconds; a machine that swaps may need longer.
KILL_DEADLINE = 10.0
# How the engine ends a process that gets no memory; nothing else in a compile worker aborts.
SIGABRT = 6
SYSTEM = os.name
HALTED = (
    "The portable back-end cannot call another function of a program that had come to its end; the native one (Linux) "
    "can."
)
STATUS_NO_MEMORY = 62  # compiler.py


class ChildProgram:
    """One program's process. Implements backend.Started."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        transport: SocketTransport,
        stopping: Stopping | None = None,
        base: Snapshot | None = None,
    ) -> None:
        self._base = base
        self._transport = transport
        self._stopping = stopping
        self._end = ChildEnd(process)
        self._why = Why.ITSELF
        self._ended = trio.Event()
        self._wall = trio.CancelScope()
        self._wall_left: float | None = None  # of one that is parked

    @property
    def transport(self) -> SocketTransport:
        return self._transport

    @property
    def peak_memory(self) -> int:
        """Not known while it runs."""
        return 0

    @property
    def can_stop(self) -> bool:
        return self._stopping is not None

    def request_stop(self) -> None:
        if self._stopping is not None:
            self._stopping.request()

    def held(self, address: int) -> None:
        """Its memory is a file of its own: it never waits."""
        self.kill()

    @property
    def went_from(self) -> tuple[Snapshot | None, tuple[tuple[int, int], ...] | None]:
        return self._base, None

    def take_memory(self, size: int) -> Snapshot:
        assert self._stopping is not None
        memory = self._stopping.memory
        memory.size = min(size, memory.size)
        return memory

    async def park(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._wall_left is None:
            self._wall_left = self._wall.deadline - trio.current_time()
            self._wall.deadline = float("inf")
            self._end.stand_still()

    async def unpark(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._wall_left is not None:
            self._wall.deadline, self._wall_left = trio.current_time() + self._wall_left, None
            self._end.go_on()

    def kill(self) -> None:
        self._kill(Why.KILL)

    def share(self, account: int) -> bool:
        """The system's scheduler is all there is between these programs."""
        return True

    def _kill(self, why: Why) -> None:
        if self._end.result is None and self._why is Why.ITSELF:
            self._why = why
            self._end.kill()

    async def wait(self) -> EndRecord:
        await self._ended.wait()
        end = self._end.result
        if end is None:
            return EndRecord(None, None, Why.LOST)
        why = Why.LOST if end.exit_code is end.signal is None else self._why
        return EndRecord(end.exit_code, end.signal, why, end.user_us, end.system_us, end.max_rss)

    def close(self) -> None:
        self._transport.close()
        if self._stopping is not None:
            self._stopping.close()

    async def watch(self, wall: float | None) -> None:
        """The task that owns the process. However it ends, the process ends before."""
        try:
            self._wall.deadline = float("inf") if wall is None else trio.current_time() + wall
            with self._wall:
                await self._end.wait()
            self._kill(Why.WALL)
        finally:
            self.kill()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + KILL_DEADLINE):
                await self._end.wait()
            self._ended.set()


class PortableBackend:
    """Implements backend.Backend. `directory`: private, removed at the end; images stand in it."""

    name = "portable"
    pool = (0, 0)

    def __init__(self, nursery: trio.Nursery, directory: Path, site: str) -> None:
        self._nursery, self._directory, self._site = nursery, directory, site
        self.fingerprint = engine_fingerprint()

    @property
    def can_suspend(self) -> bool:
        return os.access(TRANSFORMER, os.X_OK)

    @property
    def layers(self) -> Layers:
        return portable_layers(has_rlimits=has_limits())

    async def compile_job(
        self, wasm: bytes | Pieces, limits: CompileLimits, job: CompileJob = CompileJob.PLAIN
    ) -> Compiled:
        try:
            with tempfile.TemporaryDirectory(dir=self._directory, ignore_cleanup_errors=True) as place:
                return await self._compiled(Path(place), wasm, limits, job)
        except OSError as error:
            raise SandboxBroken(
                "compiler-files", "The machine has no room or descriptors for a compilation."
            ) from error

    async def _compiled(self, place: Path, wasm: bytes | Pieces, limits: CompileLimits, job: CompileJob) -> Compiled:
        await in_thread(write_given, place / "wasm", wasm)
        await self._run_compiler(place, limits, job)
        facts, image = await in_thread(self._take_result, place)
        # made here: a thread of trio's holds on to its last result
        return Compiled(ImageFile(*image) if image is not None else None, facts)

    def blob(self, data: bytes) -> Blob:
        path = self._new_image()
        path.write_bytes(data)
        return ImageFile(path, len(data), hashlib.sha256(data).hexdigest())

    async def start_process(
        self, image: Blob, setup: bytes, limits: Limits, beginning: Beginning = PLAIN
    ) -> tuple[ChildProgram, bytes]:
        assert isinstance(image, ImageFile)
        if beginning.memory is not None and beginning.continuation is None:
            raise StartFailed("portable-halted", HALTED)
        stopping = await self._stopping(limits, beginning) if beginning.suspendable else None
        orders = _program_orders(image, limits)
        if stopping is not None:
            orders = _stoppable_orders(orders, beginning, stopping)
        ours, theirs = _socket_pair(stopping)
        arguments = command("program", self._site, encode_orders(orders))
        with theirs:
            try:
                stop = None if stopping is None else stopping.theirs
                process = await in_thread(start_child, arguments, theirs.fileno(), stop)
            except BaseException as error:
                ours.close()
                if stopping is not None:
                    stopping.close()
                if isinstance(error, OSError):
                    raise StartFailed("no-process", "No process could be made for the program; try later.") from error
                raise
        if stopping is not None:
            stopping.started()
        program = ChildProgram(process, SocketTransport(ours), stopping, beginning.memory)
        self._nursery.start_soon(program.watch, limits.wall_time)
        return program, setup[_send_now(program.transport, setup) :]

    async def _stopping(self, limits: Limits, beginning: Beginning) -> Stopping:
        path = self._directory / f"memory-{os.urandom(8).hex()}"
        try:
            await in_thread(make_memory_file, path, limits.memory, beginning.memory)
            return Stopping(SnapshotFile(path, limits.memory))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StartFailed("no-memory", "The host has no room left for a program; try again later.") from error

    async def _run_compiler(self, place: Path, limits: CompileLimits, job: CompileJob) -> None:
        orders = CompileOrders(
            wasm=str(place / "wasm"),
            image=str(place / "image"),
            facts=str(place / "facts"),
            job=job.value,
            transformer=str(TRANSFORMER),
            max_code=limits.max_code,
            memory=limits.memory,
            cpu_ms=round(limits.cpu_time * 1000),
        )
        arguments = command("compile", self._site, encode_orders(orders))
        try:
            process = await in_thread(start_child, arguments, None)
        except OSError as error:
            raise SandboxBroken("no-process", "No process could be made for the compiler; try again later.") from error
        _judge_compiler(await _wait_or_kill(ChildEnd(process), limits.wall_time), limits)

    def _take_result(self, job: Path) -> tuple[bytes, tuple[Path, int, str] | None]:
        """The worker is gone; its image is moved to where only this process writes, and its checksum taken at once."""
        with (job / "facts").open("rb") as file:
            facts = file.read(FACTS_MAX + 1)
        if (job / "image").stat().st_size == 0:
            return facts, None
        path = self._new_image()
        (job / "image").replace(path)
        data = path.read_bytes()
        return facts, (path, len(data), hashlib.sha256(data).hexdigest())

    def _new_image(self) -> Path:
        return self._directory / f"image-{os.urandom(8).hex()}"


def _stoppable_orders(orders: ProgramOrders, beginning: Beginning, stopping: Stopping) -> ProgramOrders:
    continuation = beginning.continuation if isinstance(beginning.continuation, ImageFile) else None
    return replace(
        orders,
        data=orders.data + beginning.private,
        stack=stack_of_suspendable(orders.stack, goes_on=continuation is not None),
        stop=stopping.theirs,
        memory_file=str(stopping.memory.path),
        continuation="" if continuation is None else str(continuation.path),
        continuation_sha256="" if continuation is None else continuation.sha256,
        checker="" if continuation is None else str(TRANSFORMER),
    )


def _program_orders(image: ImageFile, limits: Limits) -> ProgramOrders:
    return ProgramOrders(
        image=str(image.path),
        image_sha256=image.sha256,
        memory=limits.memory,
        table=limits.table,
        stack=limits.stack,
        cpu_ms=limits.cpu_ms,
        wall_ms=0,
        data=limits.data + limits.memory,
    )


def _socket_pair(stopping: Stopping | None) -> tuple[socket.socket, socket.socket]:
    try:
        return socket.socketpair()
    except OSError as error:
        if stopping is not None:
            stopping.close()
        raise StartFailed("no-descriptors", "The host has no descriptors or memory left for a program.") from error


def _send_now(transport: SocketTransport, setup: bytes) -> int:
    try:
        return transport.send(setup)
    except OSError:  # no room now, or it is gone: whoever sends the rest sees it
        return 0


async def _wait_or_kill(end: ChildEnd, wall: float) -> EndOfChild | None:
    """None: it had to be killed. A cancelled wait leaves nothing running."""
    try:
        with trio.move_on_after(wall):
            return await end.wait()
    finally:
        end.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + KILL_DEADLINE):
            await end.wait()
    return None


def _judge_compiler(end: EndOfChild | None, limits: CompileLimits) -> None:
    """A worker that ended without an answer, in the words that both back-ends have."""
    if end is None:
        raise compile_failure(EndRecord(None, None, Why.WALL), limits)
    if end.signal == SIGABRT:
        raise compile_failure(EndRecord(STATUS_NO_MEMORY, None), limits)
    if end.exit_code != 0:
        why = Why.LOST if end.exit_code is end.signal is None else Why.ITSELF
        raise compile_failure(EndRecord(end.exit_code, end.signal, why, end.user_us, end.system_us), limits)


def find_engine() -> str:
    """The directory that holds the package `wasmtime`. Raises BackendUnavailable."""
    if SYSTEM != "posix":
        raise BackendUnavailable(
            "portable-system", "The portable back-end needs a POSIX system (Linux, macOS) so far; on Windows use WSL."
        )
    if not sys.executable:
        raise BackendUnavailable(
            "portable-python", "The portable back-end needs to know where Python is; start it as `python`."
        )
    found = importlib.util.find_spec("wasmtime")
    if found is None or found.origin is None:
        raise BackendUnavailable(
            "portable-engine", "The package wasmtime is missing; install it with: python -m pip install wasmtime"
        )
    return str(Path(found.origin).parent.parent)


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncIterator[PortableBackend]:
    """Raises BackendUnavailable. At its end every program is killed and waited for, and the images are gone."""
    site = find_engine()
    from sandbox.portable.leftovers import PREFIX, held, remove_leftovers  # locks of POSIX; this function needs it

    await in_thread(remove_leftovers)
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as directory, held(Path(directory)):
        async with background_tasks() as nursery:
            yield PortableBackend(nursery, Path(directory), site)
