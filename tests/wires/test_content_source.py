"""`ipfs://` at a host: what is fetched is verified, bounded and paid for; whom to ask is not for its client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import dag_cbor
import pytest
import trio
import trio.testing
from hostilegateway import Hostile, serving
from ipfsdata import KUBO_V1, imported, vector
from waiting import PATIENCE

from gatebus.contentbounds import FETCHES, FETCHES_EACH
from gatebus.faults import StoreBroken
from gatebus.host import contentsource
from gatebus.host.contentsource import ContentSource
from gatebus.host.refusals import Refusal
from ipfs.addresses import GATEWAY, LOCAL_GATEWAY, Source
from ipfs.blockstore import BlockStore
from ipfs.cid import DAG_CBOR, cid_of
from ipfs.importer import directory
from ipfs.pins import Pins

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
PROGRAM = vector(600_000)
ROOT, BLOCKS = imported(PROGRAM)
FOLDER, FOLDER_BLOCK = directory({"prog.wasm": ROOT}, KUBO_V1)
ALL = {**BLOCKS, FOLDER.cid: FOLDER_BLOCK}
ADDRESS = f"ipfs://{FOLDER.cid}/prog.wasm"


def source(folder: Path, *servers: Hostile, hourly: int = 64 * MIB, told: list[str] | None = None) -> ContentSource:
    gateways = [Source(LOCAL_GATEWAY, each.url) for each in servers]
    return ContentSource(folder, gateways, hourly, (told if told is not None else []).append)


async def refused(fetching: ContentSource, address: str, size: int = MIB) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await fetching.fetch(address, size, "alice")
    return caught.value


async def test_a_program_is_fetched_by_its_path_and_the_second_time_nobody_is_asked(tmp_path: Path) -> None:
    server = Hostile(ALL)
    async with serving(server):
        fetching = source(tmp_path, server)
        assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM
        asked = len(server.asked)
        assert await fetching.fetch(ADDRESS, MIB, "bob") == PROGRAM
        assert await fetching.fetch(f"ipfs://{ROOT.cid}", MIB, "bob") == PROGRAM
    assert len(server.asked) == asked


async def test_what_is_stored_survives_the_host_and_is_hashed_again(tmp_path: Path) -> None:
    server, told = Hostile(ALL), list[str]()
    async with serving(server):
        assert await source(tmp_path, server).fetch(ADDRESS, MIB, "alice") == PROGRAM
        block = max((tmp_path / "blocks").glob("*/*"), key=lambda path: path.stat().st_size)
        block.write_bytes(block.read_bytes()[:-1] + b"x")
        assert await source(tmp_path, server, told=told).fetch(ADDRESS, MIB, "alice") == PROGRAM
    assert any("is damaged" in text for text in told)


@pytest.mark.parametrize(
    ("address", "code", "text"),
    [
        ("ipfs://hello", "bad-request", "It is no CID, or one that was cut short or mistyped."),
        ("ipfs://", "bad-request", "It is no CID. A CID looks like bafybei... or Qm..."),
        ("ipfs://127.0.0.1:80/x", "bad-request", "It is no CID, or one that was cut short or mistyped."),
        (f"{ADDRESS}/..", "bad-request", "A name may not be empty"),
        (f"ipfs://{FOLDER.cid}/other", "not-found", "There is no other in the directory."),
        (f"ipfs://{FOLDER.cid}", "not-found", "It is a directory. Name a file in it."),
        (f"{ADDRESS}/below", "not-found", "The path goes on below a file: below is looked for in it."),
    ],
)
async def test_an_address_that_leads_to_no_program_says_why(tmp_path: Path, address: str, code: str, text: str) -> None:
    server = Hostile(ALL)
    async with serving(server):
        refusal = await refused(source(tmp_path, server), address)
    assert (refusal.code, refusal.text[: len(text)]) == (code, text)


@pytest.mark.parametrize(
    ("gatebus", "text"),
    [
        (1, "It is a stopped program, no file. `gatebus restore ipfs://{}` lets it go on."),
        (2, "It is neither a file nor a directory (codec 0x71)."),
    ],
)
async def test_a_snapshot_is_told_from_what_is_nothing_here(tmp_path: Path, gatebus: int, text: str) -> None:
    lists: dict[str, list[object]] = {"manifest": [], "program": [], "chunks": []}
    block = dag_cbor.encode({"gatebus": gatebus, "key": bytes(32), "signature": bytes(64), **lists})
    root = cid_of(DAG_CBOR, block)
    server = Hostile({root: block})
    async with serving(server):
        refusal = await refused(source(tmp_path, server), f"ipfs://{root}")
    assert (refusal.code, refusal.text) == ("bad-request", text.format(root))
    assert len(server.asked) == 1


@pytest.mark.parametrize("lie", ["flip", "other", "redirect", "truncate", "no http", "compressed", "wrong root"])
async def test_no_wrong_byte_is_returned_or_kept_whatever_the_gateway_does(tmp_path: Path, lie: str) -> None:
    server = Hostile(ALL, lie)
    async with serving(server):
        fetching = source(tmp_path, server)
        if lie == "wrong root":  # of its CARs: single blocks are right
            assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM
        else:
            assert (await refused(fetching, ADDRESS)).code == "not-found"
            assert BlockStore(tmp_path).contents().blocks == 0


async def test_a_gateway_that_lied_is_told_to_the_owner_and_its_address_to_nobody_else(tmp_path: Path) -> None:
    server, told = Hostile(ALL, "flip"), list[str]()
    async with serving(server):
        refusal = await refused(source(tmp_path, server, told=told), ADDRESS)
    assert told == [f"A source ({server.url}) sent wrong bytes. It is not asked again."]
    assert server.url not in refusal.text
    assert "127.0.0.1" not in refusal.text


async def test_a_public_gateway_that_leads_home_is_not_asked(tmp_path: Path) -> None:
    """Security T31: what the owner wrote as public may not be, today or tomorrow, an address of the host's network."""
    server = Hostile(ALL)
    async with serving(server):
        port = server.url.rpartition(":")[2]
        for name in ("localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"):
            fetching = ContentSource(tmp_path, [Source(GATEWAY, f"https://{name}:{port}")], MIB)
            assert (await refused(fetching, ADDRESS)).code == "not-found"
    assert server.asked == []


