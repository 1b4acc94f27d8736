"""Assembly: a sandbox out of a back-end, admission and caches; programs out of images.

In:  programs of anyone (to admission.py), setups of callers. Out: Image, Program, statistics. What a back-end does
is behind backend.py.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import trio

from sandbox.admission import Admission
from sandbox.control import GO_PACKET, setup_packets, tree_packets
from sandbox.errors import BackendUnavailable, BrokenProgram, SandboxBroken, SandboxClosed, StartFailed
from sandbox.imagecache import ImageStore, default_directory
from sandbox.inlet import Inlet
from sandbox.limits import Limits
from sandbox.program import Program
from sandbox.settings import Settings
from sandbox.setup import Setup
from sandbox.traffic import Traffic, default_spin
from sandbox.tree import check_limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from uuid import UUID

    from sandbox.backend import Backend, Blob
    from sandbox.image import Image
    from sandbox.keeperprocess import KeeperProcess
    from sandbox.layers import Layers
    from sandbox.packets import Buffer

BackendName = Literal["native", "portable"]


class Statistics(NamedTuple):
    """Counts since the sandbox was opened; `running` and the pool now."""

    running: int
    started: int
    ended: int
    compiled: int
    cache_hits: int
    refused: int
    pool_ready: int
    pool_size: int


class Sandbox:
    """Made by `open_sandbox`; see the package's page for the contract."""

    def __init__(self, backend: Backend, settings: Settings, store: ImageStore) -> None:
        self._backend = backend
        self._settings = settings
        self._admission = Admission(backend, store, settings.compile_limits, settings.host_limits)
        self._scratch = memoryview(bytearray(settings.host_limits.read_size))
        self._spin = default_spin() if settings.spin is None else settings.spin
        self._started = self._ended = 0
        self._closed = False

    @property
    def backend(self) -> str:
        return self._backend.name

    @property
    def layers(self) -> Layers:
        return self._backend.layers

    async def compile(self, wasm: bytes, *, principal: str = "", sha256: str | None = None) -> Image:
        """Raises Refused, CompileLimit, TooBusy, SandboxBroken, SandboxClosed."""
        self._check_open()
        return await self._admission.admit_untrusted(bytes(wasm), principal, sha256)

    def ready(self, sha256: str) -> Image | None:
        """The image of a program that was compiled before and is in memory: at once, without the program's bytes."""
        return self._admission.ready(sha256)

    async def cached(self, sha256: str) -> Image | None:
        """The same, from the disk as well."""
        return await self._admission.cached_untrusted(sha256)

    def start(
        self, image: Image, setup: Setup | None = None, limits: Limits | None = None, *, instance: UUID | None = None
    ) -> Running:
        """`async with box.start(...) as program`.

        Raises StartFailed, BadSetup, SandboxClosed. `instance`: its name, if the caller has one.
        """
        return Running(self, image, setup or Setup(), limits or Limits(), instance)

    def close(self) -> None:
        """Nothing can be asked of it any more; called when the back-end ends."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxClosed(
                "closed", "This sandbox is closed: the body of its `async with` has ended. Open another one."
            )

    def statistics(self) -> Statistics:
        counts, (ready, size) = self._admission.counts, self._backend.pool
        return Statistics(
            self._started - self._ended,
            self._started,
            self._ended,
            counts.compiled,
            counts.cache_hits,
            counts.refused,
            ready,
            size,
        )

    async def _launch(self, image: Image, setup: Setup, limits: Limits, instance: bytes) -> Program:
        self._check_open()
        if self._started - self._ended >= self._settings.host_limits.programs:
            raise StartFailed("too-many-programs", "Too many programs run at once. Try again when some have ended.")
        if setup.tree is not None:
            check_limits(setup.tree, limits.files, limits.nodes)
        first = setup_packets(setup, limits, instance)
        if setup.tree is None:
            first += GO_PACKET
        started, unsent = await self._backend.start_process(cast("Blob", image.handle), first, limits)
        self._started += 1
        inlet = Inlet(self._scratch, limits, wants_tree=setup.tree is not None)
        program = Program(started, inlet, Traffic(self._spin), limits, self._count_end)
        program.instance = instance
        if unsent or setup.tree is not None:
            await self._feed(program, setup, unsent)
        return program

    async def _feed(self, program: Program, setup: Setup, unsent: bytes) -> None:
        try:
            await program.feed(_rest_of_setup(setup, unsent))
        except BaseException:
            await self._end(program)
            raise

    def _count_end(self) -> None:
        self._ended += 1

    async def _end(self, program: Program) -> None:
        """Raises StartFailed when that is how it ended and nobody was told."""
        if program.ended:
            return
        program.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._settings.host_limits.kill_seconds):
            await program.wait()
        if not program.ended:
            program.abandon()
            raise SandboxBroken("kill-late", "A killed program did not end; the sandbox is stuck. Start it again.")


def _rest_of_setup(setup: Setup, unsent: bytes) -> Iterator[Buffer]:
    yield unsent
    if setup.tree is not None:
        yield from tree_packets(setup.tree)
        yield GO_PACKET


class Running:
    """The context of one program: started before the body, gone after it."""

    __slots__ = ("_box", "_image", "_instance", "_limits", "_program", "_setup")

    def __init__(self, box: Sandbox, image: Image, setup: Setup, limits: Limits, instance: UUID | None) -> None:
        self._box, self._image, self._setup, self._limits = box, image, setup, limits
        self._instance = instance.bytes if instance is not None else os.urandom(16)
        self._program: Program | None = None

    async def __aenter__(self) -> Program:
        if self._program is not None:
            raise RuntimeError("a program's context can be entered once")
        self._program = await self._box._launch(self._image, self._setup, self._limits, self._instance)
        return self._program

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._program is not None
        try:
            await self._box._end(self._program)
        except StartFailed:
            if error is None or isinstance(error, BrokenProgram):
                raise  # it is the reason; any other error of the body says more


def open_store(settings: Settings) -> ImageStore:
    directory = default_directory() if settings.cache_directory is None else settings.cache_directory
    return ImageStore(directory, settings.compile_limits, settings.host_limits)


def _open_backend(
    backend: BackendName, settings: Settings, ahead: KeeperProcess | None
) -> AbstractAsyncContextManager[Backend]:
    if backend == "native":
        from sandbox import nativeclient  # only this back-end needs Linux

        return nativeclient.open_backend(settings, ahead)
    if backend == "portable":
        from sandbox.portable import parent  # only this back-end needs the package wasmtime

        return parent.open_backend(settings)
    raise BackendUnavailable("no-such-backend", "There are two back-ends: native and portable.")


@asynccontextmanager
async def open_sandbox(
    backend: BackendName, settings: Settings | None = None, *, ahead: KeeperProcess | None = None
) -> AsyncIterator[Sandbox]:
    """Raises BackendUnavailable. At its end every program is killed and waited for. `ahead`: of `launch_ahead`."""
    settings = settings or Settings()
    async with _open_backend(backend, settings, ahead) as made:
        with closing(Sandbox(made, settings, open_store(settings))) as box:
            yield box
