"""The host as a trustless gateway: what strangers get over HTTP, what they do not, and what it can cost."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
from ipfsdata import imported, vector
from trio.testing import wait_all_tasks_blocked
from webparts import echo, serving

from gatebus import bounds
from gatebus.faults import UsageError
from gatebus.host import lending
from gatebus.host.lending import Lending, named_store, open_lending, own_store
from gatebus.web.bytetransport import receive_some, send_all
from gatebus.web.crowd import Capacity, Crowd
from gatebus.web.front import Front, Reception
from gatebus.web.link import Peer
from gatebus.web.memorytransport import MemoryTransport, Wires, memory_transports
from ipfs.addresses import LOCAL_GATEWAY, Address, Source
from ipfs.blockstore import BlockStore
from ipfs.caps import Budget
from ipfs.car import CarReader
from ipfs.cid import RAW
from ipfs.content import read
from ipfs.fetching import open_fetcher
from ipfs.importer import PROFILES, directory
from ipfs.pins import Pins
from ipfs.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock

    from ipfs.cid import Cid

DATA = vector(1_200_000)
FILE, BLOCKS = imported(DATA)
FOLDER, FOLDER_BLOCK = directory({"main.wasm": FILE}, PROFILES["kubo-v1"])
SECRET, SECRET_BLOCKS = imported(b"fetched by somebody, pinned by nobody")
LEAF = next(cid for cid in BLOCKS if cid.codec == RAW)
PLENTY = 1 << 40


def stocked(folder: Path) -> BlockStore:
    store = BlockStore(folder)
    store.put([*BLOCKS.items(), (FOLDER.cid, FOLDER_BLOCK), *SECRET_BLOCKS.items()])
    Pins(store).add(FOLDER.cid)
    return store


@asynccontextmanager
async def connected(lender: Lending, wires: Wires | None = None) -> AsyncIterator[MemoryTransport]:
    mine, theirs = memory_transports(Wires(), wires or Wires())
    seat = Crowd(Capacity()).enter("", theirs.close)
    assert seat is not None
    bugs: list[Exception] = []
    front = Front(echo, lender=lender, report=lambda _peer, error: bugs.append(error))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Reception(front).receive, theirs, Peer("memory"), seat, None)
        yield mine
        mine.finish()
    assert bugs == []


async def answer(lender: Lending, rest: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of one request."""
    async with connected(lender) as end:
        lines = (f"{method} /ipfs/{rest} HTTP/1.1", "Host: x", "Connection: close", *headers, "", "")
        await send_all(end, "\r\n".join(lines).encode())
        found = b""
        while data := await receive_some(end):
            found += data
    head, _, body = found.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    said = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
    chunked = said.get("transfer-encoding") == "chunked" and method != "HEAD"
    return int(first.split()[1]), said, unchunked(body) if chunked else body


def unchunked(body: bytes) -> bytes:
    """Without its last, empty, piece it was cut."""
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        found, body = found + body[:length], body[length + 2 :]
        if not length:
            return found
    raise EOFError


@pytest.fixture
def lender(tmp_path: Path) -> Lending:
    return Lending(Shelf(stocked(tmp_path), pytest.fail), PLENTY, pytest.fail)


def car(body: bytes) -> dict[Cid, bytes]:
    reader = CarReader()
    found = dict(reader.feed(body))
    reader.finish()
    return found


async def test_a_block_of_something_pinned_is_given(lender: Lending) -> None:
    for rest, headers in ((f"{LEAF}?format=raw", ()), (str(LEAF), ("Accept: application/vnd.ipld.raw",))):
        status, said, body = await answer(lender, rest, *headers)
        assert (status, body) == (200, BLOCKS[LEAF])
        assert said["content-type"] == "application/vnd.ipld.raw"
        assert said["content-length"] == str(len(body))
        assert said["content-disposition"] == f'attachment; filename="{LEAF}.bin"'


async def test_everything_below_a_path_comes_as_a_car(lender: Lending) -> None:
    status, said, body = await answer(lender, f"{FOLDER.cid}/main.wasm?format=car")
    assert (status, said["content-type"]) == (200, "application/vnd.ipld.car; version=1; order=dfs; dups=n")
    assert car(body) == {**BLOCKS, FOLDER.cid: FOLDER_BLOCK}
    *_, body = await answer(lender, f"{FOLDER.cid}?dag-scope=block", "Accept: application/vnd.ipld.car")
    assert car(body) == {FOLDER.cid: FOLDER_BLOCK}
    *_, body = await answer(lender, f"{FILE.cid}?format=car&entity-bytes=0:9")
    assert len(car(body)) == 2


