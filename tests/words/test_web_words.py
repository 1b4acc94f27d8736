"""Addresses, pages, who may enter and how many: the words of gatebus.web."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import State

from gatebus.faults import UsageError
from gatebus.web.crowd import FULL, FULL_OF_ONE, Capacity, Crowd, Seat, source_of
from gatebus.web.entry import Terms, enter_untrusted, printable
from gatebus.web.link import CannotConnect, LinkClosed
from gatebus.web.ownorigin import own_origin_untrusted
from gatebus.web.pages import HTML, POLICY, WORDS, Page, answer_untrusted, json_page, plain, standard_pages
from gatebus.web.places import Address, parse_address

HEAD = (
    b"GET /bus HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: gatebus.v1\r\n"
)


@pytest.mark.parametrize(
    ("text", "address", "url"),
    [
        ("ws://example.org", Address("ws", "example.org", 80), "ws://example.org/bus"),
        ("wss://example.org", Address("wss", "example.org", 443), "wss://example.org/bus"),
        ("wss://example.org:8443/other", Address("wss", "example.org", 8443, "/other"), "wss://example.org:8443/other"),
        ("127.0.0.1:1", Address("ws", "127.0.0.1", 1), "ws://127.0.0.1:1/bus"),
        ("localhost", Address("ws", "localhost", 6473), "ws://localhost:6473/bus"),
        ("[::1]", Address("ws", "::1", 6473), "ws://[::1]:6473/bus"),
        ("ws://[::1]:7", Address("ws", "::1", 7), "ws://[::1]:7/bus"),
        ("unix:/run/gatebus.sock", Address("unix", "/run/gatebus.sock"), "ws://localhost/bus"),
        ("http://127.0.0.1:6473/", Address("ws", "127.0.0.1", 6473), "ws://127.0.0.1:6473/bus"),
        ("https://example.org", Address("wss", "example.org", 443), "wss://example.org/bus"),
        ("unix:///run/gatebus.sock", Address("unix", "/run/gatebus.sock"), "ws://localhost/bus"),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address, url: str) -> None:
    assert parse_address(text) == address
    assert address.url == url
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://example.org", "is not a kind of address"),
        ("ws://", "needs a host"),
        ("", "needs a host"),
        ("ws://::1", "around an IPv6 address"),
        ("ws://user@example.org", "needs a host"),
        ("example.org:0", "port is a number"),
        ("example.org:65536", "port is a number"),
        ("example.org:seven", "port is a number"),
        ("ws://example.org/a b", "path of the address"),
        ("ws://example.org/a\r\nHost: y", "path of the address"),
        ("ws://exa\r\nmple.org", "needs a host"),
        ("unix:relative", "absolute path"),
        ("unix:/" + "a" * 107, "has 108 bytes; the system takes at most 107"),
        ("unix:/" + "\udc80" * 107, "has 108 bytes; the system takes at most 107"),
    ],
)
def test_a_wrong_address_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_address(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert not set("\r\n\0 ") & set(address.url)


PAGES = {"/": Page(HTML, b"<p>"), **standard_pages(lambda: {"status": "ok"}, lambda: {"versions": [1]})}


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_page_comes_with_its_protection(method: bytes) -> None:
    answer = answer_untrusted(PAGES, method, b"/?x=/etc")
    headers = dict(answer.headers)
    assert (answer.status, answer.body, answer.phrase) == (200, b"<p>", "OK")
    assert headers["Content-Length"] == "3"
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"get"])
def test_pages_can_only_be_read(method: bytes) -> None:
    answer = answer_untrusted(PAGES, method, b"/")
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "GET, HEAD")


@given(st.binary(max_size=50))
def test_any_other_target_is_no_page(target: bytes) -> None:
    known = target.partition(b"?")[0].decode("latin-1") in PAGES
    assert answer_untrusted(PAGES, b"GET", target).status == (200 if known else 404)


def test_pages_for_programs_are_asked_anew() -> None:
    counted = iter(range(9))
    page = {"/health": json_page(lambda: {"number": next(counted)})}
    assert [json.loads(answer_untrusted(page, b"GET", b"/health").body)["number"] for _ in range(3)] == [0, 1, 2]
    assert dict(answer_untrusted(page, b"GET", b"/health").headers)["Cache-Control"] == "no-store"


@pytest.mark.parametrize("status", sorted(WORDS))
def test_every_refusal_is_one_public_sentence(status: int) -> None:
    answer = plain(status)
    assert answer.status == status
    assert answer.body.decode().strip().endswith(".")
    assert dict(answer.headers)["Content-Length"] == str(len(answer.body))


def test_who_keeps_to_the_terms_enters() -> None:
    entry = enter_untrusted(HEAD + b"User-Agent: some\tthing " + b"x" * 500 + b"\r\n\r\n", Terms())
    assert entry.protocol is not None
    assert entry.protocol.state is State.OPEN
    assert entry.answer.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in entry.answer  # RFC 6455, 1.3
    assert b"Sec-WebSocket-Protocol: gatebus.v1" in entry.answer
    assert b"Extensions" not in entry.answer
    assert entry.origin is None
    assert entry.agent == "something " + "x" * 189  # 200 letters, the tab is none


def test_compression_is_declined_and_other_protocols_are_passed_over() -> None:
    head = HEAD.replace(b"gatebus.v1", b"other, gatebus.v1")
    entry = enter_untrusted(head + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", Terms())
    assert entry.protocol is not None
    assert entry.protocol.extensions == []


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (b"http://127.0.0.1:6473", True),
        (b"http://127.0.0.1:6474", False),
        (b"https://127.0.0.1:6473", False),
        (b"http://127.0.0.1:6473.evil.example", False),
        (b"null", False),
        (b"", False),
    ],
)
def test_only_listed_origins_enter(origin: bytes, may: bool) -> None:
    terms = Terms(origins=("http://127.0.0.1:6473",))
    entry = enter_untrusted(HEAD + b"Origin: " + origin + b"\r\n\r\n", terms)
    assert (entry.protocol is not None) is may
    assert entry.answer.startswith(b"HTTP/1.1 101 " if may else b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("host", "origin", "transport", "may"),
    [
        # an address in numbers is what the browser has connected to, whoever it asks for names
        ("192.0.2.2:7763", "http://192.0.2.2:7763", "tcp", True),
        ("192.0.2.2", "http://192.0.2.2", "tcp", True),
        ("[2001:db8::2]:7763", "http://[2001:db8::2]:7763", "tcp", True),
        ("localhost:8080", "http://localhost:8080", "tcp", True),
        ("192.0.2.2:7763", "https://192.0.2.2:7763", "tls", True),
        # another port, address or scheme is another page
        ("192.0.2.2:7763", "http://192.0.2.2:80", "tcp", False),
        ("192.0.2.2:7763", "http://192.0.2.2", "tcp", False),
        ("192.0.2.2:7763", "http://192.0.2.3:7763", "tcp", False),
        ("192.0.2.2", "http://192.0.2.2", "tls", False),  # of port 80, to port 443
        ("192.0.2.2", "https://192.0.2.2", "tcp", False),
        ("192.0.2.2:7763", "null", "tcp", False),
        # names: whoever has one lets it point here
        ("evil.example:7763", "http://evil.example:7763", "tcp", False),
        ("localhost.evil.example:7763", "http://localhost.evil.example:7763", "tcp", False),
        ("192.0.2.2.evil.example", "http://192.0.2.2.evil.example", "tcp", False),
        ("evil.example", "https://evil.example", "tls", False),
        ("bus.example.org", "https://bus.example.org", "tls", True),
        ("bus.example.org:6473", "https://bus.example.org:6473", "tls", True),
        ("bus.example.org:6473", "https://bus.example.org", "tls", False),
        ("x.bus.example.org", "https://x.bus.example.org", "tls", False),
        # what no browser writes
        ("192.0.2.2:7763@evil.example", "http://192.0.2.2:7763@evil.example", "tcp", False),
        ("192.0.2.2/", "http://192.0.2.2/", "tcp", False),
        ("0xc0.0.2.2", "http://0xc0.0.2.2", "tcp", False),
        ("2001:db8::2", "http://2001:db8::2", "tcp", False),
        ("[192.0.2.2]", "http://[192.0.2.2]", "tcp", False),
        ("[fe80::1%25eth0]", "http://[fe80::1%25eth0]", "tcp", False),
        ("192.0.2.2:123456", "http://192.0.2.2:123456", "tcp", False),
        ("", "http://", "tcp", False),
        # a unix socket has no pages
        ("192.0.2.2", "http://192.0.2.2", "unix", False),
        ("192.0.2.2", "http://192.0.2.2", "", False),
    ],
)
def test_a_page_is_the_hosts_own_only_by_what_nobody_else_can_point_here(
    host: str, origin: str, transport: str, may: bool
) -> None:
    terms = Terms(names=frozenset({"bus.example.org"}))
    head = HEAD.replace(b"Host: x", f"Host: {host}".encode()) + f"Origin: {origin}\r\n\r\n".encode()
    entry = enter_untrusted(head, terms, transport)
    assert (entry.protocol is not None) is may
    assert entry.origin == (origin if may else None)


def test_two_hosts_are_none() -> None:
    assert own_origin_untrusted(["192.0.2.2"], "tcp", ()) == "http://192.0.2.2"
    assert own_origin_untrusted(["192.0.2.2", "192.0.2.2"], "tcp", ()) is None
    assert own_origin_untrusted([], "tcp", ()) is None


@given(st.text(), st.sampled_from(["tcp", "tls"]))
def test_no_name_is_ones_own_by_being_said(name: str, transport: str) -> None:
    own = own_origin_untrusted([name], transport, ())
    if own is not None:
        assert name.startswith(("localhost", "[")) or name[0].isdecimal()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 12", 400),
        (b"gatebus.v1", b"gatebus.v2", 400),
        (b"Sec-WebSocket-Protocol: gatebus.v1\r\n", b"", 400),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25j", 400),
        (b"Upgrade: websocket", b"Upgrade: h2c", 426),
        (b"HTTP/1.1", b"HTTP/1.0", 505),
        (b"GET", b"POST", 405),
        (b"Host: x", b"Host: x\r\nOrigin: a\r\nOrigin: b", 400),
        (b"Host: x", b"Host: x\r\nContent-Length: 5", 400),
        (b"Host: x", b"x" * 20, 400),
    ],
)
def test_who_does_not_is_told_so(old: bytes, new: bytes, status: int) -> None:
    entry = enter_untrusted(HEAD.replace(old, new) + b"\r\n", Terms())
    assert entry.protocol is None
    assert int(entry.answer[9:12]) == status
    assert b"Connection: close" in entry.answer


@given(st.binary(max_size=200))
def test_any_head_is_answered(data: bytes) -> None:
    entry = enter_untrusted(data.replace(b"\r\n\r\n", b"") + b"\r\n\r\n", Terms())
    assert entry.protocol is None
    assert entry.answer.startswith(b"HTTP/1.1 4")


def test_what_a_client_calls_itself_is_cleaned() -> None:
    assert printable("a\x1b[31mb\n") == "a[31mb"
    assert len(printable("x" * 1000)) == 200


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, source: str) -> None:
    assert source_of(address) == source


def nothing() -> None:
    return


def test_one_address_does_not_take_all_places() -> None:
    crowd = Crowd(Capacity(connections=4, per_address=2))
    seats = [crowd.enter("192.0.2.1", nothing) for _ in range(3)]
    assert [each.settle() for each in seats] == ["", "", FULL_OF_ONE]
    assert crowd.enter("192.0.2.2", nothing).settle() == ""
    seats[0].leave()
    assert seats[2].settle() == ""
    assert len(crowd) == 3


def test_this_machine_s_own_programs_share_only_the_total() -> None:
    crowd = Crowd(Capacity(connections=3, per_address=1))
    assert [crowd.enter("127.0.0.1", nothing).settle() for _ in range(4)] == ["", "", "", FULL]


def test_the_silent_take_no_links_place_and_keep_nobody_out() -> None:
    crowd = Crowd(Capacity(connections=1, per_address=1, half_open=5))
    silent = [crowd.enter("192.0.2.1", nothing) for _ in range(20)]
    assert [each.is_open() for each in silent] == [False] * 15 + [True] * 5
    speaks = crowd.enter("192.0.2.1", nothing)
    assert speaks.settle() == ""
    assert silent[-1].settle() == FULL
    assert silent[-1].is_open(), "it hears why, and can still be evicted"
    for each in (*silent, speaks):
        each.leave()
    assert len(crowd) == 0


def test_the_silent_make_room_the_oldest_first_and_the_settled_stay() -> None:
    evicted: list[int] = []
    crowd = Crowd(Capacity(half_open=2))
    seats = [crowd.enter("", lambda number=number: evicted.append(number)) for number in range(2)]  # type: ignore[misc]
    seats[0].settle()
    for number in range(2, 5):
        crowd.enter("", lambda number=number: evicted.append(number))  # type: ignore[misc]
    assert evicted == [1, 2]
    crowd.evict_oldest()
    assert evicted == [1, 2, 3]


@given(
    st.lists(st.tuples(st.sampled_from(("192.0.2.1", "192.0.2.2", "")), st.sampled_from(("enter", "leave", "settle"))))
)
def test_a_crowd_is_never_larger_than_its_capacity(steps: list[tuple[str, str]]) -> None:
    crowd = Crowd(Capacity(connections=4, per_address=2, half_open=2))
    waiting: list[Seat] = []
    links: list[Seat] = []
    for address, step in steps:
        if step == "enter":
            waiting.append(crowd.enter(address, nothing))
        elif step == "leave" and links:
            links.pop(0).leave()
        elif step == "settle" and waiting and waiting[-1].is_open():
            seat = waiting.pop()
            (waiting if seat.settle() else links).append(seat)
        assert len(links) <= 4
        assert len(crowd) == len(links) + min(2, sum(each.is_open() for each in waiting))
        outside = [seat.source for seat in links if seat.source]
        assert all(outside.count(source) <= 2 for source in outside)
    for seat in (*waiting, *links):
        seat.leave()
    assert len(crowd) == 0


def test_ends_have_public_texts() -> None:
    assert LinkClosed().text == "The connection was lost."
    assert LinkClosed(1000).text == LinkClosed(1001, "x").text == "The connection was closed."
    assert LinkClosed(1008, "no\x1b").text == "The connection was closed (code 1008): no."
    assert LinkClosed(1011).text == "The connection was closed (code 1011): no reason given."
    assert (LinkClosed.code, CannotConnect.code) == ("link-closed", "cannot-connect")
    assert CannotConnect("why", 503).status == 503
