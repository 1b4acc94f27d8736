"""OpenSSH's written forms of ed25519 keys: public lines, fingerprints, private files; words.

Where it stands: at the edges of every proof of who one is: the host's identity file, a person's own key, the keys that
a host knows. In: texts of files (untrusted until read here). Out: 32 bytes of key, or KeyProblem with a reason that
a person can act upon. The forms are OpenSSH's, so that `ssh-keygen` makes, shows and converts all of them.

A private key that has a passphrase is not read: the agent that holds it should sign.
"""

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass

KIND = "ssh-ed25519"
KEY_BYTES = 32
_MAGIC = b"openssh-key-v1\0"
_BEGIN, _END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
_LINE = 70  # characters of base64 a line: OpenSSH's own
_BLOCK = 8  # the private part is padded to this without a cipher


class KeyProblem(ValueError):  # noqa: N818 - named as gatebus/faults.py names its own
    """A text is no key that can be used here; the message says why, and quotes nothing secret."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    seed: bytes
    public: bytes
    comment: str

    def __repr__(self) -> str:
        return f"PrivateKey({fingerprint(self.public)})"


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    return "SHA256:" + b64encode(hashlib.sha256(public_blob(key)).digest()).decode().rstrip("=")


def public_blob(key: bytes) -> bytes:
    return _string(KIND.encode()) + _string(key)


def public_line(key: bytes, comment: str = "") -> str:
    """A line for an `authorized_keys` file, or one of known hosts."""
    return f"{KIND} {b64encode(public_blob(key)).decode()} {comment}".rstrip()


def parse_public_untrusted(text: str) -> bytes:
    """The base64 of a public key. Raises KeyProblem."""
    try:
        blob = b64decode(text, validate=True)
    except ValueError:
        raise KeyProblem("the key is no base64") from None
    reader = _Reader(blob)
    if reader.string() != KIND.encode():
        raise KeyProblem(f"the key inside is no {KIND}")
    key = reader.string()
    reader.end()
    return _right_size(key)


def private_file(key: PrivateKey, check: int) -> str:
    """The text of a private key file without a passphrase. `check`: a random number of 32 bits."""
    inner = check.to_bytes(4) * 2 + public_blob(key.public) + _string(key.seed + key.public)
    inner += _string(key.comment.encode())
    inner += bytes(range(1, 1 + -len(inner) % _BLOCK))
    whole = _MAGIC + _string(b"none") * 2 + _string(b"") + (1).to_bytes(4)
    text = b64encode(whole + _string(public_blob(key.public)) + _string(inner)).decode()
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def parse_private_untrusted(data: bytes) -> PrivateKey:
    """Raises KeyProblem."""
    lines = [line.strip() for line in data.decode("ascii", "replace").strip().splitlines()]
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise KeyProblem("it is no private key in OpenSSH's form; `ssh-keygen -t ed25519` makes one")
    try:
        reader = _Reader(b64decode("".join(lines[1:-1]), validate=True))
    except ValueError:
        raise KeyProblem("its text is damaged: no base64") from None
    reader.expect(_MAGIC, "it is no private key in OpenSSH's form")
    cipher, _, _ = reader.string(), reader.string(), reader.string()
    if cipher != b"none":
        raise KeyProblem("it has a passphrase; name a key without one")
    reader.expect((1).to_bytes(4), "it holds more than one key")
    public = _Reader(reader.string())
    public.expect(_string(KIND.encode()), f"it is no {KIND} key")
    return _private_part(reader.string(), _right_size(public.string()))


def _private_part(inner: bytes, public: bytes) -> PrivateKey:
    reader = _Reader(inner)
    if reader.take(4) != reader.take(4):
        raise KeyProblem("its text is damaged: the two check numbers differ")
    reader.expect(public_blob(public), "its public and private parts do not belong together")
    pair, comment = reader.string(), reader.string()
    if len(pair) != 2 * KEY_BYTES or pair[KEY_BYTES:] != public:
        raise KeyProblem("its public and private parts do not belong together")
    return PrivateKey(pair[:KEY_BYTES], public, comment.decode("utf-8", "replace"))


def _right_size(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise KeyProblem(f"the key has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


class _Reader:
    """Lengths that a stranger wrote never reach beyond what is there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise KeyProblem("the key is cut off")
        self._at += size
        return taken

    def string(self) -> bytes:
        return self.take(int.from_bytes(self.take(4)))

    def expect(self, data: bytes, problem: str) -> None:
        if self._data[self._at : self._at + len(data)] != data:
            raise KeyProblem(problem)
        self._at += len(data)

    def end(self) -> None:
        if self._at != len(self._data):
            raise KeyProblem("there is more behind the key than belongs to it")
