"""Words: a stopped program in a file: everything that another machine needs to go on with it.

In:  a Suspended with its program, or a file's bytes (untrusted: it may come from anyone). Out: the other. The checksum
tells an accident, not an attack: what the parts mean is checked where they are used, in the jail.

    offset  size
    0       8     magic, which names the format's version
    8       4     d: length of the description    12  4  zero
    16      8     p: length of the program        24  8  s: length of the state
    32      8     m: pieces of memory 0           40  8  v: length of what the services keep
    48      32    sha256 of everything from offset 80 on
    80      d     description (JSON object, for people and for defaults)
    ...     p     the program as it came
    ...     s     the state (statewords.py; sandbox/STATE.md for the world in it)
    ...           m x { u32 place, 4096 bytes }: ascending places, pieces of zeros are left out
    ...     v     what the services keep; of whoever ran the program
"""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import BadState
from sandbox.jsonwords import json_untrusted
from sandbox.limits import STATE_DESCRIPTION_MAX, STATE_MAX, STATE_PIECES_MAX, STATE_SERVICES_MAX, CompileLimits
from sandbox.statewords import PAGE, PIECE, look_untrusted, program_of_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.suspended import Suspended

MAGIC = b"GBSTATE1"
_HEAD = Struct("<8sIIQQQQ32s")
HEAD_SIZE = _HEAD.size
_PLACE = Struct("<I")
_ZEROS = bytes(PIECE)


class Stored(NamedTuple):
    """What a state file holds. `pieces`: (place, 4,096 bytes) of memory 0."""

    description: dict[str, Any]
    program: bytes
    state: bytes
    pieces: memoryview
    services: bytes


def pieces_of(suspended: Suspended) -> Iterator[bytes]:
    """Memory 0 as the file has it, piece by piece."""
    for place in range(min(suspended.memory_bytes, suspended.memory.size) // PIECE):
        piece = suspended.memory.read(place * PIECE, PIECE)
        if piece != _ZEROS:
            yield _PLACE.pack(place) + piece


def encode(suspended: Suspended, program: bytes, description: dict[str, Any], services: bytes) -> bytes:
    return b"".join(encoded(suspended, program, description, services))


def encoded(
    suspended: Suspended, program: bytes, description: dict[str, Any], services: bytes
) -> Iterator[bytes | memoryview]:
    """The same in pieces. The memory is read twice, for the checksum in front and for itself, and never held whole."""
    words = json.dumps(description, sort_keys=True).encode()
    digest, count = sha256(), 0
    for part in (words, program, suspended.state):
        digest.update(part)
    for piece in pieces_of(suspended):
        digest.update(piece)
        count += 1
    digest.update(services)
    lengths = (len(words), 0, len(program), len(suspended.state), count, len(services))
    yield _HEAD.pack(MAGIC, *lengths, digest.digest())
    yield from (words, program, suspended.state)
    yield from pieces_of(suspended)
    yield services


def length_untrusted(head: bytes) -> int:
    """How long the file is that begins with this: nobody reads for ever. Raises BadState."""
    return HEAD_SIZE + sum(_lengths_untrusted(head))


def _lengths_untrusted(head: bytes | memoryview) -> tuple[int, ...]:
    """Bytes of the parts in their order. Raises BadState."""
    try:
        magic, words, zero, program, state, count, services, _digest = _HEAD.unpack_from(head)
    except struct.error:
        raise _not_a_state() from None
    if magic != MAGIC:
        raise _not_a_state()
    bounds = (
        (words, STATE_DESCRIPTION_MAX),
        (program, CompileLimits().program_size),
        (state, STATE_MAX),
        (count, STATE_PIECES_MAX),
        (services, STATE_SERVICES_MAX),
    )
    if zero or any(length > most for length, most in bounds):
        raise _damaged()
    return words, program, state, count * (_PLACE.size + PIECE), services


def decode_untrusted(data: bytes | memoryview) -> Stored:
    """Raises BadState."""
    lengths = _lengths_untrusted(data)
    if len(data) != HEAD_SIZE + sum(lengths):
        raise _damaged()
    view = memoryview(data)
    if sha256(view[HEAD_SIZE:]).digest() != _HEAD.unpack_from(data)[-1]:
        raise _damaged()
    parts, at = [], HEAD_SIZE
    for length in lengths:
        parts.append(view[at : at + length])
        at += length
    stored = Stored(_object(bytes(parts[0])), bytes(parts[1]), bytes(parts[2]), parts[3], bytes(parts[4]))
    check_untrusted(stored)
    return stored


def check_untrusted(stored: Stored) -> None:
    """The parts belong together, and the pieces lie in memory 0 in their order. Raises BadState."""
    if program_of_untrusted(stored.state) != sha256(stored.program).hexdigest():
        raise _damaged()
    places = [place for place, _ in places_untrusted(stored)]
    most = look_untrusted(stored.state).pages * PAGE // PIECE
    if any(first >= second for first, second in pairwise(places)):
        raise _damaged()
    if places and places[-1] >= most:
        raise _damaged()


def places_untrusted(stored: Stored) -> Iterator[tuple[int, memoryview]]:
    """(place, 4,096 bytes)."""
    step = _PLACE.size + PIECE
    for at in range(0, len(stored.pieces), step):
        yield _PLACE.unpack_from(stored.pieces, at)[0], stored.pieces[at + _PLACE.size : at + step]


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json_untrusted(data)
    except ValueError:
        raise _damaged() from None
    if not isinstance(value, dict):
        raise _damaged()
    return value


def _not_a_state() -> BadState:
    return BadState("state-file", "This is not the state of a program (or one of a newer version of gatebus).")


def _damaged() -> BadState:
    return BadState("state-damaged", "The file is damaged: its parts do not fit together. Copy it again.")
