"""The vocabulary of gatebus.v1: one frozen type per message, and its bytes; words, no I/O.

In:  values of ours. Out: bytes of whole messages. How bytes of strangers become these types is the module reading.

`encode` builds any message with cbor2, a little over 2 us. Data and credit travel once per packet of a program, so
their bytes are put together by hand (`data_head`, `credit_bytes`: 0.3 us), equal to cbor2's byte by byte.
"""

from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import cbor2

from gatebus.bounds import ERROR_TEXT

Parameters: TypeAlias = Mapping[str, Any]
NOTHING: Parameters = MappingProxyType({})


class Kind(IntEnum):
    """The first item of a message."""

    CLIENT_HELLO = 0
    HOST_HELLO = 1
    AUTH = 2
    WELCOME = 3
    OPEN = 4
    ACCEPT = 5
    DATA = 6
    CREDIT = 7
    END = 8
    STOP = 9
    LOG = 10
    RESULT = 11
    ERROR = 12
    CANCEL = 13
    PING = 14
    PONG = 15
    FAREWELL = 16


class ClientHello(NamedTuple):
    """`key` is named by a client that is going to prove that it has it."""

    versions: tuple[int, ...]
    agent: str
    features: tuple[str, ...]
    challenge: bytes
    key: bytes | None = None


class HostHello(NamedTuple):
    version: int
    agent: str
    features: tuple[str, ...]
    challenge: bytes
    key: bytes
    proof: bytes
    limits: Mapping[str, int]


class Auth(NamedTuple):
    signature: bytes


class Welcome(NamedTuple):
    principal: str


class Open(NamedTuple):
    """`window`: bytes of the host's stream that may be under way before the first credit."""

    channel: int
    operation: str
    parameters: Parameters = NOTHING
    window: int = 0


class Accept(NamedTuple):
    """`about["taken"]`, when there, is where the client's stream goes on; `window` counts from there."""

    channel: int
    about: Parameters = NOTHING
    window: int = 0


class Data(NamedTuple):
    channel: int
    data: bytes


class Credit(NamedTuple):
    channel: int
    taken: int
    window: int


class End(NamedTuple):
    channel: int
    note: int = 0


class Stop(NamedTuple):
    channel: int


class Log(NamedTuple):
    """`source`: 1 is the program's stderr, 2 its debug log."""

    channel: int
    source: int
    data: bytes


class Result(NamedTuple):
    channel: int
    value: Parameters = NOTHING


class Error(NamedTuple):
    """Channel 0: the whole link."""

    channel: int
    code: str
    text: str
    details: Parameters = NOTHING


class Cancel(NamedTuple):
    channel: int


class Ping(NamedTuple):
    number: int


class Pong(NamedTuple):
    number: int


class Farewell(NamedTuple):
    """`within`: milliseconds until the host is gone."""

    code: str
    text: str
    within: int


Message: TypeAlias = (
    ClientHello | HostHello | Auth | Welcome | Open | Accept | Data | Credit | End | Stop | Log | Result | Error
    | Cancel | Ping | Pong | Farewell
)  # fmt: skip

KINDS: Mapping[type, Kind] = MappingProxyType(
    dict(
        zip(
            (
                ClientHello, HostHello, Auth, Welcome, Open, Accept, Data, Credit, End, Stop, Log, Result, Error,
                Cancel, Ping, Pong, Farewell,
            ),
            Kind,
            strict=True,
        )
    )
)  # fmt: skip


def encode(message: Message) -> bytes:
    """One whole message. Its values are ours: what they may be is checked by whoever made them, and by the reader."""
    return cbor2.dumps([int(KINDS[type(message)]), *_items(message)])


def _items(message: Message) -> list[object]:
    """What follows the kind: the fields in order, except where the CDDL has one map for several of them."""
    match message:
        case ClientHello():
            return [_without_none(message._asdict())]
        case HostHello():
            return [message._asdict() | {"limits": dict(message.limits)}]
        case Welcome() | Farewell():
            return [message._asdict()]
        case Open(channel, operation, parameters, window):
            return [channel, operation, dict(parameters), window]
        case Accept(channel, about, window):
            return [channel, dict(about), window]
        case Result(channel, value):
            return [channel, dict(value)]
        case Error(channel, code, text, details):
            return [channel, dict(details) | {"code": code, "text": text[:ERROR_TEXT]}]
    return list(message)


def _without_none(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


_ONE, _TWO, _FOUR, _EIGHT = Struct(">BB"), Struct(">BH"), Struct(">BI"), Struct(">BQ")
_SMALL = tuple(bytes((number,)) for number in range(24))
_SMALL_BYTES = tuple(bytes((0x40 | number,)) for number in range(24))


def uint(number: int) -> bytes:
    """CBOR, major type 0."""
    if number < 24:
        return _SMALL[number]
    return _wide(0, number)


def _wide(major: int, number: int) -> bytes:
    if number < 1 << 8:
        return _ONE.pack(major | 24, number)
    if number < 1 << 16:
        return _TWO.pack(major | 25, number)
    if number < 1 << 32:
        return _FOUR.pack(major | 26, number)
    return _EIGHT.pack(major | 27, number)


def data_prefix(channel: int) -> bytes:
    """Where every data message of a channel begins; kept by the channel."""
    return b"\x83\x06" + uint(channel)


def data_head(prefix: bytes, size: int) -> bytes:
    """Everything of a data message before its `size` bytes of payload, which are sent beside it."""
    if size < 24:
        return prefix + _SMALL_BYTES[size]
    return prefix + _wide(0x40, size)


def credit_bytes(channel: int, taken: int, window: int) -> bytes:
    return b"\x84\x07" + uint(channel) + uint(taken) + uint(window)
