"""Words: what a state file keeps besides the program's own state: its services, its first connection, what was owed.

In:  what was there when the program stopped, in a process of `gatebus run` or at a host; or the part `v` of a state
     file (untrusted: it may come from anyone).
Out: the other. What a service's own bytes mean is judged by the service, when it is restored.

    u8 1: the program has had its first connection (else it is still to be accepted)      u8[3] 0
    u32 n, n x { u8 length, name, u32 length, state }    services by their numbers (Route.save)
    u32 length, output of the program that nobody has taken
    ...  whole packets that were still to be sent to it
"""

from collections.abc import Callable
from struct import Struct, error
from typing import NamedTuple

from gatebus.bounds import MAX_NAME, MAX_SERVICES
from sandbox.errors import BadState
from sandbox.packets import PacketCounter

_HEAD = Struct("<BBBBI")
_LENGTH = Struct("<I")
MALFORMED = "What the state says of the program's services is malformed."


class Kept(NamedTuple):
    """`accepted`: the connection was made, and may be over. `unsent`: packets for the program."""

    accepted: bool
    services: tuple[tuple[str, bytes], ...]
    output: bytes
    unsent: bytes


def encode_kept(kept: Kept) -> bytes:
    parts = [_HEAD.pack(kept.accepted, 0, 0, 0, len(kept.services))]
    for name, state in kept.services:
        encoded = name.encode("utf-8", "surrogateescape")
        parts += [bytes([len(encoded)]), encoded, _LENGTH.pack(len(state)), state]
    return b"".join((*parts, _LENGTH.pack(len(kept.output)), kept.output, kept.unsent))


def kept_untrusted(data: bytes) -> Kept:
    """Raises BadState."""
    try:
        accepted, *zeros, count = _HEAD.unpack_from(data)
    except error:
        raise _malformed() from None
    if accepted > 1 or any(zeros) or count > MAX_SERVICES:
        raise _malformed()
    services, at = [], _HEAD.size
    for _ in range(count):
        name, at = _piece_untrusted(data, at, _byte)
        state, at = _piece_untrusted(data, at, _word)
        if not 1 <= len(name) <= MAX_NAME:
            raise _malformed()
        services.append((name.decode("utf-8", "surrogateescape"), state))
    output, at = _piece_untrusted(data, at, _word)
    if not _whole_packets_untrusted(data[at:]):
        raise BadState("state-services", "What the state has for the program is no packet.")
    return Kept(bool(accepted), tuple(services), output, data[at:])


def _piece_untrusted(data: bytes, at: int, length: Callable[[bytes, int], tuple[int, int]]) -> tuple[bytes, int]:
    try:
        size, start = length(data, at)
    except (error, IndexError):
        raise _malformed() from None
    if size > len(data) - start:
        raise _malformed()
    return data[start : start + size], start + size


def _byte(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + 1


def _word(data: bytes, at: int) -> tuple[int, int]:
    return _LENGTH.unpack_from(data, at)[0], at + _LENGTH.size


def _whole_packets_untrusted(data: bytes) -> bool:
    counter = PacketCounter()
    try:
        counter.count(data)
    except ValueError:
        return False
    return counter.between


def _malformed() -> BadState:
    return BadState("state-services", MALFORMED)
