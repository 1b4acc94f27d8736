"""Plain HTTP on the port of the bus: what strangers send there, byte by byte, and what they get."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from webparts import UPGRADE, echo

from gatebus import bounds
from gatebus.web.bytetransport import receive_some, send_all
from gatebus.web.crowd import Capacity, Crowd
from gatebus.web.front import Front, Reception
from gatebus.web.httploop import HttpLoop
from gatebus.web.link import Peer
from gatebus.web.memorytransport import MemoryTransport, Wires, memory_transports
from gatebus.web.pages import TEXT, Answer, Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

PAGES = {"/": Page(TEXT, b"hello\n"), "/large": Page(TEXT, bytes(1 << 20)), "/made": Page(TEXT, lambda: b"made")}
FRONT = Front(echo, PAGES)


@asynccontextmanager
async def connected(wires: Wires | None = None) -> AsyncIterator[MemoryTransport]:
    """The client's end of a connection that the front has accepted; the front must have ended when this is left."""
    mine, theirs = memory_transports(Wires(), wires or Wires())
    crowd = Crowd(Capacity())
    seat = crowd.enter("", theirs.close)
    assert seat is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Reception(FRONT).receive, theirs, Peer("memory"), seat, None)
        yield mine
        mine.finish()
    assert theirs.is_closed


async def answer_to(request: bytes) -> bytes:
    """Everything that comes back until the connection ends."""
    async with connected() as end:
        await send_all(end, request)
        end.finish()
        return await everything(end)


async def everything(end: MemoryTransport) -> bytes:
    found = b""
    while data := await receive_some(end):
        found += data
    return found


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer[9:12])


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /made?query HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000), 413),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\tmore\r\n: empty\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n", 400),  # TLS on the plain port
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, 431),
        (b"a" * 70_000, 431),
        (b"GET /bus HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (UPGRADE.replace(b"/bus", b"/other"), 404),
        (UPGRADE.replace(b"Version: 13", b"Version: 8"), 400),
        (UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        (UPGRADE.replace(b"gatebus.v1", b"gatebus.v9"), 400),
        (UPGRADE.replace(b"GET", b"PUT"), 405),
        (UPGRADE.replace(b"Host: x", b"Host: x\r\nOrigin: http://evil.example"), 403),
        (UPGRADE.replace(b"Host: x", b"Host: x\r\nOrigin: null"), 403),
        (UPGRADE.replace(b"Connection: Upgrade", b"Connection: close"), 426),
        (UPGRADE.replace(b"Host: x", b"Host: x\r\nX: " + b"a" * 9_000), 431),
    ],
)
async def test_every_request_gets_its_answer(autojump_clock: MockClock, request_: bytes, expected: int) -> None:
    answer = await answer_to(request_)
    assert status(answer) == expected
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % len(body) in head or b"\r\ncontent-length: %d" % len(body) in head.lower()
    assert not [word for word in (b"Traceback", b"websockets", b"h11", b"/usr", b".py") if word in answer]


async def test_whoever_opens_the_bus_as_a_page_is_told_what_it_is() -> None:
    assert (await answer_to(b"GET /bus HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(
        b"\nThis is the bus: connect with a websocket client that speaks gatebus.v1. A browser finds a page at /.\n"
    )


async def test_pages_of_ours_are_protected() -> None:
    head = (await answer_to(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).lower()
    assert b"x-content-type-options: nosniff" in head
    assert b"referrer-policy: no-referrer" in head
    assert b"frame-ancestors 'none'" in head
    assert b"server:" not in head


async def test_a_head_has_no_body() -> None:
    answer = await answer_to(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 6" in answer.lower()


class Broken:
    prefix = b"/ipfs/"

    @asynccontextmanager
    async def lend_untrusted(self, *_request: object) -> AsyncIterator[Answer]:
        raise ZeroDivisionError
        yield


async def test_a_bug_behind_a_page_costs_only_its_reader_and_is_reported() -> None:
    told: list[Exception] = []
    mine, theirs = memory_transports(Wires(), Wires())
    front = Front(echo, PAGES, report=lambda _peer, error: told.append(error), lender=Broken())
    seat = Crowd(Capacity()).enter("", theirs.close)
    assert seat is not None
    await send_all(mine, b"GET /ipfs/x HTTP/1.1\r\nHost: x\r\n\r\n")
    await Reception(front).receive(theirs, Peer("memory"), seat, None)
    assert theirs.is_closed
    assert list(map(type, told)) == [ZeroDivisionError]


async def test_requests_behind_each_other_are_answered_in_order() -> None:
    one = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await answer_to(one % b"" + one % b"no" + one % b"made")
    assert [status(b"HTTP/1.1 " + part) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]


async def test_an_upgrade_may_follow_pages_and_bring_messages_along() -> None:
    frame = b"\x82\x83\0\0\0\0abc"
    async with connected() as end:
        await send_all(end, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + UPGRADE + frame)
        found = b""
        while not found.endswith(b"\x82\x03abc"):
            found += await receive_some(end)
        assert found.count(b"HTTP/1.1 101") == 1
        assert b"sec-websocket-protocol: gatebus.v1" in found.lower()
        end.close()


@pytest.mark.parametrize(("said", "answer"), [(b"", b""), (b"GET / HT", b"HTTP/1.1 408")])
async def test_who_is_too_slow_is_left(autojump_clock: MockClock, said: bytes, answer: bytes) -> None:
    began = trio.current_time()
    async with connected() as end:
        await send_all(end, said)
        assert (await everything(end))[:12] == answer
        assert trio.current_time() - began == pytest.approx(bounds.HTTP_HEAD_SECONDS)


async def test_a_head_in_drops_has_no_more_time(autojump_clock: MockClock) -> None:
    async with connected() as end, trio.open_nursery() as nursery:

        async def drip() -> None:
            while True:
                await send_all(end, b"a")
                await trio.sleep(1)

        nursery.start_soon(drip)
        began = trio.current_time()
        assert status(await everything(end)) == 408
        assert trio.current_time() - began == pytest.approx(bounds.HTTP_HEAD_SECONDS)
        nursery.cancel_scope.cancel()


async def test_an_idle_connection_is_closed_in_silence(autojump_clock: MockClock) -> None:
    async with connected() as end:
        await send_all(end, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        began = trio.current_time()
        assert (await everything(end)).count(b"HTTP/1.1") == 1
        assert trio.current_time() - began == pytest.approx(bounds.HTTP_IDLE_SECONDS)


async def test_who_does_not_take_a_page_is_left(autojump_clock: MockClock) -> None:
    async with connected(Wires(capacity=1000)) as end:
        await send_all(end, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(bounds.HTTP_ANSWER_SECONDS + 1)
        end.finish()


async def test_one_connection_is_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HTTP_REQUESTS", 3)
    answer = await answer_to(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.lower().count(b"connection: close") == 1


async def test_a_loop_that_is_cancelled_leaves_nothing_running() -> None:
    mine, theirs = memory_transports(Wires(), Wires())
    with trio.CancelScope() as scope:
        scope.cancel()
        await HttpLoop(theirs, PAGES, "/bus").converse()
    assert scope.cancelled_caught
    assert not mine.is_closed
