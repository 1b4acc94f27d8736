"""The product's host with fake programs (busworld) on a real socket of this machine, in this process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from busworld import BusWorld, bus_world

from gatebus.web.front import Front
from gatebus.web.listening import listen_tcp, listen_unix, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def host_on_loopback(path: Path | None = None) -> AsyncIterator[tuple[BusWorld, str]]:
    """host:port, or unix:PATH."""
    async with bus_world() as world, trio.open_nursery() as nursery:
        listeners = [listen_unix(path)] if path else await listen_tcp("127.0.0.1", 0)
        nursery.start_soon(serve, listeners, Front(world.host.attend))
        try:
            yield world, f"unix:{path}" if path else f"127.0.0.1:{listeners[0].port}"
        finally:
            nursery.cancel_scope.cancel()
            for listener in listeners:
                listener.close()