async def test_a_program_larger_than_programs_may_be_is_not_fetched_whole(tmp_path: Path) -> None:
    server = Hostile(ALL)
    async with serving(server):
        refusal = await refused(source(tmp_path, server), ADDRESS, size=100_000)
    assert refusal.code == "bad-request"
    assert refusal.text == "The file is larger than the 100000 bytes that this request may read."
    assert BlockStore(tmp_path).contents().bytes < 10_000


async def test_an_account_that_has_used_its_hour_is_refused_and_no_other(tmp_path: Path) -> None:
    server = Hostile(ALL)
    async with serving(server):
        fetching = source(tmp_path, server, hourly=1000)
        unknown = imported(b"nowhere")[0].cid
        assert (await refused(fetching, f"ipfs://{unknown}")).code == "not-found"
        refusal = await refused(fetching, f"ipfs://{unknown}")
        assert (refusal.code, refusal.text[:36]) == ("busy", "This host has fetched its 1000 bytes")
        assert len(server.asked) == 1
        small, blocks = imported(b"small")
        server.blocks |= {cid.key: block for cid, block in blocks.items()}
        assert await fetching.fetch(f"ipfs://{small.cid}", MIB, "bob") == b"small"


async def test_content_that_takes_long_to_read_is_given_up_and_costs_its_account_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hostile(ALL)
    async with serving(server):
        fetching = source(tmp_path, server)
        assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM
        monkeypatch.setattr(contentsource, "FETCH_WORK", 1e-9)
        refusal = await refused(fetching, ADDRESS)
        assert (refusal.code, "seconds of processor time" in refusal.text) == ("bad-request", True)
        monkeypatch.setattr(contentsource, "WORK_COST", 1 << 60)
        assert (await refused(fetching, ADDRESS)).code == "bad-request"
        refusal = await refused(fetching, ADDRESS)
    assert (refusal.code, refusal.text[:21]) == ("busy", "This host has fetched")


async def test_what_is_here_costs_nothing(tmp_path: Path) -> None:
    server = Hostile(ALL)
    async with serving(server):
        fetching = source(tmp_path, server, hourly=2 * MIB)
        for _ in range(10):
            assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM


async def test_a_full_store_is_emptied_and_filled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contentsource, "FETCH_KEPT", 500_000)
    server = Hostile(ALL)
    small, blocks = imported(b"small")
    server.blocks |= {cid.key: block for cid, block in blocks.items()}
    async with serving(server):
        fetching = source(tmp_path, server)
        assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM
        assert await fetching.fetch(f"ipfs://{small.cid}", MIB, "alice") == b"small"
        assert BlockStore(tmp_path).contents().blocks == 1
        assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM


