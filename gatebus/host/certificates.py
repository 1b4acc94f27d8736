"""A host's certificate and its key, from two files; a wire.

Where it stands: between the configuration and the listeners. In: the names of files that the owner of the host chose.
Out: a context for TLS, or UsageError that names the setting and the file: OpenSSL says of most mistakes only `PEM lib`.

Order: whether there are files at all (a device or a pipe may be read for ever), the certificate alone, then both.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from gatebus.faults import UsageError

if TYPE_CHECKING:
    from gatebus.host.hostconfig import Tls


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
        raise UsageError(f"`tls.certificate`: {tls.certificate} is no certificate in PEM form.") from None
    try:
        context.load_cert_chain(tls.certificate, tls.key, _no_passphrase)
    except _Locked:
        raise UsageError(f"`tls.key`: {tls.key} has a passphrase. A host needs a key without one.") from None
    except (OSError, ssl.SSLError) as problem:
        other = getattr(problem, "reason", None) == "KEY_VALUES_MISMATCH"
        why = f"does not belong to {tls.certificate}" if other else "is no private key in PEM form"
        raise UsageError(f"`tls.key`: {tls.key} {why}.") from None
    return context


class _Locked(Exception):  # noqa: N818
    """A key needs a passphrase, and nobody is there who could type it."""


def _no_passphrase() -> str:
    raise _Locked


def _check_file(name: str, path: Path) -> None:
    """A device or a pipe may be read for ever."""
    try:
        if not path.is_file():
            raise UsageError(f"`tls.{name}`: there is no file {path}.")
        path.open("rb").close()
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise UsageError(f"`tls.{name}`: {path} cannot be read: {reason}.") from None
