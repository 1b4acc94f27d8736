"""ipfs://CID/path, sources, and which hosts a public gateway may have."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase

from ipfs.addresses import (
    GATEWAY,
    LOCAL_GATEWAY,
    NODE,
    Address,
    Source,
    begins_with_cid,
    is_public,
    parse_address_untrusted,
    parse_source_untrusted,
)
from ipfs.caps import Budget
from ipfs.cid import DAG_CBOR, DAG_PB, RAW, cid_of
from ipfs.troubles import BadName

CID = cid_of(RAW, b"x")


@pytest.mark.parametrize("before", ["ipfs://", "/ipfs/", ""])
@pytest.mark.parametrize(("after", "path"), [("", ()), ("/", ()), ("/a/b.wasm", ("a", "b.wasm")), ("//a/", ("a",))])
def test_a_cid_and_a_path_are_written_in_three_ways(before: str, after: str, path: tuple[str, ...]) -> None:
    assert parse_address_untrusted(f"{before}{CID}{after}") == Address(CID, path)


def test_percent_signs_are_decoded_in_urls_only() -> None:
    assert parse_address_untrusted(f"ipfs://{CID}/a%20b").path == ("a b",)
    assert parse_address_untrusted(f"/ipfs/{CID}/a%20b").path == ("a%20b",)


@pytest.mark.parametrize("path", ["..", "a/../b", ".", "a%2Fb", "%2e%2e", "a%00", "a\\b", "x" * 256, "a/" * 40, "%ff"])
def test_a_path_that_could_lead_outside_is_refused(path: str) -> None:
    with pytest.raises(BadName):
        parse_address_untrusted(f"ipfs://{CID}/{path}")


def test_a_path_of_any_length_is_not_read() -> None:
    with pytest.raises(BadName, match="The path is too long: with its CID it has at most 4096 characters"):
        parse_address_untrusted(f"ipfs://{CID}/" + "a/" * 5000)


@pytest.mark.parametrize("size", [401, 4096, 5_000_000])
@pytest.mark.parametrize("before", ["ipfs://", "/ipfs/", ""])
def test_a_cid_of_any_length_is_not_read(size: int, before: str) -> None:
    with pytest.raises(BadName, match="It is no CID: a CID has at most 400 characters"):
        parse_address_untrusted(before + "b" + "a" * (size - 1) + "/path")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://example.net/", Source(GATEWAY, "https://example.net")),
        ("local+http://127.0.0.1:8080", Source(LOCAL_GATEWAY, "http://127.0.0.1:8080")),
        ("node+http://[::1]:5001", Source(NODE, "http://[::1]:5001")),
    ],
)
def test_a_source_says_how_it_is_asked(text: str, source: Source) -> None:
    assert parse_source_untrusted(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.net",
        "ftp://example.net",
        "http://example.net",
        "https://",
        "https://u:p@example.net",
        "https://a/?b",
        "https://a/#b",
        "https://a:99999",
        "https://a:0",
        "local+https://",
        "https://[::1",
        "node+file:///etc",
    ],
)
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(BadName, match=r"source|gateway"):
        parse_source_untrusted(text)


_NOT_PUBLIC = """
    127.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 ::1 :: fe80::1
    fe80::1%eth0 fc00::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2001:0:7f00:1:: ff02::1
    255.255.255.255 198.18.0.1 192.0.2.1 localhost ::127.0.0.1 240.0.0.1 192.88.99.1
    fec0::1 fec0::1%eth0 feff::1 ::ffff:0:7f00:1 ::ffff:0:101:101 5f00::1 4000::1 100::1 3fff::1 3fff:fff::1
    2001:db8::1 2001:2::1 2001:20::1 64:ff9b:1::1
"""


@pytest.mark.parametrize("address", ["", *_NOT_PUBLIC.split()])
def test_a_public_gateway_may_not_be_here(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "209.94.90.1", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:1.1.1.1"]
)
def test_a_public_gateway_may_be_there(address: str) -> None:
    assert is_public(address)


@given(st.text(max_size=100))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with suppress(BadName):
        assert parse_address_untrusted(text).cid
    with suppress(BadName):
        assert parse_source_untrusted(text).url


@pytest.mark.parametrize("name", ["bytes", "blocks", "entries", "seconds"])
def test_a_budget_of_nothing_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="a budget of nothing"):
        Budget(**{name: 0})


SNAPSHOT = cid_of(DAG_CBOR, b"a root")


@pytest.mark.parametrize("base", ["base32", "base32upper", "base36", "base58btc", "base16", "base64url", "base32hex"])
def test_a_cid_in_any_base_that_is_read_is_known_as_content(base: str) -> None:
    text = multibase.encode(bytes(SNAPSHOT), base)
    assert begins_with_cid(text)
    assert begins_with_cid(f"{text}/path")
    assert not begins_with_cid(text[:-2])


@pytest.mark.parametrize("codec", [RAW, DAG_PB, DAG_CBOR])
def test_content_of_any_codec_and_version_is_known(codec: int) -> None:
    assert begins_with_cid(str(cid_of(codec, b"x")))
    assert begins_with_cid(str(cid_of(DAG_PB, b"x", 0)))


@pytest.mark.parametrize("text", ["", "nightly", "b", "z", "bafkqaaa", "0123456789abcdef" * 4, "f" * 64, "a/b", "Qm"])
def test_what_could_be_a_tag_or_a_name_of_the_hosts_is_no_content(text: str) -> None:
    """An identity CID (bafkqaaa: nothing) carries its bytes itself."""
    assert not begins_with_cid(text)


@pytest.mark.parametrize(
    "text", ["https://ipfs.io/ipfs/bafy", "http://x", "ipns://x", "IPFS://x", "file:/x", "ipfs:/x"]
)
def test_what_is_an_address_of_something_else_is_told_how_content_is_written(text: str) -> None:
    with pytest.raises(BadName) as fault:
        parse_address_untrusted(text)
    assert fault.value.text == (
        "It is no address of content. Write ipfs://CID/path, whoever it comes from; a gateway is a source."
    )


@given(st.lists(st.text("ab%20:?#", min_size=1, max_size=6), max_size=3))
def test_an_address_is_read_as_it_was_written(names: list[str]) -> None:
    address = Address(CID, tuple(names))
    assert parse_address_untrusted(str(address)) == address
