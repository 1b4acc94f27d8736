"""`gatebus ipfs ...`, and the program of `gatebus run ipfs://...`; assembly.

In:  options; the user's store; sources (untrusted). Out: bytes on stdout, files, lines, an exit code.

What went wrong but could be helped (a source that lied, a damaged entry) is said on stderr.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from gatebus.cli.ending import Ending
from gatebus.cli.ipfs_options import IpfsOptions
from gatebus.cli.saying import put, put_bytes, tell
from gatebus.cli.wording import BY_SIGNAL, progress_text
from gatebus.faults import NoContent, UsageError
from gatebus.snapshots.takenforfile import read_as_file
from ipfs.addresses import NODE, Address, Source, parse_address_untrusted, parse_source_untrusted
from ipfs.blockstore import BlockStore
from ipfs.caps import MIB, Budget
from ipfs.cid import Cid
from ipfs.content import about, add, complete, copy, find, listed, read, save
from ipfs.fetching import Fetcher, one_fault, open_fetcher
from ipfs.importer import profile_named
from ipfs.pins import Pins, collect
from ipfs.publishing import publish
from ipfs.troubles import BadName, IpfsError, SourceFailed, Unavailable

T = TypeVar("T")
# Asked where nothing is configured: gateways of the IPFS foundations that serve verifiable blocks. They learn what is
# asked for; `--offline` or sources of one's own keep that to oneself.
PUBLIC_SOURCES = ("https://trustless-gateway.link", "https://ipfs.io")
# A person who names a file on the command line means all of it: 100 GiB, a day.
_BUDGET = Budget(bytes=100 << 30, blocks=1_000_000, entries=1_000_000, seconds=86_400)
# A program: as much as the sandbox would look at, in the time that a person waits.
_PROGRAM_SECONDS = 120.0
_OURS = 125
# Whoever sends them means the command's end; Ctrl-C is Python's own.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
# Things in the store that are not its own, by name; then how many more.
_NAMED = 10


def ipfs(options: IpfsOptions) -> int:
    """The whole command. The exit code."""
    try:
        return _run(partial(_COMMANDS[options.command], options))
    except IpfsError as fault:
        _told(told_in_full(fault))
        return _OURS


def read_program(sources: tuple[str, ...] | None, limit: int, name: str) -> bytes:
    """The file at an address. Raises NoContent."""

    async def fetch() -> bytes:
        budget = Budget(bytes=limit + MIB, blocks=10_000, seconds=_PROGRAM_SECONDS)
        address = parse_address_untrusted(name)
        async with open_fetcher(open_store(), chosen(sources), budget, _told) as fetcher:
            with progress(fetcher):
                async with read_as_file(fetcher, address.cid):
                    return await read(fetcher, address, limit)

    try:
        return _run(fetch)
    except IpfsError as fault:
        raise NoContent(told_in_full(fault)) from None


def told_in_full(fault: IpfsError) -> str:
    """Its text; what each source answered is said beside it, with its URL: the person has chosen them."""
    for each in fault.answers if isinstance(fault, Unavailable) else ():
        _told(each)
    return fault.text


def _run(task: Callable[[], Awaitable[T]]) -> T:
    """Ctrl-C ends it as it would end any command, however many scopes it passes; so do the other signals that ask it to
    end, when what it has begun is put away.
    """
    ending = Ending()
    try:
        answers = trio.run(_until_signal, task, ending, restrict_keyboard_interrupt_to_checkpoints=True)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        raise
    if not answers:
        raise SystemExit(BY_SIGNAL + ending.signal)
    return answers[0]


async def _until_signal(task: Callable[[], Awaitable[T]], ending: Ending) -> list[T]:
    """Its answer, or nothing."""
    with one_fault():
        async with trio.open_nursery() as nursery:
            await nursery.start(_listen, ending)
            answers = []
            with ending.scope:
                answers.append(await task())
            nursery.cancel_scope.cancel()
    return answers


async def _listen(ending: Ending, *, task_status: trio.TaskStatus[None]) -> None:
    """What whoever started us wants ignored (nohup) stays so."""
    heard = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    with trio.open_signal_receiver(*heard) as arrived:
        task_status.started()
        async for number in arrived:
            ending.stop(number)


def open_store() -> BlockStore:
    return BlockStore(_store_folder())


def _store_folder() -> Path:
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(os.environ.get("GATEBUS_IPFS_STORE") or base / "gatebus" / "ipfs")


def chosen(given: Sequence[str] | None) -> list[Source]:
    """Sources of this command, or of the environment, or the public ones."""
    if given is None:
        configured = os.environ.get("GATEBUS_IPFS_SOURCES")
        given = PUBLIC_SOURCES if configured is None else configured.split()
    return [parse_source_untrusted(text) for text in given]


def _told(text: str) -> None:
    tell(f"gatebus: {text}\n")


@contextmanager
def progress(fetcher: Fetcher) -> Iterator[None]:
    """What was fetched by now, only where somebody sees it: never in a pipe or a log. It is gone at the end."""
    with line() as draw:
        fetcher.on_fetched = lambda count: draw(progress_text(count, fetcher.expected, "fetched"))
        yield


@contextmanager
def line() -> Iterator[Callable[[str], None]]:
    if sys.stderr is None or not os.isatty(2):
        yield lambda _text: None
        return
    try:
        yield _draw
    finally:
        _draw("")


def _draw(line: str) -> None:
    """Over what stands there."""
    tell(f"\r\x1b[K{line}")


def _say(text: str) -> None:
    put(f"{text}\n")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


async def _with_fetcher(options: IpfsOptions, do: Callable[[Fetcher, Address], Awaitable[T]]) -> T:
    address = parse_address_untrusted(options.arguments[0])
    async with (
        open_fetcher(open_store(), chosen(options.sources), _BUDGET, _told) as fetcher,
        read_as_file(fetcher, address.cid),
    ):
        return await do(fetcher, address)


async def _add(options: IpfsOptions) -> int:
    store, profile = open_store(), profile_named(options.profile)
    nodes = [each for each in chosen(options.sources) if each.kind == NODE]
    for name in options.arguments:
        with store.shared():
            try:
                if not name:
                    raise UsageError("A name is empty. Name a file or a directory; this one is `.`.")
                root = await add(store, Path(name), profile)
            except IpfsError as fault:
                raise BadName(f"{name}: {fault.text}") from None
            Pins(store).add(root.cid)
            _say(f"{root.cid} {name}" if len(options.arguments) > 1 else str(root.cid))
            for node in nodes:
                await give(store, node, root.cid)
    return 0


async def give(store: BlockStore, node: Source, root: Cid) -> None:
    """To a node. Raises SourceFailed, which says to which one."""
    try:
        with line() as draw:
            await publish(store, node, root, told=lambda done, whole: draw(progress_text(done, whole, "sent")))
    except IpfsError as fault:
        raise SourceFailed(f"It is kept in your store, but a node did not take it: {node.url}: {fault.text}") from None


async def _cat(options: IpfsOptions) -> int:
    async def write(data: bytes) -> None:
        await trio.to_thread.run_sync(put_bytes, data, abandon_on_cancel=True)

    async def do(fetcher: Fetcher, address: Address) -> None:
        await copy(fetcher, await find(fetcher, address), write)

    await _with_fetcher(options, do)
    return 0


async def _get(options: IpfsOptions) -> int:
    async def do(fetcher: Fetcher, address: Address) -> None:
        target = Path(options.out or (address.path[-1] if address.path else str(address.cid)))
        with progress(fetcher):
            await save(fetcher, await find(fetcher, address), target, _told)

    await _with_fetcher(options, do)
    return 0


async def _ls(options: IpfsOptions) -> int:
    for entry in await _with_fetcher(options, listed):
        _say(f"{entry.cid} {entry.size:>12} {entry.name}")
    return 0


async def _pin(options: IpfsOptions) -> int:
    if not options.arguments:
        for cid in Pins(BlockStore.as_it_is(_store_folder())).all():
            _say(str(cid))
        return 0

    async def do(fetcher: Fetcher, address: Address) -> str:
        cid = await find(fetcher, address)
        with progress(fetcher):
            blocks = await complete(fetcher, cid)
        Pins(fetcher.store).add(cid)
        return f"{cid} is kept, in {_count(blocks, 'block')}"

    _say(await _with_fetcher(options, do))
    return 0


async def _unpin(options: IpfsOptions) -> int:
    """What `pin` of the same address pins: of a path its target, never the root above it."""
    address = parse_address_untrusted(options.arguments[0])
    cid = await _with_fetcher(options, find) if address.path else address.cid
    await trio.to_thread.run_sync(Pins(BlockStore.as_it_is(_store_folder())).remove, cid)
    return 0


async def _gc(_options: IpfsOptions) -> int:
    store = open_store()
    gone = await trio.to_thread.run_sync(collect, store, Pins(store), trio.from_thread.check_cancelled)
    _say(f"{_count(gone.blocks, 'block')} ({_count(gone.bytes, 'byte')}) {_were(gone.blocks)} removed")
    await _name_strangers(store)
    return 0


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


async def _stat(options: IpfsOptions) -> int:
    if not options.arguments:
        store = BlockStore.as_it_is(_store_folder())
        there, pins = await trio.to_thread.run_sync(store.contents), len(Pins(store).all())
        _say(f"{_count(there.blocks, 'block')}, {_count(there.bytes, 'byte')}, {_count(pins, 'pin')}")
        await _name_strangers(store)
        return 0
    what = await _with_fetcher(options, about)
    _say(f"{what.cid} {what.kind}, {_count(what.size, 'byte')}, {_count(what.links, 'link')}")
    return 0


async def _name_strangers(store: BlockStore) -> None:
    """What the store will never read nor remove, so that its owner can."""
    found = await trio.to_thread.run_sync(list, store.strangers())
    for name in found[:_NAMED]:
        _told(f"No block is in the block store at {name}; it was left there.")
    if len(found) > _NAMED:
        _told(f"There are {len(found) - _NAMED} more of them.")


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
