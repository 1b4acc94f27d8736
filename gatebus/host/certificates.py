"""A host's certificate and its key, from two files; a wire.

Where it stands: between the configuration and the listeners. In: the names of files that the owner of the host chose.
Out: a context for TLS and the names that the certificate proves, or UsageError that names the setting, where it is
written, and the file: OpenSSL says of most mistakes only `PEM lib`.

Order: whether there are files at all (a device or a pipe may be read for ever), the certificate alone, then both.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gatebus.faults import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


def certificate_names(tls: Tls, context: ssl.SSLContext) -> frozenset[str]:
    """Of the host, as its certificate proves them, in small letters; none of `*.example.org`: whoever has another name
    below that could let it point here. None, either, of a certificate that no browser takes (it has expired).

    Python takes a certificate apart only for whoever has checked it: a client does, in memory, that trusts this one.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(tls.certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there)
    theirs = context.wrap_bio(there, back, server_side=True)
    for end in (ours, theirs) * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass  # it is the other one's turn
        except ssl.SSLError:
            return frozenset()
    return _dns_names(ours.getpeercert())


def _dns_names(certificate: Mapping[str, object] | None) -> frozenset[str]:
    rows = cast("Iterable[tuple[str, str]]", (certificate or {}).get("subjectAltName", ()))
    return frozenset(name.lower() for kind, name in rows if kind == "DNS" and "*" not in name)


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
