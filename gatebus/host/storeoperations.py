"""Operations on modules and files: upload, download, pin, unpin, modules; a wire.

Where it stands: see operations. In: hashes, sizes, tags and bytes of clients (untrusted). Out: what the module store
makes of them. The store works in threads, so each of these goes on in a task of its own; how many there are is
bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatebus.accountbounds import TRANSFER_PIECE, TRANSFER_SECONDS
from gatebus.bounds import MODULES_LISTED, STREAM_WINDOW
from gatebus.faults import StoreBroken
from gatebus.host import requests
from gatebus.host.refusals import Refusal
from gatebus.host.statuses import Map, fitting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatebus.host.attendant import Line
    from gatebus.host.hostparts import HostParts
    from gatebus.host.modulestore import Held
    from gatebus.host.moduleupload import Upload
    from gatebus.host.requests import Parameters
    from gatebus.turn import Turn


class Transfer:
    """The bytes of one line, for a task. `wait` until something changes; the client's own words end it. `patience`:
    seconds in which nothing need move.
    """

    def __init__(self, line: Line, turn: Turn, patience: float) -> None:
        self.came_in: list[bytes] = []
        self._line, self._turn, self._patience = line, turn, patience
        self._changed, self._asks = trio.Event(), trio.CancelScope()
        self.over = False
        """Its client is gone, or no longer wants it."""
        self.unwanted = False
        line.rider = self

    def came(self, data: bytes) -> None:
        self.came_in.append(data)
        self.touch()

    def touch(self) -> None:
        self._changed.set()

    def dropped(self, line: Line) -> None:
        self.over = True
        self._asks.cancel()
        self.touch()

    def cancelled(self, line: Line) -> None:
        """Answered when nothing of it is left (carried): what it took of a quota is there for what is asked next."""
        self.unwanted = True
        self.dropped(line)

    async def wait(self) -> bool:
        """False: its client is gone. Raises Refusal."""
        if not self.over:
            with trio.move_on_after(self._patience) as waited:
                await self._changed.wait()
            if waited.cancelled_caught:
                raise Refusal("busy", f"Nothing moved for {self._patience:.0f} s; others want the place. Ask again.")
        self._changed = trio.Event()
        return not self.over

    def asking(self) -> trio.CancelScope:
        """For what may have to wait before the first byte: nobody waits for a client that is gone. Once."""
        return self._asks

    def take(self) -> bytes:
        data = b"".join(self.came_in)
        self.came_in.clear()
        return data

    def pump(self) -> None:
        with self._turn:
            self._line.pump()


def carried(
    parts: HostParts,
    line: Line,
    work: Callable[[Transfer], Awaitable[Map | None]],
    patience: float = TRANSFER_SECONDS,
) -> None:
    """In a task of its own. `work` makes the answer; None: its client is gone. Raises Refusal."""
    transfer = Transfer(line, parts.turn, patience)

    async def answered() -> None:
        told = await work(transfer)
        if told is None and transfer.unwanted:
            told = {}
        if told is not None:
            _answer(parts, line, told)

    parts.answer_later(line, answered)


def upload(parts: HostParts, line: Line, given: Parameters) -> None:
    """Goes on where an earlier attempt stopped; skipped when it is one's own already."""
    digest, size = requests.digest_untrusted(given), requests.count_untrusted(given, "size")

    async def work(transfer: Transfer) -> Map | None:
        begun = None
        with transfer.asking():
            begun = await parts.store.upload(digest, size, line.principal)
        if begun is None:
            return None
        try:
            if not (begun.known or await _receive(parts, line, transfer, begun)):
                return None
            module = await begun.finish()
        finally:
            await begun.aclose()
        told = {"module": module.sha256, "size": module.size, "known": begun.known}
        parts.note("module-uploaded", principal=line.principal.id, **told)
        return told

    carried(parts, line, work)


