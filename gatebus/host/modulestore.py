"""Modules that a host keeps: bytes by what they are, records of whose they are, uploads that can be resumed; a wire.

    async with open_module_store(folder, bounds, quotas) as store:
        upload = await store.upload(sha256, size, principal)      # .known: it is yours already; .taken: go on from here
        await upload.write(data); module = await upload.finish()  # or await upload.aclose(): broken off
        data = await store.get(sha256)                            # hashed again before it is believed
        await store.pin(sha256, principal, tags)

In:  hashes, sizes, bytes and tags of clients (untrusted), a Principal that was proved. Out: bytes, records, Refusal,
StoreBroken.

Order of an upload: quota, then the first byte; bytes, then their hash; the file on the disk, then the record, then the
answer. Order of forgetting: the record, then the file: what is on the disk without a record is nobody's, and stays.
Files without any records beside them are not opened. One host per folder, by a lock.

A holding is the right to have the bytes, and comes from having had them: they were sent, fetched for the account, or
left by its program. Hashes stand in logs and command lines. So an upload is skipped only for whom the module is already
(anybody else's bytes come and are hashed, and whether they were here already cannot be told from the answers), and only
a holder may pin. What lost: skipping for everybody, which made of every hash the bytes.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from gatebus.accountbounds import MODULE_COST
from gatebus.bounds import CLOSE_SECONDS, TIDY_SECONDS
from gatebus.faults import GatebusError
from gatebus.host.hostconfig import StoreBounds
from gatebus.host.moduledata import Holding, Module, expired, tags_untrusted
from gatebus.host.modulefiles import ModuleFiles
from gatebus.host.modulerecords import module_records_for
from gatebus.host.moduleupload import Announced, Upload, who
from gatebus.host.principals import Principal
from gatebus.host.quotas import Amounts, Quotas, Ticket
from gatebus.host.refusals import Refusal
from gatebus.host.storedisk import StoreDisk, alone, told
from sandbox.inthread import in_thread

_ABSENT = "This host does not have the module. Upload it first."
_DIGEST = hashlib.sha256().digest_size
_ATTEMPTS = 8  # of a compare-and-set: each failed one means that somebody else's succeeded


@dataclass(frozen=True, slots=True)
class Held:
    """One line of `modules`."""

    module: Module
    holding: Holding


@asynccontextmanager
async def open_module_store(
    folder: Path, bounds: StoreBounds, quotas: Quotas, clock: Callable[[], float] = time.time
) -> "AsyncIterator[ModuleStore]":
    """Raises StoreBroken: another host uses the folder, it cannot be read, its records are damaged."""
    with alone(folder):
        with told():
            files = await in_thread(ModuleFiles, folder / "modules")
        one = trio.CapacityLimiter(1)
        records = await in_thread(module_records_for, folder, files, limiter=one)
        store = ModuleStore(StoreDisk(one, files, records), bounds, quotas, clock)
        try:
            await store.count()
            yield store
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await store.settle(records.close)


class ModuleStore:
    """Made by open_module_store. Any task may call it."""

    def __init__(self, disk: StoreDisk, bounds: StoreBounds, quotas: Quotas, clock: Callable[[], float]) -> None:
        self.on_trouble: Callable[[GatebusError], None] = _nobody
        self.needed: Callable[[], Awaitable[frozenset[bytes]]] = _nothing
        """Modules that something else cannot do without, such as snapshots; asked before anything is forgotten."""
        self._disk = disk
        self._bounds = bounds
        self._quotas = quotas
        self._clock = clock
        self._tickets: dict[tuple[bytes, str], Ticket] = {}  # stored bytes: one per holding and per resting partial
        self._uploads: dict[tuple[bytes, str], Upload] = {}
        self._live: set[Upload] = set()
        self._used: dict[bytes, int] = {}  # uses since they were last written down
        self._opening = trio.Lock()  # of two uploads of one partial file, the second sees the first
        self._changing = trio.Lock()  # a module is not forgotten while it is being added

    async def count(self) -> None:
        """What is there from earlier runs draws on its owners' quotas."""
        sizes = {each.sha256: each.size for each in await self._disk.record(self._disk.records.modules)}
        for holding in await self._disk.record(self._disk.records.holdings):
            self._keep((holding.sha256, holding.account), sizes.get(holding.sha256, 0))
        for part in await self._disk.record(self._disk.records.partials):
            size = await self._disk.file(self._disk.files.partial_size, part.sha256, who(part.account))
            if size:
                self._keep((part.sha256, part.account), size)
            else:  # its host was killed before the first byte
                await self._drop_partial(part.sha256, part.account)

    def _keep(self, key: tuple[bytes, str], size: int) -> None:
        self._let_go(key)
        self._tickets[key] = self._quotas.adopt(key[1], Amounts(stored=_cost(size)))

    def _let_go(self, key: tuple[bytes, str]) -> None:
        ticket = self._tickets.pop(key, None)
        if ticket is not None:
            self._quotas.release(ticket)

    # Reading.

    async def get(self, sha256: bytes) -> bytes:
        """The module's bytes for the host's own use, whoever asks: to run it, nothing else. Raises Refusal."""
        module = await self._disk.record(self._disk.records.module, sha256)
        data = await self._disk.file(self._disk.files.read, sha256) if module is not None else None
        if data is None:
            raise Refusal("not-found", _ABSENT)
        self.touch(sha256)
        return data

    async def size(self, sha256: bytes) -> int:
        """Whoever asks. Raises Refusal."""
        module = await self._disk.record(self._disk.records.module, sha256)
        if module is None:
            raise Refusal("not-found", _ABSENT)
        return module.size

    @asynccontextmanager
    async def reading(self, sha256: bytes) -> AsyncIterator[Callable[[int], Awaitable[bytes]]]:
        """The same in pieces of a size that the reader names, b"" at the end: a large file is never held whole."""
        file = await self._disk.file(self._disk.files.open_whole, sha256)
        if file is None:
            raise Refusal("not-found", _ABSENT)
        self.touch(sha256)
        try:
            yield partial(self._disk.file, file.read)
        finally:
            file.close()

    async def own(self, principal: Principal, sha256: bytes) -> int:
        """The size of what the principal holds. Raises Refusal, the same one whether it is missing or another's."""
        size = await self.own_size(principal, sha256)
        if size is None:
            raise Refusal("not-found", _ABSENT)
        return size

    async def own_size(self, principal: Principal, sha256: bytes) -> int | None:
        """Of what the principal holds."""
        holding = await self._disk.record(self._disk.records.holding, sha256, principal.account)
        module = await self._disk.record(self._disk.records.module, sha256)
        return module.size if holding is not None and module is not None else None

    def touch(self, sha256: bytes) -> None:
        """It was used, perhaps from a cache."""
        self._used[sha256] = int(self._clock())

    async def modules(self, principal: Principal, sha256: bytes | None = None) -> list[Held]:
        """What the principal holds, or one of it. The newest first."""
        holdings = await self._disk.record(self._disk.records.holdings_of, principal.account)
        modules = {each.sha256: each for each in await self._disk.record(self._disk.records.modules)}
        held = [Held(modules[each.sha256], each) for each in holdings if each.sha256 in modules]
        held.sort(key=lambda each: (-each.holding.created, each.module.sha256))
        return [each for each in held if sha256 in (None, each.module.sha256)]

    # Uploading.

    async def upload(self, sha256: bytes, size: int, principal: Principal) -> Upload:
        """Raises Refusal. The same upload over another connection is waited for as long as something comes over it, and
        ends then: who comes back goes on, and who comes beside it finds the module there.
        """
        if len(sha256) != _DIGEST or size < 1:
            raise Refusal("bad-request", "An upload has a SHA-256 of 32 bytes and a size, at least 1.")
        announced = Announced(sha256, size, principal, int(self._clock()))
        while True:
            async with self._opening:
                other = self._uploads.get(announced.key)
                if other is None or other.stands:
                    return await self._in_place_of(other, announced)
            await other.stands_still()

    async def _in_place_of(self, older: Upload | None, announced: Announced) -> Upload:
        if older is not None:
            await older.taken_away()
        upload = await self._begin(announced)
        self._live.add(upload)
        if announced.resumable:
            self._uploads[announced.key] = upload
        return upload

    async def settle(self, close: Callable[[], None]) -> None:
        """The end. A disk in trouble is told of, each time, and keeps nobody from ending."""
        steps: list[Callable[[], Awaitable[None]]] = [each.aclose for each in self._live]
        steps += [self.write_uses, partial(self._disk.record, close)]
        for step in steps:
            try:
                await step()
            except GatebusError as trouble:
                self.on_trouble(trouble)

    async def _begin(self, announced: Announced) -> Upload:
        known = await self._is_own(announced)
        ticket = self._quotas.take(announced.principal.account, Amounts(uploads=1)) if known else self._take(announced)
        upload = Upload(self._disk, announced, partial(self._add, announced))
        upload.on_end = partial(self._upload_ended, ticket)
        try:
            if known:
                upload.known, upload.taken = True, announced.size
            else:
                await upload.open()
        except BaseException:
            await upload.aclose()
            raise
        return upload

    def _take(self, announced: Announced) -> Ticket:
        """The bytes of a resting partial become those of the whole."""
        whole = Amounts(stored=_cost(announced.size), uploads=1)
        resting = self._tickets.pop(announced.key, None) if announced.resumable else None
        if resting is not None:
            self._quotas.release(resting)
        try:
            return self._quotas.take(announced.principal.account, whole)
        except Refusal:
            if resting is not None:
                self._keep(announced.key, resting.amounts.stored)
            raise

    async def _is_own(self, announced: Announced) -> bool:
        """Nothing need come: this account has had the bytes. Raises Refusal."""
        size = await self.own_size(announced.principal, announced.sha256)
        if size is None or not await self._has(announced.sha256):
            return False
        if size != announced.size:
            raise Refusal("bad-request", f"The module of this hash has {size} bytes, not {announced.size}.")
        return True

    async def _add(self, announced: Announced, settle: Callable[[], Awaitable[None]]) -> Module:
        """`settle`: puts the file in its place. Nothing is forgotten between that and its record."""
        async with self._changing:
            await settle()
            module = await self._hold(*announced.key, announced.size)
            if announced.resumable:
                await self._disk.record(self._disk.records.drop_partial, *announced.key)
            return module

    def _upload_ended(self, ticket: Ticket, upload: Upload) -> None:
        self._quotas.release(ticket)
        self._live.discard(upload)
        key = upload.announced.key
        if self._uploads.get(key) is upload:
            del self._uploads[key]
        if upload.rests:
            self._keep(key, upload.rests)

    async def _has(self, sha256: bytes) -> bool:
        """Whole and right: otherwise it may be sent again."""
        if await self._disk.record(self._disk.records.module, sha256) is None:
            return False
        return await self._disk.file(self._disk.files.is_whole, sha256)

    async def _hold(self, sha256: bytes, account: str, size: int) -> Module:
        now = int(self._clock())
        records = self._disk.records
        module = await self._disk.record(records.module, sha256) or Module(sha256, size, now, now)
        await self._disk.record(records.put_module, replace(module, used=now))
        if await self._disk.record(records.holding, sha256, account) is None:
            await self._disk.record(
                records.change_holding, None, Holding(sha256, account, pinned=False, tags=(), created=now)
            )
        self._keep((sha256, account), module.size)
        return module

    # Keeping.

    async def pin(self, sha256: bytes, principal: Principal, tags: object = ()) -> Held:
        """Kept until it is unpinned; these tags come to those that it has. Raises Refusal."""
        added = tags_untrusted(tags)
        async with self._changing:
            await self.own(principal, sha256)
            if not await self._has(sha256):
                raise Refusal("not-found", _ABSENT)
            return await self._change(
                sha256, principal, lambda now: replace(now, pinned=True, tags=tags_untrusted((*now.tags, *added)))
            )

    async def unpin(self, sha256: bytes, principal: Principal, tags: object = ()) -> Held:
        """Without tags: no longer kept, it expires. With tags: those are taken off, and with the last one the pin."""
        removed = tags_untrusted(tags)

        def changed(now: Holding) -> Holding:
            left = tuple(each for each in now.tags if each not in removed) if removed else ()
            return replace(now, pinned=now.pinned and bool(left), tags=left)

        async with self._changing:
            return await self._change(sha256, principal, changed)

    async def is_pinned(self, sha256: bytes) -> bool:
        """By anybody."""
        return await self._disk.record(self._disk.records.is_pinned, sha256)

    async def _change(self, sha256: bytes, principal: Principal, change: Callable[[Holding], Holding]) -> Held:
        records = self._disk.records
        for _ in range(_ATTEMPTS):
            now = await self._disk.record(records.holding, sha256, principal.account)
            module = await self._disk.record(records.module, sha256)
            if now is None or module is None:
                raise Refusal("not-found", "There is no such module, or it is not yours.")
            new = replace(change(now), revision=now.revision + 1)
            if await self._disk.record(records.change_holding, now.revision, new):
                return Held(module, new)
        raise Refusal("conflict", "The module is being changed by others. Try again.")

    # Forgetting.

    async def keep_tidy(self) -> None:
        """Until cancelled. A disk that is in trouble is no reason to end the host: it is asked again."""
        while True:
            try:
                await self.collect()
            except GatebusError as trouble:
                self.on_trouble(trouble)
            await trio.sleep(TIDY_SECONDS)

    async def collect(self) -> tuple[Module, ...]:
        """What was forgotten: unpinned modules by age and total, partial uploads by age."""
        async with self._changing:
            await self.write_uses()
            records, now = self._disk.records, self._clock()
            held = await self._disk.record(records.holdings)
            pinned = frozenset(each.sha256 for each in held if each.pinned) | await self.needed()
            modules = await self._disk.record(records.modules)
            gone = expired(modules, pinned, now - self._bounds.unpinned_seconds, self._bounds.unpinned_bytes)
            for module in gone:
                await self._forget(module, [each for each in held if each.sha256 == module.sha256])
            await self._collect_partials(now - self._bounds.partial_seconds)
            return gone

    async def write_uses(self) -> None:
        for sha256, when in tuple(self._used.items()):
            module = await self._disk.record(self._disk.records.module, sha256)
            if module is not None:
                await self._disk.record(self._disk.records.put_module, replace(module, used=when))
            if self._used.get(sha256) == when:
                del self._used[sha256]

    async def _forget(self, module: Module, held: Iterable[Holding]) -> None:
        await self._disk.record(self._disk.records.drop_module, module.sha256)
        for holding in held:
            self._let_go((holding.sha256, holding.account))
        await self._disk.file(self._disk.files.remove, module.sha256)

    async def _collect_partials(self, before: float) -> None:
        for part in await self._disk.record(self._disk.records.partials):
            if part.created < before and (part.sha256, part.account) not in self._uploads:
                await self._drop_partial(part.sha256, part.account)
                self._let_go((part.sha256, part.account))
        await self._disk.file(self._disk.files.remove_stale, before)

    async def _drop_partial(self, sha256: bytes, account: str) -> None:
        await self._disk.record(self._disk.records.drop_partial, sha256, account)
        await self._disk.file(self._disk.files.remove_partial, sha256, who(account))


def _cost(size: int) -> int:
    return max(size, MODULE_COST)


async def _nothing() -> frozenset[bytes]:
    return frozenset()


def _nobody(_trouble: GatebusError) -> None:
    """Who embeds a store without a log."""
