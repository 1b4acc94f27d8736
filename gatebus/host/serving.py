"""A host's sockets: from its configuration to connections that it attends; assembly.

In:  a HostConfig; connections of strangers. Out: every link at `Host.attend`, pages for everything else, until the host
was stopped and what ran had its time.

Links that have not said who they are have places beyond the quota, as many as connections that are no links: whoever
is refused for the quota hears it from the host itself.

Order: everything that can fail (certificate, addresses) before the first connection is taken. At the end nobody new is
let in, then what runs gets the configured time, then the links end.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio

from gatebus.bounds import HALF_OPEN_CONNECTIONS
from gatebus.browser.assets import read_assets
from gatebus.faults import UsageError
from gatebus.host.certificates import certificate_names, server_context
from gatebus.host.hostconfig import FETCHED
from gatebus.web.crowd import Capacity
from gatebus.web.entry import Terms
from gatebus.web.front import Front
from gatebus.web.link import SUBPROTOCOL
from gatebus.web.listening import Listener, listen_tcp, listen_unix, serve
from gatebus.web.pages import Lender, Page, standard_pages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gatebus.host.hostconfig import Address, HostConfig
    from gatebus.host.hostlog import Log
    from gatebus.host.hostparts import HostParts
    from gatebus.lookout import Lookout
    from gatebus.web.link import Link, Peer
    from sandbox.layers import Missing

_HERE = ("localhost", "127.0.0.1", "[::1]")


class Served(Protocol):
    """A host, as its sockets know it."""

    config: HostConfig
    log: Log
    lookout: Lookout

    @property
    def parts(self) -> HostParts: ...

    async def attend(self, link: Link) -> None:
        """One client, until its link is over."""

    async def stopped(self) -> None:
        """Somebody has stopped it, and what ran has had its time."""


async def serve_host(host: Served, task_status: trio.TaskStatus[tuple[str, ...]]) -> None:
    """Until it is stopped. Raises UsageError before anything is served."""
    with ExitStack() as stack:
        listeners = await _listen(host.config)
        for listener in listeners:
            stack.callback(listener.close)
        front = Front(
            host.attend,
            _pages(host),
            _terms(host.config, listeners),
            Capacity(connections=host.config.quotas.host.connections + HALF_OPEN_CONNECTIONS),
            lambda peer, error: _report(host, peer, error),
            lender=_lender(host),
            watch=host.lookout.readable,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, listeners, front)
            _tell(host, listeners)
            task_status.started(tuple(map(_shown, listeners)))
            await host.stopped()
            nursery.cancel_scope.cancel()


async def _listen(config: HostConfig) -> list[Listener]:
    context = server_context(config.tls)
    found: list[Listener] = []
    try:
        for address in config.listen:
            found += await listen_tcp(address.host, address.port, context)
        if config.socket is not None:
            found.append(_unix(Path(config.socket)))
        if not found:
            raise UsageError("There is nothing to listen on. Set `listen` or `socket`.")
    except BaseException:
        for each in found:
            each.close()
        raise
    return found


def _unix(path: Path) -> Listener:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise UsageError(f"The folder of the unix socket {path} cannot be made: {reason}.") from None
    return listen_unix(path)


def _terms(config: HostConfig, listeners: list[Listener]) -> Terms:
    contexts = [each.context for each in listeners if each.context]
    names = certificate_names(config.tls, contexts[0]) if contexts else frozenset()
    return Terms(origins=allowed_origins(config, [each.port for each in listeners if each.port]), names=names)


def allowed_origins(config: HostConfig, ports: list[int]) -> tuple[str, ...]:
    """The host's own page, by the names that it listens on, and those that its owner lists. What a request calls the
    host counts only where nobody else can make that point here (DNS rebinding): see web.ownorigin.
    """
    scheme = "https" if config.tls.certificate else "http"
    own = {
        f"{scheme}://{name}{_port(port, scheme)}"
        for address in config.listen
        for name in _names(address)
        for port in (ports if address.port == 0 else [address.port])
    }
    return tuple(sorted(own | config.origins))


def _names(address: Address) -> tuple[str, ...]:
    try:
        number = ip_address(address.host)
    except ValueError:
        return (address.host,)
    if number.is_loopback or number.is_unspecified:
        return _HERE
    return (f"[{number}]" if number.version == 6 else str(number),)


def _port(port: int, scheme: str) -> str:
    """As browsers write an origin: without the scheme's own port."""
    return "" if port == {"http": 80, "https": 443}[scheme] else f":{port}"


def _pages(host: Served) -> Mapping[str, Page]:
    assets = {at: Page(each.content_type, each.content) for at, each in read_assets().items()}
    return {**standard_pages(lambda: _health(host), lambda: _version(host)), **assets}


def _lender(host: Served) -> Lender | None:
    """Whoever offers nothing does not pay for codecs."""
    config = host.config.gateway
    if not config.serve:
        return None
    from gatebus.host.lending import named_store, open_lending, own_store

    if config.store:
        store = named_store(Path(config.store))
    elif host.config.data:
        store = own_store(Path(host.config.data) / FETCHED)
    else:
        raise UsageError("A gateway needs a block store: set `gateway.store` or `data`.")
    lending, pins = open_lending(store, config.hourly, lambda text: host.log.event("content-trouble", text=text))
    host.log.event("content-offered", pins=pins)
    return lending


def _health(host: Served) -> dict[str, object]:
    layers = host.parts.box.layers
    return {
        "status": "stopping" if host.parts.stopping else "ok",
        "backend": host.parts.box.backend,
        "missing": [each.name for each in layers.missing],
    }


def _version(host: Served) -> dict[str, object]:
    return {"agent": f"gatebus/{version('gatebus')}", "protocol": SUBPROTOCOL}


def _tell(host: Served, listeners: list[Listener]) -> None:
    layers = host.parts.box.layers
    tell_missing(host.log, layers.missing)
    for listener in listeners:
        host.log.event("host-listening", address=_shown(listener), transport=_transport(listener))
        if not listener.file and listener.context is None and not _loopback(listener):
            host.log.event("listening-without-tls", address=_shown(listener))
    host.log.event("host-ready", layers=layers.on, missing=[each.name for each in layers.missing])


def tell_missing(log: Log, missing: Sequence[Missing]) -> None:
    """What is got in the same way is one line; `gatebus doctor` has the reason of each."""
    for advice in dict.fromkeys(each.advice for each in missing):
        alike = [each for each in missing if each.advice == advice]
        if len(alike) == 1:
            log.event("layer-missing", layer=alike[0].name, why=alike[0].why, advice=advice)
        else:
            log.event("layers-missing", layers=[each.name for each in alike], advice=advice)


def _transport(listener: Listener) -> str:
    return "unix" if listener.file else "tls" if listener.context else "tcp"


def _shown(listener: Listener) -> str:
    if listener.file:
        return str(listener.file)
    host, port, *_ = listener.sock.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _loopback(listener: Listener) -> bool:
    return ip_address(listener.sock.getsockname()[0].partition("%")[0]).is_loopback


def _report(host: Served, peer: Peer, error: Exception) -> None:
    host.log.event("internal-error", error=type(error).__name__, where=f"a {peer.transport} connection")
