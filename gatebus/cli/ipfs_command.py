"""`gatebus ipfs ...`, and the program of `gatebus run ipfs://...`; assembly.

In:  options; the user's store; sources (untrusted). Out: bytes on stdout, files, lines or JSON, an exit code.

A fault is told with what it is about: the file, the address as it was typed.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import trio

from gatebus.cli.contentground import chosen, give, open_store, progress, run, store_folder, told, told_in_full
from gatebus.cli.ipfs_options import IpfsOptions
from gatebus.cli.saying import put, put_bytes, tell
from gatebus.cli.wording import failed, result_json
from gatebus.faults import NoContent
from gatebus.snapshots.takenforfile import read_as_file
from ipfs.adding import add, add_stream
from ipfs.addresses import NODE, Address, Source, parse_address_untrusted
from ipfs.blockstore import BlockStore
from ipfs.caps import MIB, Budget
from ipfs.cid import Cid
from ipfs.content import about, complete, copy, find, listed, read
from ipfs.fetching import Fetcher, open_fetcher
from ipfs.importer import Profile, Root, profile_named
from ipfs.pins import Pins, collect
from ipfs.saving import save
from ipfs.troubles import BadName, IpfsError, Malformed, NoEntry, SourceFailed, TooLarge, Unsupported

T = TypeVar("T")
# A person who names a file on the command line means all of it: 100 GiB, a day.
_BUDGET = Budget(bytes=100 << 30, blocks=1_000_000, entries=1_000_000, seconds=86_400)
# A program: as much as the sandbox would look at, in the time that a person waits.
_PROGRAM_SECONDS = 120.0
_OURS = 125
# Things in the store that are not its own, by name; then how many more.
_NAMED = 10
# Faults of what an address names; those of the store, of sources and of files say themselves what they are about.
_OF_CONTENT = (Malformed, NoEntry, TooLarge, Unsupported)
_TYPED = 100  # characters of what was typed that are told again


def ipfs(options: IpfsOptions) -> int:
    """The whole command. The exit code."""
    try:
        return run(partial(_COMMANDS[options.command], options))
    except IpfsError as fault:
        _tell_fault(options, fault)
        return _OURS


def _tell_fault(options: IpfsOptions, fault: IpfsError, file: str = "") -> None:
    """In full on stderr; whoever asked for JSON reads JSON there, too."""
    result = failed("", fault.code, told_in_full(fault))
    tell((result_json(file, "", result) if options.json else result.line) + "\n")


def read_program(sources: tuple[str, ...] | None, limit: int, name: str) -> bytes:
    """The file at an address. Raises NoContent."""

    async def fetch() -> bytes:
        budget = Budget(bytes=limit + MIB, blocks=10_000, seconds=_PROGRAM_SECONDS)
        address = parse_address_untrusted(name)
        async with open_fetcher(open_store(), chosen(sources), budget, told) as fetcher:
            with progress(fetcher):
                async with read_as_file(fetcher, address.cid):
                    return await read(fetcher, address, limit)

    try:
        return run(fetch)
    except IpfsError as fault:
        raise NoContent(told_in_full(fault)) from None


def _say(options: IpfsOptions, value: object, line: str) -> None:
    put(f"{json.dumps(value) if options.json else line}\n")


def _say_all(options: IpfsOptions, values: list[T], lines: list[str]) -> None:
    """A line each; as JSON one list."""
    if options.json:
        put(f"{json.dumps(values)}\n")
        return
    for line in lines:
        put(f"{line}\n")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


async def _with_fetcher(options: IpfsOptions, do: Callable[[Fetcher, Address], Awaitable[T]]) -> T:
    typed = options.arguments[0]
    with _about(typed, BadName):
        address = parse_address_untrusted(typed)
    with _about(typed, *_OF_CONTENT):
        async with (
            open_fetcher(open_store(), chosen(options.sources), _BUDGET, told) as fetcher,
            read_as_file(fetcher, address.cid),
        ):
            return await do(fetcher, address)


@contextmanager
def _about(typed: str, *kinds: type[IpfsError]) -> Iterator[None]:
    """Faults of these kinds are told with what they are about."""
    try:
        yield
    except kinds as fault:
        shown = typed if len(typed) <= _TYPED else f"{typed[:_TYPED]}..."
        raise type(fault)(f"{shown}: {fault.text}" if shown else fault.text) from None


class _Ways(NamedTuple):
    """How files are added, and who is given them."""

    store: BlockStore
    profile: Profile
    nodes: list[Source]


async def _add(options: IpfsOptions) -> int:
    """What cannot be added is named, and the others are added."""
    profile, nodes, store = profile_named(options.profile), _nodes(options), open_store()
    code = 0
    for name in options.arguments:
        try:
            with store.shared():
                await _add_one(options, _Ways(store, profile, nodes), name)
        except IpfsError as fault:
            _tell_fault(options, fault, name)
            code = _OURS
    return code


def _nodes(options: IpfsOptions) -> list[Source]:
    """Raises BadName for a source that was named for nothing."""
    sources = chosen(options.sources)
    others = [each.url for each in sources if each.kind != NODE]
    if others and options.sources:
        raise BadName(f"{others[0]} takes no content, only a node does. It is written node+http://HOST:PORT.")
    return [each for each in sources if each.kind == NODE]


async def _add_one(options: IpfsOptions, ways: _Ways, name: str) -> None:
    if not name:
        raise BadName("A name is empty. Name a file or a directory; this one is `.`.")
    root = await (_add_stdin(ways) if name == "-" else add(ways.store, Path(name), ways.profile, told))
    Pins(ways.store).add(root.cid)
    line = f"{root.cid} {name}" if len(options.arguments) > 1 else str(root.cid)
    _say(options, {"file": name, "cid": str(root.cid), "size": root.cumulative}, line)
    for node in ways.nodes:
        with _about(name, SourceFailed):
            await give(ways.store, node, root.cid)


async def _add_stdin(ways: _Ways) -> Root:
    if sys.stdin is None:
        raise BadName("-: stdin is closed.")
    return await add_stream(ways.store, sys.stdin.buffer.read, ways.profile)


async def _cat(options: IpfsOptions) -> int:
    async def write(data: bytes) -> None:
        await trio.to_thread.run_sync(put_bytes, data, abandon_on_cancel=True)

    async def do(fetcher: Fetcher, address: Address) -> None:
        with nullcontext() if os.isatty(1) else progress(fetcher):  # one terminal cannot show both
            await copy(fetcher, await find(fetcher, address), write)

    await _with_fetcher(options, do)
    return 0


async def _get(options: IpfsOptions) -> int:
    async def do(fetcher: Fetcher, address: Address) -> None:
        target = Path(options.out or (address.path[-1] if address.path else str(address.cid)))
        with progress(fetcher):
            await save(fetcher, await find(fetcher, address), target, told)

    await _with_fetcher(options, do)
    return 0


async def _ls(options: IpfsOptions) -> int:
    entries = await _with_fetcher(options, listed)
    rows = [{"name": each.name, "cid": str(each.cid), "size": each.size} for each in entries]
    lines = [f"{each.cid} {each.size:>12} {each.name}" for each in entries]
    _say_all(options, rows, lines)
    return 0


async def _pin(options: IpfsOptions) -> int:
    if not options.arguments:
        pins = [str(each) for each in Pins(BlockStore.as_it_is(store_folder())).all()]
        _say_all(options, pins, pins)
        return 0

    async def do(fetcher: Fetcher, address: Address) -> tuple[Cid, int]:
        cid = await find(fetcher, address)
        with progress(fetcher):
            blocks = await complete(fetcher, cid)
        Pins(fetcher.store).add(cid)
        return cid, blocks

    cid, blocks = await _with_fetcher(options, do)
    _say(options, {"cid": str(cid), "blocks": blocks}, f"{cid} is kept, in {_count(blocks, 'block')}")
    return 0


async def _unpin(options: IpfsOptions) -> int:
    """What `pin` of the same address pins: of a path its target, never the root above it."""
    typed = options.arguments[0]
    with _about(typed, BadName):
        address = parse_address_untrusted(typed)
    cid = await _with_fetcher(options, find) if address.path else address.cid
    with _about(typed, NoEntry):
        await trio.to_thread.run_sync(Pins(BlockStore.as_it_is(store_folder())).remove, cid)
    return 0


async def _gc(options: IpfsOptions) -> int:
    store = open_store()
    gone = await trio.to_thread.run_sync(collect, store, Pins(store), trio.from_thread.check_cancelled)
    line = f"{_count(gone.blocks, 'block')} ({_count(gone.bytes, 'byte')}) {_were(gone.blocks)} removed"
    _say(options, asdict(gone), line)
    await _name_strangers(store)
    return 0


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


async def _stat(options: IpfsOptions) -> int:
    if not options.arguments:
        store = BlockStore.as_it_is(store_folder())
        there, pins = await trio.to_thread.run_sync(store.contents), len(Pins(store).all())
        line = f"{_count(there.blocks, 'block')}, {_count(there.bytes, 'byte')}, {_count(pins, 'pin')}"
        _say(options, {**asdict(there), "pins": pins}, line)
        await _name_strangers(store)
        return 0
    what = await _with_fetcher(options, about)
    kind = f"{what.kind} to {what.target}" if what.target else what.kind
    line = f"{what.cid} {kind}, {_count(what.size, 'byte')}, {_count(what.links, 'link')}"
    _say(options, {**asdict(what), "cid": str(what.cid)}, line)
    return 0


async def _name_strangers(store: BlockStore) -> None:
    """What the store will never read nor remove, so that its owner can."""
    found = await trio.to_thread.run_sync(list, store.strangers())
    for name in found[:_NAMED]:
        told(f"No block is in the block store at {name}; it was left there.")
    if len(found) > _NAMED:
        told(f"There are {len(found) - _NAMED} more of them.")


_COMMANDS = {
    "add": _add,
    "cat": _cat,
    "get": _get,
    "ls": _ls,
    "pin": _pin,
    "unpin": _unpin,
    "gc": _gc,
    "stat": _stat,
}
