"""Words: the state of a stopped program as its process sends it, as far as the host looks into it.

In:  STATE packets put together (untrusted: a native attacker may sit in the runtime's place), and how long the frames
of a program are (from its compile worker). Out: where the program stopped: the set of its sites, which names the
continuation. All the rest is for the process that goes on, which checks it.

    u32 version (1), [32] sha256 of the program, u8 phase, u32 n + entry's name, u32 pages of memory 0,
    u32 n + frames, ...      (sandbox/native/module/src/state.rs has all of it)

A frame is u32 site, then its values.
"""

from __future__ import annotations

import struct
from operator import mul
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sandbox.errors import BadState
from sandbox.limits import FRAME_BYTES, FRAMES_MAX, MIB

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from sandbox.packets import Buffer

T = TypeVar("T")

VERSION = 1
PAGE = 65_536
PAGES_MAX = 65_536
PIECE = 4_096
# Distinct places in one stack: recursion repeats its own; a deep interpreter has some dozens. What is compiled for
# each is what is left of the function around it: 8,000 small functions that call each other take 2 s, large ones as
# much as the compiler's limits give. A set of so many is 300 KB here.
SITES_MAX = 8_192
# Of what is stopped and cannot go on as it is: the module has no polls and is compiled like any other.
EXPORT_GOES_ON = "`gatebus export` makes one module of the state, with which `gatebus run --ignore-state` goes on."
# The same of what is compiled, and has more on its stack than what goes on has room for.
EXPORT_HAS_ROOM = "`gatebus export` makes one module of the state, for a runtime with a larger stack."
# Bytes of stack for each byte of a frame, at most: one without a value has 4, and takes 32 (native/module/src/jobs.rs).
STACK_OF_FRAMES = 8
# Bytes of frames that are walked over in one go: when each has a word, 4,096 of them, half a millisecond.
WALK_PIECE = 16 << 10
_HEAD = Struct("<I32sB")
_NUMBER = Struct("<I")


class FrameSizes(NamedTuple):
    """Words of 4 bytes that the frames of a program take, as u16, by site."""

    sites: bytes = b""

    def words_of(self, site: int) -> int:
        """Raises IndexError where there is no such site."""
        return self.sites[2 * site] | self.sites[2 * site + 1] << 8


class Places(NamedTuple):
    """Where a program stands: the set of its sites, ascending, and how many frames are at each of them."""

    sites: tuple[int, ...]
    frames: tuple[int, ...]


class Inner(NamedTuple):
    """What the host knows of a state. `frames` is where they are in it."""

    pages: int
    entry: str
    frames: range


def broken(text: str = "The state is damaged: it is cut off or has impossible lengths.") -> BadState:
    return BadState("state-broken", text)


def look_untrusted(state: bytes | bytearray) -> Inner:
    """Raises BadState."""
    try:
        version, _program, _phase = _HEAD.unpack_from(state)
        if version != VERSION:
            raise BadState("state-version", f"The state is of version {version}; this program knows version {VERSION}.")
        entry_end = _end_of(state, _HEAD.size)
        (pages,) = _NUMBER.unpack_from(state, entry_end)
        frames_end = _end_of(state, entry_end + _NUMBER.size)
        entry = state[_HEAD.size + _NUMBER.size : entry_end].decode()
    except (struct.error, UnicodeDecodeError):
        raise broken() from None
    frames = range(entry_end + 2 * _NUMBER.size, frames_end)
    if pages > PAGES_MAX or len(frames) > FRAME_BYTES:
        raise broken()
    return Inner(pages, entry, frames)


def standing_untrusted(state: bytes) -> bytes:
    """As much of it as says where it stands: memories and files are behind. Raises BadState."""
    return state[: look_untrusted(state).frames.stop]


def _end_of(state: bytes | bytearray, at: int) -> int:
    (length,) = _NUMBER.unpack_from(state, at)
    end = at + _NUMBER.size + length
    if end > len(state):
        raise broken()
    return int(end)


