"""Looks through everything that a host has stored, and says by name what is wrong; a wire. Every call blocks.

In:  a host's data directory that no host uses (untrusted: every byte is hashed). Out: a Report. A check changes
nothing, and reads copies of records, because whoever opens them writes; a repair puts aside, and makes new records from
whole files where the records are damaged: it deletes nothing.
"""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING

from gatebus.faults import StoreBroken
from gatebus.host.modulerecords import DATABASE as MODULES
from gatebus.host.recordbook import looked_through, set_aside
from gatebus.host.storedisk import alone, told
from gatebus.snapshots.checkedmodules import check_modules
from gatebus.snapshots.chunking import digests_in
from gatebus.snapshots.findings import FILE, INSTANCE, MISSING, RECORDS, SNAPSHOT, STRAY, Finding, Report
from gatebus.snapshots.packfolder import PackFolder
from gatebus.snapshots.packset import PackSet, SharedGone, as_broken
from gatebus.snapshots.rebuilding import rebuild
from gatebus.snapshots.savedwords import BadSnapshot
from gatebus.snapshots.snapshotrecords import DATABASE, SnapshotRecords, records_for

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gatebus.snapshots.checkedmodules import Needs
    from gatebus.snapshots.packfolder import Pack
    from gatebus.snapshots.snapshotrecords import Stored


_END_ACCEPTED = "From here on what is there counts."
_OF_A_HOST = (MODULES, "modules", f"snapshots/{DATABASE}", "snapshots/packs")


def is_of_a_host(data: Path) -> bool:
    """Whether any host has kept anything there."""
    return any((data / each).exists() for each in _OF_A_HOST)


def check_host(data: Path, *, repair: bool) -> Report:
    """Raises StoreBroken: a host uses the directory, or it cannot be read at all."""
    report = Report()
    with told(), alone(data, make=repair):
        with alone(data / "snapshots", make=repair):
            needs = _check_snapshots(data / "snapshots", report, repair)
        check_modules(data, needs, report, repair=repair)
    return report


def _check_snapshots(folder: Path, report: Report, repair: bool) -> Needs:  # noqa: FBT001  # the command's one choice
    """Programs that are needed, as far as records can be read."""
    packs = PackFolder(folder / "packs", make=repair)
    whole = _check_files(packs, report)
    try:
        with _records(folder, packs, repair) as records:
            _check_end(records, report, repair)
            _check_records(records, packs, whole, report, repair)
            return _needs(records)
    except StoreBroken as fault:
        done = _made_again(folder, packs, whole) if repair else ""
        report.findings.append(Finding(RECORDS, DATABASE, fault.text, done))
    if not repair:
        return {}
    with _records(folder, packs, repair) as records:
        return _needs(records)


def _records(folder: Path, packs: PackFolder, repair: bool) -> AbstractContextManager[SnapshotRecords]:  # noqa: FBT001
    return looked_through(folder / DATABASE, lambda there: records_for(there, packs), ".count", repair=repair)


def _needs(records: SnapshotRecords) -> Needs:
    needs: dict[bytes, set[str]] = {}
    for stored in records.snapshots():
        needs.setdefault(bytes.fromhex(stored.line.module), set()).add(stored.line.account)
    return needs


def _check_files(packs: PackFolder, report: Report) -> set[str]:
    """Names of whole ones. Every chunk is unpacked and hashed."""
    whole = set()
    for name, _size in sorted(packs.entries()):
        report.files += 1
        try:
            with closing(packs.look(bytes.fromhex(name))) as reader:
                for digest in reader.index:
                    if sha256(reader.read(digest)).digest() != digest:
                        raise BadSnapshot("A chunk is another one than its name says.")
            whole.add(name)
        except (BadSnapshot, ValueError, OSError) as fault:
            text = fault.text if isinstance(fault, BadSnapshot) else "It is no file of chunks."
            report.findings.append(Finding(FILE, name, text))
    return whole


def _check_end(records: SnapshotRecords, report: Report, repair: bool) -> None:  # noqa: FBT001
    try:
        records.check_end()
    except StoreBroken as fault:
        report.findings.append(Finding(RECORDS, DATABASE, fault.text, _END_ACCEPTED if repair else ""))
        if repair:
            records.accept_end()


def _recorded_again(records: SnapshotRecords, packs: PackFolder, whole: set[str], strays: set[str]) -> set[str]:
    """Names of strays that are snapshots: whole, with everything that they share."""
    again = rebuild(records, packs, sorted(map(bytes.fromhex, whole)), set(map(bytes.fromhex, strays & whole)))
    return {name.hex() for name in again.packs}


def _check_records(
    records: SnapshotRecords,
    packs: PackFolder,
    whole: set[str],
    report: Report,
    repair: bool,  # noqa: FBT001
) -> None:
    known = {each.name.hex(): each for each in records.packs()}
    there = {name for name, _ in packs.entries()}
    for name in sorted(known.keys() - there):
        report.findings.append(Finding(MISSING, name, "A file of chunks is on record and not there."))
    again = _recorded_again(records, packs, whole, there - known.keys()) if repair else set()
    for name in sorted(there - known.keys()):
        text = "It is whole, and no record names it." if name in whole else "Something that was never finished."
        done = _put_aside(packs, name) if repair and name not in again else "A new record was made." * repair
        report.findings.append(Finding(STRAY, name, text, done))
    known = {each.name.hex(): each for each in records.packs()}
    for stored in records.snapshots():
        report.snapshots += 1
        _check_snapshot(stored, packs, {bytes.fromhex(name): pack for name, pack in known.items()}, report)
    for record in records.instances():
        report.instances += 1
        if record.snapshot is not None and records.snapshot(record.snapshot, record.account) is None:
            report.findings.append(Finding(INSTANCE, record.instance.hex(), "What it goes on from is not there."))


def _check_snapshot(stored: Stored, packs: PackFolder, known: dict[bytes, Pack], report: Report) -> None:
    text = ""
    try:
        with as_broken(), closing(PackSet(packs, [known[name] for name in stored.packs])) as found:
            for section in found.manifest(stored.line.id).sections:
                for digest in digests_in(section, found):
                    found.read(digest)
    except (StoreBroken, KeyError, SharedGone) as fault:
        text = fault.text if isinstance(fault, StoreBroken) else "A file that it needs is missing."
    except OSError:
        text = "A file that it needs cannot be read."
    if text:
        whose = f"Of {stored.line.account}, instance {stored.line.instance.hex()}: {text}"
        report.findings.append(Finding(SNAPSHOT, stored.line.id.hex(), whose))


def _put_aside(packs: PackFolder, name: str) -> str:
    packs.set_aside(name)
    return "It was moved to snapshots/aside."


def _made_again(folder: Path, packs: PackFolder, whole: set[str]) -> str:
    """The damaged ones stay beside the new ones. Of instances only the snapshots know."""
    old = set_aside(folder / DATABASE)
    with closing(SnapshotRecords(folder / DATABASE)) as records:
        names = sorted(map(bytes.fromhex, whole))
        count = rebuild(records, packs, names, set(names)).snapshots
        records.accept_end()
    return f"New records were made: {count} snapshots.{f' The old ones are {old}.' if old else ''}"
