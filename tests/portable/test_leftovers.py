"""Folders that a killed host has left, and those that are in use."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from sandbox import Settings
from sandbox.portable import parent
from sandbox.portable.leftovers import PREFIX, held, remove_leftovers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folder(where: Path, name: str, seconds_old: float = 3600) -> Path:
    made = where / name
    made.mkdir()
    (made / "image").write_bytes(b"x")
    when = made.stat().st_mtime - seconds_old
    os.utime(made, (when, when))
    return made


def test_what_a_dead_host_left_is_removed(temporary: Path) -> None:
    left = folder(temporary, PREFIX + "dead")
    remove_leftovers()
    assert not left.exists()


def test_what_a_host_holds_stays(temporary: Path) -> None:
    used = folder(temporary, PREFIX + "alive")
    with held(used):
        remove_leftovers()
    assert (used / "image").exists()


def test_a_folder_that_was_just_made_stays_and_so_does_what_is_not_ours(temporary: Path) -> None:
    kept = [folder(temporary, PREFIX + "young", 0), folder(temporary, "gatebus-other")]
    target = folder(temporary, "target")
    (temporary / (PREFIX + "link")).symlink_to(target)
    os.utime(temporary / (PREFIX + "link"), (0, 0), follow_symlinks=False)
    remove_leftovers()
    assert all((each / "image").exists() for each in (*kept, target))


async def test_a_back_end_cleans_up_as_it_opens_and_holds_its_own(temporary: Path) -> None:
    left = folder(temporary, PREFIX + "dead")
    async with parent.open_backend(Settings()) as backend:
        assert not left.exists()
        with pytest.raises(BlockingIOError), held(backend._directory):
            pytest.fail("it is held")
