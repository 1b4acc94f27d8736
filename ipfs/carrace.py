"""Several gateways, one CAR: whoever is done first wins; assembly.

In:  gateways (untrusted, and slow on purpose if they like), a root. Out: batches of blocks that are what their CIDs say
and that a verified block asked for, as often as gateways send them.

The next gateway is asked when those before it failed, or when all of them together bring less than a line brings: one
that drips is no way to hold us, and an honest one is not asked for what another brings anyway.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial

import trio

from ipfs.aside import worked_out
from ipfs.caps import CAR_BATCH, CAR_JUNK_MAX, CAR_RATE
from ipfs.cid import Cid
from ipfs.dagpb import linked_untrusted
from ipfs.gateway import Gateway
from ipfs.troubles import IpfsError, SourceFailed, TooLarge

Batch = list[tuple[Cid, bytes]]
# Blocks that are handed to a thread together; fewer, if they are large.
_BATCH = 16
DONE, FAILED = "done", "failed"


class CarRace:
    """`most`: blocks that may be wanted. `judge` hears what went wrong with a gateway."""

    def __init__(self, root: Cid, scope: str, most: int, judge: Callable[[Gateway, IpfsError], None]) -> None:
        self._root, self._scope = root, scope
        self._most, self._judge = most, judge
        self._heard = 0

    async def run(self, gateways: Sequence[Gateway], out: trio.MemorySendChannel[Batch], head_start: float) -> None:
        """Until one is done or all have failed. Raises TooLarge."""
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
        """Passes on only blocks that a verified block asked for: what else is sent is chaff, and bounded."""
        wanted, junk = {self._root.key}, 0
        batch: Batch = []
        held = 0
        async with aclosing(gateway.car(self._root, self._scope, self._hear)) as blocks:
            while (found := await _next(blocks, gateway)) is not None:
                cid, block = found
                if cid.key not in wanted:
                    junk += len(block) + len(bytes(cid))
                    if junk > CAR_JUNK_MAX:
                        raise SourceFailed("The source sends what nobody asked for.")
                    continue
                wanted.discard(cid.key)
                links = await worked_out(cid, block, partial(linked_untrusted, cid, block))
                wanted.update(link.key for link in links)
                if len(wanted) > self._most:
                    raise TooLarge("It is more than this request may fetch.")
                batch.append(found)
                held += len(block)
                if len(batch) >= _BATCH or held >= CAR_BATCH:
                    await out.send(batch)
                    batch, held = [], 0
        await out.send(batch)


async def _next(blocks: AsyncIterator[tuple[Cid, bytes]], gateway: Gateway) -> tuple[Cid, bytes] | None:
    try:
        with trio.fail_after(gateway.patience.block):
            return await anext(blocks, None)
    except trio.TooSlowError:
        raise SourceFailed("The source did not send a block in time.") from None
