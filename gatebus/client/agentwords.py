"""The two questions that we ask an ssh-agent, and its answers; words, no I/O.

In:  answers of the agent (it runs as the same person, but its bytes are parsed like a stranger's). Out: keys,
signatures, or KeyUnusable. The protocol is draft-miller-ssh-agent: u32 length, u8 kind, then strings with u32 lengths.
"""

from gatebus.client.complaints import KeyUnusable
from gatebus.sshkeys import KIND, public_blob

# kind of message
_LIST, _KEYS, _SIGN, _SIGNED = 11, 12, 13, 14
ANSWER_BYTES = 256 * 1024  # what OpenSSH's agent and clients allow


def list_request() -> bytes:
    return _framed(bytes((_LIST,)))


def sign_request(key: bytes, statement: bytes) -> bytes:
    return _framed(bytes((_SIGN,)) + _string(public_blob(key)) + _string(statement) + bytes(4))


def keys_untrusted(answer: bytes) -> list[bytes]:
    """The ed25519 keys of an answer to list_request."""
    reader = _Reader(answer, _KEYS)
    found = []
    for _ in range(min(reader.number(), 1024)):
        blob, _comment = reader.string(), reader.string()
        if blob[:-32] == public_blob(bytes(32))[:-32]:
            found.append(blob[-32:])
    return found


def signature_untrusted(answer: bytes) -> bytes:
    """The 64 bytes of an answer to sign_request."""
    inner = _Reader(answer, _SIGNED).string()
    reader = _Reader(b"\0" + inner, 0)
    kind, signature = reader.string(), reader.string()
    if kind != KIND.encode() or len(signature) != 64:
        raise KeyUnusable("The agent answered with another kind of signature.")
    return signature


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


class _Reader:
    def __init__(self, data: bytes, kind: int) -> None:
        self._data, self._at = data, 1
        if data[:1] != bytes((kind,)):
            raise KeyUnusable("The agent does not have this key, or did not want to sign.")

    def number(self) -> int:
        return int.from_bytes(self._take(4))

    def string(self) -> bytes:
        return self._take(self.number())

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise KeyUnusable("The agent's answer is cut off.")
        self._at += size
        return taken
