"""What people ask of content: find, list, read, describe, fetch all of it; assembly.

In:  addresses of the owner of this machine; verified blocks. Out: bytes, names, CIDs. (saving.py writes them into
files, adding.py makes blocks of files.)
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

import trio

from ipfs.addresses import Address
from ipfs.caps import AHEAD, Budget
from ipfs.cid import Cid
from ipfs.dagpb import SYMLINK, Node, cumulative_untrusted, decode_block_untrusted, linked_untrusted
from ipfs.fetching import Fetcher, one_fault
from ipfs.levels import TOP, Level, below_untrusted
from ipfs.reader import Entry, FileWalk, kind_of, list_directory, resolve
from ipfs.symlinks import shown
from ipfs.troubles import IpfsError, TooLarge


async def find(fetcher: Fetcher, address: Address) -> Cid:
    """The CID at the end of a path."""
    return await fetcher.answer(resolve(address.cid, address.path))


async def listed(fetcher: Fetcher, address: Address) -> tuple[Entry, ...]:
    return await fetcher.answer(list_directory(await find(fetcher, address), fetcher.budget))


async def read(fetcher: Fetcher, address: Address, limit: int) -> bytes:
    """A whole file of at most `limit` bytes."""
    out = bytearray()

    async def keep(data: bytes) -> None:
        out.extend(data)

    await copy(fetcher, await find(fetcher, address), keep, limit)
    return bytes(out)


async def copy(fetcher: Fetcher, cid: Cid, write: Callable[[bytes], Awaitable[None]], limit: int | None = None) -> int:
    """The bytes of a file, in order, as they are verified; how many there were. The next ones are fetched meanwhile."""
    budget = fetcher.budget
    walk = FileWalk(cid, Budget(limit or budget.bytes, budget.blocks, budget.entries, budget.seconds))
    count = 0
    with one_fault():
        async with trio.open_nursery() as nursery:
            coming: dict[Cid, _Coming] = {}
            while (wanted := walk.wanted) is not None:
                for each in walk.ahead(AHEAD):
                    if each not in coming:
                        coming[each] = _Coming()
                        nursery.start_soon(coming[each].bring, fetcher, each)
                block = await coming.pop(wanted).block()
                data = await fetcher.worker.out(wanted, block, partial(walk.give, block))
                if wanted == cid:
                    fetcher.expected = fetcher.expected or walk.size
                    if _worth_a_car(fetcher, walk):
                        await fetcher.warm(cid, "entity")
                count += len(data)
                if data:
                    await write(data)
    return count


def _worth_a_car(fetcher: Fetcher, walk: FileWalk) -> bool:
    """Of a file whose root was just read: it has parts, and they are not here yet."""
    parts = walk.ahead(2)
    return len(parts) > 1 and not fetcher.store.has(parts[-1])


class _Coming:
    """A block on its way. Whoever waits for it gets it, or what went wrong."""

    def __init__(self) -> None:
        self._ready = trio.Event()
        self._block = b""
        self._fault: IpfsError | None = None

    async def bring(self, fetcher: Fetcher, cid: Cid) -> None:
        try:
            self._block = await fetcher.get(cid)
        except IpfsError as fault:
            self._fault = fault
        self._ready.set()

    async def block(self) -> bytes:
        await self._ready.wait()
        if self._fault is not None:
            raise self._fault
        return self._block


@dataclass(frozen=True, slots=True)
class About:
    cid: Cid
    kind: str
    size: int
    """Of a file's bytes; 0 for a directory."""
    links: int
    target: str = ""
    """Of a symbolic link, as a person may see it."""


async def about(fetcher: Fetcher, address: Address) -> About:
    cid = await find(fetcher, address)
    node = await node_of(fetcher, cid)
    target = shown(node.data) if node.kind == SYMLINK else ""
    return About(cid, kind_of(node), node.size if node.is_file else 0, len(node.links), target)


async def node_of(fetcher: Fetcher, cid: Cid) -> Node:
    block = await fetcher.get(cid)
    return await fetcher.worker.out(cid, block, partial(decode_block_untrusted, cid, block))


async def _links(fetcher: Fetcher, cid: Cid) -> tuple[Cid, ...]:
    block = await fetcher.get(cid)
    return await fetcher.worker.out(cid, block, partial(linked_untrusted, cid, block))


async def expect(fetcher: Fetcher, cid: Cid) -> None:
    """How much there will be, by what its author says: for display."""
    block = await fetcher.get(cid)
    fetcher.expected = await fetcher.worker.out(cid, block, partial(cumulative_untrusted, cid, block))


async def complete(fetcher: Fetcher, root: Cid) -> int:
    """Fetches everything below a root that is not here yet; the number of blocks. What lies deeper than `save` goes is
    refused: a block is looked at again when another way to it is longer, and each look counts as a block.
    """
    waiting, deepest, looks = [root], {root: TOP}, 0
    first = await _links(fetcher, root)
    await expect(fetcher, root)
    if first and not await trio.to_thread.run_sync(lambda: all(map(fetcher.store.has, first))):
        await fetcher.warm(root, "all")
    while waiting:
        cid = waiting.pop()
        looks += 1
        for each, level in await _below(fetcher, cid, deepest[cid]):
            known = deepest.get(each)
            if known is None or not known.covers(level):
                deepest[each] = level if known is None else known.joined(level)
                waiting.append(each)
        if max(len(deepest), looks) > fetcher.budget.blocks:
            raise TooLarge(f"It has more than the {fetcher.budget.blocks} blocks that this request may fetch.")
    return len(deepest)


async def _below(fetcher: Fetcher, cid: Cid, level: Level) -> Iterable[tuple[Cid, Level]]:
    block = await fetcher.get(cid)
    return await fetcher.worker.out(cid, block, partial(below_untrusted, cid, block, level))
