"""Numbers of variable length: what the library reads, we read; what it refuses, we refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import varint

from ipfs.uvarint import decode_untrusted, encode


@given(st.integers(0, 2**63 - 1))
def test_a_number_is_written_as_by_the_library_and_read_back(number: int) -> None:
    written = encode(number)
    assert written == varint.encode(number)
    assert decode_untrusted(b"?" + written + b"rest", 1) == (number, 1 + len(written))


@given(st.binary(max_size=12))
def test_any_bytes_are_what_the_library_says_they_are(data: bytes) -> None:
    try:
        number, size, _ = varint.decode_raw(data)
    except ValueError:
        with pytest.raises(ValueError, match="a number that"):
            decode_untrusted(data)
    else:
        assert decode_untrusted(memoryview(data)) == (number, size)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\x81\x80\x00", b"\x80" * 9 + b"\1", b"\xff" * 12])
def test_what_is_cut_or_longer_than_it_needs_to_be_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a number that"):
        decode_untrusted(data)


def test_the_largest_one_has_nine_bytes() -> None:
    assert decode_untrusted(encode(2**63 - 1)) == (2**63 - 1, 9)
