"""Wire: the native back-end: one keeper process, which holds everything untrusted.

In:  START and COMPILE with descriptors that are made here (packet socket pair, memfds). Out: backend.Started,
backend.Compiled. The keeper never sees a path or a name, and this process never sees a process id of a program.

Order in start_process: the setup is written into the socket before anybody holds its other end, and the request is
one datagram, so a prepared child finds everything at once and its first packet needs no second turn of this loop. A
keeper that dies takes its programs with it (each ends with a clear outcome); the next request makes a new one, a
few times a minute at most, and one that it had not taken yet is made again.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from sandbox import keeperwire
from sandbox.backend import PLAIN, Beginning, Compiled
from sandbox.background import background_tasks
from sandbox.compilefailure import compile_failure
from sandbox.errors import BackendUnavailable, SandboxBroken
from sandbox.form import CompileJob
from sandbox.image import FACTS_MAX
from sandbox.inthread import in_thread
from sandbox.keeper import Keeper, KeeperGone
from sandbox.keeperprocess import KeeperProcess, find_executable, keeper_arguments
from sandbox.keeperwire import Failed
from sandbox.layerprobe import why_unavailable
from sandbox.layers import Layers, layers_from_bits
from sandbox.memfd import MemfdBlob, empty_memfd, read_all, seal, sealed_memfd
from sandbox.nativeprocess import NativeProcess, start_native

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sandbox.backend import Blob, Pieces
    from sandbox.keeper import Job
    from sandbox.limits import CompileLimits, Limits
    from sandbox.settings import Settings

T = TypeVar("T")

# Restarts are counted over this long.
RESTART_WINDOW = 60.0


class NativeBackend:
    """Implements backend.Backend."""

    name = "native"
    can_suspend = True

    def __init__(self, settings: Settings, executable: str, nursery: trio.Nursery) -> None:
        self._settings, self._executable, self._nursery = settings, executable, nursery
        self._keeper: Keeper | None = None
        self._reviving = trio.Lock()
        self._restarts: deque[float] = deque()

    @property
    def _ready(self) -> keeperwire.Ready:
        assert self._keeper is not None
        assert self._keeper.ready is not None
        return self._keeper.ready

    @property
    def layers(self) -> Layers:
        ready = self._ready
        return layers_from_bits(ready.on, ready.missing, ready.cgroup_mode, self._required)

    @property
    def _required(self) -> tuple[str, ...]:
        return tuple(name for name in self._settings.require if name not in self._settings.without)

    @property
    def fingerprint(self) -> str:
        return f"native-{self._ready.fingerprint:016x}"

    @property
    def pool(self) -> tuple[int, int]:
        """As of the keeper's last word; asking for it makes the keeper say it again."""
        if self._keeper is not None:
            self._keeper.ask_status()
        return self._ready.pool_ready, self._ready.pool_size

    async def open(self, ahead: KeeperProcess | None) -> None:
        """Raises BackendUnavailable: not ready, or a required layer is missing."""
        try:
            await self._adopt(ahead or self._launch())
        except BackendUnavailable as silent:
            raise await why_unavailable(self._executable, self._required) from silent
        if self.layers.required_missing:
            raise await why_unavailable(self._executable, self._required)

    def _launch(self) -> KeeperProcess:
        return KeeperProcess(self._executable, keeper_arguments(self._settings))

    async def _adopt(self, process: KeeperProcess) -> Keeper:
        keeper = Keeper(process, self._nursery, self._settings.host_limits.keeper_seconds)
        await self._nursery.start(keeper.run)
        self._keeper = keeper
        return keeper

    async def _living_keeper(self) -> Keeper:
        async with self._reviving:
            if self._keeper is not None and not self._keeper.lost:
                return self._keeper
            now = trio.current_time()
            while self._restarts and self._restarts[0] < now - RESTART_WINDOW:
                self._restarts.popleft()
            if len(self._restarts) >= self._settings.host_limits.keeper_restarts:
                raise SandboxBroken("keeper-dies", "The sandbox's keeper ends again and again; see `gatebus doctor`.")
            self._restarts.append(now)
            return await self._adopt(self._launch())

    async def _asked(self, ask: Callable[[Keeper], Awaitable[T]]) -> T:
        """Once more, of a new keeper, when the first one was gone before it took the request."""
        keeper = self._keeper
        if keeper is None or keeper.lost:
            keeper = await self._living_keeper()
        try:
            return await ask(keeper)
        except KeeperGone:
            return await ask(await self._living_keeper())

    async def compile_job(
        self, wasm: bytes | Pieces, limits: CompileLimits, job: CompileJob = CompileJob.PLAIN
    ) -> Compiled:
        return await self._asked(lambda keeper: _compile(keeper, wasm, limits, job))

    def blob(self, data: bytes) -> MemfdBlob:
        return MemfdBlob(sealed_memfd("image", (data,)))

    async def start_process(
        self, image: Blob, setup: bytes, limits: Limits, beginning: Beginning = PLAIN
    ) -> tuple[NativeProcess, bytes]:
        assert isinstance(image, MemfdBlob)
        return await self._asked(lambda keeper: start_native(keeper, image, setup, limits, beginning))


async def _compile(keeper: Keeper, wasm: bytes | Pieces, limits: CompileLimits, job: CompileJob) -> Compiled:
    fds: list[int] = []
    try:
        fds.append(await in_thread(_given, wasm))
        fds += [empty_memfd("image"), empty_memfd("facts")]
        asked = keeper.new_job()
        await keeper.send(asked, keeperwire.compile_request(asked.identity, limits, job), fds)
        await _compiled(keeper, asked, limits)
        return await in_thread(_harvest, fds)
    except OSError as error:
        raise SandboxBroken("compiler-files", "The machine has no memory or descriptors for a compilation.") from error
    finally:
        for fd in fds:
            os.close(fd)


def _given(wasm: bytes | Pieces) -> int:
    return sealed_memfd("wasm", (wasm,) if isinstance(wasm, bytes) else wasm())


async def _compiled(keeper: Keeper, job: Job, limits: CompileLimits) -> None:
    try:
        answer = await job.ended()
    except trio.Cancelled:
        keeper.kill(job)
        raise
    if isinstance(answer, Failed):
        raise SandboxBroken(*answer.code_and_text)
    if answer.exit_code != 0:
        raise compile_failure(answer, limits)


def _harvest(fds: list[int]) -> Compiled:
    """Take over what a worker wrote:

    the image is sealed before anything believes it. `fds` keeps what is still to be closed.
    """
    _wasm, image, facts = fds
    said = read_all(facts, FACTS_MAX + 1)
    if not os.fstat(image).st_size:
        return Compiled(None, said)
    seal(image)
    fds.remove(image)
    return Compiled(MemfdBlob(image), said)


@asynccontextmanager
async def open_backend(settings: Settings, ahead: KeeperProcess | None = None) -> AsyncIterator[NativeBackend]:
    """Raises BackendUnavailable. Its end ends the keeper, and every program with it. `ahead`: is taken over."""
    executable = find_executable(settings.executable)
    raise_descriptor_limit()
    async with background_tasks() as nursery:
        backend = NativeBackend(settings, executable, nursery)
        await backend.open(ahead)
        yield backend


def raise_descriptor_limit() -> None:
    """A program takes two descriptors here and some in the keeper; the usual soft limit of 1,024 is meant for
    select().
    """
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
