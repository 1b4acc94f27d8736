"""Words: the guide of a continuation: may these frames stand so, and how does the continuation read them?

The same check as native/module/src/guide.rs and frames.rs, in the process that resumes: it may not start another one.
In: frames of a state (untrusted); the guide, of a compile worker (untrusted: a wrong guide lets wrong frames through,
which is no more than the continuation beside it could do). Out: bytes for the control memory, and the export that goes
on from them; or BadWorld.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sandbox.portable.live_state import (
    EXTERN,
    FRAME_BYTES,
    FUNCTION,
    SIZES,
    is_ascending,
    read_bytes,
    read_list,
    read_numbers,
    read_text,
)
from sandbox.portable.saved_world import U32, BadWorld, FieldReader

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
NOTHING = 0xFFFF_FFFF
NO_ROOM = 0xFFFF_FFFF
NO_SITE = "a frame names a site that the program does not have"
BROKEN = "the guide of the continuation is broken"
_SITE = Struct("<III")
_VERSION = Struct("<B")


class KnownSite(NamedTuple):
    """`export`: which of the guide's goes on from here. `inside`: the list of places that may stand in it."""

    site: int
    export: int
    inside: int
    saved: bytes

    @property
    def size(self) -> int:
        return sum(SIZES[kind] for kind in self.saved)


class Frame(NamedTuple):
    place: int
    values: bytes


class Going(NamedTuple):
    """What goes on: an export of the continuation, and the frames as it reads them."""

    export: str
    frames: bytes


class Guide:
    """See above."""

    def __init__(self, fields: FieldReader) -> None:
        """Use `read_guide_untrusted`."""
        if fields.number(_VERSION) != VERSION:
            raise BadWorld(BROKEN)
        self._known = read_list(fields, _known_untrusted)
        self._lists = read_list(fields, read_numbers)
        self._exports = read_list(fields, read_text)
        self._entries = dict(read_list(fields, lambda fields: (read_text(fields), fields.number(U32))))
        fields.end()
        self._sites = [known.site for known in self._known]
        self._check()

    def _check(self) -> None:
        lists, sound = len(self._lists), is_ascending(self._sites)
        for known in self._known:
            sound &= known.export < len(self._exports) and (known.inside == NOTHING or known.inside < lists)
            sound &= all(kind < len(SIZES) for kind in known.saved)
        sound &= all(each < lists for each in self._entries.values())
        if not sound or not all(map(is_ascending, self._lists)):
            raise BadWorld(BROKEN)

    def go_on_untrusted(self, entry: str, data: bytes, references: int) -> Going:
        """Of frames that a call of `entry` has left, innermost first. Raises BadWorld."""
        frames = list(self._read(data))[::-1]
        if entry not in self._entries:
            raise BadWorld("the entry cannot have left any of these frames")
        expected = self._entries[entry]
        for frame in frames:
            known = self._known[frame.place]
            _check_values(known.saved, frame.values, references)
            if expected == NOTHING:
                raise BadWorld("a frame stands inside a site that has nothing inside it")
            if not _holds(self._lists[expected], frame.place):
                raise BadWorld("a frame is not of a function that the frame around it can call")
            expected = known.inside
        if expected != NOTHING or not frames:
            raise BadWorld("the innermost frame is missing")
        written = b"".join(U32.pack(frame.place) + frame.values for frame in frames)
        if len(written) > FRAME_BYTES:
            raise BadWorld("the frames need more room than there is")
        return Going(self._exports[self._known[frames[0].place].export], written)

    def _read(self, data: bytes) -> Iterator[Frame]:
        at = 0
        sizes = [known.size for known in self._known]
        while at < len(data):
            if at + 4 > len(data):
                raise BadWorld("the frames end within a frame")
            (site,) = U32.unpack_from(data, at)
            place = bisect_left(self._sites, site)
            if place == len(self._sites) or self._sites[place] != site:
                raise BadWorld(NO_SITE)
            start, at = at + 4, at + 4 + sizes[place]
            if at > len(data):
                raise BadWorld("the frames end within a frame")
            yield Frame(place, data[start:at])


def _known_untrusted(fields: FieldReader) -> KnownSite:
    site, export, inside = fields.unpack(_SITE)
    return KnownSite(site, export, inside, read_bytes(fields))


def _holds(ascending: tuple[int, ...], number: int) -> bool:
    place = bisect_left(ascending, number)
    return place < len(ascending) and ascending[place] == number


def _check_values(kinds: bytes, values: bytes, references: int) -> None:
    """Numbers have as many bits as their bytes; references are numbers that must be there."""
    if FUNCTION not in kinds and EXTERN not in kinds:
        return
    at = 0
    for kind in kinds:
        number = int.from_bytes(values[at : at + SIZES[kind]], "little")
        at += SIZES[kind]
        if kind == FUNCTION and number == NO_ROOM:
            raise BadWorld("there was no room for a reference to a function")
        if kind == FUNCTION and number > references:
            raise BadWorld("a reference is not in the list of references")
        if kind == EXTERN and number:
            raise BadWorld("a reference to something of the host is alive")


def read_guide_untrusted(data: bytes) -> Guide:
    """The bytes as native/module/src/guide.rs writes them. Raises BadWorld."""
    return Guide(FieldReader(data))
