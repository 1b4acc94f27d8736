"""One upload: bytes of a client on their way into the module store; a wire.

In:  bytes (untrusted: believed when the hash over all of them is right). Out: a Module, or Refusal; what came of a
broken-off one stays for the next attempt of the same account. A stranger's goes: nobody could be told from another.
Whoever brings the same bytes meanwhile waits until they are there, or until nothing comes any more (stands_still).

What has no byte has no file and no record: an announcement costs its client nothing, so nothing may be left of it.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import UPLOAD_STILL_SECONDS
from gatebus.bounds import CLOSE_SECONDS
from gatebus.host.moduledata import Module, Partial
from gatebus.host.principals import Kind, Principal
from gatebus.host.refusals import Refusal
from gatebus.host.storedisk import StoreDisk

if TYPE_CHECKING:
    from gatebus.host.modulefiles import PartialFile


# Gets what puts the file in its place.
Add = Callable[[Callable[[], Awaitable[None]]], Awaitable[Module]]


@dataclass(frozen=True, slots=True)
class Announced:
    """What the client says that it sends."""

    sha256: bytes
    size: int
    principal: Principal
    at: int

    @property
    def key(self) -> tuple[bytes, str]:
        return self.sha256, self.principal.account

    @property
    def resumable(self) -> bool:
        return self.principal.kind is not Kind.ANONYMOUS


def who(account: str) -> str:
    """The account in the name of a file."""
    return hashlib.sha256(account.encode()).hexdigest()[:16]


class Upload:
    """Made by ModuleStore.upload. One task uses it; another may take it away."""

    def __init__(self, disk: StoreDisk, announced: Announced, add: Add) -> None:
        self.announced = announced
        self.known = False
        self.taken = 0
        self.on_end: Callable[[Upload], None] = _nobody
        self._disk = disk
        self._add = add
        self._file: PartialFile | None = None
        self._noted = False
        self._busy = trio.Lock()
        self._ended = ""
        self._over = trio.Event()
        self._moved = trio.current_time()

    async def open(self) -> None:
        """At the place where an earlier attempt stopped."""
        key = self.announced.sha256
        name = who(self.announced.principal.account) if self.announced.resumable else f"stranger-{secrets.token_hex(8)}"
        self._file = await self._disk.file(self._disk.files.begin, key, name)
        self._noted = self._file.taken > 0
        if self._file.taken > self.announced.size:
            await self._drop(self._file)
        self.taken = self._file.taken
        if self.taken:
            await self._note()

    async def _note(self) -> None:
        """Before the bytes: what is on the disk without a record would count to nobody."""
        self._noted = True
        if self.announced.resumable:
            record = Partial(*self.announced.key, self.announced.size, self.announced.at)
            await self._disk.record(self._disk.records.put_partial, record)

    async def write(self, data: bytes) -> None:
        """Raises Refusal: too much, a full disk, taken away by a newer connection."""
        async with self._busy:
            self._check_open()
            if self._file is None or not data:
                return
            if self.taken + len(data) > self.announced.size:
                raise Refusal("bad-request", "The upload has more bytes than it announced.")
            if not self._noted:
                await self._note()
            await self._disk.file(self._file.append, data)
            self.taken = self._file.taken
            self._moved = trio.current_time()

    @property
    def _rest(self) -> float:
        """Seconds until nothing has come for too long; what is being written down moves."""
        still = self._moved if not self._busy.locked() else trio.current_time()
        return still + UPLOAD_STILL_SECONDS - trio.current_time()

    @property
    def stands(self) -> bool:
        return self._over.is_set() or self._rest <= 0

    async def stands_still(self) -> None:
        """It has ended, or nothing comes any more."""
        while not self.stands:
            with trio.move_on_after(self._rest):
                await self._over.wait()

    async def finish(self) -> Module:
        """On the disk, and in the records. Raises Refusal; what was wrong is dropped then."""
        async with self._busy:
            self._check_open()
            if self.taken != self.announced.size:
                raise Refusal("bad-request", f"The upload ended after {self.taken} of {self.announced.size} bytes.")
            module = await self._add(self._settle)
            self._end("finished")
            return module

    async def _settle(self) -> None:
        if self._file is not None and not await self._disk.file(self._file.finish, self.announced.sha256):
            await self._let_go("wrong")
            raise Refusal("bad-request", "The bytes are not those of the hash; they were dropped. Upload it again.")

    async def taken_away(self) -> None:
        """By the same account over a newer connection."""
        await self._close("attached-elsewhere")

    async def aclose(self) -> None:
        """Broken off, unless it was finished."""
        await self._close("closed")

    async def _close(self, why: str) -> None:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            async with self._busy:
                if not self._ended:
                    await self._let_go(why)

    async def _let_go(self, why: str) -> None:
        """Also on a disk in trouble: what it took of quotas comes back."""
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                if self._file is not None:
                    self.taken = self._file.taken
                    if self.rests:
                        await self._disk.file(self._file.close)
                    else:
                        await self._drop(self._file)
            finally:
                self._end(why)

    async def _drop(self, file: "PartialFile") -> None:
        await self._disk.file(file.discard)
        if self._noted and self.announced.resumable:
            await self._disk.record(self._disk.records.drop_partial, *self.announced.key)
        self._noted = False

    def _end(self, why: str) -> None:
        self._ended = why
        self._over.set()
        self.on_end(self)

    @property
    def rests(self) -> int:
        """Bytes that wait on the disk for the next attempt."""
        return 0 if self.known or self._ended == "finished" or not self.announced.resumable else self.taken

    def _check_open(self) -> None:
        if self._ended == "attached-elsewhere":
            raise Refusal("attached-elsewhere", "The upload goes on over a newer connection.")
        if self._ended:
            raise Refusal("conflict", "The upload has ended.")


def _nobody(_upload: Upload) -> None:
    pass
