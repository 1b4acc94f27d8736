"""Wire: what can be asked of a host about programs that are stopped, copied and go on (level 4 of PROTOCOL.md).

In:  instances and snapshots by their names. Out: frozen answers; errors by whose fault. As everything of a bus, each
may be cancelled, and is asked again on another link when its own is lost: new instances are named here, so that asking
twice is asking once; a snapshot may then have been taken twice, and the second one is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gatebus.client import transfers
from gatebus.client.answers import Status, digest_untrusted, instance_untrusted, status_untrusted
from gatebus.client.asking import Asking
from gatebus.client.liveanswers import (
    Difference,
    Imported,
    Shown,
    Snapshot,
    Taken,
    difference_untrusted,
    ids_untrusted,
    imported_untrusted,
    shown_untrusted,
    snapshot_untrusted,
    taken_untrusted,
)
from gatebus.client.orders import AS_IT_WAS
from gatebus.clientbounds import READ_PIECE
from gatebus.slips import instance_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from gatebus.client.orders import Life
    from gatebus.client.transfers import Source


class LiveBus(Asking):
    """A part of Bus."""

    async def suspend(self, instance: UUID | str, depth: str = "stored") -> Status:
        """Stop it wherever it is. "stored": its state is durable on the host's disk when this returns, and its process
        is gone; "parked": the process waits, and `resume` takes about a millisecond.
        """
        return status_untrusted(await self._ask("suspend", instance=instance_id(instance), depth=depth))

    async def resume(self, instance: UUID | str, function: str | None = None) -> Status:
        """It goes on. `function`: of one that has halted and was launched `resumable`, the next one to run."""
        given = {} if function is None else {"function": function}
        return status_untrusted(await self._ask("resume", instance=instance_id(instance), **given))

    async def snapshot(self, instance: UUID | str, tags: Sequence[str] = ()) -> Taken:
        """Of a running or stopped one, which does not notice; durable when this returns."""
        return taken_untrusted(await self._ask("snapshot", instance=instance_id(instance), **_tagged(tags)))

    async def restore(
        self,
        snapshot: bytes,
        *,
        tags: Sequence[str] = (),
        limits: Mapping[str, float | None] | None = None,
        function: str | None = None,
        life: Life = AS_IT_WAS,
    ) -> UUID:
        """A new instance that goes on from there; its id. `function`: of a program that had halted, which runs now.
        `life`: who wakes it, and what else may differ from what the snapshot says.
        """
        given = {"snapshot": snapshot, "instance": self._name(), **_tagged(tags), **life.said()}
        if limits:
            given["limits"] = dict(limits)
        if function is not None:
            given["function"] = function
        return instance_untrusted(await self._ask("restore", **given))

    async def clone(
        self,
        instance: UUID | str,
        count: int = 1,
        *,
        tags: Sequence[str] = (),
        durable: bool = False,
        transient: bool | None = None,
    ) -> list[Status | Mapping[str, Any]]:
        """Copies that go on from where it is now. What the host refused is a map with its `code` and `text`. `tags`: of
        each copy, in the place of the original's. `durable`: wait until a crash of the host would not end them.
        `transient`: whether it may; None: as of the original.
        """
        given: dict[str, Any] = {"instances": [self._name() for _ in range(count)], **_tagged(tags)}
        if durable:
            given["durable"] = True
        if transient is not None:
            given["transient"] = transient
        rows = ids_untrusted(await self._ask("clone", instance=instance_id(instance), **given))
        return [row if "code" in row else status_untrusted(row) for row in rows]

    async def keep(self, instance: UUID | str, every: float, last: int = 1) -> Status:
        """A checkpoint every so many seconds, of which the `last` ones stay; 0: no longer."""
        return status_untrusted(await self._ask("keep", instance=instance_id(instance), every=every, last=last))

    async def policy(self, instance: UUID | str, policy: Mapping[str, str | float]) -> Status:
        """How it lives from now on, such as {"wake": "any", "idle_store": 60}; what is not said stays as it is."""
        return status_untrusted(await self._ask("policy", instance=instance_id(instance), policy=dict(policy)))

    async def snapshots(self, instance: UUID | str | None = None) -> Sequence[Snapshot]:
        """Ours, or those of one instance; the newest first."""
        given: dict[str, Any] = {} if instance is None else {"instance": instance_id(instance)}
        found: dict[bytes, Snapshot] = {}
        async for row in self._pages("snapshots", "snapshots", "snapshot", **given):
            line = snapshot_untrusted(row)
            found[line.snapshot] = line
        return [*found.values()]

    async def drop(self, snapshot: bytes) -> None:
        """Forget a snapshot."""
        await self._ask("drop", snapshot=snapshot)

    async def show(self, what: UUID | str | bytes) -> Shown:
        """A stored instance by its id, or a snapshot by its 32 bytes."""
        given = {"snapshot": what} if isinstance(what, bytes) else {"instance": instance_id(what)}
        return shown_untrusted(await self._ask("show", **given))

    async def diff(self, first: bytes, second: bytes) -> Difference:
        return difference_untrusted(await self._ask("diff", a=first, b=second))

    async def export(self, snapshot: bytes, write: Callable[[bytes], object], form: str = "file") -> int:
        """Its bytes, in order, to `write`; how many. "file": everything, for `import_snapshot` at any host; "wasm": one
        module that other runtimes run, too, with the state beside it.
        """
        order = transfers.Order("export", {"snapshot": snapshot, "form": form}, READ_PIECE)
        return await transfers.export(self.lifeline, order, write)

    async def import_snapshot(
        self, source: bytes | Source, progress: Callable[[int, int], None] | None = None
    ) -> Imported:
        """What `export` has written, or `gatebus run --state` here."""
        if isinstance(source, bytes):
            source = transfers.BytesSource(source)
        return imported_untrusted(await transfers.send(self.lifeline, "import", source, progress))

    async def _warm(self, given: Mapping[str, Any]) -> bytes:
        return digest_untrusted(await self._ask("warm", **given), "snapshot")


def _tagged(tags: Sequence[str]) -> dict[str, Any]:
    return {"tags": list(tags)} if tags else {}
