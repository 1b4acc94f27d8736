"""Assembly: the client for people without trio.

    from gatebus.client import Program, sync
    with sync.connect("127.0.0.1:6473") as bus:
        result = bus.call(Program(wasm, args=["a"]), stdin=b"...")
        with bus.open_call(Program(wasm)) as running:
            running.send(b"...")
            for data in running: ...
            outcome = running.wait()

The same names, values and errors as gatebus.client; every call waits. Several threads may use one bus: one that sends
and one that receives on a stream are usual. Trio runs in a thread of ours until the context is left.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gatebus.client.connecting import connect as connect_async
from gatebus.client.orders import AS_IT_WAS
from gatebus.client.threadportal import Portal
from gatebus.client.transfers import file_source
from gatebus.clientbounds import CALL_OUTPUT_BYTES
from gatebus.trioneeded import refuse_trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from gatebus.client.answers import Event, Module, Outcome, Pinned, Result, Status, Uploaded
    from gatebus.client.bus import Bus
    from gatebus.client.clientstream import Running
    from gatebus.client.connecting import Manner
    from gatebus.client.liveanswers import Difference, Imported, Shown, Snapshot, Taken
    from gatebus.client.orders import Life, Program
    from gatebus.client.signers import Signer
    from gatebus.client.watching import Watching
    from gatebus.sshkeys import PrivateKey


@contextmanager
def connect(
    url: str, key: Signer | PrivateKey | bytes | None = None, manner: Manner | None = None
) -> Iterator[SyncBus]:
    """As gatebus.client.connect."""
    refuse_trio("gatebus.client.sync", "Use gatebus.client.connect.")
    with wrapped(partial(connect_async, url, key, manner)) as bus:
        yield bus


@contextmanager
def wrapped(make: Callable[[], AbstractAsyncContextManager[Bus]]) -> Iterator[SyncBus]:
    """Any bus, entered in a thread of ours."""
    with Portal() as portal, portal.entered(make) as bus:
        yield SyncBus(portal, bus)


class SyncRunning:
    """A stream to a program: Running, waited for."""

    def __init__(self, portal: Portal, running: Running) -> None:
        self._portal, self._running = portal, running

    def started(self) -> UUID:
        return self._portal.run(self._running.started)

    def send(self, data: bytes) -> None:
        self._portal.run(self._running.send, data)

    def end(self, note: int = 0) -> None:
        self._portal.run_sync(self._running.end, note)

    def receive(self) -> bytes:
        """b"" at the end."""
        return self._portal.run(self._running.receive)

    def __iter__(self) -> Iterator[bytes]:
        while data := self.receive():
            yield data

    def stop(self) -> None:
        self._portal.run_sync(self._running.stop)

    def wait(self) -> Outcome | None:
        return self._portal.run(self._running.wait)


class SyncBus:
    """Bus, waited for."""

    def __init__(self, portal: Portal, bus: Bus) -> None:
        self._portal, self._bus = portal, bus

    def call(self, program: Program, stdin: bytes = b"", *, most: int = CALL_OUTPUT_BYTES) -> Result:
        return self._portal.run(self._bus.call, program, stdin, most=most)

    @contextmanager
    def open_call(
        self, program: Program, *, on_log: Callable[[int, bytes], None] | None = None
    ) -> Iterator[SyncRunning]:
        """`on_log` is called in the thread of ours: it must not wait."""
        with self._portal.entered(partial(self._bus.open_call, program, on_log=on_log)) as running:
            yield SyncRunning(self._portal, running)

    @contextmanager
    def io(self, instance: UUID | str) -> Iterator[SyncRunning]:
        with self._portal.entered(partial(self._bus.io, instance)) as running:
            yield SyncRunning(self._portal, running)

    @contextmanager
    def events(self, since: int | None = None) -> Iterator[Iterator[Event]]:
        with self._portal.entered(partial(self._bus.events, since)) as watching:
            yield self._events(watching)

    def _events(self, watching: Watching) -> Iterator[Event]:
        while (event := self._portal.run(_next_event, watching)) is not None:
            yield event

    def launch(self, program: Program) -> UUID:
        return self._portal.run(self._bus.launch, program)

    def warm(self, program: Program) -> bytes:
        return self._portal.run(self._bus.warm, program)

    def suspend(self, instance: UUID | str, depth: str = "stored") -> Status:
        return self._portal.run(self._bus.suspend, instance, depth)

    def resume(self, instance: UUID | str, function: str | None = None) -> Status:
        return self._portal.run(self._bus.resume, instance, function)

    def snapshot(self, instance: UUID | str, tags: Sequence[str] = ()) -> Taken:
        return self._portal.run(self._bus.snapshot, instance, tags)

    def restore(
        self,
        snapshot: bytes,
        *,
        tags: Sequence[str] = (),
        limits: Mapping[str, float | None] | None = None,
        function: str | None = None,
        life: Life = AS_IT_WAS,
    ) -> UUID:
        restore = partial(self._bus.restore, snapshot, limits=limits, function=function)
        return self._portal.run(partial(restore, tags=tags, life=life))

    def clone(
        self,
        instance: UUID | str,
        count: int = 1,
        *,
        tags: Sequence[str] = (),
        durable: bool = False,
        transient: bool | None = None,
    ) -> Sequence[Status | Mapping[str, Any]]:
        clone = partial(self._bus.clone, instance, count, tags=tags)
        return self._portal.run(partial(clone, durable=durable, transient=transient))

    def keep(self, instance: UUID | str, every: float, last: int = 1) -> Status:
        return self._portal.run(self._bus.keep, instance, every, last)

    def policy(self, instance: UUID | str, policy: Mapping[str, str | float]) -> Status:
        return self._portal.run(self._bus.policy, instance, policy)

    def snapshots(self, instance: UUID | str | None = None) -> Sequence[Snapshot]:
        return self._portal.run(self._bus.snapshots, instance)

    def drop(self, snapshot: bytes) -> None:
        self._portal.run(self._bus.drop, snapshot)

    def show(self, what: UUID | str | bytes) -> Shown:
        return self._portal.run(self._bus.show, what)

    def diff(self, first: bytes, second: bytes) -> Difference:
        return self._portal.run(self._bus.diff, first, second)

    def export(self, snapshot: bytes, write: Callable[[bytes], object], form: str = "file") -> int:
        """`write` is called in the thread of ours."""
        return self._portal.run(self._bus.export, snapshot, write, form)

    def import_snapshot(self, content: bytes, progress: Callable[[int, int], None] | None = None) -> Imported:
        return self._portal.run(self._bus.import_snapshot, content, progress)

    def list(self) -> list[Status]:
        return self._portal.run(self._bus.list)

    def status(self, instance: UUID | str) -> Status:
        return self._portal.run(self._bus.status, instance)

    def wait(self, instance: UUID | str) -> Status:
        return self._portal.run(self._bus.wait, instance)

    def kill(self, instance: UUID | str) -> Status:
        return self._portal.run(self._bus.kill, instance)

    def delete(self, instance: UUID | str) -> None:
        self._portal.run(self._bus.delete, instance)

    def upload(self, content: bytes, progress: Callable[[int, int], None] | None = None) -> Uploaded:
        return self._portal.run(self._bus.upload, content, progress)

    def upload_file(self, path: str, progress: Callable[[int, int], None] | None = None) -> Uploaded:
        """Raises OSError when it cannot be read."""
        return self._portal.run(self._bus.upload, self._portal.run(file_source, path), progress)

    def download(self, sha256: bytes, *, most: int = CALL_OUTPUT_BYTES) -> bytes:
        return self._portal.run(self._bus.download, sha256, most=most)

    def modules(self, module: bytes | None = None) -> Sequence[Module]:
        return self._portal.run(self._bus.modules, module)

    def pin(self, module: bytes | str, tags: Sequence[str] = ()) -> Pinned:
        return self._portal.run(self._bus.pin, module, tags)

    def unpin(self, module: bytes, tags: Sequence[str] = ()) -> None:
        self._portal.run(self._bus.unpin, module, tags)

    def usage(self) -> Mapping[str, Any]:
        return self._portal.run(self._bus.usage)

    def features(self) -> Mapping[str, Any]:
        return self._portal.run(self._bus.features)


async def _next_event(watching: Watching) -> Event | None:
    return await anext(watching, None)
