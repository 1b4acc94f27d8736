"""Operations on what is in snapshots: show, diff, export, import; a wire.

Where it stands: see operations. In: ids, hashes, bytes of clients (untrusted). Out: maps for a person, a file, or a
snapshot out of a file.
"""

from __future__ import annotations

from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING

from gatebus.bounds import STREAM_WINDOW
from gatebus.host import requests
from gatebus.host.lives.carrying import state_of, wasm_of
from gatebus.host.lives.lifetable import Life
from gatebus.host.lives.looking import difference, shown
from gatebus.host.lives.signedfiles import signed_file_of
from gatebus.host.refusals import Refusal
from gatebus.host.storeoperations import Transfer, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gatebus.host.attendant import Line
    from gatebus.host.hostparts import HostParts
    from gatebus.host.principals import Principal
    from gatebus.host.requests import Parameters
    from gatebus.host.statuses import Map
    from gatebus.snapshots.savedwords import SnapshotLine

FORMS: Mapping[object, Callable[[HostParts, SnapshotLine], Awaitable[bytes]]] = MappingProxyType(
    {"file": signed_file_of, "state": state_of, "wasm": wasm_of}
)


def show(parts: HostParts, line: Line, given: Parameters) -> None:
    async def work() -> Map:
        return await shown(parts, await _named(parts, line.principal, given))

    _later(parts, line, work)


async def _named(parts: HostParts, principal: Principal, given: Parameters) -> SnapshotLine:
    """A snapshot, or the one of an instance that is stored. Raises Refusal."""
    if "instance" not in given:
        return await parts.lives.keeping.own_line(principal, requests.digest_untrusted(given, "snapshot"))
    instance = parts.registry.own_instance(principal, requests.instance_untrusted(given))
    live = instance.live
    if live is None or live.snapshot is None or live.life not in (Life.STORED, Life.ENDED):
        raise Refusal("conflict", "What this instance is now is not stored. Suspend it, or show a snapshot of it.")
    return await parts.lives.keeping.own_line(principal, live.snapshot)


def diff(parts: HostParts, line: Line, given: Parameters) -> None:
    one, two = requests.digest_untrusted(given, "a"), requests.digest_untrusted(given, "b")

    async def work() -> Map:
        own_line = parts.lives.keeping.own_line
        return await difference(parts, await own_line(line.principal, one), await own_line(line.principal, two))

    _later(parts, line, work)


def export(parts: HostParts, line: Line, given: Parameters) -> None:
    digest, form = requests.digest_untrusted(given, "snapshot"), given.get("form", "file")
    if form not in FORMS:
        raise Refusal("bad-request", f"The parameter `form` must be {' or '.join(map(str, FORMS))}.")
    transfer = Transfer(line, parts.turn)

    async def work() -> Map | None:
        data = await FORMS[form](parts, await parts.lives.keeping.own_line(line.principal, digest))
        with parts.turn:
            if not line.open:
                return None
            line.accept({"taken": 0}, 0)
        rest = memoryview(data)

        async def read(size: int) -> bytes:
            nonlocal rest
            piece, rest = bytes(rest[:size]), rest[size:]
            return piece

        sent = await send(line, transfer, read, len(data))
        return {"size": len(data), "sha256": sha256(data).digest()} if sent else None

    _later(parts, line, work)


def bring_in(parts: HostParts, line: Line, given: Parameters) -> None:
    digest, size = requests.digest_untrusted(given), requests.count_untrusted(given, "size")
    parts.lives.importing.check(size)
    transfer = Transfer(line, parts.turn)

    async def work() -> Map | None:
        data = await _whole(parts, line, transfer, size)
        if data is None:
            return None
        if len(data) != size:
            raise Refusal("bad-request", f"{len(data)} bytes came; {size} were announced.")
        snapshot, module = await parts.lives.importing.take(data, digest, line.principal)
        return {"snapshot": snapshot, "module": module}

    _later(parts, line, work)


async def _whole(parts: HostParts, line: Line, transfer: Transfer, size: int) -> bytes | None:
    """All that comes, until there is enough or an end. None: its client is gone."""
    with parts.turn:
        if not _is_open(line):
            return None
        line.accept({"taken": 0}, STREAM_WINDOW)
    data = bytearray()
    while len(data) < size:
        if not transfer.came_in and (line.flows.into.finished is not None or not await transfer.wait()):
            break
        if not _is_open(line):
            return None
        piece = transfer.take()
        data += piece
        line.flows.into.consume(len(piece))
        transfer.pump()
    return bytes(data)


def _is_open(line: Line) -> bool:
    """Its link may have been lost, or it was cancelled, meanwhile."""
    return line.open


def _later(parts: HostParts, line: Line, work: Callable[[], Awaitable[Map | None]]) -> None:
    """None: its client is gone."""

    async def answered() -> None:
        told = await work()
        with parts.turn:
            if told is not None and line.open:
                line.result(told)

    parts.answer_later(line, answered)
