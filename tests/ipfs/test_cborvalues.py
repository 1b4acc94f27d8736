"""Values of dag-cbor as the library reads them, and never deeper than anybody writes them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import dag_cbor
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.caps import NESTED_MAX
from ipfs.cborvalues import NoCbor, decode_cbor_untrusted
from ipfs.troubles import Malformed

LEAVES = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary() | st.text() | st.floats(0, 1)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
HEADS = [b"\x81", b"\xa1\x60", b"\x82\x01", b"\xa2\x60\x01\x61a"]


@given(VALUES)
def test_shallow_values_are_read_as_the_library_reads_them(value: Any) -> None:
    assert decode_cbor_untrusted(dag_cbor.encode(value)) == value


@pytest.mark.parametrize("head", [*HEADS, b"\xd8\x2a", b"\x9b" + b"\xff" * 8])
def test_values_that_are_nested_deeper_never_reach_the_decoder(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_cbor, "decode", lambda _block: pytest.fail("it was decoded"))
    with pytest.raises(Malformed, match="A block has values that are nested too deeply"):
        decode_cbor_untrusted(head * 4_000 + b"\0")


@pytest.mark.parametrize("head", HEADS)
def test_as_many_levels_as_allowed_are_read(head: bytes) -> None:
    decode_cbor_untrusted(head * NESTED_MAX + b"\0")
    with pytest.raises(Malformed, match="nested"):
        decode_cbor_untrusted(head * (NESTED_MAX + 1) + b"\0")


@pytest.mark.parametrize("head", HEADS)
def test_a_level_that_ended_does_not_count(head: bytes) -> None:
    one = head * (NESTED_MAX - 1) + b"\0"
    assert len(decode_cbor_untrusted(b"\x98\x64" + one * 100)) == 100


@given(st.binary(max_size=60))
def test_any_bytes_are_values_or_refused(data: bytes) -> None:
    with suppress(NoCbor):
        dag_cbor.encode(decode_cbor_untrusted(data))
