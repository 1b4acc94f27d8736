"""Assembly: a bus to a host: address, key, trust, link and reconnecting put together.

In:  what a person writes. Out: a Bus inside its context. Raises UsageError (address, key), CannotConnect, NotTrusted,
HostError, LinkLost: the first connection is made before the context is entered, and tried once.
"""

from __future__ import annotations

import os
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from gatebus.client.bus import Bus
from gatebus.client.handshake import Introduction, greet_host
from gatebus.client.lifeline import Lifeline, nobody
from gatebus.client.signers import as_signer
from gatebus.client.trustfile import KnownHostsFile, SameMachine
from gatebus.clientbounds import RECONNECT_PATIENCE
from gatebus.trioneeded import need_trio
from gatebus.web.dialling import Caller, dial
from gatebus.web.places import Address, parse_address
from gatebus.xdg import config_directory
from sandbox.background import background_tasks

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from gatebus.client.handshake import Trust
    from gatebus.client.hostline import HostLine
    from gatebus.client.signers import Signer
    from gatebus.sshkeys import PrivateKey
    from gatebus.web.link import Link


@dataclass(frozen=True, slots=True)
class Manner:
    """How to connect. `trust`: None is known_hosts with trust on first use. `patience`: seconds without a link.
    `on_link`: is told "lost" when something waits for a link that broke, and "back" when there is another.
    """

    trust: Trust | None = None
    patience: float = RECONNECT_PATIENCE
    agent: str = "gatebus"
    tls: ssl.SSLContext | None = None
    dice: Callable[[], float] = field(default=random.random)
    random_bytes: Callable[[int], bytes] = field(default=os.urandom)
    on_link: Callable[[Literal["lost", "back"]], None] = field(default=nobody)


@asynccontextmanager
async def connect(
    url: str, key: Signer | PrivateKey | bytes | None = None, manner: Manner | None = None
) -> AsyncIterator[Bus]:
    """`url`: ws://, wss://, unix:/path or host:port."""
    need_trio("connect", "Without trio, and beside asyncio, use gatebus.client.sync (docs/clients.md).")
    manner = manner or Manner()
    address = parse_address(url)
    caller = Caller(agent=manner.agent, context=manner.tls)
    trust = manner.trust or default_trust(address)
    ours = Introduction(manner.agent, as_signer(key), trust)
    async with connected(partial(dial, address, caller), ours, manner) as bus:
        yield bus


@asynccontextmanager
async def connected(
    dialling: Callable[[], AbstractAsyncContextManager[Link]], ours: Introduction, manner: Manner
) -> AsyncIterator[Bus]:
    """The same over any kind of link."""

    async def greet(link: Link) -> HostLine:
        return await greet_host(link, ours, manner.random_bytes(32))

    lifeline = Lifeline(dialling, greet, manner.dice, manner.patience, manner.on_link)
    async with background_tasks() as nursery:
        nursery.start_soon(lifeline.run)
        await lifeline.line()
        yield Bus(lifeline, manner.random_bytes)


def default_trust(address: Address, path: Path | None = None) -> Trust:
    """A unix socket is believed; any other host is remembered by its address."""
    if address.scheme == "unix":
        return SameMachine()
    return KnownHostsFile(path or known_hosts_path(), str(address))


def known_hosts_path() -> Path:
    return config_directory() / "known_hosts"
