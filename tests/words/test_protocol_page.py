"""docs/protocol.md: its bytes are those of the code, its diagrams those of the tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gatebus.protocol import Broken, Role, Session, Settings
from gatebus.protocol.messages import (
    Accept,
    ClientHello,
    Data,
    End,
    HostHello,
    Message,
    Open,
    Result,
    Welcome,
    encode,
)
from gatebus.protocol.proofs import host_statement, public_key, sign, transcript
from gatebus.protocol.reading import parse_untrusted
from gatebus.protocol.transitions import CHANNEL, DIRECTION, LINK, diagram

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
SEED, CLIENT_CHALLENGE, HOST_CHALLENGE = b"h" * 32, b"\x01" * 32, b"\x02" * 32
KEY = public_key(SEED)
PROOF = sign(SEED, host_statement(transcript(CLIENT_CHALLENGE, HOST_CHALLENGE, KEY, None)))
SAID: list[tuple[str, Message]] = [
    ("client", ClientHello((1,), "sensor", (), CLIENT_CHALLENGE)),
    ("client", Open(1, "call", {"stream": b"S" * 16, "module": "ipfs://bafy"}, 65_536)),
    ("host", HostHello(1, "gatebus", (), HOST_CHALLENGE, KEY, PROOF, {})),
    ("host", Welcome("anonymous")),
    ("host", Accept(1, {"instance": b"I" * 16, "taken": 0}, 65_536)),
    ("client", Data(1, b"hello")),
    ("client", End(1, 0)),
    ("host", Data(1, b"HELLO")),
    ("host", End(1, 0)),
    ("host", Result(1, {"state": "HALTED", "cause": "NORMAL", "result": 0})),
]


def shown() -> list[tuple[str, bytes]]:
    """(who, bytes) of each message of the worked example."""
    blocks = re.findall(r"^\*\*(client|host)\*\*:[^\n]*\n\n((?:    [0-9a-f]+\n)+)", PAGE, re.M)
    return [(who, bytes.fromhex(re.sub(r"\s", "", block))) for who, block in blocks]


def test_the_example_has_the_bytes_that_the_code_writes() -> None:
    assert shown() == [(who, encode(message)) for who, message in SAID]
    assert [parse_untrusted(data) for _, data in shown()] == [message for _, message in SAID]


@pytest.mark.parametrize("side", list(Role))
def test_both_sides_take_the_example_as_it_stands(side: Role) -> None:
    """One session of each kind hears the other's part while it says its own."""
    session = Session(side, Settings("gatebus", KEY if side is Role.HOST else None), 0.0)
    for who, data in shown():
        message = parse_untrusted(data)
        if who != side.value:
            events = list(session.receive_many([data]))
            assert events == [message]
            assert not isinstance(events[0], Broken)
        elif isinstance(message, Open):
            assert session.open(message.operation, message.parameters, message.window) == (1, data)
        elif isinstance(message, Data):
            session.flows(1).out.append(message.data)
            assert [b"".join(parts) for parts in session.unsent(1)] == [data]
        else:
            assert session.send(message) == data


@pytest.mark.parametrize(
    "drawn", [diagram(LINK, Role.CLIENT), diagram(LINK, Role.HOST), diagram(CHANNEL), diagram(DIRECTION)]
)
def test_the_diagrams_are_those_of_the_tables(drawn: str) -> None:
    assert drawn in PAGE
    assert PAGE.count("```mermaid") == 4


def test_the_bytes_that_are_explained_are_in_the_example() -> None:
    opened = encode(SAID[1][1]).hex()
    for part in ("850401", "6463616c6c", "a2", "1a00010000"):
        assert part in opened
