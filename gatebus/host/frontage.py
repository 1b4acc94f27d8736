"""What a host shows to the network: listeners, pages, and whose pages may connect; assembly.

In:  a configuration, facts for the pages of health and version. Out: open listeners, and the Front that serves them.

A browser says which page wants to connect. Pages that this host itself serves may, under the addresses that it
listens on: a list, and not whatever the request calls its `Host`, because a name that somebody else points at this
machine (DNS rebinding) would be called so, too.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from gatebus.browser.assets import read_assets
from gatebus.faults import UsageError
from gatebus.web.entry import Terms
from gatebus.web.listening import Listener, listen_tcp, listen_unix
from gatebus.web.pages import Page, standard_pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from gatebus.host.hostconfig import HostConfig

AGENT = "gatebus"
_LOOPBACK = ("127.0.0.1", "::1")


def agent() -> str:
    """Name and version, as it stands in the greeting."""
    try:
        return f"{AGENT}/{version(AGENT)}"
    except PackageNotFoundError:  # a checkout that was not installed
        return AGENT


@asynccontextmanager
async def open_listeners(config: HostConfig) -> AsyncIterator[Sequence[Listener]]:
    """Raises UsageError. They are closed at the end."""
    context = _tls(config)
    listeners: list[Listener] = []
    try:
        for address in config.listen:
            listeners += await listen_tcp(address.host, address.port, context)
        if config.socket is not None:
            listeners.append(listen_unix(Path(config.socket)))
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def _tls(config: HostConfig) -> ssl.SSLContext | None:
    if config.tls.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls.certificate, config.tls.key)
    except (OSError, ssl.SSLError) as problem:
        raise UsageError(f"The certificate or its key cannot be used: {problem.strerror or problem}.") from None
    return context


def terms(config: HostConfig, listeners: Sequence[Listener]) -> Terms:
    """The pages that may connect: those of this host, and those that its owner names."""
    return Terms(origins=tuple(sorted(config.origins | frozenset(own_origins(config, listeners)))))


def own_origins(config: HostConfig, listeners: Sequence[Listener]) -> list[str]:
    found = []
    for listener in listeners:
        if listener.file is None:
            scheme, host = "https" if listener.context else "http", listener.sock.getsockname()[0]
            names = {f"[{host}]" if ":" in host else host, *(["localhost"] if host in _LOOPBACK else [])}
            names |= {each.host for each in config.listen if not each.host[:1].isdigit() and ":" not in each.host}
            found += [f"{scheme}://{name}:{listener.port}" for name in sorted(names)]
    return found


def pages(health: Callable[[], Mapping[str, object]], about: Callable[[], Mapping[str, object]]) -> dict[str, Page]:
    assets = {address: Page(asset.content_type, asset.content) for address, asset in read_assets().items()}
    return assets | standard_pages(health, about)


def address_text(listener: Listener) -> str:
    """As a person writes it."""
    if listener.file is not None:
        return str(listener.file)
    host = listener.sock.getsockname()[0]
    return f"[{host}]:{listener.port}" if ":" in host else f"{host}:{listener.port}"
