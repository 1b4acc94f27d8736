"""Snapshots as files: out of one store, into another, and nothing wrong with them is believed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from nacl.signing import SigningKey
from snapshothelpers import (
    ADA,
    GRACE,
    HOST,
    PAGE,
    about,
    folder,
    memory_of,
    noise,
    opened_snapshots,
    packs,
    same,
    saved,
    signed,
)
from storehelpers import refusal

from gatebus.faults import StoreBroken
from gatebus.host.quotas import Amounts, QuotaBounds, Quotas
from gatebus.host.refusals import Refusal
from gatebus.snapshots.exportwords import HEAD_SIZE, head_untrusted, signer_untrusted
from gatebus.snapshots.manifestwords import retold
from gatebus.snapshots.snapshotbounds import IMPORT_SECONDS
from gatebus.snapshots.snapshotstore import StoreSettings
from gatebus.sshkeys import fingerprint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trio.testing import MockClock

    from gatebus.snapshots.exportwords import Imported
    from gatebus.snapshots.savedwords import Saved
    from gatebus.snapshots.snapshotstore import SnapshotStore

__all__ = ["folder"]  # a fixture
PROGRAM = b"\0asm" + noise(2_000, 5)
MODULE = sha256(PROGRAM).hexdigest()


def reader(data: bytes, most: int = 1 << 30) -> Callable[[int], Awaitable[bytes]]:
    rest = memoryview(data)

    async def read(size: int) -> bytes:
        nonlocal rest
        piece, rest = rest[: min(size, most)], rest[min(size, most) :]
        return bytes(piece)

    return read


async def exported(store: SnapshotStore, wanted: Saved) -> bytes:
    kept = await store.save(wanted, account=ADA)
    return await leaving(store, kept.id)


async def leaving(store: SnapshotStore, snapshot: bytes, program: bytes = PROGRAM, account: str | None = None) -> bytes:
    written = bytearray()
    async with store.exporting(snapshot, program, account) as file:
        while piece := await file.read(100_000):
            assert len(piece) <= 100_000
            written += piece
        assert len(written) == file.size
    return bytes(written)


async def file_of(folder: Path, wanted: Saved, settings: StoreSettings | None = None) -> bytes:
    async with opened_snapshots(folder, None, settings) as store:
        return await exported(store, wanted)


async def imported(store: SnapshotStore, data: bytes, most: int = 1 << 30) -> Imported:
    return await store.import_untrusted(reader(data, most), GRACE)


SMALL = saved(memory_of(3, 1), b"frames" * 400, (("service:a", b"w" * 2_000), ("service:b", b"w" * 2_000)), MODULE)


@pytest.mark.parametrize("most", [1 << 30, 700])
async def test_a_snapshot_goes_to_another_host_as_one_file(folder: Path, most: int) -> None:
    wanted = saved(memory_of(600, 0, 5, 300, 599), noise(200_000), module=MODULE, tags=["far"])
    data = await file_of(folder / "here", wanted)
    async with opened_snapshots(folder / "there") as store:
        found = await imported(store, data, most)
        assert (found.program, found.key) == (PROGRAM, bytes(HOST.verify_key))
        assert same(await store.load(found.id), wanted)
        assert [line.id for line in await store.list(GRACE)] == [found.id]
        assert found.id == sha256(data[HEAD_SIZE : HEAD_SIZE + int.from_bytes(data[8:12], "little")]).digest()


async def test_a_file_that_came_goes_on_to_a_third_host_as_it_was(folder: Path) -> None:
    data = await file_of(folder / "here", SMALL)
    async with opened_snapshots(folder / "there") as store:
        found = await imported(store, data)
        assert await leaving(store, found.id, account=GRACE) == data


async def test_a_file_with_any_byte_changed_is_refused_and_leaves_nothing(folder: Path) -> None:
    data = await file_of(folder / "here", SMALL)
    quotas = Quotas()
    async with opened_snapshots(folder / "there", quotas) as store:
        texts = set()
        for at in [*range(HEAD_SIZE + 300), *range(HEAD_SIZE + 300, len(data), 211), len(data) - 1]:
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            code, text = await refusal(imported(store, bytes(changed)))
            assert code == "bad-state"
            texts.add(text)
        assert await store.list(GRACE) == []
        assert packs(folder / "there") == []
        assert quotas.accounts == 0
    assert "The file is damaged: its parts do not fit together. Copy it again." in texts
    assert "This is no snapshot, or one of a newer version of gatebus." in texts


async def test_a_file_that_is_cut_or_too_long_is_refused(folder: Path) -> None:
    data = await file_of(folder / "here", SMALL)
    async with opened_snapshots(folder / "there") as store:
        for size in (0, 10, HEAD_SIZE - 1, HEAD_SIZE, HEAD_SIZE + 9, len(data) // 2, len(data) - 1):
            assert (await refusal(imported(store, data[:size])))[1] == "The file ends too early. Copy it again."
        assert (await refusal(imported(store, data + b"x")))[1] == "The file has bytes behind its end."
        assert packs(folder / "there") == []


def rewritten(data: bytes, **parts: bytes) -> bytes:
    """With other key and signature, and a header that fits them."""
    head = data[:64] + parts.get("key", data[64:96]) + parts.get("signature", data[96:160])
    return head + sha256(head).digest() + data[HEAD_SIZE:]


async def test_a_wrong_signature_is_refused_whatever_is_accepted(folder: Path) -> None:
    data = await file_of(folder / "here", SMALL)
    other = SigningKey(b"\3" * 32)
    async with opened_snapshots(folder / "there") as store:
        for changed in (rewritten(data, key=bytes(other.verify_key)), rewritten(data, signature=b"\1" * 64)):
            assert (await refusal(imported(store, changed)))[1] == (
                "The signature of the snapshot is wrong. Whoever gave you this file changed it."
            )


@pytest.mark.parametrize(
    ("accept", "own", "foreign", "unsigned"),
    [("any", True, True, True), ("signed", True, True, False), ("own", True, False, False)],
)
async def test_policy_says_whose_files_come_in(
    folder: Path, accept: str, own: bool, foreign: bool, unsigned: bool
) -> None:
    other = SigningKey(b"\3" * 32)
    theirs = StoreSettings(bytes(other.verify_key), lambda said: other.sign(said).signature)
    files = (
        (own, await file_of(folder / "own", SMALL)),
        (foreign, await file_of(folder / "foreign", SMALL, theirs)),
        (unsigned, await file_of(folder / "unsigned", SMALL, StoreSettings())),
    )
    mine = signed()
    settings = StoreSettings(mine.key, mine.sign, accept)
    async with opened_snapshots(folder / "there", None, settings) as store:
        for welcome, data in files:
            if welcome:
                await imported(store, data)
            else:
                code, text = await refusal(imported(store, data))
                assert code == "forbidden"
                assert text.startswith("This host takes only snapshots that ")


@pytest.mark.parametrize("accept", ["own", "signed"])
async def test_whose_files_come_in_can_be_said_by_their_fingerprints(folder: Path, accept: str) -> None:
    keys = [SigningKey(bytes([number]) * 32) for number in (3, 4)]
    one, two = (StoreSettings(bytes(each.verify_key), lambda said, key=each: key.sign(said).signature) for each in keys)
    mine = signed()
    settings = StoreSettings(mine.key, mine.sign, accept, signers=(fingerprint(one.key),))
    async with opened_snapshots(folder / "there", None, settings) as store:
        for number, welcome in enumerate((mine, one)):
            await imported(store, await file_of(folder / f"welcome{number}", SMALL, welcome))
        for number, other in enumerate((two, StoreSettings())):
            assert await refusal(imported(store, await file_of(folder / f"other{number}", SMALL, other))) == (
                "forbidden",
                "This host takes only snapshots that it, or a host that it knows, has signed (snapshots.signers).",
            )


async def test_a_file_larger_than_ones_quota_is_refused_soon(folder: Path) -> None:
    data = await file_of(folder / "here", saved(memory_of(100, *range(100)), module=MODULE))
    fed = 0

    async def read(size: int) -> bytes:
        nonlocal fed
        fed += 65_536
        return data[fed - 65_536 : fed]

    quotas = Quotas(QuotaBounds(principal=Amounts(stored=300_000)))
    async with opened_snapshots(folder / "there", quotas) as store:
        assert (await refusal(store.import_untrusted(read, GRACE)))[0] == "quota-storage"
        assert fed < 8 * 65_536
        assert packs(folder / "there") == []


async def test_a_giver_who_stops_giving_is_let_go(folder: Path, mock_clock: MockClock) -> None:
    asked = trio.Event()

    async def read(_size: int) -> bytes:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    async def gives_up() -> None:
        assert await refusal(store.import_untrusted(read, GRACE)) == (
            "bad-request",
            f"Nothing came for {IMPORT_SECONDS:g} seconds. Send the file again.",
        )

    async with opened_snapshots(folder / "there") as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gives_up)
            await asked.wait()
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(IMPORT_SECONDS)
        assert packs(folder / "there") == []


async def test_what_is_exported_has_the_right_program_or_nothing(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = await store.save(SMALL, account=ADA)
        with pytest.raises(StoreBroken, match="is not the one that was stored"):
            await leaving(store, kept.id, b"another")
        with pytest.raises(Refusal):
            await leaving(store, kept.id, account=GRACE)


async def test_what_comes_in_under_another_manifest_is_signed_anew_and_has_the_same_chunks(folder: Path) -> None:
    data, seen = await file_of(folder / "here", SMALL), []

    async def own(came: Imported) -> bytes:
        seen.append(came.program)
        return retold(came.manifest, about(9, "snapshot", 77, owner=GRACE), "service:a")

    async with opened_snapshots(folder / "there") as store:
        found = await store.import_untrusted(reader(data), GRACE, own)
        (line,) = await store.list(GRACE)
        assert (line.id, line.taken, line.about["owner"]) == (found.id, 77, GRACE)
        there = await store.load(found.id)
        assert (there.state, there.parts) == (SMALL.state, SMALL.parts[1:])
        again = await leaving(store, found.id, account=GRACE)
        assert signer_untrusted(head_untrusted(again[:HEAD_SIZE])) == bytes(HOST.verify_key)
    assert seen == [PROGRAM]


async def test_what_its_new_owner_may_not_keep_leaves_nothing(folder: Path) -> None:
    data = await file_of(folder / "here", SMALL)

    async def own(_came: Imported) -> bytes:
        raise Refusal("quota-storage", "No.")

    async with opened_snapshots(folder / "there") as store:
        assert await refusal(store.import_untrusted(reader(data), GRACE, own)) == ("quota-storage", "No.")
        assert (await store.list(GRACE), packs(folder / "there")) == ([], [])


async def test_a_difference_names_what_memory_has_changed(folder: Path) -> None:
    memory = memory_of(20, 1, 5, 6, 9)
    async with opened_snapshots(folder) as store:
        first = await store.save(saved(memory), account=ADA)
        for page in (5, 6, 12):
            memory.content[page * PAGE] ^= 1
        memory.content.extend(bytes(PAGE))
        second = await store.save(saved(memory, taken=2), account=ADA)
        async with store.opened(first.id) as before, store.opened(second.id) as after:
            found = await store.changes(before, after, 2)
            assert (found.pages, found.ranges) == (3, [(5 * PAGE, 4096), (6 * PAGE, 4096)])
            assert (await store.changes(before, before, 2)).ranges == []


async def test_who_looks_at_a_snapshot_does_not_read_its_memory(folder: Path) -> None:
    async with opened_snapshots(folder) as store:
        kept = await store.save(saved(memory_of(20, 1, 5, 6, 9), b"frames" * 1_000), account=ADA)
        async with store.opened(kept.id) as opened:
            looked = await store.look(opened)
    assert (looked.state, looked.touched) == (b"frames" * 1_000, 4 * PAGE)
