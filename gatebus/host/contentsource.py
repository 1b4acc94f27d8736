"""`ipfs://CID[/path]` as a module: fetched by the host, verified, and never from where its client says; assembly.

Where it stands: a Source of gatebus.host.programs, when the host's owner has named gateways (`[fetch] gateways`). In:
an address (untrusted); answers of gateways (untrusted: every block is hashed). Out: a program's bytes (untrusted
still: admission judges them), or a Refusal.

A client chooses a CID and nothing else: whom the host asks is fixed, so that nobody reaches the host's own network
through it (security: SSRF). Slots come first, so that one account cannot take all of them; then its allowance; then
the store, which is emptied when it is full. What it lost then is fetched again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import trio

from gatebus.contentbounds import (
    FETCH_BLOCKS,
    FETCH_COST,
    FETCH_KEPT,
    FETCH_SECONDS,
    FETCH_WORK,
    FETCHES,
    FETCHES_EACH,
    WORK_COST,
)
from gatebus.faults import StoreBroken
from gatebus.host.allowances import Allowances
from gatebus.host.refusals import Refusal
from gatebus.snapshots.takenforfile import read_as_file
from ipfs.addresses import Address, parse_address_untrusted
from ipfs.blockstore import BlockStore
from ipfs.caps import MIB, Budget
from ipfs.content import complete, find, read
from ipfs.fetching import Fetcher, open_fetcher
from ipfs.pins import Pins, collect
from ipfs.troubles import BadName, Damaged, IpfsError, Malformed, StoreFailed, TooLarge, Unsupported
from sandbox.inthread import in_thread
from sandbox.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from ipfs.addresses import Source
    from ipfs.cid import Cid

# The client's fault; all others mean that the content is not to be had.
_WRONG = (BadName, Malformed, TooLarge, Unsupported)
# A file of one byte takes as much on most file systems.
_BLOCK_COST = 4096


class ContentSource:
    """`told` hears of gateways that lied and entries that are damaged. The folder is this host's alone."""

    def __init__(
        self, folder: Path, gateways: Sequence[Source], hourly: int, told: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._gateways, self._told = gateways, told
        self._allowances = Allowances(hourly)
        self._slots = trio.CapacityLimiter(FETCHES)
        self._accounts = Lanes(FETCHES_EACH)
        self._door, self._left = trio.Lock(), trio.lowlevel.ParkingLot()
        self._active = 0
        with _refused():
            self._store = BlockStore(folder)
            there = self._store.contents()
        self._grown = there.bytes + there.blocks * _BLOCK_COST

    async def fetch(self, address: str, size: int, account: str) -> bytes:
        """Raises Refusal, StoreBroken."""
        with _refused():
            wanted = parse_address_untrusted(address)
            async with self._slot(account), self._space():
                left = self._allowances.left(account, size + MIB, trio.current_time())
                budget = Budget(bytes=left, blocks=FETCH_BLOCKS, seconds=FETCH_SECONDS, work=FETCH_WORK)
                async with open_fetcher(self._store, self._gateways, budget, self._told) as fetcher:
                    try:
                        async with read_as_file(fetcher, wanted.cid):
                            return await read(fetcher, wanted, size)
                    finally:
                        self._charge(account, fetcher)

    def check_keeping(self, address: str) -> None:
        with _refused():
            parse_address_untrusted(address)

    async def keep(self, address: str, digest: bytes) -> str:
        """The blocks of the file, not those of the directories above it. Nobody is asked for them: they are here. Its
        own address: others get it from here by that one only.
        """
        with _refused():
            async with self._space(), open_fetcher(self._store, (), Budget(), self._told) as fetcher:
                cid = await find(fetcher, parse_address_untrusted(address))
                await complete(fetcher, cid)
                await in_thread(self._pin, cid, digest.hex().encode())
                return str(Address(cid))

    def _pin(self, cid: Cid, note: bytes) -> None:
        """The pins of this host's owner, without a note, stay the owner's."""
        pins = Pins(self._store)
        if pins.note(cid) is None:
            pins.add(cid, note)

    async def let_go(self, digest: bytes) -> None:
        with _refused():
            await in_thread(self._unpin, digest.hex().encode())

    def _unpin(self, note: bytes) -> None:
        pins = Pins(self._store)
        for cid in pins.all():
            if pins.note(cid) == note:
                pins.remove(cid)

    def _charge(self, account: str, fetcher: Fetcher) -> None:
        """Whoever asks for what is nowhere costs something, too; what was here costs its reading."""
        grown = fetcher.fetched_bytes + fetcher.fetched_blocks * _BLOCK_COST
        cost = (max(FETCH_COST, grown) if fetcher.asked else 0) + int(fetcher.worker.seconds * WORK_COST)
        self._allowances.spend(account, cost, trio.current_time())
        self._grown += grown

    @asynccontextmanager
    async def _slot(self, account: str) -> AsyncIterator[None]:
        """How many wait here is bounded by the quota of instances: each is one that starts."""
        async with self._accounts.one(account), self._slots:
            yield

    @asynccontextmanager
    async def _space(self) -> AsyncIterator[None]:
        """A store that is full is emptied when nobody reads it; those who come meanwhile wait at the door."""
        async with self._door:
            while self._grown > FETCH_KEPT and self._active:
                await self._left.park()
            if self._grown > FETCH_KEPT:
                await in_thread(collect, self._store, Pins(self._store))
                self._grown = 0
            self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self._left.unpark_all()


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (StoreFailed, Damaged) as fault:
        raise StoreBroken(fault.text) from fault
    except IpfsError as fault:
        raise Refusal("bad-request" if isinstance(fault, _WRONG) else "not-found", fault.text) from None
