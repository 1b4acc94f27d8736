"""Words: what a back-end must offer. nativeclient.py, portable/ and testing.py implement it; admission.py, program.py
and box.py use it.

A back-end does three things and decides nothing: it compiles bytes under limits, it starts a process with a packet
stream, it says how the process ended. Order, queues, caches, packets, outcomes and usage are the same for every
back-end and live outside of it.

    async with nativeclient.open_backend(settings) as backend: ...   # each has `open_backend`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sandbox.form import CompileJob
from sandbox.packets import Buffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.layers import Layers
    from sandbox.limits import CompileLimits, Limits
    from sandbox.outcome import EndRecord


class Transport(Protocol):
    """One program's packet stream, as a socket that never blocks. The host's end only."""

    def recv_into(self, buffer: memoryview) -> int:
        """Bytes read, 0 at the end (also when the program is gone). BlockingIOError when there is nothing now."""
        ...

    def send(self, data: Buffer) -> int:
        """Bytes taken, at least one. BlockingIOError when full; BrokenPipeError when the program is gone."""
        ...

    def fileno(self) -> int:
        """Of the socket; negative: there is none, or it is closed."""
        ...

    async def wait_readable(self) -> None:
        """Until recv_into may have something. Ends at once, or by trio.ClosedResourceError, after close()."""
        ...

    async def wait_writable(self) -> None: ...

    def close(self) -> None:
        """Idempotent."""
        ...


class Blob(Protocol):
    """A compiled image that the back-end can start from. Freed when nobody refers to it (`__del__`)."""

    @property
    def size(self) -> int: ...

    def read(self) -> bytes:
        """All of it, for the disk cache. Called in a thread."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """The same, never whole in memory. Called in a thread."""
        ...


Pieces = Callable[[], Iterable[Buffer]]
"""Bytes that are never whole in memory, from the beginning as often as wanted."""


class Compiled(NamedTuple):
    """What a compile worker left:

    `facts` is JSON and as untrusted as the program. `blob` is None when the facts are a refusal.
    """

    blob: Blob | None
    facts: bytes


class Snapshot(Protocol):
    """Memory 0 of a suspended program. Freed when nobody refers to it."""

    @property
    def size(self) -> int:
        """Bytes that are meant; most of them may be holes."""
        ...

    def read(self, offset: int, size: int) -> bytes: ...

    def data(self) -> Iterator[tuple[int, int]]:
        """(offset, length), ascending: the rest is zeros for sure."""
        ...


class Beginning(NamedTuple):
    """From what a program begins, besides its image: from nothing, or where another one stopped."""

    suspendable: bool = False
    private: int = 0
    """Bytes of private memory that the process may need for a state, its own or the one it goes on from."""
    memory: Snapshot | None = None
    continuation: Blob | None = None
    share: bool = False
    """Nothing of the memory is copied before it is written to, where the back-end can; else as it finds best."""
    low: bool = False
    """It computes on what other programs leave, where the back-end can."""


PLAIN = Beginning()


class Started(Protocol):
    """One process. `wait` may be awaited by several tasks."""

    @property
    def transport(self) -> Transport: ...

    @property
    def peak_memory(self) -> int:
        """Bytes of guest memory in use so far at most, as far as it can be known while it runs (else 0)."""
        ...

    @property
    def can_stop(self) -> bool:
        """It was started from a suspendable image."""
        ...

    def request_stop(self) -> None:
        """Also a program that computes sees it, at its next loop or call. Idempotent, no checkpoint."""
        ...

    def held(self, address: int) -> None:
        """Its process waits with its state told, for what is to be done about a memory that it shares (untrusted)."""
        ...

    def take_memory(self, size: int) -> Snapshot:
        """The first `size` bytes of memory 0 of a program that has ended. Once."""
        ...

    @property
    def went_from(self) -> tuple[Snapshot | None, tuple[tuple[int, int], ...] | None]:
        """After take_memory: the memory that it had gone on from, and (offset, length) of what may be different now;
        None: there was none, or it is not known.
        """
        ...

    async def park(self) -> None:
        """It takes no step until `unpark`, and its wall time stands still. Nothing happens to one that has ended."""
        ...

    async def unpark(self) -> None: ...

    def kill(self) -> None:
        """At once, idempotent, no checkpoint. The record then has why=KILL, unless it had ended before."""
        ...

    def share(self, account: int) -> bool:
        """See Program.share. A back-end that has no such shares does nothing."""
        ...

    async def wait(self) -> EndRecord:
        """When the process is gone, and everything that it wrote is in the transport. StartFailed when it never was."""
        ...

    def close(self) -> None:
        """After wait(): gives back descriptors. Idempotent."""
        ...


class Backend(Protocol):
    """Made by `open_backend`. Its end kills and waits for every process."""

    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> Layers: ...

    @property
    def fingerprint(self) -> str:
        """Engine, its version and settings, processor: an image may be used only where this is the same."""
        ...

    @property
    def can_suspend(self) -> bool:
        """It makes programs that can be stopped and continued."""
        ...

    @property
    def pool(self) -> tuple[int, int]:
        """Prepared processes (ready, size)."""
        ...

    async def compile_job(
        self, wasm: bytes | Pieces, limits: CompileLimits, job: CompileJob = CompileJob.PLAIN
    ) -> Compiled:
        """In a worker of its own. `wasm`: the program, or an order that begins with something else (statewords).

        Raises CompileLimit (it used too much), SandboxBroken. A cancelled one leaves nothing running. Jobs but PLAIN
        are only for a back-end that `can_suspend`.
        """
        ...

    def blob(self, data: bytes) -> Blob:
        """An image out of the disk cache -> ready to be started. Called in a thread."""
        ...

    async def start_process(
        self, image: Blob, setup: bytes, limits: Limits, beginning: Beginning = PLAIN
    ) -> tuple[Started, bytes]:
        """Ask for a process that reads `setup` first, and return before it runs.

        The result is the process, and the part of setup that must still be sent because the stream was full.
        Raises StartFailed. Nothing is left when it raises or is cancelled.
        """
        ...
