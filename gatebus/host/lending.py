"""A host as a trustless gateway: what is pinned, block by block or as a CAR, for anybody who asks; assembly.

Where it stands: beside the pages, on the host's own port, when its owner wants it (`[gateway] serve`). In: requests of
strangers (untrusted); a block store (untrusted: every block is hashed when it is read). Out: answers of the trustless
gateway specification.

Only what is pinned is there: the rest of a store would tell what somebody has fetched. Nothing is ever fetched for a
stranger, and no address but the store's is known here. Answers are bounded by how many there are at once, by their
time, and by the bytes of an hour.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import trio

from gatebus.contentbounds import LENT_AT_ONCE, LENT_PIECE, LENT_SECONDS, LENT_WAIT, SHELF_LOOK_SECONDS
from gatebus.faults import UsageError
from gatebus.host.allowances import Allowances
from gatebus.web.pages import Answer, Lent, plain, sentence
from ipfs.blockstore import BlockStore
from ipfs.carorder import blocks_of
from ipfs.carwriter import CarWriter
from ipfs.cid import IDENTITY, RAW, Cid
from ipfs.offer import BLOCK, Declined, has_it_already, head, wanted_untrusted
from ipfs.pins import Pins
from ipfs.shelf import Shelf
from ipfs.troubles import IpfsError
from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from ipfs.offer import Wanted

_NOT_HERE = "This host does not have it, or does not offer it."
_EVERYBODY = "everybody"
_ENOUGH = "This host has given away enough for now. Try again later."
# The empty block that carries itself in its name: how one finds out that this is a gateway.
_PROBE = Cid(1, RAW, IDENTITY, b"")


class Lending:
    """A web.pages.Lender over one store. `told` hears what is wrong with the store."""

    prefix = b"/ipfs/"

    def __init__(self, shelf: Shelf, hourly: int, told: Callable[[str], None] = lambda _text: None) -> None:
        self._shelf, self._told = shelf, told
        self._allowances = Allowances(hourly)
        self._places = trio.CapacityLimiter(LENT_AT_ONCE)
        self._looking, self._looked = trio.Lock(), -SHELF_LOOK_SECONDS

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._places.statistics().tasks_waiting

    @asynccontextmanager
    async def lend_untrusted(
        self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsyncIterator[Answer | Lent]:
        if method not in (b"GET", b"HEAD"):
            yield plain(405, ("Allow", "GET, HEAD"))
            return
        try:
            wanted = wanted_untrusted(target, headers)
        except Declined as declined:
            yield sentence(declined.status, declined.text)
            return
        async with self._place() as free:
            if not free or self._allowances.used(_EVERYBODY, trio.current_time()) >= self._allowances.hourly:
                yield sentence(503, _ENOUGH, ("Retry-After", "60"))
                return
            with trio.move_on_after(LENT_SECONDS) as waited:
                yield await self._answer(wanted)
            if waited.cancelled_caught:
                raise OSError("the answer is not taken in time")

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[bool]:
        with trio.move_on_after(LENT_WAIT) as waited:
            await self._places.acquire()
        if waited.cancelled_caught:
            yield False
            return
        try:
            yield True
        finally:
            self._places.release()

    async def _answer(self, wanted: Wanted) -> Answer | Lent:
        cid = wanted.address.cid
        try:
            await self._look()
            block = await self._block(cid) if cid == _PROBE or self._shelf.holds(cid) else None
        except IpfsError as fault:
            self._told(fault.text)
            return sentence(500, "This host cannot read what it keeps.")
        if block is None:
            return sentence(412 if wanted.only_if_here else 404, _NOT_HERE)
        if has_it_already(wanted):
            return Answer(304, head(wanted), b"")
        if wanted.kind == BLOCK:
            return Lent(head(wanted), self._counted(_one(block)), len(block))
        return Lent(head(wanted), self._counted(self._car(wanted)))

    async def _look(self) -> None:
        """Again when pins may have changed; many ask at once, one looks."""
        async with self._looking:
            now = trio.current_time()
            if now - self._looked >= SHELF_LOOK_SECONDS:
                await in_thread(self._shelf.look, trio.from_thread.check_cancelled)
                self._looked = now

    async def _block(self, cid: Cid) -> bytes | None:
        return await in_thread(self._shelf.store.get, cid)

    async def _counted(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """What is written counts, whoever takes it."""
        async with aclosing(pieces):
            async for piece in pieces:
                self._allowances.spend(_EVERYBODY, len(piece), trio.current_time())
                yield piece

    async def _car(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        """In a thread: a block of strangers may have 50,000 links. OSError: a block is missing or wrong, which the
        asker sees by the end that does not come.
        """
        try:
            blocks = blocks_of(wanted.address, wanted.scope, wanted.span)
            writer = CarWriter(self._shelf.store, wanted.address.cid, blocks)
            while piece := await in_thread(writer.more, LENT_PIECE, trio.from_thread.check_cancelled):
                yield piece
        except IpfsError as fault:
            self._told(fault.text)
            raise OSError("it cannot be finished") from fault


def named_store(folder: Path) -> BlockStore:
    """One that others fill: a misspelt name is told, not made. Nothing is written there. Raises UsageError."""
    with _at_the_start():
        store = BlockStore.as_it_is(folder)
        if not store.exists():
            raise UsageError(
                "`gateway.store` names no block store. `gatebus ipfs add` or `pin` makes one, in GATEBUS_IPFS_STORE."
            )
        return store


def own_store(folder: Path) -> BlockStore:
    """Raises UsageError."""
    with _at_the_start():
        return BlockStore(folder)


def open_lending(store: BlockStore, hourly: int, told: Callable[[str], None]) -> tuple[Lending, int]:
    """And how many pins there are by now. Raises UsageError."""
    with _at_the_start():
        return Lending(Shelf(store, told), hourly, told), len(Pins(store).all())


@contextmanager
def _at_the_start() -> Iterator[None]:
    try:
        yield
    except IpfsError as fault:
        raise UsageError(fault.text) from None


async def _one(block: bytes) -> AsyncGenerator[bytes, None]:
    await trio.lowlevel.checkpoint()
    if block:
        yield block
