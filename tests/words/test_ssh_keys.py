"""gatebus.sshkeys: OpenSSH's written forms, held against OpenSSH's own program where there is one."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from required import require
from waiting import PATIENCE

from gatebus.sshkeys import (
    KeyProblem,
    PrivateKey,
    fingerprint,
    parse_private_untrusted,
    parse_public_untrusted,
    private_file,
    public_line,
)

if TYPE_CHECKING:
    from pathlib import Path

# Made once with `ssh-keygen -t ed25519 -N "" -C ada@example`; protects nothing.
LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 ada@example"


def key(number: int = 1, comment: str = "ada@example") -> PrivateKey:
    seed = bytes([number]) * 32
    return PrivateKey(seed, bytes(SigningKey(seed).verify_key), comment)


def test_a_public_line_is_read_and_written_again() -> None:
    _, text, comment = LINE.split()
    assert public_line(parse_public_untrusted(text), comment) == LINE
    assert public_line(parse_public_untrusted(text)) == LINE.rpartition(" ")[0]


@given(st.binary(min_size=32, max_size=32), st.text(max_size=40), st.integers(0, 2**32 - 1))
def test_a_private_file_says_what_was_written(seed: bytes, comment: str, check: int) -> None:
    written = PrivateKey(seed, bytes(SigningKey(seed).verify_key), comment.encode("utf-8", "replace").decode())
    assert parse_private_untrusted(private_file(written, check).encode()) == written


def test_a_private_key_does_not_show_its_secret() -> None:
    assert key().seed.hex() not in repr(key())
    assert repr(key()) == f"PrivateKey({fingerprint(key().public)})"


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_a_damaged_private_file_is_refused_or_means_the_same(at: int) -> None:
    text = bytearray(private_file(key(), 7).encode())
    text[at % len(text)] ^= 0x01
    with suppress(KeyProblem):
        # a bit of the comment, of the padding, or of the seed itself, which only its owner can tell
        assert parse_private_untrusted(bytes(text)).public == key().public


@given(st.binary(max_size=300))
def test_garbage_is_no_private_key(data: bytes) -> None:
    with pytest.raises(KeyProblem):
        parse_private_untrusted(data)


@given(st.text(max_size=200))
def test_garbage_is_no_public_key(text: str) -> None:
    with pytest.raises(KeyProblem):
        parse_public_untrusted(text)


def test_a_key_with_a_passphrase_says_so() -> None:
    from base64 import b64encode

    text = b64encode(b"openssh-key-v1\0" + b"\0\0\0\x0aaes256-ctr" + b"\0\0\0\x06bcrypt" + b"\0\0\0\0").decode()
    file = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n"
    with pytest.raises(KeyProblem, match="it has a passphrase; name a key without one"):
        parse_private_untrusted(file.encode())


def test_openssh_reads_our_file_and_we_read_its_own(tmp_path: Path) -> None:
    require(shutil.which("ssh-keygen"), "ssh-keygen is not installed, to compare with: apt-get install openssh-client")
    ours = tmp_path / "ours"
    ours.write_text(private_file(key(), 7))
    ours.chmod(0o600)
    public = run("ssh-keygen", "-y", "-f", str(ours))
    assert public.split()[1] == public_line(key().public).split()[1]
    assert fingerprint(key().public) in run("ssh-keygen", "-l", "-f", str(ours))
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "grace", "-f", str(tmp_path / "theirs"))
    theirs = parse_private_untrusted((tmp_path / "theirs").read_bytes())
    assert bytes(SigningKey(theirs.seed).verify_key) == theirs.public
    assert public_line(theirs.public, "grace") == (tmp_path / "theirs.pub").read_text().strip()


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
