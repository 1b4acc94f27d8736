"""The formats of snapshots: what is accepted is what was written, to the byte; the golden files of version 1."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshothelpers import HOST, PAGE, PlainMemory, about, memory_of, noise

from gatebus.snapshots.chunking import digests_from, digests_of, section_of, section_of_bytes
from gatebus.snapshots.exportwords import HEAD_SIZE, Imported, file_pieces, head_untrusted, take_file_untrusted
from gatebus.snapshots.manifestwords import MEMORY, STATE, Manifest, Section, blocks_in, decode_untrusted, encode
from gatebus.snapshots.packwords import Entry, PackTail, encode_head, encode_tail, places, statement, tail_untrusted
from gatebus.snapshots.packwords import head_untrusted as pack_head_untrusted
from gatebus.snapshots.savedwords import BadSnapshot, about_bytes, about_untrusted
from sandbox.limits import STATE_MAX

GOLDEN = Path(__file__).parent.parent / "data" / "snapshots-1"
PROGRAM = b"\0asm\1\0\0\0"


class Held(dict[bytes, bytes]):
    """A sink and a source."""

    def add(self, digest: bytes, data: bytes) -> None:
        assert sha256(data).digest() == digest
        self[digest] = data

    def read(self, digest: bytes) -> bytes:
        return self[digest]


def manifest(held: Held, memory: PlainMemory, state: bytes = b"frames", **parts: bytes) -> bytes:
    sections = [section_of(MEMORY, digests_of(memory, held), held)]
    for name, data in ((STATE, state), *parts.items()):
        sections.append(section_of_bytes(name, data, held)[0])
    return encode(Manifest(sha256(PROGRAM).hexdigest(), about_bytes(about()), tuple(sections)))


def whole_file() -> bytes:
    held = Held()
    memory = PlainMemory(bytes(range(256)) * 256 + bytes(PAGE) + b"end")
    data = manifest(held, memory, b"frames" * 300, unsent=b"unsent", twin=b"frames" * 300)
    signature = HOST.sign(statement(sha256(data).digest())).signature
    return b"".join(file_pieces(data, PROGRAM, (bytes(HOST.verify_key), signature), held))


def taken(data: bytes) -> tuple[Imported, Held]:
    held, at = Held(), HEAD_SIZE
    reading = take_file_untrusted(head_untrusted(data[:HEAD_SIZE]), held)
    wants = next(reading)
    while True:
        piece, at = data[at : at + wants], at + wants
        try:
            wants = reading.send(piece)
        except StopIteration as end:
            return end.value, held


def test_the_golden_file_of_version_1_is_read_and_written_to_the_byte() -> None:
    golden = (GOLDEN / "snapshot.gbsnap").read_bytes()
    assert whole_file() == golden
    found, _ = taken(golden)
    facts = json.loads((GOLDEN / "facts.json").read_text())
    assert facts == {
        "id": found.id.hex(),
        "signer": found.key.hex() if found.key else None,
        "size": found.size,
        "sections": [each.name for each in decode_untrusted(found.manifest).sections],
    }


def test_the_golden_manifest_says_what_the_page_says() -> None:
    data = (GOLDEN / "snapshot.gbsnap").read_bytes()
    size = int.from_bytes(data[8:12], "little")
    body = data[192 : 192 + size]
    assert (data[:8], body[:8]) == (b"GBSNAPF1", b"GBSNAPM1")
    assert data[32:64] == sha256(body).digest()
    assert body[16:48] == sha256(PROGRAM).digest()
    assert data[192 + size : 192 + size + len(PROGRAM)] == PROGRAM
    assert len(data) == 192 + size + len(PROGRAM) + int.from_bytes(data[24:32], "little")


def test_a_manifest_with_any_byte_changed_is_refused_or_another_one() -> None:
    good = manifest(Held(), memory_of(3, 1), b"x" * 2_000, unsent=b"y")
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1 << at % 8
        try:
            found = decode_untrusted(bytes(changed))
        except BadSnapshot:
            continue
        assert encode(found) == changed, "what is accepted has one form only"


@given(st.binary(max_size=300))
def test_bytes_of_anybody_are_refused_in_a_sentence(data: bytes) -> None:
    for read in (decode_untrusted, head_untrusted, pack_head_untrusted, about_untrusted):
        for each in (data, b"GBSNAPM1" + data, b"GBSNAPF1" + data, b"GBSNAPP1" + data):
            try:
                read(each)
            except BadSnapshot as fault:
                assert fault.text.endswith(".")  # noqa: PT017


def test_a_manifest_cut_anywhere_is_refused() -> None:
    good = manifest(Held(), memory_of(2, 1))
    for size in range(len(good)):
        with pytest.raises(BadSnapshot):
            decode_untrusted(good[:size])
    with pytest.raises(BadSnapshot):
        decode_untrusted(good + b"\0")


def test_sections_have_one_form_by_their_length() -> None:
    module, words = "00" * 32, about_bytes(about())
    memory = Section(MEMORY, 0, b"")
    for state in (Section(STATE, 5, bytes(32)), Section(STATE, 2_000, None, bytes(2_000))):
        with pytest.raises(BadSnapshot):
            encode(Manifest(module, words, (memory, state)))
    with pytest.raises(BadSnapshot):
        encode(Manifest(module, words, (Section(STATE, 0, None), memory)))


def test_a_snapshot_has_no_larger_state_than_the_runtimes_go_on_from() -> None:
    memory, words = Section(MEMORY, 0, b""), about_bytes(about())

    def of_size(size: int) -> bytes:
        return encode(Manifest("00" * 32, words, (memory, Section(STATE, size, bytes(32 * blocks_in(size))))))

    assert decode_untrusted(of_size(STATE_MAX)).sections[1].length == STATE_MAX
    with pytest.raises(BadSnapshot, match="A part of the snapshot is larger than it may be"):
        of_size(STATE_MAX + 1)


@given(st.integers(0, 5 * PAGE), st.lists(st.tuples(st.integers(0, 5 * PAGE), st.integers(1, 200)), max_size=4))
def test_memory_comes_back_from_its_chunks(size: int, writes: list[tuple[int, int]]) -> None:
    content = bytearray(size)
    for at, value in writes:
        content[at : at + 50] = bytes([value]) * len(content[at : at + 50])
    held = Held()
    digests = digests_of(PlainMemory(content), held)
    section = section_of(MEMORY, digests, held)
    again = digests_from(section, held)
    assert again == digests
    whole = bytearray(size)
    for number, digest in again.meant():
        whole[number * PAGE : (number + 1) * PAGE] = held[digest]
    assert whole == content


@given(st.lists(st.tuples(st.integers(0, 6 * PAGE - 1), st.integers(1, 255)), max_size=5), st.integers(0, 6 * PAGE))
def test_what_is_told_to_have_changed_gives_the_same_as_looking_at_everything(
    writes: list[tuple[int, int]], size: int
) -> None:
    memory = PlainMemory(noise(4 * PAGE, 3))
    before = digests_of(memory, Held())
    memory.content.extend(bytes(max(0, size - len(memory.content))))
    writes = [(at, value) for at, value in writes if at < len(memory.content)]
    for at, value in writes:
        memory.content[at] ^= value
    told = digests_of(memory, Held(), before, [(at, 1) for at, _ in writes])
    assert told == digests_of(memory, Held())


def test_the_tail_of_a_file_of_chunks_comes_back_and_places_are_right() -> None:
    entries = tuple(Entry(bytes([n]) * 32, bytes([n + 1]) * 32, 10 * n, 10 * n + n % 2) for n in range(1, 5))
    tail = PackTail(entries, "key:ada", b"manifest")
    head = pack_head_untrusted(encode_head(tail, (bytes(32), bytes(64))))
    assert tail_untrusted(head, encode_tail(tail)) == tail
    assert [place for place, _ in places(tail).values()] == [160, 170, 190, 220]
    assert head.size == 160 + 100 + 4 * 72 + len("key:ada") + len(b"manifest")
    with pytest.raises(BadSnapshot):
        tail_untrusted(head, encode_tail(tail)[:-1] + b"!")


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance": b"short"},
        {"kind": "other"},
        {"taken": -1},
        {"taken": True},
        {"taken": 1 << 60},
        {"parent": b"short"},
        {"more": b"x" * 70_000},
    ],
)
def test_a_description_that_says_too_little_or_too_much_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSnapshot):
        about_bytes({**about(), **wrong})


def test_keys_that_nobody_knows_are_kept() -> None:
    words = about(later={"deep": [1, b"x", None, 1.5]})
    assert about_untrusted(about_bytes(words)) == words