async def test_a_name_that_is_not_there_is_proved(lender: Lending) -> None:
    status, _, body = await answer(lender, f"{FOLDER.cid}/other.wasm?format=car")
    assert (status, car(body)) == (200, {FOLDER.cid: FOLDER_BLOCK})


async def test_what_nobody_pinned_is_not_there_although_it_is(lender: Lending) -> None:
    nowhere = "bafkreieturf3xfwhkeqy4taa2r46jqkdlajcuoe2zsqwebnr4tinyx4uoy"
    answers = [await answer(lender, f"{cid}?format={kind}") for cid in (SECRET.cid, nowhere) for kind in ("raw", "car")]
    assert {(status, body) for status, _, body in answers} == {
        (404, b"This host does not have it, or does not offer it.\n")
    }
    status, *_ = await answer(lender, f"{SECRET.cid}?format=raw", "Cache-Control: only-if-cached")
    assert status == 412


@pytest.mark.parametrize("kind", ["raw", "car"])
async def test_a_head_is_the_same_without_a_body(lender: Lending, kind: str) -> None:
    rest = f"{FILE.cid}?format={kind}"
    status, said, body = await answer(lender, rest)
    bare = await answer(lender, rest, method="HEAD")
    assert status == bare[0] == 200
    assert {**bare[1], "date": ""} == {**said, "date": ""}
    assert body
    assert not bare[2]
    assert (await answer(lender, f"{SECRET.cid}?format={kind}", method="HEAD"))[::2] == (404, b"")


@pytest.mark.parametrize(
    ("rest", "headers", "method", "expected"),
    [
        (f"{FILE.cid}", (), "GET", 400),
        (f"{FILE.cid}", ("Accept: text/html",), "GET", 406),
        (f"{FOLDER.cid}/main.wasm?format=raw", (), "GET", 400),
        ("nonsense?format=raw", (), "GET", 400),
        ("?format=raw", (), "GET", 400),
        ("../../etc/passwd?format=car", (), "GET", 400),
        (f"{FILE.cid}?format=raw", (), "DELETE", 405),
        (f"{FILE.cid}?format=raw", (), "OPTIONS", 405),
        (f"{FILE.cid}?format=raw", (f'If-None-Match: "{FILE.cid}.raw"',), "GET", 304),
    ],
)
async def test_other_requests_have_other_answers(
    lender: Lending, rest: str, headers: tuple[str, ...], method: str, expected: int
) -> None:
    status, said, body = await answer(lender, rest, *headers, method=method)
    assert status == expected
    assert bool(body) is (expected != 304)
    assert said["x-content-type-options"] == "nosniff"
    assert not [word for word in (b"Traceback", b"/usr", b".py", b"/tmp") if word in body]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_empty_identity_is_a_probe(lender: Lending, method: str) -> None:
    status, said, body = await answer(lender, "bafkqaaa?format=raw", method=method)
    assert (status, said["content-length"], body) == (200, "0", b"")
    status, said, body = await answer(lender, "bafkqaaa?format=car", method=method)
    assert status == 200
    assert method == "HEAD" or car(body) == {}
    assert (await answer(lender, "bafkqabtjnzzwszdf?format=raw", method=method))[0] == 404  # not for words of strangers


async def test_a_pin_is_seen_soon_and_its_end_too(tmp_path: Path, mock_clock: MockClock) -> None:
    store = stocked(tmp_path)
    lender = Lending(Shelf(store), PLENTY)
    rest = f"{SECRET.cid}?format=raw"
    assert (await answer(lender, rest))[0] == 404
    Pins(store).add(SECRET.cid)
    mock_clock.jump(lending.SHELF_LOOK_SECONDS)
    assert (await answer(lender, rest))[0] == 200
    Pins(store).remove(SECRET.cid)
    mock_clock.jump(lending.SHELF_LOOK_SECONDS)
    assert (await answer(lender, rest))[0] == 404


async def test_a_damaged_block_is_never_sent_and_told_to_the_owner(tmp_path: Path) -> None:
    store, told = stocked(tmp_path), list[str]()
    lender = Lending(Shelf(store), PLENTY, told.append)
    assert (await answer(lender, f"{LEAF}?format=raw"))[0] == 200
    (path,) = (tmp_path / "blocks").glob(f"*/{LEAF.key.hex()}")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    status, _, body = await answer(lender, f"{LEAF}?format=raw")
    assert (status, body) == (500, b"This host cannot read what it keeps.\n")
    with pytest.raises(EOFError):  # the status is said already: only the end can be missing
        await answer(lender, f"{FILE.cid}?format=car")
    assert len(told) == 2
    path.unlink()
    assert (await answer(lender, f"{LEAF}?format=raw"))[0] == 404
    with pytest.raises(EOFError):
        await answer(lender, f"{FILE.cid}?format=car")


