"""Snapshots that leave a host as a signed file (gatebus/snapshots/FORMAT.md), and such files that come in; a wire.

In:  a line that an operation has checked; a file of a client (untrusted: exportwords reads it, its parts are checked
     when a program goes on). Out: the file; a snapshot of the one who brought it.

What leaves is not the snapshot itself but one made from it for the way: it has no owner, no tags, no names of streams
(who knows one may attach) and no instance's id (of an open one whoever knows it may connect). It shares all chunks with
the first one, so it costs a small file; a crash leaves it as a kind that goes by itself. What comes in is described
anew: whose it is and what it is called is never a file's to say.
"""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from gatebus.accountbounds import IMPORT_BYTES
from gatebus.bounds import STREAM_WINDOW
from gatebus.host.lives.remains import limits_map, limits_untrusted
from gatebus.host.refusals import Refusal
from gatebus.snapshots.exportwords import MAGIC
from gatebus.snapshots.savedwords import CLONE, SNAPSHOT, Saved
from gatebus.snapshots.snapshotbounds import ANSWERED_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from gatebus.host.hostparts import HostParts
    from gatebus.host.principals import Principal
    from gatebus.snapshots.savedwords import SnapshotLine

_ID = 16
_TOLD = ("taken", "limits", "personality", "window", "usage", "lives")


def is_signed_file(data: bytes) -> bool:
    return data.startswith(MAGIC)


async def signed_file_of(parts: HostParts, line: SnapshotLine) -> bytes:
    """Raises GatebusError."""
    store, data = parts.lives.keeping.store, bytearray()

    async def write(piece: bytes) -> None:
        data.extend(piece)
        if len(data) > IMPORT_BYTES:
            raise Refusal(
                "quota-uploads", f"As a file it would have more than {IMPORT_BYTES >> 20} MiB; no host takes that."
            )

    program = await parts.programs.bytes_of(line.module)
    async with parts.lives.importing.leaving:  # two of one snapshot would have the same name for the way
        bare = _bare(await store.load(line.id), line.id)
        kept = await store.save(bare, account=line.account, base=line.id)
        async with _gone_after(parts, line.account, kept.id):
            await store.export(kept.id, program, write)
    return bytes(data)


def _bare(saved: Saved, name: bytes) -> Saved:
    about = {key: saved.about[key] for key in _TOLD if key in saved.about}
    about |= {"instance": sha256(name).digest()[:_ID], "kind": CLONE}
    return replace(saved, about=about, parts=_without_streams(saved.parts))


def _without_streams(parts: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, data) for name, data in parts if name != "streams")


async def take_signed_file(parts: HostParts, data: bytes, principal: Principal) -> tuple[bytes, bytes]:
    """(snapshot, module). Raises GatebusError, SandboxError."""
    store, source = parts.lives.keeping.store, io.BytesIO(data)

    async def read(size: int) -> bytes:
        return source.read(size)

    imported = await store.import_untrusted(read, principal.account)
    async with _gone_after(parts, principal.account, imported.id):
        module = await parts.programs.keep(principal, imported.program)
        saved = await store.load(imported.id)
        own = replace(saved, about=_described(parts, saved.about, principal), parts=_without_streams(saved.parts))
        kept = await store.save(own, account=principal.account, base=imported.id)
    return kept.id, module


def _described(parts: HostParts, told: Mapping[str, object], principal: Principal) -> dict[str, object]:
    return {
        "instance": uuid4().bytes,
        "owner": principal.id,
        "account": principal.account,
        "taken": round(parts.clock() * 1000),
        "kind": SNAPSHOT,
        "tags": ["imported"],
        "limits": limits_map(limits_untrusted(told.get("limits"))),
        "personality": "gate" if told.get("personality") == "gate" else "wasi",
        "window": STREAM_WINDOW,
    }


@asynccontextmanager
async def _gone_after(parts: HostParts, account: str, snapshot: bytes) -> AsyncIterator[None]:
    """A snapshot that was made for the way."""
    try:
        yield
    finally:
        with trio.move_on_after(ANSWERED_SECONDS, shield=True):
            await parts.lives.keeping.store.drop(account, snapshot)
