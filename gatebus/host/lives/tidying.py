"""What of programs and snapshots somebody still needs, and that the rest goes; a wire.

In:  the host's instances, the lines of its store. Out: hashes of programs that stay in the module store; every ten
minutes snapshots that nobody needs go (gatebus.snapshots.retention).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gatebus.bounds import TIDY_SECONDS
from gatebus.faults import GatebusError
from gatebus.snapshots.retention import Living

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.registry import Registry


class Tidying:
    """`clock`: seconds since 1970."""

    def __init__(self, keeping: Keeping, registry: Registry, clock: Callable[[], float]) -> None:
        self._keeping, self._registry, self._clock = keeping, registry, clock

    async def modules(self) -> frozenset[bytes]:
        """Programs that some snapshot is of, or that run and may be stopped: without their bytes they could not go on.
        Those that run are looked at last: what is stored meanwhile is among the first then, or among these.
        """
        stored = await self._keeping.store.modules() if self._keeping.keeps else ()
        return frozenset(bytes.fromhex(each) for each in (*stored, *self._running()))

    def _running(self) -> Iterator[str]:
        for each in self._registry.running():
            if each.live is not None:
                module = each.live.module or each.order.module
                if "://" not in module:
                    yield module

    async def run(self) -> None:
        """Until cancelled."""
        while self._keeping.keeps:
            await trio.sleep(TIDY_SECONDS)
            try:
                await self._keeping.store.collect(Living(frozenset(self._registry.alive()), self._clock()))
            except GatebusError as trouble:
                self._keeping.on_trouble(trouble)