async def _receive(parts: HostParts, line: Line, transfer: Transfer, begun: Upload) -> bool:
    """False: its client is gone."""
    with parts.turn:
        if transfer.over:
            return False
        line.accept({"taken": begun.taken}, STREAM_WINDOW)
    while begun.taken < begun.announced.size:
        if not transfer.came_in:
            if line.flows.into.finished is not None:
                break
            if not await transfer.wait():
                return False
        data = transfer.take()
        await begun.write(data)
        if _over(transfer):
            return False
        line.flows.into.consume(len(data))
        transfer.pump()
    return True


def _over(transfer: Transfer) -> bool:
    """Its link was lost, or it was cancelled, while a thread worked."""
    return transfer.over


def download(parts: HostParts, line: Line, given: Parameters) -> None:
    """One's own module, or one's own file of a result."""
    digest = requests.digest_untrusted(given)

    async def work(transfer: Transfer) -> Map | None:
        size = await parts.store.own_size(line.principal, digest)
        if size is None:
            raise Refusal("not-found", "There is no such file or module, or it is not yours.")
        async with parts.store.reading(digest) as read:
            with parts.turn:
                if transfer.over:
                    return None
                line.accept({"taken": 0}, 0)
            return {"size": size} if await send(line, transfer, read, size) else None

    carried(parts, line, work)


async def send(line: Line, transfer: Transfer, read: Callable[[int], Awaitable[bytes]], left: int) -> bool:
    """False: its client is gone."""
    out = line.flows.out
    while not (out.end_sent or out.stopped):
        if left and out.room:
            piece = await read(min(out.room, left, TRANSFER_PIECE))
            if not piece:
                raise StoreBroken("A file of the module store is shorter than it was.")
            out.append(piece)
            left -= len(piece)
        elif left and not await transfer.wait():
            return False
        if not left:
            out.end()
        if _over(transfer):
            return False
        transfer.pump()
        if not left and not (out.end_sent or out.stopped) and not await transfer.wait():
            return False
    return True


def pin(parts: HostParts, line: Line, given: Parameters) -> None:
    """Kept until it is unpinned; these tags come to those that it has. A module that is named by an address is fetched
    first.
    """
    module, tags = requests.module_untrusted(given), given.get("tags", ())

    async def work() -> None:
        if "://" in module:
            held, own = await parts.programs.pin(module, line.principal, tags)
            _answer(parts, line, {**_tagged(held), "content": own})
        else:
            held = await parts.store.pin(bytes.fromhex(module), line.principal, tags)
            _answer(parts, line, _tagged(held))

    parts.answer_later(line, work)


def unpin(parts: HostParts, line: Line, given: Parameters) -> None:
    """Without tags: no longer kept. With tags: those are taken off, and with the last one the pin."""
    digest = requests.digest_untrusted(given, "module")

    async def work() -> None:
        _answer(parts, line, _tagged(await parts.programs.unpin(digest, line.principal, given.get("tags", ()))))

    parts.answer_later(line, work)


def _tagged(held: Held) -> Map:
    return {"module": held.module.sha256, "tags": list(held.holding.tags)}


def modules(parts: HostParts, line: Line, given: Parameters) -> None:
    """The newest first, as many as fit; `after` the last one that the client knows. `more`: ask again."""
    wanted = requests.digest_untrusted(given, "module") if "module" in given else None
    after = requests.digest_untrusted(given, "after") if "after" in given else None

    async def work() -> None:
        held = await parts.store.modules(line.principal, wanted)
        places = [place for place, each in enumerate(held) if each.module.sha256 == after]
        held = held[places[0] + 1 :] if places else held
        shown = fitting([_told(each) for each in held[:MODULES_LISTED]])
        _answer(parts, line, {"modules": shown, "more": len(held) > len(shown)})

    parts.answer_later(line, work)


def _told(held: Held) -> Map:
    module, holding = held.module, held.holding
    return {"module": module.sha256, "size": module.size, "tags": list(holding.tags), "pinned": holding.pinned}


def _answer(parts: HostParts, line: Line, about: Map) -> None:
    """Unless its link was lost meanwhile."""
    with parts.turn:
        if line.open:
            line.result(about)
