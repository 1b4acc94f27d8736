"""The module store on a bad disk: what is damaged is never believed, nothing is deleted on doubt (T24)."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

import pytest
from storehelpers import ADA, GRACE, NOT_HERE, WASM, opened, put, refusal, sha

from gatebus.accountbounds import MODULE_COST
from gatebus.faults import GatebusError, StoreBroken
from gatebus.host.modulefiles import PartialFile
from gatebus.host.modulerecords import ModuleRecords
from gatebus.host.quotas import Quotas
from gatebus.host.refusals import Refusal, disk_full

if TYPE_CHECKING:
    from pathlib import Path

    from gatebus.host.modulestore import ModuleStore


async def test_two_hosts_do_not_share_a_directory(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StoreBroken) as caught:
            async with opened(tmp_path):
                pass
        assert caught.value.text == (
            "Another gatebus host uses this data directory. "
            "Stop it, or give this one a directory of its own: --data DIR."
        )
    async with opened(tmp_path):
        pass


async def test_a_module_whose_file_was_damaged_is_not_believed_and_can_be_sent_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        file = tmp_path / "modules" / sha(WASM).hex()[:2] / sha(WASM).hex()
        for at in range(0, 8 * len(WASM), 997):  # T24: one bit each time
            damaged = bytearray(WASM)
            damaged[at // 8] ^= 1 << at % 8
            file.write_bytes(damaged)
            assert await refusal(store.get(sha(WASM))) == NOT_HERE
        assert file.read_bytes() == bytes(damaged), "nothing is cleaned up on doubt"
        assert not (await store.upload(sha(WASM), len(WASM), GRACE)).known
        await put(store)
        assert await store.get(sha(WASM)) == WASM


async def test_records_with_a_flipped_bit_are_seen_or_harmless(tmp_path: Path) -> None:
    """T24 over the whole file of the records: never a wrong pin, tag, size or owner."""
    good = tmp_path / "good"
    async with opened(good) as store:
        await put(store)
        await store.pin(sha(WASM), ADA, ["tag"])
        expected = await store.modules(ADA)
    database = (good / "records.sqlite").read_bytes()
    assert not (good / "records.sqlite-wal").exists(), "closing wrote everything into the file"
    used = [at for at in range(len(database)) if database[at]]
    seen = []
    for at in used[:: max(1, len(used) // 150)]:
        damaged = bytearray(database)
        damaged[at] ^= 1 << at % 8
        for name in ("-wal", "-shm"):
            (good / f"records.sqlite{name}").unlink(missing_ok=True)
        (good / "records.sqlite").write_bytes(damaged)
        try:
            async with opened(good) as store:
                assert await store.modules(ADA) == expected, f"byte {at}"
        except StoreBroken as fault:
            seen.append(fault.text)
    assert len(seen) > 50
    assert not [text for text in seen if str(tmp_path) in text]


async def test_records_of_a_later_version_are_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "records.sqlite") as database:
        database.execute("PRAGMA user_version=2")
    database.close()
    with pytest.raises(StoreBroken, match="The host's records are of another version of gatebus, or damaged"):
        async with opened(tmp_path):
            pass


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"hello" * 1000)
    with pytest.raises(StoreBroken, match="Nothing was changed: put a backup in their place"):
        async with opened(tmp_path):
            pass
    assert (tmp_path / "records.sqlite").read_bytes() == b"hello" * 1000


async def test_a_file_in_the_place_of_the_directory_is_named_by_its_reason(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreBroken) as caught:
        async with opened(tmp_path / "data"):
            pass
    assert caught.value.text == "The host's data directory cannot be used: file exists."


async def test_a_full_disk_is_told_to_whoever_sent_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: PartialFile, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    async with opened(tmp_path) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        monkeypatch.setattr(PartialFile, "append", full)
        assert await refusal(upload.write(WASM)) == (
            "disk-full",
            "The host's disk is full and nothing was changed. Its owner must make room.",
        )
        await upload.aclose()


def fill(store: ModuleStore) -> None:
    """SQLite itself says that its file cannot grow, as on a full disk."""
    store._disk.records._database.execute("PRAGMA max_page_count=1")


async def kept(store: ModuleStore, content: bytes, tags: tuple[str, ...]) -> str:
    """The code of what went wrong, as the operations would tell it."""
    try:
        upload = await store.upload(sha(content), len(content), ADA)
        try:
            await upload.write(content)
            await upload.finish()
        finally:
            await upload.aclose()
        await store.pin(sha(content), ADA, tags)
    except Refusal as refused:
        return refused.code
    return ""


def closed_on_a_full_disk(file: PartialFile) -> None:
    file._file.close()
    raise OSError(errno.ENOSPC, "no space left on device")


def make_room(store: ModuleStore) -> None:
    store._disk.records._database.execute("PRAGMA max_page_count=1000000")


async def test_records_on_a_full_disk_are_told_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        await put(store)
        fill(store)
        many = tuple(f"{number:03}".ljust(60, "x") for number in range(32))
        codes = set()
        for number in range(40):  # until what the file has of empty pages is used up
            codes.add(await kept(store, WASM + b"%d" % number, many))
        assert "disk-full" in codes <= {"", "disk-full"}
        assert await store.get(sha(WASM)) == WASM
        make_room(store)
        await put(store, b"later")
        assert quotas.used(ADA.account).uploads == 0, "what failed holds nothing"
    async with opened(tmp_path) as store:
        assert await store.get(sha(b"later")) == b"later"


async def test_a_store_whose_disk_is_full_ends_in_order_and_says_what_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_record(*_: object) -> None:
        raise disk_full()

    troubles: list[GatebusError] = []
    async with opened(tmp_path) as store:
        store.on_trouble = troubles.append
        await put(store)
        store.touch(sha(WASM))
        await (await store.upload(sha(b"half"), 4, ADA)).write(b"ha")
        monkeypatch.setattr(PartialFile, "close", closed_on_a_full_disk)
        monkeypatch.setattr(ModuleRecords, "put_module", no_record)
    assert [each.code for each in troubles] == ["disk-full", "disk-full"]
    monkeypatch.undo()
    async with opened(tmp_path) as store:
        assert await store.get(sha(WASM)) == WASM


async def test_an_upload_that_a_full_disk_ended_gives_back_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(WASM[:1])
        monkeypatch.setattr(PartialFile, "close", closed_on_a_full_disk)
        assert (await refusal(upload.aclose()))[0] == "disk-full"
        assert (quotas.total.uploads, quotas.total.stored) == (0, MODULE_COST), "what may be there counts"
