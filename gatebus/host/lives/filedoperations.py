"""Operations on what is in snapshots: show, diff, export, import; a wire.

Where it stands: see operations. In: ids, hashes, bytes of clients (untrusted). Out: maps for a person, a file, or a
snapshot out of a file.
"""

from __future__ import annotations

from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gatebus.accountbounds import CARRIED_SECONDS
from gatebus.bounds import STREAM_WINDOW
from gatebus.host import requests
from gatebus.host.lives.carrying import state_of, wasm_of
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.looking import difference, shown
from gatebus.host.lives.signedfiles import SIGNER, signed_file_of
from gatebus.host.refusals import Refusal
from gatebus.host.storeoperations import Transfer, carried, send
from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from gatebus.host.attendant import Line
    from gatebus.host.lives.carriage import Carried
    from gatebus.host.lives.live import Live
    from gatebus.host.principals import Principal
    from gatebus.host.requests import Parameters
    from gatebus.host.statuses import Map
    from gatebus.host.wholeparts import WholeParts
    from gatebus.snapshots.savedwords import SnapshotLine


class Leaving(Protocol):
    """A file on its way out."""

    size: int

    async def read(self, size: int) -> bytes: ...


FORMS: Mapping[object, Callable[[WholeParts, SnapshotLine], AbstractAsyncContextManager[Leaving]]] = MappingProxyType(
    {"file": signed_file_of, "state": state_of, "wasm": wasm_of}
)


_NOT_STORED = "What this instance is now is not stored. Suspend it, or show a snapshot of it."
_OVER = "The instance has ended, and nothing is kept of what it was then. Show a snapshot that was taken of it before."
_NOT_YOURS = "The snapshot's program is not yours: whoever knows its hash may run it, not have it. Upload it first."


def show(parts: WholeParts, line: Line, given: Parameters) -> None:
    async def work() -> Map:
        return await shown(parts, await _named(parts, line.principal, given))

    _later(parts, line, work)


async def _named(parts: WholeParts, principal: Principal, given: Parameters) -> SnapshotLine:
    """A snapshot, or the one of an instance that is stored. Raises Refusal."""
    if "instance" not in given:
        return await parts.lives.keeping.own_line(principal, requests.digest_untrusted(given, "snapshot"))
    instance = parts.registry.own_instance(principal, requests.instance_untrusted(given))
    live = instance.live
    if live is None or live.snapshot is None or not _is_stored(live):
        raise Refusal("conflict", _OVER if instance.ended_at is not None else _NOT_STORED)
    return await parts.lives.keeping.own_line(principal, live.snapshot)


def _is_stored(live: Live) -> bool:
    """What was stored of one that was killed later is not what it is now."""
    return live.life is Life.STORED or (live.life is Life.ENDED and live.halted is not None)


def diff(parts: WholeParts, line: Line, given: Parameters) -> None:
    one, two = requests.digest_untrusted(given, "a"), requests.digest_untrusted(given, "b")

    async def work() -> Map:
        own_line = parts.lives.keeping.own_line
        return await difference(parts, await own_line(line.principal, one), await own_line(line.principal, two))

    _later(parts, line, work)


def export(parts: WholeParts, line: Line, given: Parameters) -> None:
    digest, form = requests.digest_untrusted(given, "snapshot"), given.get("form", "file")
    if form not in FORMS:
        raise Refusal("bad-request", f"The parameter `form` must be {' or '.join(map(str, FORMS))}.")

    async def work(transfer: Transfer) -> Map | None:
        own = await parts.lives.keeping.own_line(line.principal, digest)
        await _check_program(parts, line.principal, own)
        async with _place(parts, line, transfer) as file, FORMS[form](parts, own) as leaving:
            return await _sent(_Way(parts, line, transfer, file), leaving)

    carried(parts, line, work, CARRIED_SECONDS)


