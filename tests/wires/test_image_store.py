"""Compiled images on disk: whole or not at all, checked before use, bounded, the user's own."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from sandbox import HostLimits, Settings
from sandbox.box import Sandbox, open_store
from sandbox.cachefile import HEAD_SIZE, encode_entry
from sandbox.image import image_key, make_image, parse_facts_untrusted
from sandbox.imagecache import DiskCache, MemoryCache, default_directory
from sandbox.testing import FakeBackend, FakeBlob, FakeGuest, fake_facts, open_fake_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROGRAM = b"the program"
KEY = image_key(sha256(PROGRAM).hexdigest(), "fake")


async def script(_guest: FakeGuest) -> None:
    return None


@pytest.fixture
async def backend() -> AsyncIterator[FakeBackend]:
    async with open_fake_backend({PROGRAM: script, b"other": script}) as made:
        yield made


def settings(tmp_path: Path, **limits: int) -> Settings:
    return Settings(cache_directory=str(tmp_path / "images"), host_limits=replace(HostLimits(), **limits))


def boxed(backend: FakeBackend, settings: Settings) -> Sandbox:
    return Sandbox(backend, settings, open_store(settings))


async def test_a_second_process_finds_what_the_first_compiled(backend: FakeBackend, tmp_path: Path) -> None:
    first = await boxed(backend, settings(tmp_path)).compile(PROGRAM)
    second_box = boxed(backend, settings(tmp_path))
    assert await second_box.compile(PROGRAM) == first
    assert (second_box.statistics().compiled, second_box.statistics().cache_hits) == (0, 1)


async def test_a_program_is_compiled_again_for_another_engine(backend: FakeBackend, tmp_path: Path) -> None:
    await boxed(backend, settings(tmp_path)).compile(PROGRAM)
    backend.fingerprint = "newer"
    box = boxed(backend, settings(tmp_path))
    await box.compile(PROGRAM)
    assert box.statistics().compiled == 1


async def test_directory_and_files_are_the_users_own(backend: FakeBackend, tmp_path: Path) -> None:
    await boxed(backend, settings(tmp_path)).compile(PROGRAM)
    directory = tmp_path / "images"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in directory.iterdir()] == [0o600]


async def test_a_directory_that_others_may_write_to_is_not_used(backend: FakeBackend, tmp_path: Path) -> None:
    directory = tmp_path / "images"
    directory.mkdir()
    directory.chmod(0o777)
    await boxed(backend, settings(tmp_path)).compile(PROGRAM)
    assert list(directory.iterdir()) == []


def whole_entry() -> bytes:
    image = json_image()
    return b"".join(encode_entry(KEY, *image))


def json_image() -> tuple[bytes, bytes]:
    import json

    return json.dumps(fake_facts(PROGRAM)).encode(), PROGRAM


REGIONS = {
    "magic": 0,
    "key": 8,
    "checksum": 40,
    "length": HEAD_SIZE - 4,
    "facts": HEAD_SIZE,
    "facts' end": HEAD_SIZE + len(json_image()[0]) - 1,
    "image": HEAD_SIZE + len(json_image()[0]),
    "image's end": -1,
}


@pytest.mark.parametrize("at", REGIONS.values(), ids=REGIONS)
async def test_a_damaged_region_is_removed_and_compiled_again(backend: FakeBackend, tmp_path: Path, at: int) -> None:
    await boxed(backend, settings(tmp_path)).compile(PROGRAM)
    (file,) = (tmp_path / "images").iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 0x80
    file.write_bytes(data)
    box = boxed(backend, settings(tmp_path))
    assert (await box.compile(PROGRAM)).key == KEY
    assert box.statistics().compiled == 1
    assert file.read_bytes() == whole_entry()


async def test_facts_of_another_program_with_a_right_checksum_are_not_believed(
    backend: FakeBackend, tmp_path: Path
) -> None:
    directory = tmp_path / "images"
    disk = DiskCache(str(directory), 1 << 20)
    for facts in (b"{}", b'{"ok":false,"code":"invalid","text":"x"}', str(fake_facts(b"other")).encode()):
        disk.store(KEY, facts, b"evil")
        box = boxed(backend, settings(tmp_path))
        image = await box.compile(PROGRAM)
        assert isinstance(image.handle, FakeBlob)
        assert image.handle.program == PROGRAM
        assert box.statistics().compiled == 1


async def test_a_disk_that_fails_costs_speed_only(backend: FakeBackend, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file where the directory should be")
    box = boxed(backend, settings(tmp_path))
    assert (await box.compile(PROGRAM)).key == KEY
    assert box.statistics().compiled == 1


async def test_without_a_directory_nothing_is_written(backend: FakeBackend, tmp_path: Path) -> None:
    box = boxed(backend, Settings(cache_directory=""))
    await box.compile(PROGRAM)
    await box.compile(PROGRAM)
    assert (box.statistics().compiled, box.statistics().cache_hits) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def key_of(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 4_500)
    for number in range(4):
        disk.store(key_of(number), b"{}", bytes(1000))
        os.utime(tmp_path / f"{key_of(number)}.image", (number + 1, number + 1))
    assert disk.load(key_of(0), 1 << 20) is not None  # which makes it the newest
    disk.store(key_of(4), b"{}", bytes(1000))
    assert {number for number in range(5) if disk.load(key_of(number), 1 << 20)} == {0, 2, 3, 4}


def test_what_is_larger_than_the_whole_cache_is_the_only_entry(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 100)
    for number in range(2):
        disk.store(key_of(number), b"{}", bytes(1000))
        os.utime(tmp_path / f"{key_of(number)}.image", (number + 1, number + 1))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_longer_than_any_image_is_not_read_to_its_end(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 1 << 30)
    disk.store(key_of(0), b"{}", bytes(5000))
    assert disk.load(key_of(0), 4000) is None
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_file_of_a_process_that_ended_is_removed(tmp_path: Path) -> None:
    disk = DiskCache(str(tmp_path), 1 << 30)
    for name, written in (("old.1.unfinished", 1), ("foreign.txt", 1)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (written, written))
    disk.store(key_of(0), b"{}", b"x")
    assert {file.name for file in tmp_path.iterdir()} == {f"{key_of(0)}.image", "foreign.txt"}


def test_images_in_memory_are_bounded_by_number_and_bytes() -> None:
    cache = MemoryCache(replace(HostLimits(), cache_images=3, cache_memory=100))
    for number, size in enumerate((10, 20, 30, 40)):
        facts = parse_facts_untrusted(json_image()[0])
        cache.put(make_image("00", key_of(number), facts, size, None))
    assert [bool(cache.get(key_of(number))) for number in range(4)] == [False, True, True, True]
    cache.put(make_image("00", key_of(4), facts, 50, None))
    assert [bool(cache.get(key_of(number))) for number in range(5)] == [False, False, False, True, True]
    cache.put(make_image("00", key_of(5), facts, 101, None))
    assert len(cache) == 0


def test_the_default_directory_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_directory() == "/somewhere/gatebus/images"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert default_directory().endswith("/.cache/gatebus/images")
