"""Several gateways, one CAR: what they bring is put together, until everything below a root is there; assembly.

In:  gateways (untrusted, and slow on purpose if they like), a root. Out: batches of blocks that are what their CIDs say
and that a verified block asked for, each once.

The next gateway is asked when those before it failed, or when all of them together bring less than a line brings: one
that drips is no way to hold us, and an honest one is not asked for what another brings anyway. A CAR that ends before
everything is there has failed, however well it is formed: the next one brings the rest. What lost: the first CAR that
ends without a fault wins; then a gateway that has a part only, or says so, keeps the others from being asked.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial

import trio

from ipfs.aside import Worker
from ipfs.caps import CAR_BATCH, CAR_JUNK_LEAST, CAR_JUNK_MAX, CAR_RATE
from ipfs.cid import Cid
from ipfs.gateway import Gateway
from ipfs.offer import ENTITY
from ipfs.troubles import IpfsError, SourceFailed, TooLarge
from ipfs.wanted import OF_FILES, Terms, Wanted, named_untrusted

Batch = list[tuple[Cid, bytes]]
Judge = Callable[[Gateway, IpfsError], None]
# Blocks that are handed to a thread together; fewer, if they are large.
_BATCH = 16
DONE, FAILED = "done", "failed"


class CarRace:
    """`most`: blocks that may be wanted. `judge` hears what went wrong with a gateway. `scope` must mean everything
    below the root: all, or entity of a file. `worker`: of the request.
    """

    def __init__(self, root: Cid, scope: str, most: int, judge: Judge, worker: Worker) -> None:
        self._root, self._scope = root, scope
        self._judge, self._worker = judge, worker
        self._heard = 0
        self._wanted = Wanted(root, Terms(most, OF_FILES if scope == ENTITY else None))
        self._batch: Batch = []
        self._held = 0

    async def run(self, gateways: Sequence[Gateway], out: trio.MemorySendChannel[Batch], head_start: float) -> None:
        """Until everything is there or all have failed. Raises TooLarge."""
        if not self._wanted.whole:
            await self._race(gateways, out, head_start)
        if self._batch:
            await out.send(self._batch)

    async def _race(self, gateways: Sequence[Gateway], out: trio.MemorySendChannel[Batch], head_start: float) -> None:
        send, receive = trio.open_memory_channel[str](len(gateways))
        async with trio.open_nursery() as nursery:
            failed = 0
            for count, gateway in enumerate(gateways, 1):
                nursery.start_soon(self._try, gateway, out, send)
                wait = head_start if count < len(gateways) else float("inf")
                slow = False
                while failed < count and not slow:
                    before, end = self._heard, ""
                    with trio.move_on_after(wait):
                        end = await receive.receive()
                    if end == DONE:
                        nursery.cancel_scope.cancel()
                        return
                    failed += end == FAILED
                    slow = not end and self._heard - before < CAR_RATE * head_start

    async def _try(
        self, gateway: Gateway, out: trio.MemorySendChannel[Batch], send: trio.MemorySendChannel[str]
    ) -> None:
        try:
            await self._take(gateway, out)
            await send.send(DONE)
        except TooLarge:
            raise
        except IpfsError as fault:
            self._judge(gateway, fault)
            await send.send(FAILED)

    def _hear(self, count: int) -> None:
        self._heard += count

    async def _take(self, gateway: Gateway, out: trio.MemorySendChannel[Batch]) -> None:
        """Passes on only blocks that a verified block asked for: what else is sent is chaff, and bounded by its bytes
        and by its time: the time of a block is that of one that is wanted. So is what this gateway has sent before.
        """
        sent: set[bytes] = set()
        junk, useful = 0, trio.current_time()
        async with aclosing(gateway.car(self._root, self._scope, self._hear)) as blocks:
            while (found := await _next(blocks, useful + gateway.patience.block)) is not None:
                cid, block = found
                if cid.key in sent or not self._wanted.knows(cid):
                    junk += max(CAR_JUNK_LEAST, len(block) + len(bytes(cid)))
                    if junk > CAR_JUNK_MAX:
                        raise SourceFailed("The source sends what nobody asked for.")
                    continue
                sent.add(cid.key)
                await self._pass_on(cid, block, out)
                useful = trio.current_time()
                if self._wanted.whole:
                    return
        raise SourceFailed("The source's CAR ends before everything was there.")

    async def _pass_on(self, cid: Cid, block: bytes, out: trio.MemorySendChannel[Batch]) -> None:
        """A block that another gateway has brought, before or just now, is there already."""
        if (wanted := self._wanted.named(cid)) is None:
            return
        named = await self._worker.out(wanted, block, partial(named_untrusted, wanted, block, self._wanted.terms))
        if self._wanted.named(cid) is None:
            return
        self._wanted.take(wanted, named)
        self._batch.append((wanted, block))
        self._held += len(block)
        if len(self._batch) >= _BATCH or self._held >= CAR_BATCH:
            await self._hand_on(out)

    async def _hand_on(self, out: trio.MemorySendChannel[Batch]) -> None:
        """What nobody has taken yet when this is given up goes with the last batch."""
        batch, self._batch, self._held = self._batch, [], 0
        try:
            await out.send(batch)
        except trio.Cancelled:
            self._batch = batch + self._batch
            raise


async def _next(blocks: AsyncIterator[tuple[Cid, bytes]], deadline: float) -> tuple[Cid, bytes] | None:
    try:
        with trio.fail_at(deadline):
            return await anext(blocks, None)
    except trio.TooSlowError:
        raise SourceFailed("The source did not send a block in time.") from None
