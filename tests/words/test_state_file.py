"""A stopped program in a file: what was written is read; every changed or missing byte is noticed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.options import run_options, show_options
from gatebus.faults import UsageError
from sandbox.errors import BadState
from sandbox.limits import FRAME_BYTES, FRAMES_MAX, STATE_DESCRIPTION_MAX, STATE_MAX, CompileLimits
from sandbox.statefile import (
    HEAD_SIZE,
    MAGIC,
    PIECE,
    decode_untrusted,
    encode,
    encoded,
    length_untrusted,
    places_untrusted,
)
from sandbox.statewords import (
    SITES_MAX,
    WALK_PIECE,
    FrameSizes,
    Places,
    check_room,
    continuation_order,
    frames_order,
    look_untrusted,
    named,
    places_of_untrusted,
    program_of_untrusted,
    standing_untrusted,
    walk_untrusted,
)
from sandbox.suspended import Suspended

PROGRAM = b"\0asm\1\0\0\0"
DIGEST = sha256(PROGRAM).hexdigest()


@dataclass
class Bytes:
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]


def state(frames: bytes = b"\5\0\0\0", pages: int = 1, entry: bytes = b"_start") -> bytes:
    head = struct.pack("<I32sBI", 1, bytes.fromhex(DIGEST), 2, len(entry)) + entry
    return head + struct.pack("<II", pages, len(frames)) + frames + b"the rest"


def suspended(memory: bytes = bytes(65_536)) -> Suspended:
    return Suspended(DIGEST, state(), Bytes(memory))


MEMORY = b"\1" + bytes(8_191) + b"\2" + bytes(65_536 - 8_193)
FILE = encode(suspended(MEMORY), PROGRAM, {"file": "a.wasm"}, b"services")


def test_the_memory_of_a_file_is_written_in_pieces_and_never_held_whole() -> None:
    pieces = list(encoded(suspended(MEMORY), PROGRAM, {"file": "a.wasm"}, b"services"))
    assert b"".join(pieces) == FILE
    of_the_memory = [each for each in pieces if len(each) > HEAD_SIZE and each != state()]
    assert [len(each) for each in of_the_memory] == [4 + PIECE] * 2


def test_a_file_comes_back_as_it_was_written_and_pieces_of_zeros_are_left_out() -> None:
    stored = decode_untrusted(FILE)
    assert (stored.description, stored.program, stored.services) == ({"file": "a.wasm"}, PROGRAM, b"services")
    assert stored.state == suspended().state
    assert [(place, bytes(piece[:1])) for place, piece in places_untrusted(stored)] == [(0, b"\1"), (2, b"\2")]
    assert len(FILE) == 80 + 18 + 8 + len(state()) + 2 * (4 + PIECE) + 8


def test_the_head_of_a_file_is_what_the_page_says() -> None:
    words = struct.unpack_from("<8sIIQQQQ32s", FILE)
    assert words[:7] == (MAGIC, 18, 0, 8, len(state()), 2, 8)
    assert words[7] == sha256(FILE[80:]).digest()
    assert FILE[80:98] == b'{"file": "a.wasm"}'
    assert FILE[98:106] == PROGRAM


def test_the_head_of_a_file_tells_how_long_it_is() -> None:
    assert length_untrusted(FILE[:HEAD_SIZE]) == len(FILE)
    for head in (FILE[: HEAD_SIZE - 1], b"", bytes(HEAD_SIZE)):
        with pytest.raises(BadState) as caught:
            length_untrusted(head)
        assert caught.value.code == "state-file"
    for at in (8, 12, 20, 28, 36, 44):
        with pytest.raises(BadState) as caught:
            length_untrusted(FILE[:at] + b"\xff\xff\xff\xff" + FILE[at + 4 : HEAD_SIZE])
        assert caught.value.code == "state-damaged"


def test_every_changed_byte_is_noticed() -> None:
    for at in (*range(200), *range(200, len(FILE), 97)):
        broken = bytearray(FILE)
        broken[at] ^= 1
        with pytest.raises(BadState):
            decode_untrusted(bytes(broken))


def test_every_other_length_is_noticed() -> None:
    for size in (*range(200), *range(200, len(FILE), 97)):
        with pytest.raises(BadState):
            decode_untrusted(FILE[:size])
    with pytest.raises(BadState):
        decode_untrusted(FILE + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_state_or_refused(data: bytes) -> None:
    for each in (data, MAGIC + data):
        with pytest.raises(BadState) as caught:
            decode_untrusted(each)
        assert caught.value.text


def with_right_checksum(change: int, value: int, size: int = 4) -> bytes:
    broken = bytearray(FILE)
    broken[change : change + size] = value.to_bytes(size, "little")
    broken[48:80] = sha256(broken[80:]).digest()
    return bytes(broken)


def test_parts_that_do_not_fit_together_are_noticed_behind_a_right_checksum() -> None:
    pieces = 98 + len(PROGRAM) + len(state())
    for broken in (
        with_right_checksum(98, 7),  # another program than the state's
        with_right_checksum(pieces, 2),  # the same place twice
        with_right_checksum(pieces, 3),  # places that descend
        with_right_checksum(pieces + 4 + PIECE, 16),  # outside of the memory
        with_right_checksum(80, 0),  # a description that is no JSON
    ):
        with pytest.raises(BadState) as caught:
            decode_untrusted(broken)
        assert caught.value.code == "state-damaged"


def test_every_byte_changed_behind_a_right_checksum_is_refused_or_a_state_whose_parts_fit() -> None:
    refused = 0
    for at in (*range(8, 48), *range(80, 200), *range(200, len(FILE), 97)):
        broken = bytearray(FILE)
        broken[at] ^= 1 << at % 8
        broken[48:80] = sha256(broken[80:]).digest()
        try:
            stored = decode_untrusted(bytes(broken))
        except BadState:
            refused += 1
            continue
        assert program_of_untrusted(stored.state) == sha256(stored.program).hexdigest()
        places = [place for place, _ in places_untrusted(stored)]
        assert places == sorted(set(places))
        assert all(place < look_untrusted(stored.state).pages * 16 for place in places)
    assert refused > 80


def test_what_a_file_claims_to_hold_has_the_bounds_of_the_limits_file() -> None:
    for at, most in ((8, STATE_DESCRIPTION_MAX), (16, CompileLimits().program_size), (24, STATE_MAX), (40, 16 << 20)):
        size = 4 if at == 8 else 8
        head = FILE[:at] + most.to_bytes(size, "little") + FILE[at + size : HEAD_SIZE]
        assert length_untrusted(head) > most
        with pytest.raises(BadState):
            length_untrusted(FILE[:at] + (most + 1).to_bytes(size, "little") + FILE[at + size : HEAD_SIZE])


def test_another_kind_of_file_is_said_to_be_one() -> None:
    with pytest.raises(BadState) as caught:
        decode_untrusted(PROGRAM + bytes(100))
    assert caught.value.text == "This is not the state of a program (or one of a newer version of gatebus)."


def test_the_host_looks_into_a_state_only_as_far_as_the_frames() -> None:
    assert look_untrusted(state()) == (1, "_start", range(55, 59))
    assert program_of_untrusted(state()) == DIGEST
    assert program_of_untrusted(named(state(), "ab" * 32)) == "ab" * 32
    assert named(state(), DIGEST) == state()


@pytest.mark.parametrize("size", range(59))
def test_a_cut_state_is_broken(size: int) -> None:
    with pytest.raises(BadState):
        look_untrusted(state()[:size])


def test_a_state_of_another_version_says_so() -> None:
    with pytest.raises(BadState) as caught:
        look_untrusted(b"\2" + state()[1:])
    assert caught.value.text == "The state is of version 2; this program knows version 1."


SIZES = FrameSizes(sites=struct.pack("<3H", 1, 3, 2))


def frame(site: int, values: int) -> bytes:
    return struct.pack("<I", site) + bytes(4 * values)


def test_the_sites_of_a_state_are_a_set() -> None:
    frames = frame(1, 2) + frame(2, 1) + frame(1, 2) + frame(0, 0)
    assert places_of_untrusted(state(frames), SIZES).sites == (0, 1, 2)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"", "state-broken"),
        (frame(3, 0), "state-other-program"),
        (frame(1 << 31, 1), "state-other-program"),
        (frame(1, 1), "state-broken"),
        (frame(0, 0) + b"\0", "state-broken"),
    ],
)
def test_frames_that_the_program_cannot_have_are_refused(frames: bytes, code: str) -> None:
    with pytest.raises(BadState) as caught:
        places_of_untrusted(state(frames), SIZES)
    assert caught.value.code == code


def test_how_many_frames_are_at_each_site_is_known_with_them() -> None:
    frames = frame(1, 2) + frame(2, 1) + frame(1, 2) + frame(0, 0)
    assert places_of_untrusted(state(frames), SIZES) == Places((0, 1, 2), (1, 2, 1))


def test_what_takes_more_than_all_of_the_stack_does_not_go_on() -> None:
    places = Places((0, 7), (1, 1 << 20))
    check_room(places, (32, 4), (4 << 20) + 32)
    check_room(places, (), 0)  # of an earlier version, which did not say
    with pytest.raises(BadState) as caught:
        check_room(places, (32, 4), 4 << 20)
    assert (caught.value.code, caught.value.text) == (
        "state-stack",
        "To go on, what is on its stack takes 4.0 MiB or more; there are 4. "
        "`gatebus export` makes one module of the state, for a runtime with a larger stack.",
    )


def test_more_places_than_are_continued_are_refused_at_the_first_one_too_many() -> None:
    many = FrameSizes(sites=struct.pack("<H", 1) * (SITES_MAX + 1))
    sites = b"".join(frame(site, 0) for site in range(SITES_MAX + 1))
    assert places_of_untrusted(state(sites[:-4]), many).sites == tuple(range(SITES_MAX))
    with pytest.raises(BadState) as caught:
        places_of_untrusted(state(sites + bytes(1 << 20)), many)
    assert caught.value.text == (
        f"The state stands at more than {SITES_MAX} places: no more than that can be continued. "
        "`gatebus export` makes one module of the state, with which `gatebus run --ignore-state` goes on."
    )


def test_frames_are_walked_over_in_pieces_and_may_end_behind_one() -> None:
    sizes = FrameSizes(sites=struct.pack("<2H", 3, 60_000))
    frames = (frame(0, 2) * 10_000 + frame(1, 59_999)) * 3
    walk = walk_untrusted(state(frames), sizes)
    pieces = sum(1 for _ in walk)
    assert len(frames) // WALK_PIECE - 3 * 60_000 * 4 // WALK_PIECE <= pieces <= len(frames) // WALK_PIECE + 6
    assert places_of_untrusted(state(frames), sizes).sites == (0, 1)
    with pytest.raises(BadState) as caught:
        places_of_untrusted(state(frames[:-4]), sizes)
    assert caught.value.code == "state-broken"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_the_sites_are_those_of_the_frames_whatever_their_order_and_length(sites: list[int]) -> None:
    lengths = (1, 2, 7, 900, 5_000)
    sizes = FrameSizes(sites=struct.pack("<5H", *lengths))
    frames = b"".join(frame(site, lengths[site] - 1) for site in sites)
    assert places_of_untrusted(state(frames), sizes).sites == tuple(sorted(set(sites)))


def test_more_frames_than_any_stack_leaves_are_not_looked_at() -> None:
    assert look_untrusted(state(bytes(FRAME_BYTES))).pages == 1
    with pytest.raises(BadState) as caught:
        look_untrusted(state(bytes(FRAME_BYTES + 4)))
    assert caught.value.code == "state-broken"


def test_more_frames_than_any_stack_holds_are_not_walked_over() -> None:
    sizes = FrameSizes(sites=struct.pack("<H", 1))
    assert places_of_untrusted(state(bytes(4 * FRAMES_MAX)), sizes).sites == (0,)
    with pytest.raises(BadState) as caught:
        places_of_untrusted(state(bytes(4 * FRAMES_MAX + 4)), sizes)
    assert caught.value.text == "The state is damaged: it has more frames than any stack holds."


def test_where_a_program_stands_is_the_beginning_of_its_state() -> None:
    whole = state(frame(0, 1)) + bytes(5_000)
    assert standing_untrusted(whole) == whole[: look_untrusted(whole).frames.stop]
    assert places_of_untrusted(standing_untrusted(whole), SIZES).sites == places_of_untrusted(whole, SIZES).sites
    with pytest.raises(BadState):
        standing_untrusted(whole[:60])


def test_orders_for_the_compile_worker_have_their_bytes() -> None:
    said = continuation_order((1, 258), b"sum", b"program").hex()
    assert said == "020000000100000002010000" + "03000000" + b"sumprogram".hex()
    assert b"".join(frames_order(b"state", b"program")) == b"\5\0\0\0stateprogram"


def test_a_state_is_handed_over_to_be_shown_without_a_copy_of_it() -> None:
    state = b"state" * 1_000
    assert any(piece is state for piece in frames_order(state, b"program"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--suspend-after", "1s", "it.wat"), "--suspend-after TIME and --state FILE belong together."),
        (("--state", "s", "it.wat"), "--suspend-after TIME and --state FILE belong together."),
        (("--resume", "s", "it.wat"), "--resume FILE goes on with the program that is in the state; name no other."),
        *(
            (
                ("--resume", "s", *more),
                "--env and --dir are in the state: --resume goes on with what the program has.",
            )
            for more in (("--env", "A=B"), ("--dir", "."))
        ),
        (
            ("--suspend-after", "soon", "--state", "s", "it.wat"),
            "--suspend-after soon: A time is written like 500ms, 1s, 2m or 1h.",
        ),
        (
            ("--suspend-after", "-1s", "--state", "s", "it.wat"),
            "--suspend-after -1s: it cannot be less than nothing.",
        ),
        (
            ("--suspend-after=-1s", "--state", "s", "it.wat"),
            "--suspend-after -1s: A time is written like 500ms, 1s, 2m or 1h.",
        ),
        (
            ("--suspend-after", "--state", "s", "it.wat"),
            "Argument --suspend-after: expected one argument. `gatebus run --help` shows how it is written.",
        ),
    ],
)
def test_options_that_do_not_belong_together_are_refused(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_options(words)
    assert caught.value.text == says


def test_options_of_a_stop_and_a_resume_are_read() -> None:
    stop = run_options(("--suspend-after", "500ms", "--state", "s", "it.wasm", "word"))
    assert (stop.suspend_after, stop.state, stop.resume, stop.file, stop.arguments) == (
        0.5,
        "s",
        False,
        "it.wasm",
        ("word",),
    )
    go = run_options(("--resume", "s"))
    assert (go.resume, go.file, go.suspend_after) == (True, "s", None)
    assert show_options(("--json", "s")) == ("s", True)
