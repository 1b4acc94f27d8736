"""What every command needs that handles content: the person's store, sources, progress, an end by a signal; assembly.

In:  the environment; what a source or a node says (untrusted). Out: a store, sources; lines on stderr.

What went wrong but could be helped (a source that lied, a damaged entry) is said on stderr.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import trio

from gatebus.cli.ending import Ending
from gatebus.cli.saying import tell
from gatebus.cli.wording import BY_SIGNAL, progress_text
from ipfs.addresses import Source, parse_source_untrusted
from ipfs.blockstore import BlockStore
from ipfs.cid import Cid
from ipfs.fetching import Fetcher, one_fault
from ipfs.publishing import publish
from ipfs.troubles import IpfsError, SourceFailed, Unavailable

T = TypeVar("T")
# Asked where nothing is configured: gateways of the IPFS foundations that serve verifiable blocks. They learn what is
# asked for; `--offline` or sources of one's own keep that to oneself.
PUBLIC_SOURCES = ("https://trustless-gateway.link", "https://ipfs.io")
# Whoever sends them means the command's end; Ctrl-C is Python's own.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def told_in_full(fault: IpfsError) -> str:
    """Its text; what each source answered is said beside it, with its URL: the person has chosen them."""
    for each in fault.answers if isinstance(fault, Unavailable) else ():
        told(each)
    return fault.short if isinstance(fault, Unavailable) else fault.text


def run(task: Callable[[], Awaitable[T]]) -> T:
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
    return BlockStore(store_folder())


def store_folder() -> Path:
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(os.environ.get("GATEBUS_IPFS_STORE") or base / "gatebus" / "ipfs")


def chosen(given: Sequence[str] | None) -> list[Source]:
    """Sources of this command, or of the environment, or the public ones."""
    if given is None:
        configured = os.environ.get("GATEBUS_IPFS_SOURCES")
        given = PUBLIC_SOURCES if configured is None else configured.split()
    return [parse_source_untrusted(text) for text in given]


def told(text: str) -> None:
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


async def give(store: BlockStore, node: Source, root: Cid) -> None:
    """To a node. Raises SourceFailed, which says to which one."""
    try:
        with line() as draw:
            await publish(store, node, root, told=lambda done, whole: draw(progress_text(done, whole, "sent")))
    except IpfsError as fault:
        raise SourceFailed(f"It is kept in your store, but a node did not take it: {node.url}: {fault.text}") from None