async def test_a_host_that_starts_with_a_full_store_empties_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contentsource, "FETCH_KEPT", 500_000)
    BlockStore(tmp_path).put(ALL.items())
    server = Hostile(ALL)
    async with serving(server):
        await refused(source(tmp_path, server), f"ipfs://{imported(b'nowhere')[0].cid}")
    assert BlockStore(tmp_path).contents().blocks == 0


async def test_a_store_is_not_emptied_while_somebody_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Hostile(ALL, "silent")
    async with serving(silent), trio.open_nursery() as nursery:
        fetching = source(tmp_path, silent)
        nursery.start_soon(fetching.fetch, ADDRESS, MIB, "alice")
        await silent.was_asked.wait()
        monkeypatch.setattr(contentsource, "FETCH_KEPT", -1)
        second = trio.CancelScope()

        async def wait() -> None:
            with second:
                await fetching.fetch(ADDRESS, MIB, "bob")

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert len(silent.asked) == 1
        second.cancel()
        nursery.cancel_scope.cancel()
    assert fetching._active == 0


async def test_one_account_cannot_take_all_slots(tmp_path: Path) -> None:
    silent = Hostile(ALL, "silent")
    others = [f"account {number}" for number in range(FETCHES)]
    async with serving(silent), trio.open_nursery() as nursery:
        fetching = source(tmp_path, silent)
        for number in range(20):
            nursery.start_soon(fetching.fetch, f"ipfs://{imported(b'%d' % number)[0].cid}", MIB, "greedy")
        await _until(lambda: len(silent.asked) == FETCHES_EACH)
        for each in others:
            nursery.start_soon(fetching.fetch, ADDRESS, MIB, each)
        await _until(lambda: len(silent.asked) == FETCHES)
        nursery.cancel_scope.cancel()
    assert len(fetching._accounts) == 0


async def _until(holds: object) -> None:
    assert callable(holds)
    with trio.fail_after(PATIENCE):
        while not holds():
            await trio.lowlevel.checkpoint()


async def test_a_client_that_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    silent = Hostile(ALL, "silent")
    async with serving(silent):
        fetching = source(tmp_path, silent)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetching.fetch, ADDRESS, MIB, "alice")
            await silent.was_asked.wait()
            nursery.cancel_scope.cancel()
        assert (fetching._active, len(fetching._accounts)) == (0, 0)
        silent.lie = ""
        assert await fetching.fetch(ADDRESS, MIB, "alice") == PROGRAM


async def test_a_gateway_that_answers_nothing_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contentsource, "FETCH_SECONDS", 0.2)
    silent = Hostile(ALL, "silent")
    async with serving(silent):
        refusal = await refused(source(tmp_path, silent), ADDRESS)
    assert refusal.text == "It was not finished within the 0.2 seconds of this request."


# What is pinned.

DIGEST, OTHER = b"\1" * 32, b"\2" * 32


async def test_what_is_pinned_survives_the_emptying_and_goes_with_its_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hostile(ALL)
    async with serving(server):
        fetching = source(tmp_path, server)
        await fetching.fetch(ADDRESS, MIB, "alice")
        await fetching.keep(ADDRESS, DIGEST)
        monkeypatch.setattr(contentsource, "FETCH_KEPT", -1)
        asked = len(server.asked)
        assert await fetching.fetch(f"ipfs://{ROOT.cid}", MIB, "bob") == PROGRAM  # after it was emptied
        assert len(server.asked) == asked
        await fetching.let_go(OTHER)
        assert Pins(BlockStore(tmp_path)).all() == [ROOT.cid]
        await fetching.let_go(DIGEST)
        await fetching.fetch(f"ipfs://{ROOT.cid}", MIB, "bob")
    assert Pins(BlockStore(tmp_path)).all() == []
    assert len(server.asked) > asked


async def test_a_pin_of_the_hosts_owner_stays_the_owners(tmp_path: Path) -> None:
    server = Hostile(ALL)
    async with serving(server):
        fetching = source(tmp_path, server)
        await fetching.fetch(ADDRESS, MIB, "alice")
    Pins(BlockStore(tmp_path)).add(ROOT.cid)
    assert await fetching.keep(ADDRESS, DIGEST) == f"ipfs://{ROOT.cid}"  # its own, for others
    await fetching.let_go(DIGEST)
    assert Pins(BlockStore(tmp_path)).all() == [ROOT.cid]


async def test_what_is_not_here_any_more_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="is not here"):
        await source(tmp_path).keep(ADDRESS, DIGEST)
    assert Pins(BlockStore(tmp_path)).all() == []


async def test_a_store_that_others_may_write_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    make = partial(ContentSource, tmp_path / "open", [], MIB)
    with pytest.raises(StoreBroken, match="may be written by others"):
        make()
