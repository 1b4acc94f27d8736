"""Wire: compiled images, ready in memory and kept on disk.

In:  images out of the compile worker; files of an earlier process (untrusted until the checksum is right, their
facts even then).
Out: Image. Memory first, disk second. What is damaged is removed and compiled again, never repaired and never trusted.

A file appears whole or not at all: temporary file, fsync, rename, fsync of the directory. The directory is the
user's own (0700): whoever can write into it can choose what native code runs in the sandbox, so a directory that
others may write to is refused. A disk that fails costs speed, never a program.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cachefile import HEAD_SIZE, DamagedEntry, decode_entry_untrusted, encode_entry
from sandbox.errors import SandboxError
from sandbox.image import (
    FACTS_MAX,
    Continuation,
    Image,
    make_image,
    parse_continuation_untrusted,
    parse_facts_untrusted,
)
from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.backend import Backend, Blob
    from sandbox.limits import CompileLimits, HostLimits

Kept = Image | Continuation

_SUFFIX, _UNFINISHED = ".image", ".unfinished"
# An unfinished file this old belongs to a process that ended while it wrote.
_STALE_SECONDS = 3_600.0


def default_directory() -> str:
    """The user's cache directory of this system, with our name."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return str(Path(base or Path.home() / ".cache") / "gatebus" / "images")


class MemoryCache:
    """Least recently used images go first. An image in use stays alive by its own reference."""

    def __init__(self, limits: HostLimits) -> None:
        self._images: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0
        self._limits = limits

    def __len__(self) -> int:
        return len(self._images)

    def get(self, key: str) -> Kept | None:
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
        return image

    def put(self, image: Kept) -> None:
        if image.key in self._images:
            self._bytes -= self._images.pop(image.key).code_size
        self._images[image.key] = image
        self._bytes += image.code_size
        limits = self._limits
        while self._images and (self._bytes > limits.cache_memory or len(self._images) > limits.cache_images):
            _key, oldest = self._images.popitem(last=False)
            self._bytes -= oldest.code_size


class DiskCache:
    """Files in one directory. Every method is called in a thread and raises OSError for what the disk does."""

    def __init__(self, directory: str, bytes_max: int) -> None:
        self._directory, self._bytes_max = Path(directory), bytes_max

    def _prepare(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._directory.stat()
        if os.name == "posix" and (found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022):
            raise PermissionError("the cache directory belongs to somebody else or others may write to it")

    def _path(self, key: str) -> Path:
        return self._directory / (key + _SUFFIX)

    def load(self, key: str, size_max: int) -> tuple[bytes, bytes] | None:
        """(facts, image), None when there is none or it was damaged (then it is gone)."""
        self._prepare()
        path = self._path(key)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size  # room for as much as is asked for is made at once
                data = file.read(min(size, size_max) + 1)
            if len(data) > size_max:
                raise DamagedEntry("too long")
            entry = decode_entry_untrusted(data, key)
        except FileNotFoundError:
            return None
        except DamagedEntry:
            path.unlink(missing_ok=True)
            return None
        os.utime(path)
        return entry

    def store(self, key: str, facts: bytes, image: bytes) -> None:
        self._prepare()
        unfinished = self._directory / f"{key}.{os.getpid()}{_UNFINISHED}"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.writelines(encode_entry(key, facts, image))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path(key))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        self._sync_directory()
        self._evict()

    def drop(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _sync_directory(self) -> None:
        if os.name != "posix":
            return
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _evict(self) -> None:
        """The entries that were used longest ago go, until the rest fits; the newest stays whatever its size."""
        entries = sorted(((found.st_mtime, found.st_size, path) for path, found in self._entries()), reverse=True)
        total = 0
        for place, (_used, size, path) in enumerate(entries):
            total += size
            if place and total > self._bytes_max:
                path.unlink(missing_ok=True)

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        entries, newest = [], 0.0
        stale = []
        for each in os.scandir(self._directory):
            try:
                found = each.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # another process evicts, too
            newest = max(newest, found.st_mtime)
            if each.name.endswith(_SUFFIX):
                entries.append((Path(each.path), found))
            elif each.name.endswith(_UNFINISHED):
                stale.append((Path(each.path), found.st_mtime))
        for path, written in stale:
            if written < newest - _STALE_SECONDS:
                path.unlink(missing_ok=True)
        return entries


class ImageStore:
    """Memory before disk. `directory`: "" keeps nothing on disk."""

    def __init__(self, directory: str, compile_limits: CompileLimits, limits: HostLimits) -> None:
        self._memory = MemoryCache(limits)
        self._disk = DiskCache(directory, limits.cache_disk) if directory else None
        self._entry_max = compile_limits.max_code + FACTS_MAX + HEAD_SIZE

    def ready(self, key: str) -> Image | None:
        """From memory only."""
        found = self._memory.get(key)
        return found if isinstance(found, Image) else None

    async def get_untrusted(self, key: str, digest: str, backend: Backend) -> Image | None:
        """`digest`: the program's sha256; facts on disk that speak of another program are not believed."""

        def image(said: bytes, code: bytes) -> Image:
            facts = parse_facts_untrusted(said)
            if facts.wasm_sha256 != digest:
                raise DamagedEntry("of another program")
            blob = backend.blob(code)
            return make_image(digest, key, facts, blob.size, blob)

        found = await self._get(key, image)
        return found if isinstance(found, Image) else None

    async def continuation_untrusted(self, key: str, digest: str, backend: Backend) -> Continuation | None:
        """The same for what goes on from a set of sites of the program."""

        def continuation(said: bytes, code: bytes) -> Continuation:
            guide, stack = parse_continuation_untrusted(said, digest)
            blob = backend.blob(code)
            return Continuation(key, guide, blob.size + len(guide), blob, stack)

        found = await self._get(key, continuation)
        return found if isinstance(found, Continuation) else None

    async def _get(self, key: str, read: Callable[[bytes, bytes], Kept]) -> Kept | None:
        kept = self._memory.get(key)
        if kept is not None or self._disk is None:
            return kept
        try:
            kept = await in_thread(partial(self._load_untrusted, self._disk, key, read))
        except OSError:
            return None
        if kept is not None:
            self._memory.put(kept)
        return kept

    def _load_untrusted(self, disk: DiskCache, key: str, read: Callable[[bytes, bytes], Kept]) -> Kept | None:
        entry = disk.load(key, self._entry_max)
        if entry is None:
            return None
        try:
            return read(*entry)
        except (SandboxError, DamagedEntry):
            disk.drop(key)
            return None

    async def put(self, image: Kept, blob: Blob, facts: bytes) -> None:
        self._memory.put(image)
        if self._disk is None:
            return
        try:
            await in_thread(self._store, self._disk, image.key, blob, facts)
        except OSError:
            return

    def _store(self, disk: DiskCache, key: str, blob: Blob, facts: bytes) -> None:
        disk.store(key, facts, blob.read())
