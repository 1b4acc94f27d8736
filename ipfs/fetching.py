"""A store and sources become one place that has every block; assembly.

In:  a CID. Out: its block, verified. The store is asked first; then the sources, each with a head start before the next
one is asked too, and the first right answer ends the race. A source that lied is not asked again in this run.
"""

import math
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TypeVar

import trio

from ipfs.addresses import THREAD_NODE, Source
from ipfs.aside import Worker, step
from ipfs.blockstore import BlockStore
from ipfs.caps import HEAD_START, SOURCES_MAX, Budget
from ipfs.carrace import Batch, CarRace
from ipfs.cid import Cid
from ipfs.gateway import Asked, Gateway, asked
from ipfs.troubles import BadName, Damaged, IpfsError, TooLarge, Unavailable, Unverified
from ipfs.web import Patience, open_web

T = TypeVar("T")
_Answer = bytes | tuple[Asked, IpfsError]


class Fetcher:
    """Blocks from the store or the sources, within one budget. `told` hears of what went wrong but could be helped."""

    def __init__(
        self,
        store: BlockStore,
        sources: Sequence[Asked] = (),
        budget: Budget | None = None,
        told: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.store = store
        self.budget = budget or Budget()
        self.head_start = HEAD_START
        self.worker = Worker(self.budget.work)
        self._told = told
        self._sources = list(sources)
        self._lied = False
        self.asked = False
        """Whether any source was."""
        self.fetched_bytes = self.fetched_blocks = 0
        self.expected: int | None = None
        """How many bytes there will be, by what its author says: for display, never for a decision."""
        self.on_fetched: Callable[[int], None] = lambda _bytes: None
        """Hears how many there are by now."""

    async def get(self, cid: Cid) -> bytes:
        """Raises Unavailable, TooLarge, StoreFailed, Unsupported."""
        try:
            block = await trio.to_thread.run_sync(self.store.get, cid)
        except Damaged as damage:
            self._told(damage.text)
            block = None
        if block is None:
            block = await self._race(cid)
            await self._keep([(cid, block)])
        return block

    async def answer(self, question: Generator[Cid, bytes, T]) -> T:
        """Runs a question of the reader."""
        try:
            wanted = next(question)
        except StopIteration as end:
            found: T = end.value
            return found
        while True:
            block = await self.get(wanted)
            following, answers = await self.worker.out(wanted, block, partial(step, question, block))
            if following is None:
                return answers[0]
            wanted = following

    async def _keep(self, blocks: list[tuple[Cid, bytes]]) -> None:
        self.fetched_blocks += len(blocks)
        self.fetched_bytes += sum(len(block) for _, block in blocks)
        self._check_budget()
        await trio.to_thread.run_sync(self.store.keep, blocks)
        self.on_fetched(self.fetched_bytes)

    def _check_budget(self) -> None:
        if self.fetched_blocks > self.budget.blocks:
            raise TooLarge(f"It has more than the {self.budget.blocks} blocks that this request may fetch.")
        if self.fetched_bytes > self.budget.bytes:
            raise TooLarge(f"It is more than the {self.budget.bytes} bytes that this request may fetch.")

    async def _race(self, cid: Cid) -> bytes:
        order = tuple(self._sources)
        if not order:
            why = "whoever was asked has sent wrong bytes" if self._lied else "nobody is asked for it"
            raise Unavailable(f"The block {cid} is not here, and {why}.")
        self.asked = True
        send, receive = trio.open_memory_channel[_Answer](len(order))
        failures: list[tuple[Asked, IpfsError]] = []
        async with trio.open_nursery() as nursery:
            for count, source in enumerate(order, 1):
                nursery.start_soon(self._try, source, cid, send)
                with trio.move_on_after(self.head_start if count < len(order) else math.inf):
                    while len(failures) < count:
                        answer = await receive.receive()
                        if isinstance(answer, bytes):
                            nursery.cancel_scope.cancel()
                            return answer
                        failures.append(answer)
        answers = tuple(
            f"{source.source.url}: {fault.text}" for source, fault in failures if not isinstance(fault, Unverified)
        )
        raise Unavailable(f"No source has the block {cid}.", answers, failures[-1][1].text)

    async def _try(self, source: Asked, cid: Cid, send: trio.MemorySendChannel[_Answer]) -> None:
        try:
            await send.send(await source.block(cid))
        except IpfsError as fault:
            self._judge(source, fault)
            await send.send((source, fault))

    def _judge(self, source: Asked, fault: IpfsError) -> None:
        if isinstance(fault, Unverified) and source in self._sources:
            self._sources.remove(source)
            self._lied = True
            self._told(f"A source ({source.source.url}) sent wrong bytes. It is not asked again.")

    async def warm(self, root: Cid, scope: str) -> None:
        """Tries to get everything below a root at once, as a CAR. What fails here is fetched block by block later. One
        batch is written while the next ones arrive.
        """
        gateways = [source for source in self._sources if isinstance(source, Gateway)]
        if not gateways:
            return
        self.asked = True
        race = CarRace(root, scope, self.budget.blocks, self._judge, self.worker)
        send, receive = trio.open_memory_channel[Batch](1)
        with one_fault():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_all, receive)
                async with send:
                    await race.run(gateways, send, self.head_start)

    async def _keep_all(self, batches: trio.MemoryReceiveChannel[Batch]) -> None:
        async for batch in batches:
            await self._keep(batch)


@asynccontextmanager
async def open_fetcher(
    store: BlockStore,
    sources: Sequence[Source],
    budget: Budget,
    told: Callable[[str], None],
    patience: Patience | None = None,
) -> AsyncIterator[Fetcher]:
    """A store that stays as long as it is used, and connections that are made when they are needed. All of it within
    the budget's time.
    """
    if len(sources) > SOURCES_MAX:
        raise BadName(f"There are more than {SOURCES_MAX} sources.")
    limits = patience or Patience()
    with one_fault(), store.shared():
        async with AsyncExitStack() as stack:
            openings = [_open(source, limits) for source in dict.fromkeys(sources)]
            places = [await stack.enter_async_context(each) for each in openings]
            try:
                with trio.fail_after(budget.seconds):
                    yield Fetcher(store, places, budget, told)
            except trio.TooSlowError:
                raise TooLarge(f"It was not finished within the {budget.seconds:g} seconds of this request.") from None


@asynccontextmanager
async def _open(source: Source, patience: Patience) -> AsyncIterator[Asked]:
    if source.kind != THREAD_NODE:
        async with open_web(source, patience) as web:
            yield asked(source, web, patience)
        return
    from ipfs.threadnode import open_thread_node  # an optional package

    async with open_thread_node(source, patience) as node:
        yield node


@contextmanager
def one_fault() -> Iterator[None]:
    """Nurseries wrap what they raise; here one thing goes wrong at a time."""
    try:
        yield
    except ExceptionGroup as group:
        fault: Exception = group
        while isinstance(fault, ExceptionGroup):
            fault = fault.exceptions[0]
        raise fault from None
