"""Which services a program has asked for, under which numbers, and which of them are there; words, no I/O.

In:  contents of discovery calls of a program (untrusted).
Out: contents of the answers and of the information packets that tell it that a service came or went.

A program names services; each name gets the next number, for ever, known or not. An answer lists one state byte per
number in order (bit 0: available). The layout and the bounds are Gate's; PROTOCOL.md (C) of the package sandbox names
the packet's code.
"""

from collections.abc import Container
from struct import Struct

from gatebus.bounds import MAX_NAME, MAX_SERVICES
from gatebus.faults import Violation

AVAILABLE = 1  # bit 0 of a state byte; the others are 0

_COUNT = Struct("<H")


class Directory:
    """The names that one program discovered, in the order of their numbers."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.names: list[str] = list(names)

    def request_untrusted(self, content: bytes, offered: Container[str]) -> None:
        """Add the names of one request. Unknown names may repeat; a name that is listed and there may not."""
        listed = set(self.names)  # one packet may hold 32,000 names
        for name in names_untrusted(content):
            if name in listed and name in offered:
                raise Violation(f"The service {printable(name)} was discovered twice.")
            if len(self.names) < MAX_SERVICES:
                self.names.append(name)
                listed.add(name)

    def code(self, name: str) -> int | None:
        """The number under which packets of this service travel: the first, when an unknown name was repeated."""
        return self.names.index(name) if name in self.names else None

    def content(self, offered: Container[str]) -> bytes:
        """Content of an answer and of an information packet alike."""
        first = {name: code for code, name in reversed(list(enumerate(self.names)))}
        states = (AVAILABLE if name in offered and first[name] == code else 0 for code, name in enumerate(self.names))
        return _COUNT.pack(len(self.names)) + bytes(states)


def names_untrusted(content: bytes) -> tuple[str, ...]:
    if len(content) < _COUNT.size:
        raise Violation("A discovery packet is shorter than its 10 bytes of header and count.")
    (count,) = _COUNT.unpack_from(content)
    names, at = [], _COUNT.size
    for _ in range(count):
        size = content[at] if at < len(content) else 0
        if not 1 <= size <= MAX_NAME:
            raise Violation(f"A service name in a discovery packet is missing or not 1 to {MAX_NAME} bytes long.")
        name = content[at + 1 : at + 1 + size]
        if len(name) < size:
            raise Violation("A service name in a discovery packet is cut off.")
        names.append(bytes(name).decode("utf-8", "surrogateescape"))
        at += 1 + size
    return tuple(names)


def request_content(names: tuple[str, ...]) -> bytes:
    """The other side's half: for tests and for whoever drives a program's side."""
    encoded = (name.encode("utf-8", "surrogateescape") for name in names)
    return _COUNT.pack(len(names)) + b"".join(bytes([len(name)]) + name for name in encoded)


def states_untrusted(content: bytes) -> tuple[bool, ...]:
    """An answer, read: for tests and for whoever drives a program's side."""
    (count,) = _COUNT.unpack_from(content)
    return tuple(bool(state & AVAILABLE) for state in content[_COUNT.size : _COUNT.size + count])


def printable(name: str) -> str:
    """A name from a program, safe in a public text."""
    return "".join(char if char.isprintable() and char.isascii() else "?" for char in name)
