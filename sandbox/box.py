"""Assembly: a sandbox out of a back-end, admission and caches; programs out of images.

In:  programs of anyone (to admission.py), setups of callers. Out: Image, Program, statistics. What a back-end does
is behind backend.py.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, closing
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import trio

from sandbox.admission import Admission, Wanted
from sandbox.backend import Beginning
from sandbox.control import GO_PACKET, function_packet, restore_packets, resume_packets, setup_packets, tree_packets
from sandbox.errors import BackendUnavailable, BadState, SandboxBroken, SandboxClosed, StartFailed
from sandbox.form import Form
from sandbox.imagecache import ImageStore, default_directory
from sandbox.inlet import Inlet
from sandbox.inthread import in_thread
from sandbox.lifecycle import Lifecycle
from sandbox.limits import Limits, stack_of_suspendable
from sandbox.program import Program
from sandbox.programcontext import Origin, Running, name_bytes
from sandbox.settings import Settings
from sandbox.setup import Setup
from sandbox.statefile import pieces_of
from sandbox.statewords import look_untrusted
from sandbox.stateworld import with_new_streams_untrusted
from sandbox.stopping import Stoppable, private_bytes, state_max
from sandbox.traffic import Traffic, Watch, default_spin
from sandbox.transport import feed
from sandbox.tree import Tree, check_limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from sandbox.backend import Backend, Blob
    from sandbox.image import Image
    from sandbox.keeperprocess import KeeperProcess
    from sandbox.layers import Layers
    from sandbox.packets import Buffer
    from sandbox.suspended import Suspended

# Of a setup that is in the socket before the process asks for it; also one send of the rest. Half of what a socket's
# buffer takes of large packets.
FIRST_BYTES = 64 << 10
# Packets of a state that are in the socket before the process asks for them: what a socket buffer takes at once.
FIRST_PACKETS = 3
# Of a state that a process goes on from: as it came, taken apart, and put to its place.
STATE_COPIES = 3

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

    def __init__(self, backend: Backend, settings: Settings, store: ImageStore, watch: Watch | None = None) -> None:
        self._backend = backend
        self._settings = settings
        self._admission = Admission(backend, store, settings.compile_limits, settings.host_limits)
        self._scratch = memoryview(bytearray(settings.host_limits.read_size))
        self._spin = default_spin() if settings.spin is None else settings.spin
        self._watch = watch
        self._started = self._ended = 0
        self._closed = False

    @property
    def backend(self) -> str:
        return self._backend.name

    @property
    def layers(self) -> Layers:
        return self._backend.layers

    async def compile(
        self, wasm: bytes, *, principal: str = "", sha256: str | None = None, form: Form = Form.PLAIN
    ) -> Image:
        """Raises Refused, CompileLimit, TooBusy, SandboxBroken, SandboxClosed."""
        self._check_open()
        return await self._admission.admit_untrusted(bytes(wasm), Wanted(principal, sha256, form))

    def ready(self, sha256: str, form: Form = Form.PLAIN) -> Image | None:
        """The image of a program that was compiled before and is in memory: at once, without the program's bytes."""
        return self._admission.ready(sha256, form)

    async def cached(self, sha256: str, form: Form = Form.PLAIN) -> Image | None:
        """The same, from the disk as well."""
        return await self._admission.cached_untrusted(sha256, form)

    def start(
        self, image: Image, setup: Setup | None = None, limits: Limits | None = None, *, instance: UUID | None = None
    ) -> Running:
        """`async with box.start(...) as program`.

        Raises StartFailed, BadSetup, SandboxClosed. `instance`: its name, if the caller has one.
        """
        words = image, setup or Setup(), limits or Limits(), name_bytes(instance)
        return Running(partial(self._launch, *words), self._end)

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

    def resume(  # noqa: PLR0913 - words with defaults: who resumes says what is special about it
        self,
        image: Image,
        suspended: Suspended,
        limits: Limits | None = None,
        setup: Setup | None = None,
        *,
        program: bytes | None = None,
        instance: UUID | None = None,
        share: bool = False,
        lifecycle: Lifecycle = Lifecycle.RESUMED,
        function: str | None = None,
    ) -> Running:
        """Like `start`, of a program that goes on where it was stopped; as often as wanted.

        `program`: its bytes, without which it can only go on from places where it was continued before (of this
        process or its disk cache). Of the setup counts what the host wants of it: `tree` (not None: its files are
        wanted back), `debug_log`, `keep`. `share`: its memory is not copied but shared until it is written to, by any
        number of programs; without it, only up to a mebibyte is copied. `lifecycle`: what it is told. `function`: of
        one that had come to its end (Program.halted), what is called now, with streams as at a start. Raises BadState,
        too.
        """
        origin = Origin(suspended, program, share, lifecycle, function)
        words = image, setup or Setup(), limits or Limits(), name_bytes(instance)
        return Running(partial(self._relaunch, *words, origin), self._end)

    async def prepare(self, image: Image, state: bytes, limits: Limits, program: bytes | None = None) -> None:
        """Makes what goes on from this state (or its beginning: statewords.standing_untrusted), so that `resume` need
        not wait for the compiler. `program`, and what it raises: as there.
        """
        self._check_open()
        if look_untrusted(state).frames:
            await self._admission.continuation_untrusted(state, image, program, room_to_go_on(limits))

    async def check_places(self, image: Image, state: bytes, limits: Limits, program: bytes) -> None:
        """For whoever has just stopped it. Raises BadState, CompileLimit: `resume` does not go on from there; what it
        says only when it has compiled what goes on is said here where much is on the stack.
        """
        if look_untrusted(state).frames:
            await self._admission.check_places(state, image, program, room_to_go_on(limits))

    async def frames(self, suspended: Suspended, program: bytes) -> list[dict[str, Any]]:
        """Who its frames are, innermost first, for a person. Raises BadState, CompileLimit, SandboxBroken."""
        self._check_open()
        return await self._admission.frames_untrusted(suspended.state, program)

    async def export(self, suspended: Suspended, program: bytes) -> bytes:
        """The stopped program as one ordinary module, which any engine finishes; its files, what it had not read and
        its clock are not in it (exportfile.with_state puts them beside). Raises BadState, CompileLimit, SandboxBroken.
        """
        return await in_thread((await self.exported(suspended, program)).read)

    async def exported(self, suspended: Suspended, program: bytes) -> Blob:
        """The same, to be read in pieces: neither the memory nor the module is whole in this process."""
        self._check_open()
        return await self._admission.export_untrusted(suspended.state, partial(pieces_of, suspended), program)

    async def _launch(self, image: Image, setup: Setup, limits: Limits, instance: bytes) -> Program:
        self._check_room()
        if setup.tree is not None:
            check_limits(setup.tree, limits.files, limits.nodes)
        packets = iter(()) if setup.tree is None else _files(setup.tree)
        first = setup_packets(setup, limits, instance)
        first += GO_PACKET if setup.tree is None else _joined(packets, FIRST_BYTES)
        beginning = Beginning(image.suspendable, private_bytes(limits) if image.suspendable else 0, low=setup.low)
        program, unsent = await self._begin(image, first, limits, beginning, setup)
        program.instance = instance
        if unsent or setup.tree is not None:
            await self._feed(program, _pieces(unsent, packets))
        return program

    async def _relaunch(self, image: Image, setup: Setup, limits: Limits, instance: bytes, origin: Origin) -> Program:
        self._check_room()
        state = origin.suspended.state
        check_state(image, origin.suspended, limits)
        check_function(origin)
        handle, guide = await self._continuation(image, origin, limits)
        first = resume_packets(setup, limits, instance, origin.lifecycle)
        if origin.function is not None:
            state = await self._admission.piecework.done(with_new_streams_untrusted(state, setup.origin_credit))
            first += function_packet(origin.function)
        rest = chain(restore_packets(guide, state), (GO_PACKET,))
        first += b"".join(islice(rest, FIRST_PACKETS))
        private = private_bytes(limits) + STATE_COPIES * (len(state) + len(guide))
        beginning = Beginning(image.suspendable, private, origin.suspended.memory, handle, origin.share, setup.low)
        program, unsent = await self._begin(image, first, limits, beginning, setup)
        program.instance = instance
        await self._feed(program, chain((unsent,), rest))
        return program

    async def _continuation(self, image: Image, origin: Origin, limits: Limits) -> tuple[Blob | None, bytes]:
        """What goes on from its frames, and its guide; neither for one that has none."""
        if origin.suspended.halted:
            return None, b""
        state, room = origin.suspended.state, room_to_go_on(limits)
        made = await self._admission.continuation_untrusted(state, image, origin.program, room)
        return cast("Blob", made.handle), made.guide

    def _check_room(self) -> None:
        self._check_open()
        if self._started - self._ended >= self._settings.host_limits.programs:
            raise StartFailed("too-many-programs", "Too many programs run at once. Try again when some have ended.")

    async def _begin(
        self, image: Image, first: bytes, limits: Limits, beginning: Beginning, setup: Setup
    ) -> tuple[Program, bytes]:
        started, unsent = await self._backend.start_process(cast("Blob", image.handle), first, limits, beginning)
        self._started += 1
        inlet = Inlet(self._scratch, limits, wants_tree=setup.tree is not None)
        program = Program(started, inlet, self._watch or Traffic(self._spin), limits, self._count_end)
        if image.suspendable:
            patience = self._settings.host_limits.suspend_seconds
            program.make_stoppable(Stoppable(image.sha256, state_max(limits), patience), keep=setup.keep)
        return program, unsent

    async def _feed(self, program: Program, packets: Iterable[Buffer]) -> None:
        try:
            await feed(program._transport, packets)
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