async def _check_program(parts: WholeParts, principal: Principal, own: SnapshotLine) -> None:
    """A file of a snapshot has the program in it, and memory that began as parts of it. Raises Refusal."""
    if await parts.store.own_size(principal, bytes.fromhex(own.module)) is None:
        raise Refusal("not-found", _NOT_YOURS)


def _place(parts: WholeParts, line: Line, transfer: Transfer) -> AbstractAsyncContextManager[Carried]:
    """Raises Refusal, also in the middle."""
    return parts.lives.importing.carriage.place(line.principal.account, lambda: transfer.over)


class _Way(NamedTuple):
    """Of one file."""

    parts: WholeParts
    line: Line
    transfer: Transfer
    file: Carried

    def begin(self, window: int) -> bool:
        """False: its client is gone."""
        with self.parts.turn:
            if not self.transfer.over:
                self.line.accept({"taken": 0}, window)
                self.file.begins()
            return not self.transfer.over


async def _sent(way: _Way, leaving: Leaving) -> Map | None:
    if not way.begin(0):
        return None
    hashed = sha256()

    async def read(size: int) -> bytes:
        piece = await leaving.read(size)
        hashed.update(piece)
        way.file.moved(len(piece))
        return piece

    sent = await send(way.line, way.transfer, read, leaving.size)
    way.file.whole()
    return {"size": leaving.size, "sha256": hashed.digest()} if sent else None


def bring_in(parts: WholeParts, line: Line, given: Parameters) -> None:
    digest, size = requests.digest_untrusted(given), requests.count_untrusted(given, "size")
    parts.lives.importing.check(size)

    async def work(transfer: Transfer) -> Map | None:
        async with _place(parts, line, transfer) as file:
            way = _Way(parts, line, transfer, file)
            if not way.begin(STREAM_WINDOW):
                return None
            try:
                read = _Arriving(way, size, digest).read
                snapshot, module = await parts.lives.importing.take(read, line.principal)
            except _Gone:
                return None
            told = (await parts.lives.keeping.own_line(line.principal, snapshot)).about
            signed = {SIGNER: told[SIGNER]} if SIGNER in told else {}
            return {"snapshot": snapshot, "module": module, **signed}

    carried(parts, line, work, CARRIED_SECONDS)


class _Gone(Exception):  # noqa: N818  # nobody's fault
    """The client is."""


class _Arriving:
    """The bytes of a file as they come, not more of them than a window at a time."""

    def __init__(self, way: _Way, size: int, digest: bytes) -> None:
        self._line, self._transfer, self._file = way.line, way.transfer, way.file
        self._size, self._digest = size, digest
        self._came, self._hashed = 0, sha256()

    async def read(self, _size: int) -> bytes:
        """Whatever came; b"" at the end of all that was announced. Raises Refusal, _Gone."""
        while not self._transfer.came_in:
            if self._came >= self._size or self._line.flows.into.finished is not None:
                return self._end()
            if not await self._transfer.wait():
                raise _Gone
        if self._transfer.over:
            raise _Gone
        piece = self._transfer.take()
        self._came += len(piece)
        self._file.moved(len(piece))
        if self._came > self._size:
            self._end()
        await in_thread(self._hashed.update, piece)
        if _is_over(self._transfer):
            raise _Gone
        self._line.flows.into.consume(len(piece))
        self._transfer.pump()
        return piece

    def _end(self) -> bytes:
        if self._came != self._size:
            raise Refusal("bad-request", f"{self._came} bytes came; {self._size} were announced.")
        if self._hashed.digest() != self._digest:
            raise Refusal("bad-request", "What came has another SHA-256 than was announced.")
        self._file.whole()
        return b""


def _is_over(transfer: Transfer) -> bool:
    """Its link may have been lost, or it was cancelled, meanwhile."""
    return transfer.over


def _later(parts: WholeParts, line: Line, work: Callable[[], Awaitable[Map]]) -> None:
    async def answered() -> None:
        told = await work()
        with parts.turn:
            if line.open:
                line.result(told)

    parts.answer_later(line, answered)
