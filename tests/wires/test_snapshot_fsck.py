"""`gatebus fsck`: whatever is wrong is said by name; nothing is deleted, and lost records come again."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from snapshothelpers import ADA, GRACE, folder, memory_of, opened_snapshots, packs, record, same, saved
from storehelpers import NOT_HERE, WASM, opened, put, refusal, sha

from gatebus.__main__ import main
from gatebus.faults import StoreBroken
from gatebus.host.modulerecords import ModuleRecords
from gatebus.host.principals import Kind, Principal
from gatebus.snapshots.checking import check_host
from gatebus.snapshots.findings import Finding
from gatebus.snapshots.savedwords import Change
from gatebus.snapshots.snapshotrecords import SnapshotRecords

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["folder"]  # a fixture
PROGRAM = sha(WASM).hex()
OTHER = WASM + b"another"


async def filled(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Ids of two that share chunks, and of somebody else's."""
    async with opened(folder) as store:
        await put(store)
    async with opened_snapshots(folder) as store:
        one = await store.save(
            saved(memory_of(4, 3), module=PROGRAM), account=ADA, change=Change(record(1, "stored"), 0)
        )
        two = await store.save(saved(memory_of(4, 2, 3), taken=2, module=PROGRAM), account=ADA, base=one.id)
        other = await store.save(saved(memory_of(3, 2), instance=3, module=PROGRAM), account=GRACE)
    return one.id, two.id, other.id


def found(folder: Path, *, repair: bool = False) -> set[tuple[str, str]]:
    return {(each.kind, each.name) for each in check_host(folder, repair=repair).findings}


async def test_where_nothing_is_wrong_it_says_what_there_is(folder: Path) -> None:
    await filled(folder)
    report = check_host(folder, repair=False)
    assert report.lines() == "3 snapshots in 3 files, 1 instances, 1 modules: nothing is wrong.\n"


async def test_a_damaged_file_is_named_with_every_snapshot_that_it_costs(folder: Path) -> None:
    one, two, _ = await filled(folder)
    async with opened_snapshots(folder) as store:
        stored = await store.disk.record(store.disk.database.snapshot, one)
    assert stored is not None
    file = folder / "snapshots" / "packs" / stored.packs[0].hex()
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(data)
    assert found(folder) == {("file", file.name), ("snapshot", one.hex()), ("snapshot", two.hex())}
    file.unlink()
    assert found(folder) == {("missing", file.name), ("snapshot", one.hex()), ("snapshot", two.hex())}


async def test_a_damaged_module_and_an_instance_that_points_nowhere_are_named(folder: Path) -> None:
    one, *_ = await filled(folder)
    (folder / "modules" / sha(WASM).hex()[:2] / sha(WASM).hex()).write_bytes(b"other")
    async with opened_snapshots(folder) as store:
        store.disk.database._database.execute("DELETE FROM snapshot WHERE id=?", (one,))
    assert found(folder) == {("module", sha(WASM).hex()), ("instance", record(1).instance.hex())}


async def test_what_nobody_recorded_is_named_and_put_aside_and_not_deleted(folder: Path) -> None:
    await filled(folder)
    stray = folder / "snapshots" / "packs" / ("00" * 16)
    stray.write_bytes(bytes(500))
    assert found(folder) == {("file", stray.name), ("stray", stray.name)}
    report = check_host(folder, repair=True)
    assert (
        Finding("stray", stray.name, "Something that was never finished.", "It was moved to snapshots/aside.")
        in report.findings
    )
    assert (folder / "snapshots" / "aside" / stray.name).read_bytes() == bytes(500)
    assert check_host(folder, repair=False).ok


async def test_lost_records_are_made_again_from_the_files(folder: Path) -> None:
    one, two, other = await filled(folder)
    database = folder / "snapshots" / "snapshots.sqlite"
    broken = b"no database" * 1_000
    database.write_bytes(broken)
    with pytest.raises(StoreBroken):
        async with opened_snapshots(folder):
            pass
    assert found(folder) == {("records", "snapshots.sqlite")}
    (finding,) = check_host(folder, repair=True).findings
    assert finding.done == "New records were made: 3 snapshots. The old ones are snapshots.sqlite.damaged-1."
    assert database.with_name("snapshots.sqlite.damaged-1").read_bytes() == broken
    assert check_host(folder, repair=False).ok
    async with opened_snapshots(folder) as store:
        assert same(await store.load(one), saved(memory_of(4, 3), module=PROGRAM))
        assert same(await store.load(two), saved(memory_of(4, 2, 3), taken=2, module=PROGRAM))
        assert [line.id for line in await store.list(GRACE)] == [other]
        assert [line.about["imported"] for line in await store.list(ADA)] == [True, True]
        await store.drop(ADA, one)
        assert same(await store.load(two), saved(memory_of(4, 2, 3), taken=2, module=PROGRAM)), (
            "what it shares was found again, too"
        )
    assert len(packs(folder)) == 3