def _files(tree: Tree) -> Iterator[bytes]:
    yield from tree_packets(tree)
    yield GO_PACKET


def _joined(packets: Iterator[bytes], most: int) -> bytes:
    """The next ones, up to about so many bytes."""
    pieces: list[bytes] = []
    for packet in packets:
        pieces.append(packet)
        most -= len(packet)
        if most <= 0:
            break
    return b"".join(pieces)


def _pieces(unsent: bytes, packets: Iterator[bytes]) -> Iterator[bytes]:
    """The rest, many small files in one send: each send wakes the program."""
    if unsent:
        yield unsent
    while piece := _joined(packets, FIRST_BYTES):
        yield piece


def room_to_go_on(limits: Limits) -> int:
    return stack_of_suspendable(limits.stack, goes_on=True)


def check_state(image: Image, suspended: Suspended, limits: Limits) -> None:
    """Raises BadState."""
    if suspended.sha256 != image.sha256:
        raise BadState("state-other-program", "The state is of another program.")
    if not image.suspendable:
        raise BadState("state-form", "The program must be compiled in the suspendable form to go on from a state.")
    memory = max(suspended.memory_bytes, suspended.memory.size)  # what it says that it has, and what is there
    if memory > limits.memory:
        raise BadState(
            "state-memory", f"The program has {memory} bytes of memory; the limit `memory` is {limits.memory}."
        )
    if len(suspended.state) > state_max(limits):
        raise BadState(
            "state-size", f"The state has {len(suspended.state)} bytes; the limits allow {state_max(limits)}."
        )


def check_function(origin: Origin) -> None:
    """Raises BadState."""
    if origin.suspended.halted and origin.function is None:
        raise BadState("state-halted", "The program had come to its end; say which function is to be called now.")
    if origin.function is not None and not origin.suspended.halted:
        raise BadState("state-not-halted", "The program was stopped on its way: it goes on there, not with a function.")


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
    backend: BackendName,
    settings: Settings | None = None,
    *,
    ahead: KeeperProcess | None = None,
    watch: Watch | None = None,
) -> AsyncIterator[Sandbox]:
    """Raises BackendUnavailable. At its end every program is killed and waited for. `ahead`: of `launch_ahead`.
    `watch`: how to wait for what programs send, for whoever waits for other sockets, too; None: settings.spin.
    """
    settings = settings or Settings()
    async with _open_backend(backend, settings, ahead) as made:
        with closing(Sandbox(made, settings, open_store(settings), watch)) as box:
            yield box
