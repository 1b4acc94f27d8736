"""Private keys on disk: made once, whole, for their owner's eyes only."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from nacl.signing import SigningKey

from gatebus.durable import create_durably, write_durably
from gatebus.faults import UsageError
from gatebus.host.identityfile import own_private_key, read_private_key
from gatebus.sshkeys import PrivateKey, private_file

if TYPE_CHECKING:
    from pathlib import Path


def fault(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        own_private_key(path, "host")
    return caught.value.text.replace(str(path), "PATH")


def test_a_key_is_made_at_the_first_start_and_found_at_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state" / "identity"
    assert read_private_key(path) is None
    made = own_private_key(path, "host")
    assert own_private_key(path, "other") == read_private_key(path) == made
    assert made.comment == "host"
    assert bytes(SigningKey(made.seed).verify_key) == made.public


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "identity"
    own_private_key(path, "host")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_key_that_others_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    own_private_key(tmp_path / "identity", "host")
    (tmp_path / "identity").chmod(mode)
    assert fault(tmp_path / "identity") == (
        "The key PATH can be read by others. Write `chmod 600` for it, or make a new one."
    )


def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_durably(tmp_path / "identity", b"hello")
    assert fault(tmp_path / "identity") == (
        "The key PATH cannot be used: it is no private key in OpenSSH's form; `ssh-keygen -t ed25519` makes one."
    )
    assert (tmp_path / "identity").read_bytes() == b"hello"


def test_halves_of_two_keys_are_refused(tmp_path: Path) -> None:
    forged = PrivateKey(b"1" * 32, bytes(SigningKey(b"2" * 32).verify_key), "")
    write_durably(tmp_path / "identity", private_file(forged, 1).encode())
    assert fault(tmp_path / "identity") == "The key PATH is damaged: its two halves do not belong together."


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert fault(tmp_path / "state" / "identity") == "The key PATH cannot be read: not a directory."


def test_many_first_starts_at_once_use_one_key(tmp_path: Path) -> None:
    found: list[PrivateKey] = []
    begin = threading.Barrier(8)

    def start() -> None:
        begin.wait()
        found.append(own_private_key(tmp_path / "identity", "host"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert len({each.seed for each in found}) == 1


def test_a_file_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_durably(tmp_path / "a", b"old")
    with pytest.raises(FileExistsError):
        create_durably(tmp_path / "a", b"new")

    def fails(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="no space"):
        write_durably(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
