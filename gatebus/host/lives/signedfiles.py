"""Snapshots that leave a host as a signed file (gatebus/snapshots/FORMAT.md), and such files that come in; a wire.

In:  a line that an operation has checked; a file of a client (untrusted: exportwords reads it, its parts are checked
     when a program goes on). Out: the file; a snapshot of the one who brought it.

What leaves is not the snapshot itself but the same chunks under another manifest: without owner, tags, names of streams
(who knows one may attach) and instance's id (of an open one whoever knows it may connect). What comes in is described
anew, too: whose it is and what it is called is never a file's to say. Neither is ever held whole.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

from gatebus.accountbounds import IMPORT_BYTES
from gatebus.bounds import STREAM_WINDOW
from gatebus.host.lives.heldsizes import check_lengths_untrusted, check_services_untrusted
from gatebus.host.lives.remains import STREAMS, limits_map, limits_untrusted
from gatebus.host.refusals import Refusal
from gatebus.snapshots.exportwords import MAGIC
from gatebus.snapshots.manifestwords import decode_untrusted, retold
from gatebus.snapshots.savedwords import CLONE, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from gatebus.host.hostparts import HostParts
    from gatebus.host.principals import Principal
    from gatebus.snapshots.exportwords import Imported
    from gatebus.snapshots.manifestwords import Manifest
    from gatebus.snapshots.savedwords import SnapshotLine
    from gatebus.snapshots.transfer import Export

SIGNER = "signer"
"""Key of a description: the public key of the host that had signed the file."""
_ID = 16
_TOLD = ("taken", "limits", "personality", "window", "usage", "lives")


def is_signed_file(beginning: bytes) -> bool:
    return beginning.startswith(MAGIC)


@asynccontextmanager
async def signed_file_of(parts: HostParts, line: SnapshotLine) -> AsyncIterator[Export]:
    """Raises GatebusError."""
    program = await parts.programs.bytes_of(line.module)
    async with parts.lives.keeping.store.exporting(line.id, program, line.account, partial(_bare, line.id)) as leaving:
        if leaving.size > IMPORT_BYTES:
            raise Refusal(
                "quota-uploads", f"As a file it would have more than {IMPORT_BYTES >> 20} MiB; no host takes that."
            )
        yield leaving


def _bare(name: bytes, manifest: bytes) -> bytes:
    told = decode_untrusted(manifest).described()
    about = {key: told[key] for key in _TOLD if key in told}
    return retold(manifest, about | {"instance": sha256(name).digest()[:_ID], "kind": CLONE}, STREAMS)


async def take_signed_file(
    parts: HostParts, read: Callable[[int], Awaitable[bytes]], principal: Principal
) -> tuple[bytes, bytes]:
    """(snapshot, module). Raises GatebusError, SandboxError, and what `read` raises."""

    async def own(imported: Imported) -> bytes:
        await parts.programs.keep(principal, imported.program)
        told = decode_untrusted(imported.manifest).described()
        signer = {} if imported.key is None else {SIGNER: imported.key}
        return retold(imported.manifest, _described(parts, told, principal) | signer, STREAMS)

    kept = await parts.lives.keeping.store.import_untrusted(read, principal.account, own, partial(_check, parts))
    return kept.id, sha256(kept.program).digest()


def _check(parts: HostParts, manifest: Manifest) -> None:
    """By its list of contents alone, before any of them comes. Raises StateRefused."""
    check_lengths_untrusted(manifest.lengths, limits_untrusted(manifest.described().get("limits")))
    check_services_untrusted(manifest.lengths, parts.runner.services)


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
