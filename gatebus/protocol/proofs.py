"""What both sides sign, so that each knows the other's key is here, now, on this connection; words, no I/O.

In:  challenges, keys and signatures (of strangers, sizes already checked). Out: statements, signatures, true or false.
Both challenges and both keys are in what is signed: a signature that a false host collects is of no use elsewhere.
"""

import hashlib

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

_HOST = b"gatebus.v1 host\0"
_CLIENT = b"gatebus.v1 client\0"


def transcript(client_challenge: bytes, host_challenge: bytes, host_key: bytes, client_key: bytes | None) -> bytes:
    """SHA-256 of everything that was said; each part has a fixed size, so no two conversations have the same."""
    return hashlib.sha256(client_challenge + host_challenge + host_key + (client_key or b"")).digest()


def host_statement(said: bytes) -> bytes:
    return _HOST + said


def client_statement(said: bytes) -> bytes:
    return _CLIENT + said


def public_key(seed: bytes) -> bytes:
    """The 32 bytes that others know, of the 32 bytes that only the owner has."""
    return bytes(SigningKey(seed).verify_key)


def sign(seed: bytes, statement: bytes) -> bytes:
    return SigningKey(seed).sign(statement).signature


def verify(key: bytes, signature: bytes, statement: bytes) -> bool:
    """False for a wrong signature and for bytes that are no key."""
    try:
        VerifyKey(key).verify(statement, signature)
    except (CryptoError, ValueError):
        return False
    return True
