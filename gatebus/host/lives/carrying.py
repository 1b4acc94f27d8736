"""Snapshots that leave a host as a state or a module, and files that come in; a wire.

In:  a snapshot of the store, or a file of a client (untrusted: as in sandbox/STATE.md, the format of `gatebus run
     --state`, or a module with such a state beside it; or signed: signedfiles). Out: the other. A file carries its
     program; what its parts mean is checked in the jail when it goes on.

A file says nothing of owners, streams or hosts: whoever brings it in owns what becomes of it. A state is not signed:
the configuration (`snapshots.accept`) says whether one may come in.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from gatebus.accountbounds import IMPORT_BYTES, SPOOLED_PIECE, TRANSFER_PIECE
from gatebus.bounds import STREAM_WINDOW, STREAM_WINDOW_MOST
from gatebus.faults import StateRefused
from gatebus.host.lives.carriage import Carriage
from gatebus.host.lives.heldsizes import check_lengths_untrusted, check_services_untrusted, lengths_of
from gatebus.host.lives.remains import limits_map, limits_untrusted, parts_of
from gatebus.host.lives.signedfiles import is_signed_file, take_signed_file
from gatebus.host.lives.streamwords import streams_untrusted
from gatebus.host.quotas import Amounts
from gatebus.host.refusals import Refusal, as_refusal
from gatebus.host.storedisk import told
from gatebus.keptservices import Kept, encode_kept, kept_untrusted
from gatebus.route import service_state_untrusted
from gatebus.services.origin import streams_untrusted as streams_of_origin_untrusted
from gatebus.snapshots.savedwords import SNAPSHOT, Saved
from sandbox.errors import BadState
from sandbox.exportfile import beside_state, where_it_lies_untrusted
from sandbox.inthread import in_thread
from sandbox.statefile import Stored, decode_untrusted, encoded, places_untrusted
from sandbox.statewords import PAGE, PIECE, look_untrusted, program_of_untrusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from gatebus.host.hostparts import HostParts
    from gatebus.host.lives.remains import Leftover, Parts
    from gatebus.host.principals import Principal
    from gatebus.host.quotas import Quotas, Ticket
    from gatebus.snapshots.savedwords import Memory, SnapshotLine
    from gatebus.snapshots.spool import Spool

_MAGIC = 8  # bytes that say what a file is
_MODULE = b"\0asm"
_WAITS = "A state or module that leaves waits for its client on the host's disk, and counts as stored."


@asynccontextmanager
async def state_of(parts: HostParts, line: SnapshotLine) -> AsyncIterator[Made]:
    """Never whole in memory. Raises GatebusError, SandboxError."""

    async def make() -> Iterable[bytes | memoryview]:
        left = await parts.lives.loading.fetch(line.id, line.account)
        stored = await _stored(parts, line, left)
        return encoded(left.suspended, stored.program, stored.description, stored.services)

    async with _made(parts, line.account, make) as made:
        yield made


@asynccontextmanager
async def wasm_of(parts: HostParts, line: SnapshotLine) -> AsyncIterator[Made]:
    """The stopped program as one ordinary module, with its state beside it; likewise. Raises GatebusError,
    SandboxError.
    """

    async def make() -> Iterable[bytes | memoryview]:
        left = await parts.lives.loading.fetch(line.id, line.account)
        stored = await _stored(parts, line, left)
        made = await parts.box.exported(left.suspended, stored.program)
        return beside_state(made.pieces, stored)

    async with _made(parts, line.account, make) as made:
        yield made


async def _stored(parts: HostParts, line: SnapshotLine, left: Leftover) -> Stored:
    """Without its memory, which is never held whole. Raises GatebusError."""
    program = await parts.programs.bytes_of(line.module)
    about = {name: line.about.get(name) for name in ("limits", "personality", "window")}
    return Stored(about, program, left.suspended.state, memoryview(b""), _services(left, about["personality"]))


@asynccontextmanager
async def _made(
    parts: HostParts, account: str, make: Callable[[], Awaitable[Iterable[bytes | memoryview]]]
) -> AsyncIterator[Made]:
    """By one at a time; it waits for its client on the disk, and counts as stored by then."""
    with _spool(parts) as spool, ExitStack() as counted:
        async with parts.whole:
            pieces = iter(await make())
            had = 0
            while (more := await _more(spool, pieces) - had) > 0:
                had += more
                counted.callback(parts.quotas.release, _taken(parts.quotas, account, more))
            del pieces
        yield Made(spool)


async def _more(spool: Spool, pieces: Iterator[bytes | memoryview]) -> int:
    """How much there is after some more."""
    with told():
        await in_thread(_add_some, spool, pieces)
    return spool.size


def _add_some(spool: Spool, pieces: Iterator[bytes | memoryview]) -> None:
    before = spool.size
    for piece in pieces:
        spool.add(piece)
        if spool.size - before >= SPOOLED_PIECE:
            return


def _taken(quotas: Quotas, account: str, size: int) -> Ticket:
    """Raises Refusal."""
    try:
        return quotas.take(account, Amounts(stored=size))
    except Refusal as full:
        raise Refusal(full.code, f"{_WAITS} {full.text}") from None


def _spool(parts: HostParts) -> Spool:
    with told():
        return parts.lives.keeping.store.spool()


class Made:
    """What leaves from a spool."""

    def __init__(self, spool: Spool) -> None:
        self.size = spool.size
        self._spool, self._at = spool, 0

    async def read(self, size: int) -> bytes:
        with told():
            piece = await self._spool.read(self._at, size)
        self._at += len(piece)
        return piece


def _services(left: Leftover, personality: object) -> bytes:
    """As a process of `gatebus run` keeps them: whoever goes on writes first what was never sent to a client."""
    states = [service_state_untrusted(saved) for name, saved in left.services if name == "origin"]
    first = personality == "wasi" or any(0 in streams_of_origin_untrusted(state) for state in states)
    owed = [each.kept[each.sent - each.taken :] for each in streams_untrusted(left.streams) if each.number == 0]
    return encode_kept(Kept(first, left.services, b"".join(owed), left.unsent))


class Importing:
    """Of a host. Files on their way, in and out, are bounded: each holds files open and a piece of memory."""

    def __init__(self, parts: HostParts) -> None:
        self._parts, self.carriage = parts, Carriage()

    def check(self, size: int) -> None:
        """Raises Refusal."""
        if not size:
            raise Refusal("bad-state", "The file is empty. A snapshot's file is what `export` writes.")
        if size > IMPORT_BYTES:
            raise Refusal("quota-uploads", f"A file of a snapshot has at most {IMPORT_BYTES >> 20} MiB here.")

    async def take(self, read: Callable[[int], Awaitable[bytes]], principal: Principal) -> tuple[bytes, bytes]:
        """(snapshot, module). Raises GatebusError, SandboxError, and what `read` raises."""
        begun = b""
        while len(begun) < _MAGIC and (more := await read(_MAGIC)):
            begun += more

        async def whole(size: int) -> bytes:
            nonlocal begun
            first, begun = begun, b""
            return first or await read(size)

        if is_signed_file(begun):
            return await take_signed_file(self._parts, whole, principal)
        if self._parts.config.snapshots.accept != "any":
            raise Refusal("forbidden", "This host takes only snapshots that a host has signed (snapshots.accept).")
        return await self._take_state(whole, principal)

    async def _take_state(self, read: Callable[[int], Awaitable[bytes]], principal: Principal) -> tuple[bytes, bytes]:
        with _spool(self._parts) as spool:
            while piece := await read(TRANSFER_PIECE):
                with told():
                    await in_thread(spool.add, piece)
            async with self._parts.whole:
                try:
                    stored, saved = await in_thread(self._read_untrusted, spool.view(), principal)
                except (BadState, StateRefused) as bad:
                    raise as_refusal(bad) from None
                module = await self._parts.programs.keep(principal, stored.program)
                kept = await self._parts.lives.keeping.store.save(saved, account=principal.account)
                return kept.id, module

    def _read_untrusted(self, data: memoryview, principal: Principal) -> tuple[Stored, Saved]:
        """In a thread. Raises BadState, StateRefused."""
        stored, memory = _opened_untrusted(data)
        parts, personality = _parts_untrusted(stored)
        limits = limits_untrusted(stored.description.get("limits"))
        about = {
            "instance": uuid4().bytes,
            "owner": principal.id,
            "account": principal.account,
            "taken": round(self._parts.clock() * 1000),
            "kind": SNAPSHOT,
            "tags": ["imported"],
            "limits": limits_map(limits),
            "personality": personality,
            "window": _window_untrusted(stored.description.get("window")),
        }
        saved = Saved(program_of_untrusted(stored.state), about, stored.state, parts, memory)
        check_lengths_untrusted(lengths_of(saved), limits)
        check_services_untrusted(lengths_of(saved), self._parts.runner.services)
        return stored, saved


def _opened_untrusted(data: memoryview) -> tuple[Stored, Memory]:
    """Of a module the state beside it. Raises BadState, StateRefused."""
    if data[: len(_MODULE)] != _MODULE:
        stored = decode_untrusted(data)
        return stored, PieceMemory(stored)
    found = where_it_lies_untrusted(data)
    if found is None:
        raise StateRefused(
            "This is a module without the state of a stopped program beside it. `gatebus launch` starts it; what was "
            "exported goes on, unless that was with `--plain`."
        )
    return found


def _parts_untrusted(stored: Stored) -> tuple[Parts, str]:
    """And its personality. Raises BadState, StateRefused."""
    kept, personality = kept_untrusted(stored.services), stored.description.get("personality")
    if personality not in ("wasi", "gate"):
        raise StateRefused("The state does not say how its program speaks. Make it again with this version of gatebus.")
    if kept.output:
        raise StateRefused(
            f"{len(kept.output)} bytes of the program's output have not been read, and a host has nobody to read them. "
            "Let it go on with `gatebus run --resume FILE` and stop it again."
        )
    return parts_of(kept.services, kept.unsent), personality


def _window_untrusted(told: object) -> int:
    """The program may have credit for so much already."""
    return min(max(told, STREAM_WINDOW), STREAM_WINDOW_MOST) if type(told) is int else STREAM_WINDOW


class PieceMemory:
    """Memory 0 as a file has it."""

    def __init__(self, stored: Stored) -> None:
        self.size = look_untrusted(stored.state).pages * PAGE
        self._pieces = dict(places_untrusted(stored))

    def read(self, offset: int, size: int) -> bytes:
        zeros = bytes(PIECE)
        first, end = offset // PIECE, min(offset + size, self.size)
        whole = b"".join(bytes(self._pieces.get(place, zeros)) for place in range(first, -(-end // PIECE)))
        return whole[offset - first * PIECE :][: end - offset]

    def data(self) -> Iterator[tuple[int, int]]:
        for place in sorted(self._pieces):
            yield place * PIECE, PIECE
