"""Who we are: something that signs; words, no I/O (an agent's signer is a wire, in agentsocket).

In:  32 bytes of a private key, or a key read by gatebus.sshkeys. Out: an object with a public key that signs
statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gatebus.faults import UsageError
from gatebus.protocol.proofs import public_key, sign
from gatebus.sshkeys import PrivateKey


class Signer(Protocol):
    @property
    def public(self) -> bytes: ...

    async def sign(self, statement: bytes) -> bytes:
        """64 bytes. Raises KeyUnusable."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class SeedSigner:
    """A private key in our own memory."""

    seed: bytes

    def __repr__(self) -> str:
        return "SeedSigner(...)"

    @property
    def public(self) -> bytes:
        return public_key(self.seed)

    async def sign(self, statement: bytes) -> bytes:
        return sign(self.seed, statement)


def as_signer(key: Signer | PrivateKey | bytes | None) -> Signer | None:
    """What people may give as `key=`."""
    if isinstance(key, PrivateKey):
        return SeedSigner(key.seed)
    if isinstance(key, bytes):
        if len(key) != 32:
            raise UsageError("A key of bytes is the 32 bytes of an ed25519 private key.")
        return SeedSigner(key)
    return key
