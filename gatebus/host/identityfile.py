"""Private keys on disk: the host's own, made at its first start, and a person's; a wire.

In:  a path that the owner of the machine chose; the file's bytes (untrusted until read). Out: a PrivateKey, or
UsageError that names the file: it is told to its owner, never to a client.

A key that others could read is refused: it proves nothing any more. It is made whole or not at all, and of two
processes that make it at once both use the same one.
"""

import os
import secrets
import stat
from pathlib import Path

from nacl.signing import SigningKey

from gatebus.durable import create_durably
from gatebus.faults import UsageError
from gatebus.sshkeys import KeyProblem, PrivateKey, parse_private_untrusted, private_file

_LARGEST = 64 * 1024  # a key file has a few hundred bytes
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private_key(path: Path) -> PrivateKey | None:
    """None: there is no such file. Raises UsageError."""
    try:
        with path.open("rb") as file:
            _check_private(path, os.fstat(file.fileno()))
            data = file.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise UsageError(f"The key {path} cannot be read: {reason}.") from None
    try:
        key = parse_private_untrusted(data)
    except KeyProblem as problem:
        raise UsageError(f"The key {path} cannot be used: {problem}.") from None
    if bytes(SigningKey(key.seed).verify_key) != key.public:
        raise UsageError(f"The key {path} is damaged: its two halves do not belong together.")
    return key


def own_private_key(path: Path, comment: str) -> PrivateKey:
    """Made if there is none. Raises UsageError."""
    found = read_private_key(path)
    if found is not None:
        return found
    signing = SigningKey.generate()
    made = PrivateKey(bytes(signing), bytes(signing.verify_key), comment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_durably(path, private_file(made, secrets.randbits(32)).encode())
    except FileExistsError:  # somebody else was quicker
        return own_private_key(path, comment)
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise UsageError(f"The key {path} cannot be made: {reason}.") from None
    return made


def _check_private(path: Path, status: os.stat_result) -> None:
    if os.name != "posix":
        return
    if status.st_mode & _OTHERS:
        raise UsageError(f"The key {path} can be read by others. Write `chmod 600` for it, or make a new one.")
    if status.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"The key {path} belongs to another user. Name one of your own.")
