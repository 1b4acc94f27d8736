"""The keys that a host knows: as the file is now, and nobody when it cannot be believed."""

from __future__ import annotations

import io
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from gatebus.bounds import AUTHORIZED_KEYS_BYTES
from gatebus.host.keyring import Keyring, why_unbelievable
from gatebus.host.log import open_log
from gatebus.sshkeys import public_line

if TYPE_CHECKING:
    from pathlib import Path

ADA, GRACE = b"a" * 32, b"g" * 32


class Keys:
    """A file of keys, a keyring, and what the log says."""

    def __init__(self, path: Path, now: float = 0.0) -> None:
        self.path = path
        self._stream = io.StringIO()
        self._times = 0
        self.ring = Keyring(path, open_log("json", self._stream), lambda: now)

    def write(self, *lines: str, mode: int = 0o600) -> None:
        self.path.write_text("\n".join(lines))
        self.path.chmod(mode)
        self._times += 1
        os.utime(self.path, ns=(self._times, self._times))  # the clock of a file system may be coarse

    @property
    def told(self) -> list[tuple[object, ...]]:
        found = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [(each["event"], *(each[name] for name in ("line", "reason", "keys") if name in each)) for each in found]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "authorized_keys")


def test_a_key_in_the_file_is_known_by_its_comment(keys: Keys) -> None:
    keys.write(public_line(ADA, "ada"), public_line(GRACE))
    assert (keys.ring(ADA), keys.ring(GRACE), keys.ring(b"x" * 32)) == ("ada", "", None)
    assert keys.told == [("keys-read", 2)]


def test_without_a_file_nobody_is_known(keys: Keys) -> None:
    assert keys.ring(ADA) is None
    assert keys.told == [("keys-read", 0)]


def test_a_file_that_the_owner_has_named_and_that_is_not_there_is_a_warning(keys: Keys) -> None:
    keys.ring.look()
    keys.ring.expect()
    reason = "there is no file of that name (authorized_keys): until there is one, no key is known"
    assert keys.told == [("keys-read", 0), ("key-not-taken", 0, reason)]
    keys.write(public_line(ADA))
    assert keys.ring(ADA) == ""


def test_a_named_file_that_is_there_is_no_warning(keys: Keys) -> None:
    keys.write(public_line(ADA))
    keys.ring.look()
    keys.ring.expect()
    assert keys.told == [("keys-read", 1)]


def test_a_host_without_such_a_file_says_nothing_about_it() -> None:
    stream = io.StringIO()
    assert Keyring(None, open_log("json", stream))(ADA) is None
    assert stream.getvalue() == ""


def test_a_key_that_is_added_or_taken_out_counts_at_once(keys: Keys) -> None:
    keys.write(public_line(ADA))
    assert keys.ring(GRACE) is None
    keys.write(public_line(GRACE))
    assert (keys.ring(ADA), keys.ring(GRACE)) == (None, "")
    keys.path.unlink()
    assert keys.ring(GRACE) is None
    keys.write(public_line(ADA))
    assert keys.ring(ADA) == ""


def test_a_file_that_cannot_be_read_lets_nobody_in_and_is_told_once(keys: Keys) -> None:
    keys.path.mkdir(mode=0o700)
    for _ in range(3):
        assert keys.ring(ADA) is None
    assert keys.told == [("key-not-taken", 0, "it is no plain file (a folder, a pipe or a device is not read)")]


@pytest.mark.parametrize("other", ["device", "pipe", "full"])
def test_what_would_be_read_for_ever_is_not_opened(other: str, keys: Keys) -> None:
    """Opening a pipe waits for somebody who writes, and the whole host with it."""
    if other == "pipe":
        os.mkfifo(keys.path)
    else:
        keys.path.symlink_to({"device": "/dev/zero", "full": "/dev/full"}[other])
    assert keys.ring(ADA) is None
    assert keys.told == [("key-not-taken", 0, "it is no plain file (a folder, a pipe or a device is not read)")]


def test_a_link_to_a_file_is_that_file(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "real").write_text(public_line(ADA))
    (tmp_path / "real").chmod(0o600)
    keys.path.symlink_to(tmp_path / "real")
    assert keys.ring(ADA) == ""


def test_whose_file_is_believed_is_this_users_and_the_administrators() -> None:
    ours, zero = os.geteuid(), 0
    plain = stat.S_IFREG | 0o600
    for owner, told in ((ours, ""), (zero, ""), (max(ours, 1) + 1, "the file belongs to another user")):
        status = os.stat_result((plain, 1, 1, 1, owner, 0, 9, 0, 0, 0))
        assert why_unbelievable(status) == told


def test_lines_that_were_not_taken_are_told_by_number(keys: Keys) -> None:
    keys.write("ssh-rsa AAAA", public_line(ADA))
    assert keys.ring(ADA) == ""
    assert keys.told == [
        ("key-not-taken", 1, "ssh-rsa is no key for gatebus; only ssh-ed25519 is"),
        ("keys-read", 1),
    ]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_believed(mode: int, keys: Keys) -> None:
    keys.write(public_line(ADA), mode=mode)
    assert keys.ring(ADA) is None
    assert keys.told == [("key-not-taken", 0, "others may write the file: take that right away from them")]
    keys.path.chmod(0o644)
    assert keys.ring(ADA) == ""


def test_a_file_that_is_too_large_is_not_believed_in_part(keys: Keys) -> None:
    keys.write(public_line(ADA), "#" * AUTHORIZED_KEYS_BYTES)
    assert keys.ring(ADA) is None
    assert keys.told == [("key-not-taken", 0, f"the file has more than {AUTHORIZED_KEYS_BYTES} bytes")]


@pytest.mark.parametrize(("now", "known"), [(0.0, ""), (4e9, None)])
def test_a_key_that_has_expired_is_no_longer_known(now: float, known: str | None, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "authorized_keys", now)
    keys.write(f'expiry-time="20300101" {public_line(ADA)}')
    assert keys.ring(ADA) == known