def as_new(database: Path) -> None:
    """As a host makes it that finds none."""
    with closing(SnapshotRecords(database)) as records:
        records.accept_end()


@pytest.mark.parametrize("started", [False, True])
async def test_records_that_are_missing_are_noticed_and_made_again_and_no_snapshot_is_put_aside(
    folder: Path, started: bool
) -> None:
    """Also when an earlier version had made empty ones since."""
    ids = await filled(folder)
    database = folder / "snapshots" / "snapshots.sqlite"
    database.unlink()
    if started:
        as_new(database)
    else:
        with pytest.raises(
            StoreBroken, match=r"The records of snapshots are missing, and there are files of snapshots\."
        ):
            async with opened_snapshots(folder):
                pass
        assert not database.exists(), "nothing was changed"
    done = {each.done for each in check_host(folder, repair=True).findings}
    assert done == {"A new record was made."} if started else {"New records were made: 3 snapshots."}
    assert check_host(folder, repair=False).ok
    async with opened_snapshots(folder) as store:
        assert {line.id for account in (ADA, GRACE) for line in await store.list(account)} == {*ids}
    assert len(packs(folder)) == 3


async def test_a_whole_file_that_shares_with_one_that_is_gone_is_put_aside_and_nothing_else(folder: Path) -> None:
    one, two, other = await filled(folder)
    async with opened_snapshots(folder) as store:
        stored = await store.disk.record(store.disk.database.snapshot, one)
        shares = await store.disk.record(store.disk.database.snapshot, two)
    assert stored is not None
    assert shares is not None
    (folder / "snapshots" / "snapshots.sqlite").unlink()
    as_new(folder / "snapshots" / "snapshots.sqlite")
    (folder / "snapshots" / "packs" / stored.packs[0].hex()).unlink()
    done = {each.name: each.done for each in check_host(folder, repair=True).findings}
    assert done.pop(shares.packs[0].hex()) == "It was moved to snapshots/aside."
    assert {*done.values()} == {"A new record was made."}
    assert check_host(folder, repair=False).ok
    async with opened_snapshots(folder) as store:
        assert [line.id for line in await store.list(GRACE)] == [other]


async def test_what_was_dropped_does_not_come_again_with_a_repair(folder: Path) -> None:
    """Its file may still be there: another snapshot shares its chunks."""
    one, two, _ = await filled(folder)
    async with opened_snapshots(folder) as store:
        await store.records.delete(record(1).instance, 1)
        await store.drop(ADA, one)
    (folder / "snapshots" / "packs" / ("00" * 16)).write_bytes(b"stray")
    check_host(folder, repair=True)
    async with opened_snapshots(folder) as store:
        assert [line.id for line in await store.list(ADA)] == [two]


async def test_a_host_that_runs_is_not_looked_through(folder: Path) -> None:
    async with opened_snapshots(folder):
        with pytest.raises(StoreBroken, match="Another gatebus host uses this data directory"):
            check_host(folder, repair=False)


