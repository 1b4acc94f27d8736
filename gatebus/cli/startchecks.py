"""What `gatebus serve` looks at before anything of it starts: the places that its configuration names; assembly.

Where it stands: between the configuration, whose values are right each by itself, and the host. In: places that the
owner of the machine wrote, and where. Out: nothing, or UsageError with file and line, variable or flag.

The host looks again when it uses them. It is asked here so that a wrong path makes no directory, no key and no log, and
so that whoever wrote it is told where.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gatebus.faults import UsageError
from gatebus.host.configreader import Configured
from gatebus.host.hostconfig import Gateway
from gatebus.web.places import check_socket_path


def check_places(found: Configured) -> None:
    """Raises UsageError."""
    config = found.config
    if not config.listen and config.socket is None:
        raise UsageError("There is nothing to listen on. Set `listen` or `socket`.")
    if config.socket is not None:
        with _written(found.sources, "socket"):
            check_socket_path(config.socket)
    if config.tls.certificate is not None:
        from gatebus.host.certificates import check_files  # most hosts have none, and OpenSSL is large

        check_files(config.tls, found.sources)
    _check_gateway(config.gateway, found.sources)


def _check_gateway(gateway: Gateway, sources: Mapping[str, str]) -> None:
    if gateway.serve and gateway.store is not None:
        from gatebus.host.lending import named_store  # as above, of codecs

        with _written(sources, "gateway.store"):
            named_store(Path(gateway.store))


@contextmanager
def _written(sources: Mapping[str, str], setting: str) -> Iterator[None]:
    try:
        yield
    except UsageError as fault:
        where = sources.get(setting)
        raise UsageError(f"{where}: {fault.text}" if where else fault.text) from None
