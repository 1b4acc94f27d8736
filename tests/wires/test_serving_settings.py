"""What a host says before it listens: certificates and addresses that cannot be used, layers that are missing."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme

from gatebus.cli.hostfile import read_host_config
from gatebus.cli.serve_options import serve_options
from gatebus.cli.startchecks import check_places
from gatebus.faults import UsageError
from gatebus.host.certificates import certificate_names, server_context
from gatebus.host.hostconfig import Tls
from gatebus.host.serving import tell_missing
from gatebus.web.listening import listen_tcp, listen_unix
from sandbox.layers import Missing

if TYPE_CHECKING:
    from pathlib import Path


class Heard:
    """A log that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cert.pem and key.pem belong together; other.pem is another key; text.pem is neither."""
    folder = tmp_path_factory.mktemp("pems")
    authority = trustme.CA()
    ours, other = (authority.issue_cert("localhost") for _ in range(2))
    ours.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    ours.private_key_pem.write_to_path(str(folder / "key.pem"))
    other.private_key_pem.write_to_path(str(folder / "other.pem"))
    (folder / "text.pem").write_text("hello\n")
    (folder / "empty.pem").write_bytes(b"")
    return folder


def context(folder: Path, certificate: str, key: str) -> ssl.SSLContext | None:
    return server_context(Tls(str(folder / certificate), str(folder / key)))


def test_a_certificate_and_its_key_are_taken_and_none_means_no_tls(pems: Path) -> None:
    assert isinstance(context(pems, "cert.pem", "key.pem"), ssl.SSLContext)
    assert server_context(Tls()) is None


@pytest.mark.parametrize(
    ("written", "proved"),
    [
        (("bus.example.org", "Other.Example.Org"), {"bus.example.org", "other.example.org"}),
        (("bus.example.org", "*.example.org", "192.0.2.2"), {"bus.example.org"}),
        (("192.0.2.2",), set()),
    ],
)
def test_a_certificate_tells_the_names_that_it_proves_and_no_pattern(
    written: tuple[str, ...], proved: set[str], tmp_path: Path
) -> None:
    assert names_of(trustme.CA().issue_cert(*written), tmp_path) == proved


def test_an_expired_certificate_proves_no_name(tmp_path: Path) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert names_of(trustme.CA().issue_cert("bus.example.org", not_after=past), tmp_path) == set()


def names_of(made: trustme.LeafCert, folder: Path) -> frozenset[str]:
    made.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    tls = Tls(str(folder / "cert.pem"), str(folder / "key.pem"))
    context = server_context(tls)
    assert context is not None
    return certificate_names(tls, context)


@pytest.mark.parametrize(
    ("certificate", "key", "told"),
    [
        ("no.pem", "key.pem", "`tls.certificate`: there is no file PEMS/no.pem."),
        ("cert.pem", "no.pem", "`tls.key`: there is no file PEMS/no.pem."),
        ("cert.pem", "", "`tls.key`: there is no file PEMS."),
        ("../../../../../../../../dev/zero", "key.pem", "`tls.certificate`: there is no file "),
        ("text.pem", "key.pem", "`tls.certificate`: PEMS/text.pem is no certificate in PEM form."),
        ("empty.pem", "key.pem", "`tls.certificate`: PEMS/empty.pem is no certificate in PEM form."),
        ("key.pem", "key.pem", "`tls.certificate`: PEMS/key.pem is no certificate in PEM form."),
        ("cert.pem", "text.pem", "`tls.key`: PEMS/text.pem is no private key in PEM form."),
        ("cert.pem", "cert.pem", "`tls.key`: PEMS/cert.pem is no private key in PEM form."),
        ("cert.pem", "other.pem", "`tls.key`: PEMS/other.pem does not belong to PEMS/cert.pem."),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_by_setting_and_file(
    pems: Path, certificate: str, key: str, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        context(pems, certificate, key)
    assert caught.value.text.replace(str(pems), "PEMS").startswith(told)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['listen = ["[::1]:0"]', "[tls]", 'certificate = "PEMS/no.pem"', 'key = "PEMS/key.pem"'],
         "file.toml, line 3: `tls.certificate`: there is no file PEMS/no.pem."),
        (["[tls]", 'certificate = "PEMS/cert.pem"', 'key = "PEMS/other.pem"'],
         "file.toml, line 3: `tls.key`: PEMS/other.pem does not belong to PEMS/cert.pem."),
        (["[gateway]", "serve = true", 'store = "PEMS/blocks"'],
         "file.toml, line 3: `gateway.store` names no block store. `gatebus ipfs add` or `pin` makes one, in "
         "GATEBUS_IPFS_STORE."),
        (['socket = ""', "listen = []"], "There is nothing to listen on. Set `listen` or `socket`."),
        ([f'socket = "/{"a" * 107}"'],
         "file.toml, line 1: The path of the unix socket has 108 bytes; the system takes at most 107."),
    ],
)  # fmt: skip
def test_places_that_cannot_be_used_are_told_by_file_and_line_before_anything_starts(
    pems: Path, tmp_path: Path, lines: list[str], told: str
) -> None:
    (tmp_path / "file.toml").write_text("\n".join(lines).replace("PEMS", str(pems)))
    found = read_host_config(serve_options(["--config", str(tmp_path / "file.toml")]))
    with pytest.raises(UsageError) as caught:
        check_places(found)
    assert caught.value.text.replace(str(pems), "PEMS") == told


def test_places_that_can_be_used_are_no_reason_to_say_anything(pems: Path) -> None:
    files = ["--tls-certificate", str(pems / "cert.pem"), "--tls-key", str(pems / "key.pem")]
    check_places(read_host_config(serve_options([*files, "--socket", f"/{'a' * 106}"])))


def test_a_socket_whose_path_is_too_long_is_told_with_the_number(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 108)
    with pytest.raises(UsageError) as caught:
        listen_unix(path)
    told = f"The path of the unix socket has {len(str(path))} bytes; the system takes at most 107."
    assert caught.value.text == told


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(pems: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((pems / "key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(UsageError) as caught:
        server_context(Tls(str(pems / "cert.pem"), str(tmp_path / "locked.pem")))
    assert caught.value.text == (
        f"`tls.key`: {tmp_path / 'locked.pem'} has a passphrase. A host needs a key without one."
    )


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", "Cannot listen on 192.0.2.1 port 0: this machine does not have the address."),
        ("no such name", "Cannot listen on no such name port 0: no machine of this name is known."),
    ],
)
async def test_an_address_that_cannot_be_listened_on_is_told(host: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        await listen_tcp(host, 0)
    assert caught.value.text == told


def test_layers_that_are_missing_for_one_reason_are_one_line() -> None:
    log = Heard()
    names = ("user", "pid", "mount")
    tell_missing(log, [Missing(name, f"no {name}", "Use the native back-end.") for name in names])
    assert log.events == [("layers-missing", {"layers": list(names), "advice": "Use the native back-end."})]


def test_a_layer_that_is_missing_for_its_own_reason_is_told_with_it() -> None:
    log = Heard()
    tell_missing(log, [Missing("tsc", "why", "do this"), Missing("landlock", "old", "newer kernel")])
    assert [fields for _, fields in log.events] == [
        {"layer": "tsc", "why": "why", "advice": "do this"},
        {"layer": "landlock", "why": "old", "advice": "newer kernel"},
    ]
