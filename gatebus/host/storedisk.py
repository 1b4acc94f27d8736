"""The disk under a store: one folder for one host, files and records in threads; a wire.

Where it stands: below modulestore and moduleupload, and below the store of snapshots. In: calls that block. Out: their
results; a full disk as a Refusal, because whoever sent the bytes should know, everything else as StoreBroken; never a
path.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from gatebus.faults import StoreBroken
from gatebus.host.modulefiles import ModuleFiles
from gatebus.host.modulerecords import ModuleRecords
from gatebus.host.refusals import disk_full
from sandbox.inthread import in_thread

T = TypeVar("T")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_TAKEN = "Another gatebus host uses this data directory. Stop it, or give this one a directory of its own: --data DIR."


@dataclass(frozen=True, slots=True)
class Disk:
    """Below a store: its records' only thread at a time, and any thread for its files."""

    one: trio.CapacityLimiter

    async def record(self, function: Callable[..., T], *arguments: object) -> T:
        with told():
            return await in_thread(partial(function, *arguments), limiter=self.one)

    async def file(self, function: Callable[..., T], *arguments: object) -> T:
        with told():
            return await in_thread(partial(function, *arguments))


@dataclass(frozen=True, slots=True)
class StoreDisk(Disk):
    files: ModuleFiles
    records: ModuleRecords


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise disk_full() from problem
        reason = (problem.strerror or type(problem).__name__).lower()
        raise StoreBroken(f"The host's data directory cannot be used: {reason}.") from problem


@contextmanager
def alone(folder: Path, *, make: bool = True) -> Iterator[None]:
    """Nobody else has this folder meanwhile. The lock goes with the process, however it ends. `make`: what is missing;
    where no lock is, no host has ever been.
    """
    with told():
        descriptor = _made(folder) if make else _found(folder)
    try:
        if descriptor is not None:
            _lock(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _made(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _found(folder: Path) -> int | None:
    try:
        return os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:
        raise StoreBroken("A host needs a POSIX system for its data directory.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StoreBroken(_TAKEN) from None
