"""What people do with content: add, cat, get, list, pin; assembly.

In:  addresses and files of the owner of this machine; verified blocks. Out: bytes, names, roots.

A directory that is fetched is written into a new folder, under names that were checked one by one, and nothing but
files and folders: no link is made, so none can lead outside.
"""

import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from ipfs.addresses import Address
from ipfs.aside import worked_out
from ipfs.blockstore import BlockStore
from ipfs.caps import AHEAD, MIB, Budget
from ipfs.cid import Cid
from ipfs.dagpb import SYMLINK, Node, cumulative_untrusted, decode_block_untrusted, linked_untrusted
from ipfs.fetching import Fetcher, one_fault
from ipfs.importer import Block, FileImport, Profile, Root, directory
from ipfs.levels import TOP, Level, below_untrusted, check_names
from ipfs.plainfile import NotPlain, open_plain
from ipfs.reader import LINK, Entry, FileWalk, kind_of, list_directory, resolve
from ipfs.troubles import BadName, IpfsError, StoreFailed, TooLarge, Unsupported

_PIECE = 4 * MIB  # of a file that is imported: few enough to be cancelled soon


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
                data = await worked_out(wanted, block, partial(walk.give, block))
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


async def about(fetcher: Fetcher, address: Address) -> About:
    cid = await find(fetcher, address)
    node = await _node(fetcher, cid)
    return About(cid, kind_of(node), node.size if node.is_file else 0, len(node.links))


async def _node(fetcher: Fetcher, cid: Cid) -> Node:
    block = await fetcher.get(cid)
    return await worked_out(cid, block, partial(decode_block_untrusted, cid, block))


async def _links(fetcher: Fetcher, cid: Cid) -> tuple[Cid, ...]:
    block = await fetcher.get(cid)
    return await worked_out(cid, block, partial(linked_untrusted, cid, block))


async def _whole(fetcher: Fetcher, cid: Cid) -> int:
    block = await fetcher.get(cid)
    return await worked_out(cid, block, partial(cumulative_untrusted, cid, block))


async def complete(fetcher: Fetcher, root: Cid) -> int:
    """Fetches everything below a root that is not here yet; the number of blocks. What lies deeper than `save` goes is
    refused: a block is looked at again when another way to it is longer, and each look counts as a block.
    """
    waiting, deepest, looks = [root], {root: TOP}, 0
    first = await _links(fetcher, root)
    fetcher.expected = await _whole(fetcher, root)
    if first and not all(map(fetcher.store.has, first)):
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
            raise TooLarge("It is more than this request may fetch.")
    return len(deepest)


async def _below(fetcher: Fetcher, cid: Cid, level: Level) -> Iterable[tuple[Cid, Level]]:
    block = await fetcher.get(cid)
    return await worked_out(cid, block, partial(below_untrusted, cid, block, level))


async def save(fetcher: Fetcher, cid: Cid, target: Path, skipped: Callable[[str], None]) -> None:
    """A file or a directory as files of this machine; `target` must be new, and appears whole or not at all. Symbolic
    links in a directory are left out and told.
    """
    if os.path.lexists(target):
        raise BadName(f"{target.name} is there already. Name a new target.")
    fetcher.expected = await _whole(fetcher, cid)
    if (await _node(fetcher, cid)).kind == SYMLINK:
        raise Unsupported(LINK)
    unfinished = target.with_name(f"{target.name}.{os.urandom(4).hex()}.unfinished")
    try:
        await _save_tree(fetcher, cid, unfinished, skipped)
        await _on_disk(lambda: unfinished.rename(target))
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


async def _save_tree(fetcher: Fetcher, cid: Cid, target: Path, skipped: Callable[[str], None]) -> None:
    entries, size = fetcher.budget.entries, fetcher.budget.bytes
    waiting = [(cid, target, 0)]
    while waiting:
        each, place, depth = waiting.pop()
        node = await _node(fetcher, each)
        entries -= 1
        check_names(depth)
        if entries < 0:
            raise TooLarge("The directory is larger than this request may be.")
        if node.kind == SYMLINK:
            skipped(f"{place.name} is a symbolic link; it was left out.")
        elif node.is_file:
            size -= await _save_file(fetcher, each, place, size)
        else:
            await _on_disk(place.mkdir)
            names = await fetcher.answer(list_directory(each, fetcher.budget))
            waiting += [(entry.cid, place / entry.name, depth + 1) for entry in reversed(names)]


async def _save_file(fetcher: Fetcher, cid: Cid, place: Path, limit: int) -> int:
    if limit <= 0:
        raise TooLarge("The directory is larger than this request may be.")
    try:
        async with await trio.open_file(place, "xb") as file:

            async def write(data: bytes) -> None:
                await file.write(data)

            return await copy(fetcher, cid, write, limit)
    except OSError as problem:
        raise _refused(problem) from problem


async def _on_disk(action: Callable[[], object]) -> None:
    try:
        await trio.to_thread.run_sync(action)
    except OSError as problem:
        raise _refused(problem) from problem


def _refused(problem: OSError) -> StoreFailed:
    return StoreFailed(f"A file cannot be read or written: {(problem.strerror or 'no reason given').lower()}.")


async def add(store: BlockStore, path: Path, profile: Profile) -> Root:
    """Imports a file, or a directory with everything below it; a symbolic link below it is refused. Whoever promises
    that it stays pins it.
    """
    if path.is_dir():
        return await _add_directory(store, path, profile, 0)
    work = FileImport(profile)
    try:
        async with trio.wrap_file(await trio.to_thread.run_sync(open_plain, path)) as file:
            while data := await file.read(_PIECE):
                await _put(store, work.feed(data))
    except NotPlain:
        raise BadName("It is a pipe, a device or a socket; only files and directories are added.") from None
    except OSError as problem:
        raise _refused(problem) from problem
    await _put(store, work.finish())
    return work.root


async def _put(store: BlockStore, blocks: Iterator[Block]) -> None:
    await trio.to_thread.run_sync(store.keep, blocks)


async def _add_directory(store: BlockStore, path: Path, profile: Profile, depth: int) -> Root:
    members = {}
    try:
        names = sorted(os.listdir(path))
    except OSError as problem:
        raise _refused(problem) from problem
    for name in names:
        member = path / name
        check_names(depth + 1)
        if member.is_symlink():
            raise BadName(f"{name} is a symbolic link; it cannot be added. Take it away, or put its target there.")
        if not (member.is_file() or member.is_dir()):
            raise BadName(f"{name} is neither a file nor a directory; only these are added.")
        members[name] = await (
            _add_directory(store, member, profile, depth + 1) if member.is_dir() else add(store, member, profile)
        )
    root, block = directory(members, profile)
    await _put(store, iter([(root.cid, block)]))
    return root
