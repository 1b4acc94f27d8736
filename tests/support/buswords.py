"""Hypothesis strategies for the messages of gatebus.v1: every kind, every field over its whole range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from gatebus.bounds import AGENT_TEXT, CHANNEL_MAX, COUNT_MAX, ERROR_TEXT, FEATURES, NAME_TEXT, VERSIONS, WINDOW_MAX
from gatebus.protocol.messages import (
    Accept,
    Auth,
    Cancel,
    ClientHello,
    Credit,
    Data,
    End,
    Error,
    Farewell,
    HostHello,
    Log,
    Open,
    Ping,
    Pong,
    Result,
    Stop,
    Welcome,
)

if TYPE_CHECKING:
    from gatebus.protocol.messages import Message


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=("Cs",)), max_size=longest)


def numbers(high: int) -> st.SearchStrategy[int]:
    """Whole range, and close to where the form of a number changes."""
    edges = [number for bits in (0, 5, 8, 16, 32, 53) for number in range((1 << bits) - 2, (1 << bits) + 2)]
    return st.integers(0, high) | st.sampled_from([edge for edge in (*edges, 23, 24, high) if 0 <= edge <= high])


blobs = st.binary(max_size=300)
keys, signatures = st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64)
channels = numbers(CHANNEL_MAX).filter(bool)
counts, windows = numbers(COUNT_MAX), numbers(WINDOW_MAX)
names = texts(NAME_TEXT)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts(20)
    | st.binary(max_size=40)
)
# The message and its map are two levels, so six are left.
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(8), inner, max_size=3), max_leaves=6
).filter(lambda value: depth(value) <= 6)
maps = st.dictionaries(texts(12), values, max_size=4)
details = st.dictionaries(texts(12).filter(lambda name: name not in ("code", "text")), values, max_size=2)

MESSAGES: dict[type, st.SearchStrategy[Message]] = {
    ClientHello: st.builds(
        ClientHello,
        st.lists(counts, min_size=1, max_size=VERSIONS).map(tuple),
        texts(AGENT_TEXT),
        st.lists(names, max_size=FEATURES).map(tuple),
        keys,
        st.none() | keys,
    ),
    HostHello: st.builds(
        HostHello,
        counts,
        texts(AGENT_TEXT),
        st.lists(names, max_size=FEATURES).map(tuple),
        keys,
        keys,
        signatures,
        st.dictionaries(names, counts, max_size=5),
    ),
    Auth: st.builds(Auth, signatures),
    Welcome: st.builds(Welcome, texts(AGENT_TEXT)),
    Open: st.builds(Open, channels, names, maps, windows),
    Accept: st.builds(Accept, channels, maps, windows),
    Data: st.builds(Data, channels, blobs),
    Credit: st.builds(Credit, channels, counts, windows),
    End: st.builds(End, channels, st.integers(-(1 << 31), (1 << 31) - 1)),
    Stop: st.builds(Stop, channels),
    Log: st.builds(Log, channels, st.sampled_from((1, 2)), blobs),
    Result: st.builds(Result, channels, maps),
    Error: st.builds(Error, st.just(0) | channels, names, texts(ERROR_TEXT), details),
    Cancel: st.builds(Cancel, channels),
    Ping: st.builds(Ping, counts),
    Pong: st.builds(Pong, counts),
    Farewell: st.builds(Farewell, names, texts(ERROR_TEXT), counts),
}
messages = st.one_of(*MESSAGES.values())


def depth(value: object) -> int:
    """Levels of maps and arrays."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
