"""Broken input for every decoder of the Python side: a value or the one error that its docstring names, nothing else.

Good inputs (the vectors that bind both languages, and what our own encoders write) are broken the way parsers break:
bits, numbers at their bounds, cuts, doubled and deleted pieces. Ordinary runs are the same everywhere; `make fuzz` sets
GATEBUS_FUZZ_SECONDS and runs as many examples as fit (about a thousand a second).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebus.discovery import names_untrusted, request_content
from gatebus.faults import Violation
from gatebus.flow import changes_untrusted, chunk_untrusted
from gatebus.protocol import Broken, Role, Session, Settings
from gatebus.protocol.breaches import RemoteFault
from gatebus.protocol.messages import Accept, Credit, Data, End, Open, Result, encode
from gatebus.protocol.reading import parse_untrusted
from gatebus.services import scope
from sandbox import control, keeperwire, packets
from sandbox.errors import CompileLimit, PacketViolation, Refused, SandboxBroken, SandboxError
from sandbox.image import parse_facts_untrusted
from sandbox.testing import fake_facts

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = os.environ.get("GATEBUS_FUZZ_SECONDS")
fuzzed = settings(
    max_examples=int(SECONDS) * 1000 if SECONDS else 300, derandomize=not SECONDS, deadline=None, database=None
)

VECTORS = json.loads((Path(__file__).parents[2] / "sandbox/native/wire/vectors.json").read_text())
PACKETS = [bytes.fromhex(vector["hex"]) for vector in VECTORS["packets"]]
CONTROLS = [bytes.fromhex(vector["hex"]) for vector in VECTORS["control"]]
ANSWERS = [bytes.fromhex(vector["hex"]) for vector in VECTORS["answers"]]
NUMBERS = (0, 1, 7, 8, 16, 127, 128, 255, 65_535, 65_536, 65_537, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


@st.composite
def broken(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds, with up to four things broken."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for how in draw(st.lists(st.sampled_from(("flip", "number", "cut", "drop", "double", "insert")), max_size=4)):
        at = draw(st.integers(0, len(data)))
        if how == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "number":
            number = draw(st.sampled_from(NUMBERS)).to_bytes(4, "little")[: draw(st.sampled_from((1, 2, 4)))]
            data[at : at + len(number)] = number
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        elif how == "double":
            data[at:at] = data[at : at + 64]
        else:
            data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


def assert_public(error: Exception) -> None:
    if isinstance(error, SandboxError):
        assert error.code
        assert 0 < len(error.text) <= 400
        assert error.text.isprintable()


def answers(decode: Callable[[bytes], object], data: bytes, *allowed: type[Exception]) -> object:
    """The value, or the allowed error; any other exception is what this file is about."""
    try:
        return decode(data)
    except allowed as error:
        assert_public(error)
        return None


@fuzzed
@given(broken(PACKETS + CONTROLS + [b"".join(PACKETS)]))
def test_packets_taken_apart_are_the_bytes_they_came_from(data: bytes) -> None:
    parts = answers(lambda data: list(packets.split_untrusted(data)), data, PacketViolation)
    if parts is not None:
        assert isinstance(parts, list)
        assert sum(packets.padded(8 + len(part.content)) for part in parts) == len(data)


@fuzzed
@given(broken([b"".join(PACKETS), b"".join(CONTROLS + PACKETS), *PACKETS]), st.data())
def test_a_stream_of_packets_comes_to_the_same_in_any_pieces(data: bytes, drawn: st.DataObject) -> None:
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(data)), max_size=4)))

    def read(pieces: list[bytes]) -> tuple[bytes, list[bytes]] | None:
        framer, found, controls = packets.Framer(), b"", []
        try:
            for piece in pieces:
                more, said = framer.receive(piece)
                found += more
                controls += said
        except PacketViolation:
            return None
        assert framer.unfinished <= packets.PACKET_MAX
        return found, controls

    assert read([data]) == read([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])


@fuzzed
@given(broken(CONTROLS))
def test_what_a_runtime_says_is_understood_or_malformed(data: bytes) -> None:
    if len(data) >= packets.HEADER_SIZE:  # the framer hands on whole packets only
        answers(control.decode_untrusted, data, PacketViolation)


@fuzzed
@given(st.lists(broken(CONTROLS).filter(lambda data: len(data) >= packets.HEADER_SIZE), max_size=6))
def test_files_that_a_program_left_are_a_tree_or_malformed(said: list[bytes]) -> None:
    collector = control.TreeCollector(1 << 16, 100)

    def collect(_data: bytes) -> object:
        for data in said:
            part = control.decode_untrusted(data)
            if isinstance(part, control.LeftNode | control.LeftContent):
                collector.add_untrusted(part)
        return collector.tree_untrusted()

    answers(collect, b"", PacketViolation)


@fuzzed
@given(broken(ANSWERS))
def test_what_the_keeper_says_is_understood_or_replaced(data: bytes) -> None:
    answers(keeperwire.decode_untrusted, data, SandboxBroken)


FACTS = [
    json.dumps(fake_facts(b"a program")).encode(),
    b'{"ok": false, "code": "invalid", "text": "type mismatch"}',
    b'{"ok": false, "code": "code-too-large", "text": "99 MiB"}',
]


@fuzzed
@given(broken(FACTS))
def test_broken_facts_are_understood_or_nonsense(data: bytes) -> None:
    answers(parse_facts_untrusted, data, Refused, CompileLimit, SandboxBroken)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@fuzzed
@given(st.sampled_from([json.loads(facts) for facts in FACTS]), st.data())
def test_facts_of_other_types_are_nonsense(facts: dict[str, Any], drawn: st.DataObject) -> None:
    changed = facts | {name: drawn.draw(JSON) for name in drawn.draw(st.sets(st.sampled_from(sorted(facts))))}
    answers(parse_facts_untrusted, json.dumps(changed).encode(), Refused, CompileLimit, SandboxBroken)


@pytest.mark.parametrize("data", [b"", b"[" * 30_000, b"\xff", b'{"ok": true}', b"null", b"1e999", b"9" * 10_000])
def test_facts_that_are_no_facts_are_nonsense(data: bytes) -> None:
    with pytest.raises(SandboxBroken):
        parse_facts_untrusted(data)


DISCOVERIES = [request_content(("origin",)), request_content(("a", "b" * 127, "örtlich")), request_content(())]


@fuzzed
@given(broken(DISCOVERIES))
def test_names_that_are_discovered_are_names_or_a_violation(data: bytes) -> None:
    names = answers(names_untrusted, data, Violation)
    if names is not None:
        assert isinstance(names, tuple)
        assert data.startswith(request_content(names))


@fuzzed
@given(broken([b"\x02\x05graph\x03a/b", b"\0", b"\x01\xff" + b"x" * 255]))
def test_scopes_are_names_or_a_violation(data: bytes) -> None:
    answers(scope.names_untrusted, data, Violation)


@fuzzed
@given(broken([packet[8:] for packet in PACKETS] + [bytes(range(64))]))
def test_flow_and_data_are_values_or_a_violation(data: bytes) -> None:
    changes = answers(changes_untrusted, data, Violation)
    assert isinstance(changes, tuple)
    assert len(changes) == len(data) // 8
    answers(chunk_untrusted, data, Violation)


MESSAGES = [
    encode(Data(300, bytes(range(48)))),
    encode(Credit(7, 1 << 33, 1 << 20)),
    encode(Open(1, "call", {"stream": bytes(16), "module": "ipfs://x", "args": ["a", "b"], "limits": {"cpu": 5}}, 9)),
    encode(Accept(1, {"taken": 12}, 1 << 16)),
    encode(End(1, -5)),
    encode(Result(1, {"outcome": {"state": "ended", "usage": {"cpu_ms": 1.5}}, "files": {"a": b"b"}, "none": None})),
]


@fuzzed
@given(broken(MESSAGES))
def test_messages_of_the_bus_are_messages_or_a_fault(data: bytes) -> None:
    message = answers(parse_untrusted, data, RemoteFault)
    if message is not None:
        assert parse_untrusted(encode(message)) == message  # type: ignore[arg-type]


@fuzzed
@given(broken(MESSAGES))
def test_a_session_that_is_told_nonsense_says_so_once(data: bytes) -> None:
    """Nothing of this is a greeting, so nothing is right; what comes behind is not read."""
    for role in Role:
        session = Session(role, Settings(), 0.0)
        events = list(session.receive_many([data, data]))
        assert [type(event) for event in events] == [Broken]
