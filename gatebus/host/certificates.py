"""A host's certificate and its key, from two files; a wire.

Where it stands: between the configuration and the listeners. In: the names of files that the owner of the host chose.
Out: a context for TLS, or UsageError that names the setting, where it is written, and the file: OpenSSL says of most
mistakes only `PEM lib`.

Order: whether there are files at all (a device or a pipe may be read for ever), the certificate alone, then both.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from gatebus.faults import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatebus.host.hostconfig import Tls


def check_files(tls: Tls, sources: Mapping[str, str]) -> None:
    """Before anything is begun. `sources`: where each setting is written. Raises UsageError."""
    try:
        server_context(tls)
    except _Unusable as fault:
        where = sources.get(f"tls.{fault.name}")
        raise UsageError(f"{where}: {fault.text}" if where else fault.text) from None


def server_context(tls: Tls) -> ssl.SSLContext | None:
    """None: the owner of the host wants no TLS. Raises UsageError."""
    if tls.certificate is None or tls.key is None:
        return None
    for name, place in (("certificate", tls.certificate), ("key", tls.key)):
        _check_file(name, Path(place))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(tls.certificate)
    except (OSError, ssl.SSLError):
        raise _Unusable("certificate", f"{tls.certificate} is no certificate in PEM form.") from None
    try:
        context.load_cert_chain(tls.certificate, tls.key, _no_passphrase)
    except _Locked:
        raise _Unusable("key", f"{tls.key} has a passphrase. A host needs a key without one.") from None
    except (OSError, ssl.SSLError) as problem:
        other = getattr(problem, "reason", None) == "KEY_VALUES_MISMATCH"
        why = f"does not belong to {tls.certificate}" if other else "is no private key in PEM form"
        raise _Unusable("key", f"{tls.key} {why}.") from None
    return context


class _Unusable(UsageError):  # noqa: N818
    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"`tls.{name}`: {text}")
        self.name = name


class _Locked(Exception):  # noqa: N818
    """A key needs a passphrase, and nobody is there who could type it."""


def _no_passphrase() -> str:
    raise _Locked


def _check_file(name: str, path: Path) -> None:
    """A device or a pipe may be read for ever."""
    try:
        if not path.is_file():
            raise _Unusable(name, f"there is no file {path}.")
        path.open("rb").close()
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise _Unusable(name, f"{path} cannot be read: {reason}.") from None
