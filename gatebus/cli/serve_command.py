"""`gatebus serve`: a host with its configuration, its key, the keys that it knows, its log and its signals; assembly.

In:  options. Out: a host that runs until a signal; an exit code. What prevents the start is one line on stderr; what
happens later is in the log.

Order: configuration, the places that it names, and keys first, because their faults are the owner's and are told at
once; signals before the host opens, so that a Ctrl-C during the start leaves nothing behind. The first signal asks,
the second one insists.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gatebus.cli.ending import alone
from gatebus.cli.hostfile import IDENTITY, read_host_config
from gatebus.cli.saying import put, tell
from gatebus.cli.startchecks import check_places
from gatebus.cli.surroundings import module_path, read_interpreters
from gatebus.faults import GatebusError
from gatebus.host.configtext import config_text
from gatebus.host.hostconfig import FETCHED
from gatebus.host.identityfile import own_private_key
from gatebus.host.keyring import Keyring
from gatebus.host.log import Log, standard_log
from gatebus.host.server import Host
from gatebus.host.sources import Elsewhere, ScriptModule
from gatebus.sshkeys import fingerprint
from gatebus.xdg import authorized_keys_path
from sandbox.errors import SandboxError
from sandbox.limits import Limits, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatebus.cli.interpreters import Interpreter
    from gatebus.cli.serve_options import ServeOptions
    from gatebus.host.hostconfig import HostConfig
    from gatebus.host.programs import Source
    from gatebus.sshkeys import PrivateKey

_OURS = 125
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))


@dataclass(slots=True)
class Service:
    """One run of the command."""

    config: HostConfig
    log: Log
    identity: PrivateKey
    host: Host | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    signals: int = 0

    def signalled(self, number: int) -> None:
        self.signals += 1
        if self.host is not None and self.signals == 1:
            self.log.event("host-signalled", signal=signal.Signals(number).name)
            self.host.stop()
        else:
            self.scope.cancel()


def serve(options: ServeOptions) -> int:
    """The whole command. The exit code."""
    try:
        found = read_host_config(options)
        if options.print_config:
            put(config_text(found.config, found.sources))
            return 0
        check_places(found)
        assert found.config.data is not None
        identity = own_private_key(Path(found.config.data) / IDENTITY, "gatebus host")
        service = Service(found.config, standard_log(found.config.log, found.config.log_level), identity)
        trio.run(_run, service, restrict_keyboard_interrupt_to_checkpoints=True)
    except Exception as raised:
        return _told(alone(raised))
    return 0


def _told(fault: Exception) -> int:
    if not isinstance(fault, GatebusError | SandboxError):
        raise fault
    tell(f"gatebus: {fault.text}\n")
    return _OURS


async def _run(service: Service) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(_listen_to_signals, service)
        with service.scope:
            await _serve(service)
        nursery.cancel_scope.cancel()


async def _listen_to_signals(service: Service, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(*_ENDING) as arrived:
        task_status.started()
        async for number in arrived:
            service.signalled(number)


async def _serve(service: Service) -> None:
    config = service.config
    service.log.event(
        "host-starting", version=version("gatebus"), fingerprint=fingerprint(service.identity.public), data=config.data
    )
    keyring = Keyring(Path(config.authorized_keys) if config.authorized_keys else None, service.log)
    keyring.look()
    if config.authorized_keys != str(authorized_keys_path()):
        keyring.expect()
    elsewhere = Elsewhere(script_modules(read_interpreters(None)), content_sources(config, service.log))
    async with Host(config, seed=service.identity.seed, known=keyring, elsewhere=elsewhere, log=service.log) as host:
        service.host = host
        await host.serve()
        service.host = None
    service.log.event("host-stopped")


def content_sources(config: HostConfig, log: Log) -> dict[str, Source]:
    """A host that fetches nothing does not pay for an HTTP client."""
    if not config.fetch.gateways:
        return {}
    from gatebus.host.contentsource import ContentSource
    from ipfs.addresses import parse_source_untrusted

    assert config.data is not None
    gateways = [parse_source_untrusted(each) for each in config.fetch.gateways]
    source = ContentSource(
        Path(config.data) / FETCHED, gateways, config.fetch.hourly, lambda text: log.event("content-trouble", text=text)
    )
    return {"ipfs": source}


def script_modules(table: Mapping[str, Interpreter]) -> dict[str, ScriptModule]:
    """What `gatebus run` runs scripts with, as far as it has been built: clients of this host may use it, too."""
    limits = {
        extension: {name: parse(Limits, name, text) for name, text in line.limits.items()}
        for extension, line in table.items()
    }
    there = {extension: line for extension, line in table.items() if module_path(line).is_file()}
    return {each: ScriptModule(module_path(line), line.arguments, limits[each]) for each, line in there.items()}