async def test_the_command_says_it_in_lines_in_json_and_by_its_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await filled(folder)
    assert main(["fsck", "--data", str(folder)]) == 0
    assert capsys.readouterr().out == "3 snapshots in 3 files, 1 instances, 1 modules: nothing is wrong.\n"
    (folder / "snapshots" / "packs" / "note").write_text("of the owner")
    assert main(["fsck", "--data", str(folder), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["snapshots"], {each["name"] for each in said["findings"]}) == (False, 3, {"note"})
    assert main(["fsck", "--data", str(folder)]) == 1
    assert "stray note: Something that was never finished.\n" in capsys.readouterr().out
    assert main(["fsck", "--data", str(folder / "nowhere")]) == 125
    assert "There is nothing to look through" in capsys.readouterr().err


def everything_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> when it was changed, and its bytes."""
    found = {}
    for each in sorted(folder.rglob("*")):
        found[str(each.relative_to(folder))] = each.stat().st_mtime_ns, b"" if each.is_dir() else each.read_bytes()
    return found


async def test_a_check_changes_nothing(folder: Path) -> None:
    await filled(folder)
    (folder / "snapshots" / "snapshots.sqlite-wal").write_bytes(b"of a host that was killed")
    before = everything_in(folder)
    assert check_host(folder, repair=False).ok
    assert everything_in(folder) == before


async def test_a_copy_without_its_locks_is_looked_through_and_gets_none(folder: Path) -> None:
    await filled(folder)
    for each in (folder, folder / "snapshots"):
        (each / "lock").unlink()
    before = everything_in(folder)
    assert check_host(folder, repair=False).ok
    assert everything_in(folder) == before


@pytest.mark.parametrize("how", [[], ["--repair"]])
def test_a_directory_of_no_host_is_said_to_be_that_and_stays_as_it_is(
    folder: Path, how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "snapshots").mkdir()
    before = everything_in(folder)
    assert main(["fsck", "--data", str(folder), *how]) == 125
    assert capsys.readouterr().err == (
        f"gatebus: There is nothing to look through: no host has kept anything in {folder}. Name its: --data DIR.\n"
    )
    assert everything_in(folder) == before


async def test_a_name_in_the_folder_moves_nobodys_cursor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await filled(folder)
    (folder / "snapshots" / "packs" / "x\x1b[31mred\nline").write_text("of whoever may write here")
    assert main(["fsck", "--data", str(folder)]) == 1
    assert "stray x [31mred line: " in (said := capsys.readouterr().out)
    assert "\x1b" not in said


# Programs of what is stored.


async def lost(folder: Path) -> None:
    """The records of modules, and a later host that began new ones, as an earlier version did."""
    (folder / "records.sqlite").unlink()
    with closing(ModuleRecords(folder / "records.sqlite")):
        pass


async def test_a_host_does_not_start_beside_modules_without_any_records_of_them(folder: Path) -> None:
    await filled(folder)
    (folder / "records.sqlite").unlink()
    with pytest.raises(StoreBroken, match=r"The host's records are missing, and there are files of modules\."):
        async with opened(folder):
            pass
    assert not (folder / "records.sqlite").exists(), "nothing was changed"
    assert found(folder) == {("records", "records.sqlite")}


async def test_modules_that_snapshots_need_are_on_record_again_for_whoever_has_the_snapshots(folder: Path) -> None:
    await filled(folder)
    async with opened(folder) as store:
        await put(store, OTHER)
    (folder / "records.sqlite").unlink()
    (finding,) = check_host(folder, repair=True).findings
    assert finding.done == "New records were made: 1 modules that snapshots need."
    assert check_host(folder, repair=False).ok
    async with opened(folder) as store:
        assert await store.get(sha(WASM)) == WASM
        for each in (Principal(Kind.KEY, ADA), Principal(Kind.KEY, GRACE)):
            assert [held.module.sha256 for held in await store.modules(each)] == [sha(WASM)]
        assert await refusal(store.get(sha(OTHER))) == NOT_HERE, "nobody knows whose it was"
    assert len([*(folder / "modules").glob("??/*")]) == 2, "and nothing is deleted"


async def test_a_program_that_is_not_on_record_is_found_and_a_repair_takes_it_in(folder: Path) -> None:
    await filled(folder)
    await lost(folder)
    (finding,) = check_host(folder, repair=False).findings
    text = "Snapshots need it, and it is not on record: they cannot go on."
    assert finding == Finding("module", PROGRAM, text)
    assert check_host(folder, repair=True).findings == [Finding("module", PROGRAM, text, "A new record was made.")]
    assert check_host(folder, repair=False).ok
    async with opened(folder) as store:
        assert await store.get(sha(WASM)) == WASM


@pytest.mark.parametrize("damage", [True, False])
async def test_a_program_whose_bytes_are_not_here_is_found_and_no_record_is_made(folder: Path, damage: bool) -> None:
    await filled(folder)
    await lost(folder)
    file = folder / "modules" / PROGRAM[:2] / PROGRAM
    if damage:
        file.write_bytes(b"other")
    else:
        file.unlink()
    text = "Snapshots need it, and it is not here: they cannot go on. Upload it again."
    for repair in (True, False):
        assert check_host(folder, repair=repair).findings == [Finding("module", PROGRAM, text)]


async def test_damaged_records_of_modules_are_put_beside_new_ones(folder: Path) -> None:
    await filled(folder)
    broken = b"no database" * 1_000
    (folder / "records.sqlite").write_bytes(broken)
    with pytest.raises(StoreBroken, match=r"records are damaged.*`gatebus fsck --repair` makes new ones"):
        async with opened(folder):
            pass
    assert found(folder) == {("records", "records.sqlite")}
    (finding,) = check_host(folder, repair=True).findings
    assert finding.done == (
        "New records were made: 1 modules that snapshots need. The old ones are records.sqlite.damaged-1."
    )
    assert (folder / "records.sqlite.damaged-1").read_bytes() == broken
    assert check_host(folder, repair=False).ok


async def test_both_records_are_made_again_at_once(folder: Path) -> None:
    ids = await filled(folder)
    (folder / "records.sqlite").unlink()
    (folder / "snapshots" / "snapshots.sqlite").unlink()
    assert {each.done for each in check_host(folder, repair=True).findings} == {
        "New records were made: 3 snapshots.",
        "New records were made: 1 modules that snapshots need.",
    }
    assert check_host(folder, repair=False).ok
    async with opened_snapshots(folder) as store:
        assert {line.id for account in (ADA, GRACE) for line in await store.list(account)} == {*ids}