def named(state: bytes | bytearray, program_sha256: str) -> bytes:
    """The state with its program's name in it, which the process that wrote it does not know."""
    whole = memoryview(state)  # it may be large: one copy
    return b"".join((whole[: _NUMBER.size], bytes.fromhex(program_sha256), whole[_HEAD.size - 1 :]))


def program_of_untrusted(state: bytes) -> str:
    """The sha256 of the program. Raises BadState."""
    look_untrusted(state)
    return state[_NUMBER.size : _HEAD.size - 1].hex()


def places_of_untrusted(state: bytes, sizes: FrameSizes) -> Places:
    """Where it stands, at once: of a few frames. Raises BadState."""
    return at_once(walk_untrusted(state, sizes))


def walk_untrusted(state: bytes, sizes: FrameSizes) -> Generator[None, None, Places]:
    """The same in pieces, for whoever has other things to do: a deep stack, or a forged one, has millions of
    frames. It ends at the first site too many.
    """
    frames = look_untrusted(state).frames
    at, count, words_of, frames_at = frames.start, 0, dict[int, int](), dict[int, int]()
    while frames.stop - at >= _NUMBER.size:
        piece = struct.unpack_from(f"<{min(frames.stop - at, WALK_PIECE) // _NUMBER.size}I", state, at)
        words, more = _walk(piece, words_of, frames_at, sizes)
        at, count = at + _NUMBER.size * words, count + more
        if count > FRAMES_MAX:
            raise broken("The state is damaged: it has more frames than any stack holds.")
        yield
    if at != frames.stop or not words_of:
        raise broken("The state is damaged: its frames end within a frame, or there are none.")
    return Places(*zip(*sorted(frames_at.items()), strict=True))


def at_once(work: Generator[None, None, T]) -> T:
    """What is made for whoever has other things to do, for one who has not."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def _walk(
    piece: tuple[int, ...], words_of: dict[int, int], frames_at: dict[int, int], sizes: FrameSizes
) -> tuple[int, int]:
    """How many words its frames have, of which the last may end behind it, and how many these are; their sites are in
    `words_of` then, and how many there are of each in `frames_at`.
    """
    at, count, end = 0, 0, len(piece)
    while at < end:
        site = piece[at]
        try:
            at += words_of[site]
            frames_at[site] += 1
            count += 1
        except KeyError:
            words_of[site], frames_at[site] = _words_untrusted(site, sizes), 0
            if len(words_of) > SITES_MAX:
                raise BadState(
                    "state-sites",
                    f"The state stands at more than {SITES_MAX} places: no more than that can be continued. "
                    f"{EXPORT_GOES_ON}",
                ) from None
    return at, count


def check_room(places: Places, each: tuple[int, ...], room: int) -> None:
    """`each`: what a frame at each of the sites takes on the stack at least (of continuations that an earlier version
    has made it is not known). Raises BadState.
    """
    needed = sum(map(mul, places.frames, each))
    if needed > room:
        raise BadState(
            "state-stack",
            f"To go on, what is on its stack takes {needed / MIB:.1f} MiB or more; there are {room // MIB}. "
            f"{EXPORT_HAS_ROOM}",
        )


def _words_untrusted(site: int, sizes: FrameSizes) -> int:
    try:
        return sizes.words_of(site)
    except IndexError:
        raise BadState("state-other-program", "The state names a place that the program does not have.") from None


def continuation_order(sites: tuple[int, ...], summary: bytes, program: bytes) -> bytes:
    """What a compile worker is given (PROTOCOL.md, job 2). `summary`: of the program's facts."""
    listed = struct.pack(f"<I{len(sites)}I", len(sites), *sites)
    return b"".join((listed, _NUMBER.pack(len(summary)), summary, program))


def export_order(state: bytes, count: int, pieces: Iterable[Buffer], program: bytes) -> Iterator[Buffer]:
    """The same for job 4, in pieces. `pieces`: so many of memory 0, as a state file has them."""
    yield from (_NUMBER.pack(len(state)), state, _NUMBER.pack(count))
    yield from pieces
    yield program


def frames_order(state: bytes, program: bytes) -> Iterator[Buffer]:
    """The same for job 3, in pieces."""
    yield from (_NUMBER.pack(len(state)), state, program)
