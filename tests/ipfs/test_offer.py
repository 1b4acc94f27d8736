"""What a stranger may ask a trustless gateway for, and what stands above the answer: the standard's main points."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.addresses import Address
from ipfs.cid import parse_cid_untrusted
from ipfs.offer import (
    ALL,
    BLOCK,
    CAR,
    ENTITY,
    ROOT_ONLY,
    Declined,
    Span,
    Wanted,
    etag,
    has_it_already,
    head,
    wanted_untrusted,
)

NAME = "bafkreieturf3xfwhkeqy4taa2r46jqkdlajcuoe2zsqwebnr4tinyx4uoy"
CID = parse_cid_untrusted(NAME)
RAW_TYPE, CAR_TYPE = b"application/vnd.ipld.raw", b"application/vnd.ipld.car"


def asked(rest: str = "", accept: bytes = b"", **headers: bytes) -> Wanted:
    more = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return wanted_untrusted(f"/ipfs/{NAME}{rest}".encode(), [*([(b"accept", accept)] if accept else []), *more])


@pytest.mark.parametrize(
    ("rest", "accept", "expected"),
    [
        ("?format=raw", b"", Wanted(Address(CID), BLOCK)),
        ("?format=car", b"", Wanted(Address(CID), CAR)),
        ("", RAW_TYPE, Wanted(Address(CID), BLOCK, by_accept=True)),
        ("", b"text/html;q=1, " + CAR_TYPE + b'; version="1"; order=dfs', Wanted(Address(CID), CAR, by_accept=True)),
        ("", RAW_TYPE + b";q=0, Application/VND.ipld.car", Wanted(Address(CID), CAR, by_accept=True)),
        ("?format=raw", CAR_TYPE, Wanted(Address(CID), BLOCK)),  # the address is stronger
        ("/a%20b/c?format=car", b"", Wanted(Address(CID, ("a b", "c")), CAR)),
        ("?format=car&dag-scope=block", b"", Wanted(Address(CID), CAR, ROOT_ONLY)),
        ("?format=car&dag-scope=all&dag-scope=block", b"", Wanted(Address(CID), CAR, ALL)),
        ("?format=car&entity-bytes=0:*", b"", Wanted(Address(CID), CAR, ENTITY, Span(0, None))),
        ("?format=car&entity-bytes=-5:-1", b"", Wanted(Address(CID), CAR, ENTITY, Span(-5, -1))),
        ("?format=car&car-order=unk&car-dups=y&filename=x", b"", Wanted(Address(CID), CAR)),  # the answer says dups=n
        ("?format=raw&dag-scope=wrong", b"", Wanted(Address(CID), BLOCK)),  # of CARs only
    ],
)
def test_what_is_wanted_is_said_by_address_or_header(rest: str, accept: bytes, expected: Wanted) -> None:
    assert asked(rest, accept) == expected


@pytest.mark.parametrize(
    ("rest", "accept", "status", "text"),
    [
        ("", b"", 400, "Say what is wanted: ?format=raw, one block, or ?format=car, blocks as a CAR."),
        ("", b"*/*", 400, "Say what is wanted: ?format=raw, one block, or ?format=car, blocks as a CAR."),
        ("", b"text/html", 406, "There are only application/vnd.ipld.raw and application/vnd.ipld.car."),
        ("", RAW_TYPE + b";q=0.0", 400, "Say what is wanted: ?format=raw, one block, or ?format=car, blocks as a CAR."),
        ("?format=tar", b"", 400, "There are ?format=raw, one block, and ?format=car, blocks as a CAR."),
        ("?format=ipns-record", b"", 400, "There are ?format=raw, one block, and ?format=car, blocks as a CAR."),
        ("/a?format=raw", b"", 400, "A block is asked for by its own CID. A path leads somewhere in a CAR only"),
        ("/..?format=car", b"", 400, "A name may not be empty, `.` or `..`, nor contain a slash"),
        ("/%2e%2e/x?format=car", b"", 400, "A name may not be empty, `.` or `..`, nor contain a slash"),
        ("/a%2fb?format=car", b"", 400, "A name may not be empty, `.` or `..`, nor contain a slash"),
        ("/a%0d%0ab?format=car", b"", 400, "A name contains characters that cannot be shown."),
        ("/" + 5000 * "a" + "?format=car", b"", 400, "The path is too long."),
        ("/x" * 40 + "?format=car", b"", 400, "The path has more than 32 names."),
        ("x?format=raw", b"", 400, "It is no CID"),
        ("?format=car&car-version=2", b"", 400, "There are only CARs of version 1."),
        ("", CAR_TYPE + b";version=2", 400, "There are only CARs of version 1."),
        ("?format=car&dag-scope=x", b"", 400, "dag-scope is block, entity or all; with entity-bytes it is entity."),
        (
            "?format=car&dag-scope=all&entity-bytes=0:1",
            b"",
            400,
            "dag-scope is block, entity or all; with entity-bytes",
        ),
        ("?format=car&entity-bytes=1", b"", 400, "entity-bytes is written FIRST:LAST, in bytes; LAST may be *."),
        ("?format=car&entity-bytes=*:1", b"", 400, "entity-bytes is written FIRST:LAST, in bytes; LAST may be *."),
        ("?format=car&entity-bytes=0:" + 19 * "9", b"", 400, "entity-bytes is written FIRST:LAST, in bytes"),
        ("?" + "a=b&" * 20 + "format=car", b"", 400, "The query cannot be read."),
    ],
)
def test_what_is_not_offered_is_declined_with_a_sentence(rest: str, accept: bytes, status: int, text: str) -> None:
    with pytest.raises(Declined) as declined:
        asked(rest, accept)
    assert declined.value.status == status
    assert declined.value.text.startswith(text)


@pytest.mark.parametrize(
    ("span", "size", "expected"),
    [
        (Span(0, None), 10, range(10)),
        (Span(3, 5), 10, range(3, 6)),
        (Span(3, 99), 10, range(3, 10)),
        (Span(-4, None), 10, range(6, 10)),
        (Span(-99, 2), 10, range(3)),
        (Span(2, -3), 10, range(2, 8)),
        (Span(10, None), 10, range(10, 10)),
        (Span(5, 2), 10, range(5, 5)),
        (Span(0, None), 0, range(0)),
        (Span(2, -30), 10, range(2, 2)),
    ],
)
def test_bytes_are_counted_from_both_ends(span: Span, size: int, expected: range) -> None:
    assert span.within(size) == expected


@given(st.integers(-30, 30), st.none() | st.integers(-30, 30), st.integers(0, 20))
def test_a_span_is_what_a_slice_of_the_file_would_be(first: int, last: int | None, size: int) -> None:
    start = first if first >= 0 else max(0, size + first)
    stop = size if last is None else last + 1 if last >= 0 else size + last + 1
    assert [*range(size)][start : max(stop, 0)] == [*Span(first, last).within(size)]


def test_an_answer_says_what_it_is_and_cannot_be_shown_as_a_page() -> None:
    said = dict(head(asked("?format=raw")))
    assert said["Content-Type"] == "application/vnd.ipld.raw"
    assert said["Content-Disposition"] == f'attachment; filename="{NAME}.bin"'
    assert said["Etag"] == f'"{NAME}.raw"'
    assert said["X-Ipfs-Path"] == f"/ipfs/{NAME}"
    assert said["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in said["Cache-Control"]
    assert "Vary" not in said
    car = dict(head(asked("/\N{GREEK SMALL LETTER MU}/a%20b".replace("\u03bc", "%CE%BC"), CAR_TYPE)))
    assert car["Content-Type"] == "application/vnd.ipld.car; version=1; order=dfs; dups=n"
    assert car["Content-Disposition"] == f'attachment; filename="{NAME}.car"'
    assert car["X-Ipfs-Path"] == f"/ipfs/{NAME}/%CE%BC/a%20b"
    assert (car["Vary"], car["Content-Location"]) == ("Accept", f"/ipfs/{NAME}/%CE%BC/a%20b?format=car")


def test_different_things_have_different_etags() -> None:
    everything = [
        asked("?format=raw"),
        *(asked(f"?format=car{more}") for more in ("", "&dag-scope=block", "&dag-scope=entity", "&entity-bytes=0:1")),
        asked("/a?format=car"),
    ]
    assert len({etag(each) for each in everything}) == len(everything)
    assert etag(asked("?format=car")) == etag(asked("", CAR_TYPE))


@pytest.mark.parametrize(
    ("known", "has"),
    [
        (f'"{NAME}.raw"', True),
        (f'W/"{NAME}.raw"', True),
        (f'"x", "{NAME}.raw"', True),
        ("*", True),
        ('"x"', False),
        ("", False),
    ],
)
def test_whoever_has_it_is_not_sent_it_again(known: str, has: bool) -> None:
    assert has_it_already(asked("?format=raw", if_none_match=known.encode())) is has


def test_only_if_cached_is_heard() -> None:
    assert asked("?format=raw", cache_control=b"no-store, Only-If-Cached").only_if_here
    assert not asked("?format=raw", cache_control=b"no-store").only_if_here


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_request_is_understood_or_declined(rest: bytes, accept: bytes) -> None:
    try:
        wanted = wanted_untrusted(b"/ipfs/" + rest, [(b"accept", accept), (b"if-none-match", accept)])
        told = wanted.kind
    except Declined as declined:
        told = str(declined.status)
    assert told in (BLOCK, CAR, "400", "406")


@given(st.text(min_size=1, max_size=20))
def test_no_name_in_a_path_breaks_a_header(name: str) -> None:
    for _, value in head(replace(asked("?format=car"), address=Address(CID, (name,)), by_accept=True)):
        assert re.fullmatch(r"[!-~][ -~]*", value)
