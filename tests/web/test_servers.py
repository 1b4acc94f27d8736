"""A server and a client on real sockets: one port for links and pages, unix sockets, refusals."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from weakref import ref

import httpx
import pytest
import trio.testing
from webparts import echo, serving

from gatebus.faults import UsageError
from gatebus.web.dialling import Caller, dial
from gatebus.web.entry import Terms
from gatebus.web.front import Front
from gatebus.web.link import CannotConnect, LinkClosed
from gatebus.web.listening import listen_tcp, listen_unix, serve
from gatebus.web.pages import TEXT, Page, standard_pages
from gatebus.web.places import Address
from gatebus.web.websocketlink import WebsocketLink

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from gatebus.web.link import Link, Peer

HELLO = Page(TEXT, b"hello\n")


async def test_a_message_goes_to_a_server_and_comes_back() -> None:
    async with serving(Front(echo)) as address, dial(address) as link:
        link.write(b"to ", b"and fro")
        assert await link.receive_many() == [b"to and fro"]
        link.write(bytes(65_536))
        assert await link.receive_many() == [bytes(65_536)]


async def test_the_same_port_serves_pages() -> None:
    pages = {"/": HELLO, **standard_pages(lambda: {"status": "ok"}, lambda: {"agent": "gatebus", "versions": [1]})}
    async with serving(Front(echo, pages)) as address, httpx.AsyncClient(base_url=f"http://{address.authority}") as web:
        page = await web.get("/")
        assert (page.status_code, page.text) == (200, "hello\n")
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["x-content-type-options"] == "nosniff"
        assert (await web.get("/health")).json() == {"status": "ok"}
        assert (await web.get("/version?x=1")).json()["versions"] == [1]
        assert (await web.head("/")).headers["content-length"] == "6"
        assert (await web.get("/nothing")).status_code == 404
        refused = await web.post("/", content=b"x" * 1000)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        assert (await web.get("/bus")).status_code == 426


async def test_a_connection_that_was_cut_is_free_without_the_collector() -> None:
    kept: list[ref[object]] = []
    gone = trio.Event()

    async def note(link: Link) -> None:
        assert isinstance(link, WebsocketLink)
        kept.append(ref(link._protocol))
        with suppress(LinkClosed):
            await link.receive_many()
        gone.set()

    gc.disable()
    try:
        async with serving(Front(note)) as address:
            async with dial(address) as link:
                link.abort()
            await gone.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert [each() for each in kept] == [None]
    finally:
        gc.enable()


async def test_a_server_knows_who_connects_through_a_unix_socket(tmp_path: Path) -> None:
    peers: list[Peer] = []

    async def note(link: Link) -> None:
        peers.append(link.peer)
        await echo(link)

    path = tmp_path / "s"
    async with serving(Front(note), listen_unix(path)), dial(Address("unix", str(path))) as link:
        assert path.stat().st_mode & 0o777 == 0o600
        link.write(b"x")
        assert await link.receive_many() == [b"x"]
    assert [(peer.transport, peer.uid, peer.address) for peer in peers] == [("unix", os.getuid(), "")]
    assert not path.exists()


async def test_a_socket_that_nobody_serves_is_replaced_and_a_served_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = listen_unix(path)
    with pytest.raises(UsageError, match="another host listens there"):
        listen_unix(path)
    first.sock.close()  # as a process that was killed
    second = listen_unix(path)
    second.close()
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="no socket"):
        listen_unix(path)


async def test_only_pages_of_listed_origins_may_connect() -> None:
    mine, other = "http://127.0.0.1:6473", "http://evil.example"
    async with serving(Front(echo, terms=Terms(origins=(mine,)))) as address:
        async with dial(address, Caller(origin=mine, agent="a browser")) as link:
            link.write(b"x")
            assert await link.receive_many() == [b"x"]
        with pytest.raises(CannotConnect) as refused:
            async with dial(address, Caller(origin=other)):
                pass
    assert refused.value.status == 403
    assert "Pages from this origin may not connect here" in refused.value.text


async def test_a_page_of_the_server_itself_may_connect_by_its_address() -> None:
    async with serving(Front(echo)) as address:
        async with dial(address, Caller(origin=f"http://127.0.0.1:{address.port}")) as link:
            link.write(b"x")
            assert await link.receive_many() == [b"x"]
        for other in (f"https://127.0.0.1:{address.port}", "http://127.0.0.1", f"http://127.0.0.2:{address.port}"):
            with pytest.raises(CannotConnect):
                async with dial(address, Caller(origin=other)):
                    pass


async def test_another_subprotocol_is_refused() -> None:
    async with serving(Front(echo)) as address:
        for wrong in ("gate.v0", None):
            with pytest.raises(CannotConnect, match=r"gatebus\.v1"):
                async with dial(address, Caller(terms=Terms(subprotocol=wrong))):
                    pass


async def test_dialling_says_what_is_wrong(tmp_path: Path) -> None:
    wrong = [
        (Address("unix", str(tmp_path / "s")), "There is no such socket: is the host running?"),
        (Address("ws", "127.0.0.1", 1), "Nobody listens there."),
    ]
    for address, text in wrong:
        with pytest.raises(CannotConnect) as refused:
            async with dial(address):
                pass
        assert refused.value.text == text


async def test_a_host_that_ends_the_link_says_why() -> None:
    async def refuse(link: Link) -> None:
        await link.receive_many()
        await link.aclose(1008, "no")

    async with serving(Front(refuse)) as address, dial(address) as link:
        link.write(b"x")
        with pytest.raises(LinkClosed) as ended:
            await link.receive_many()
    assert (ended.value.close_code, ended.value.reason) == (1008, "no")
    assert ended.value.text == "The connection was closed (code 1008): no."


async def test_a_fault_of_one_attendant_costs_only_its_connection() -> None:
    faults: list[Exception] = []

    async def fall(link: Link) -> None:
        for message in await link.receive_many():
            if message == b"fall":
                raise ZeroDivisionError
            link.write(message)
        await echo(link)

    front = Front(fall, report=lambda peer, error: faults.append(error))
    async with serving(front) as address, dial(address) as other, dial(address) as link:
        other.write(b"stand")
        assert await other.receive_many() == [b"stand"]
        link.write(b"fall")
        with pytest.raises(LinkClosed) as ended:
            await link.receive_many()
        assert ended.value.close_code == 1011
        other.write(b"still")
        assert await other.receive_many() == [b"still"]
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


async def test_what_nobody_had_in_mind_at_an_opening_costs_that_connection_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Exception] = []

    def slips(*_words: object) -> None:
        raise KeyError("nobody had it in mind")

    front = Front(echo, report=lambda _peer, error: told.append(error))
    async with serving(front) as address, dial(address) as link:
        with monkeypatch.context() as patched:
            patched.setattr("gatebus.web.front.enter_untrusted", slips)
            with pytest.raises(CannotConnect):
                async with dial(address):
                    pytest.fail("there is no link")
        link.write(b"still here")
        assert await link.receive_many() == [b"still here"]
    assert [type(each) for each in told] == [KeyError]


async def test_a_listener_that_is_closed_while_the_machine_has_no_descriptors_ends_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not waited for again."""
    monkeypatch.setattr("gatebus.web.listening.BREATH_SECONDS", 0.05)
    listener, *_more = await listen_tcp("127.0.0.1", 0)
    breath = trio.Event()

    class Crowded:
        def fileno(self) -> int:
            return listener.sock.fileno()

        def accept(self) -> None:
            breath.set()
            raise OSError(24, "Too many open files")

    crowded = replace(listener, sock=cast("socket.socket", Crowded()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, [crowded], Front(echo))
        with trio.socket.socket() as caller:
            await caller.connect(("127.0.0.1", listener.port))
            await breath.wait()
            listener.close()
