"""Looks through stored modules: what is on record is whole, and what stored programs need is on record; a wire.

Where it stands: beside the check of snapshots, which comes first and says which programs are needed. Every call blocks.
In:  files and records of an earlier run (untrusted: every module is hashed). Out: findings, and with a repair new
records of whole files: only of those that a snapshot needs, because what no record names is nobody's.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from gatebus.faults import StoreBroken
from gatebus.host.moduledata import Holding, Module
from gatebus.host.modulefiles import ModuleFiles
from gatebus.host.modulerecords import DATABASE, ModuleRecords, module_records_for
from gatebus.host.recordbook import looked_through, set_aside
from gatebus.snapshots.findings import MODULE, RECORDS, Finding

if TYPE_CHECKING:
    from pathlib import Path

    from gatebus.snapshots.findings import Report

Needs = Mapping[bytes, Collection[str]]
"""SHA-256 of a program -> accounts that have snapshots of it."""
_DAMAGED = "It is damaged or missing. Upload it again."
_UNRECORDED = "Snapshots need it, and it is not on record: they cannot go on."
_GONE = "Snapshots need it, and it is not here: they cannot go on. Upload it again."


def check_modules(data: Path, needs: Needs, report: Report, *, repair: bool) -> None:
    """Raises OSError."""
    files = ModuleFiles(data / "modules", make=repair)
    try:
        with looked_through(data / DATABASE, lambda there: module_records_for(there, files), repair=repair) as records:
            _check(records, files, report)
            _check_needed(records, files, needs, report, repair)
    except StoreBroken as fault:
        done = _made_again(data, files, needs) if repair else ""
        report.findings.append(Finding(RECORDS, DATABASE, fault.text, done))


def _check(records: ModuleRecords, files: ModuleFiles, report: Report) -> None:
    modules = records.modules()
    report.modules = len(modules)
    for each in modules:
        if not files.is_whole(each.sha256):
            report.findings.append(Finding(MODULE, each.sha256.hex(), _DAMAGED))


def _check_needed(
    records: ModuleRecords,
    files: ModuleFiles,
    needs: Needs,
    report: Report,
    repair: bool,  # noqa: FBT001
) -> None:
    for name in sorted(needs):
        if records.module(name) is not None:
            continue
        whole = files.is_whole(name)
        done = _recorded(records, files, name, needs[name]) if whole and repair else ""
        report.findings.append(Finding(MODULE, name.hex(), _UNRECORDED if whole else _GONE, done))


def _recorded(records: ModuleRecords, files: ModuleFiles, name: bytes, accounts: Collection[str]) -> str:
    """For whoever has snapshots of it: without tags, and not pinned."""
    now = int(time.time())
    records.put_module(Module(name, files.size(name), now, now))
    for account in sorted(accounts):
        records.change_holding(None, Holding(name, account, pinned=False, tags=(), created=now))
    return "A new record was made."


def _made_again(data: Path, files: ModuleFiles, needs: Needs) -> str:
    """The damaged ones stay beside the new ones. Of everything else that was uploaded nobody knows whose it was."""
    old = set_aside(data / DATABASE)
    whole = [each for each in sorted(needs) if files.is_whole(each)]
    with closing(ModuleRecords(data / DATABASE)) as records:
        for name in whole:
            _recorded(records, files, name, needs[name])
    return (
        f"New records were made: {len(whole)} modules that snapshots need.{f' The old ones are {old}.' if old else ''}"
    )