async def test_the_bytes_of_an_hour_are_bounded_and_come_back(tmp_path: Path, mock_clock: MockClock) -> None:
    lender = Lending(Shelf(stocked(tmp_path)), 300_000)
    rest = f"{LEAF}?format=raw"
    assert [(await answer(lender, rest))[0] for _ in range(3)] == [200, 200, 503]
    status, said, _ = await answer(lender, rest)
    assert (status, said["retry-after"]) == (503, "60")
    assert (await answer(lender, rest, method="HEAD"))[0] == 503
    mock_clock.jump(3600)
    assert (await answer(lender, rest))[0] == 200


def asks_for(rest: str) -> bytes:
    return f"GET /ipfs/{rest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


async def test_one_more_than_may_be_answered_at_once_waits_and_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock
) -> None:
    monkeypatch.setattr(lending, "LENT_AT_ONCE", 1)
    lender, rest = Lending(Shelf(stocked(tmp_path)), PLENTY), f"{LEAF}?format=raw"
    found: list[int] = []

    async def third() -> None:
        found.append((await answer(lender, rest))[0])

    async with connected(lender, Wires(capacity=1000)) as slow, trio.open_nursery() as nursery:
        await send_all(slow, asks_for(rest))
        await receive_some(slow, 100)  # begun; then nothing is taken
        nursery.start_soon(third)
        while not lender.waiting:
            await trio.lowlevel.checkpoint()
        assert found == []
        mock_clock.jump(lending.LENT_WAIT)
        while not found:
            await trio.lowlevel.checkpoint()
        assert found == [503]
        slow.close()
        while len(found) < 2:
            await third()
            found[1:] = [each for each in found[1:] if each != 503]
    assert found == [503, 200]


async def test_whoever_takes_nothing_is_let_go(tmp_path: Path, mock_clock: MockClock) -> None:
    lender = Lending(Shelf(stocked(tmp_path)), PLENTY)
    async with connected(lender, Wires(capacity=1000)) as end:
        await send_all(end, asks_for(f"{FILE.cid}?format=car"))
        begun = 0
        while begun < 5000:  # in the midst of a piece, which is far larger than what fits on the wire
            begun += len(await receive_some(end, 500))
        await wait_all_tasks_blocked()
        mock_clock.jump(bounds.HTTP_ANSWER_SECONDS)
        assert await taken(end, mock_clock, 0) < 2000
    assert (await answer(lender, f"{LEAF}?format=raw"))[0] == 200


async def test_a_reader_that_drips_ends_with_its_time(tmp_path: Path, mock_clock: MockClock) -> None:
    lender = Lending(Shelf(stocked(tmp_path)), PLENTY)
    async with connected(lender, Wires(capacity=1000)) as end:
        await send_all(end, asks_for(f"{FILE.cid}?format=car"))
        assert await taken(end, mock_clock, 1) < 700_000
    assert trio.current_time() < lending.LENT_SECONDS + 60


async def taken(end: MemoryTransport, clock: MockClock, pause: float) -> int:
    """Bytes that come until the end, with a pause after each thousand."""
    count = 0
    with suppress(OSError):
        while data := await receive_some(end, 1000):
            count += len(data)
            clock.jump(pause)
    return count


async def test_our_own_client_fetches_a_file_from_it(tmp_path: Path) -> None:
    store = stocked(tmp_path / "there")
    async with serving(Front(echo, lender=Lending(Shelf(store), PLENTY))) as place:
        source = Source(LOCAL_GATEWAY, f"http://127.0.0.1:{place.port}")
        async with open_fetcher(BlockStore(tmp_path / "here"), [source], Budget(), pytest.fail) as fetcher:
            assert await read(fetcher, Address(FOLDER.cid, ("main.wasm",)), 1 << 21) == DATA
            assert fetcher.fetched_blocks == len(BLOCKS) + 2  # the file's root comes alone, and again in the CAR


def test_a_store_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match="The block store cannot be used"):
        own_store(tmp_path / "file")


def test_a_named_store_that_is_none_is_told_and_not_made(tmp_path: Path) -> None:
    told = "`gateway.store` names no block store. `gatebus ipfs add` or `pin` makes one, in GATEBUS_IPFS_STORE."
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "file").chmod(0o600)
    for name in ("missing", "file", "."):
        with pytest.raises(UsageError) as refused:
            named_store(tmp_path / name)
        assert refused.value.text == told
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_it_is_known_at_the_start_how_much_is_offered(tmp_path: Path) -> None:
    stocked(tmp_path / "there")
    assert open_lending(named_store(tmp_path / "there"), PLENTY, pytest.fail)[1] == 1
