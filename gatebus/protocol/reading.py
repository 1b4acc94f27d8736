"""Bytes of a stranger become a message of gatebus.v1, once; words, no I/O.

In:  one whole binary websocket message (untrusted). Out: a frozen value (module messages) whose every field has the
type and the size that PROTOCOL.md says, or RemoteFault. What an operation's parameters mean is the operation's.

Data and credit, one or two per packet of a program, are read by position (0.5 us); everything else by the strict
decoder and a reader per kind. Both ways accept the same bytes: a test compares them.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from gatebus.bounds import (
    AGENT_TEXT,
    CHANNEL_MAX,
    COUNT_MAX,
    DATA_BYTES,
    ERROR_TEXT,
    FEATURES,
    MESSAGE_BYTES,
    NAME_TEXT,
    VERSIONS,
    WINDOW_MAX,
)
from gatebus.protocol.breaches import RemoteFault
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
    Kind,
    Log,
    Message,
    Open,
    Ping,
    Pong,
    Result,
    Stop,
    Welcome,
)
from gatebus.protocol.strictcbor import SHORTEST, decode_untrusted

T = TypeVar("T")
NOTE_MAX = 1 << 31


def parse_untrusted(data: bytes) -> Message:
    """The message that `data` is."""
    if data[:2] == b"\x83\x06":
        return data_untrusted(data)
    if data[:2] == b"\x84\x07":
        return credit_untrusted(data)
    if len(data) > MESSAGE_BYTES:
        raise RemoteFault(f"A message has more than {MESSAGE_BYTES} bytes.", "too-large")
    items = decode_untrusted(data)
    if not isinstance(items, list) or not items:
        raise RemoteFault("A message is not a CBOR array.")
    number = items[0]
    if type(number) is not int or number not in _READERS:
        raise RemoteFault("A message has an unknown number.")
    count, read = _READERS[number]
    if len(items) != count:
        raise RemoteFault(f"A message {Kind(number).name.lower()} has not {count} items.")
    return read(items)


def data_untrusted(data: bytes) -> Data:
    """A message that begins as data does: the path of every byte, so small numbers are read in place."""
    try:
        channel, at = data[2], 3
        if channel > 23:
            channel, at = _uint_untrusted(data, 2, 0)
        size = data[at] - 0x40
        if 0 <= size < 24:
            at += 1
        elif size == 24 and data[at + 1] > 23:
            size, at = data[at + 1], at + 2
        else:
            size, at = _uint_untrusted(data, at, 0x40)
    except IndexError:
        raise RemoteFault("A message ends in the middle of a value.") from None
    if at + size != len(data) or size > DATA_BYTES:
        raise RemoteFault(f"A data message has another size than it says, or carries more than {DATA_BYTES} bytes.")
    if not 0 < channel <= CHANNEL_MAX:
        raise RemoteFault(f"The number of a channel is between 1 and {CHANNEL_MAX}.")
    return Data(channel, data[at:])


def credit_untrusted(data: bytes) -> Credit:
    """A message that begins as credit does."""
    channel, at = _uint_untrusted(data, 2, 0)
    taken, at = _uint_untrusted(data, at, 0)
    window, at = _uint_untrusted(data, at, 0)
    if at != len(data):
        raise RemoteFault("A message has bytes behind its end. Send one CBOR array per websocket message.")
    return _credit([7, channel, taken, window])


def _uint_untrusted(data: bytes, at: int, major: int) -> tuple[int, int]:
    """A number of this major type at this position, and where it ends. Shortest form only."""
    low = data[at] - major if at < len(data) else -1
    if 0 <= low < 24:
        return low, at + 1
    width, smallest = SHORTEST.get(low, (0, 0))
    end = at + 1 + width
    number = int.from_bytes(data[at + 1 : end], "big")
    if not width or end > len(data) or number < smallest:
        raise RemoteFault("A number or length is missing, cut or not in its shortest form.")
    return number, end


def _number(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise RemoteFault(f"A number is missing or not between {low} and {high}.")
    return value


def _text(value: object, longest: int) -> str:
    if type(value) is not str or len(value) > longest:
        raise RemoteFault(f"A text is missing or longer than {longest} characters.")
    return value


def _blob(value: object, size: int) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise RemoteFault(f"A key, challenge or signature is missing or has not {size} bytes.")
    return value


def _bytes(value: object) -> bytes:
    if type(value) is not bytes or len(value) > DATA_BYTES:
        raise RemoteFault(f"A byte string is missing or longer than {DATA_BYTES} bytes.")
    return value


def _map(value: object) -> dict[str, object]:
    if type(value) is not dict:
        raise RemoteFault("A map is missing.")
    return value


def _list(value: object, least: int, most: int, item: Callable[[object], T]) -> tuple[T, ...]:
    if type(value) is not list or not least <= len(value) <= most:
        raise RemoteFault(f"A list is missing or has not {least} to {most} items.")
    return tuple(item(one) for one in value)


def _channel(value: object) -> int:
    return _number(value, 1, CHANNEL_MAX)


def _name(value: object) -> str:
    return _text(value, NAME_TEXT)


def _count(value: object) -> int:
    return _number(value, 0, COUNT_MAX)


def _window(value: object) -> int:
    return _number(value, 0, WINDOW_MAX)


def _client_hello(items: list[object]) -> ClientHello:
    fields = _map(items[1])
    return ClientHello(
        _list(fields.get("versions"), 1, VERSIONS, _count),
        _text(fields.get("agent"), AGENT_TEXT),
        _list(fields.get("features"), 0, FEATURES, _name),
        _blob(fields.get("challenge"), 32),
        _blob(fields["key"], 32) if "key" in fields else None,
    )


def _host_hello(items: list[object]) -> HostHello:
    fields = _map(items[1])
    return HostHello(
        _count(fields.get("version")),
        _text(fields.get("agent"), AGENT_TEXT),
        _list(fields.get("features"), 0, FEATURES, _name),
        _blob(fields.get("challenge"), 32),
        _blob(fields.get("key"), 32),
        _blob(fields.get("proof"), 64),
        {_name(name): _count(value) for name, value in _map(fields.get("limits")).items()},
    )


def _credit(items: list[object]) -> Credit:
    return Credit(_channel(items[1]), _count(items[2]), _window(items[3]))


def _error(items: list[object]) -> Error:
    channel, details = _number(items[1], 0, CHANNEL_MAX), _map(items[2])
    code, text = _name(details.pop("code", None)), _text(details.pop("text", None), ERROR_TEXT)
    return Error(channel, code, text, details)


def _farewell(items: list[object]) -> Farewell:
    fields = _map(items[1])
    code, text = _name(fields.get("code")), _text(fields.get("text"), ERROR_TEXT)
    return Farewell(code, text, _count(fields.get("within")))


# kind -> (number of items, reader); the readers may rely on the number
_READERS: Mapping[int, tuple[int, Callable[[list[object]], Message]]] = MappingProxyType(
    {
        Kind.CLIENT_HELLO: (2, _client_hello),
        Kind.HOST_HELLO: (2, _host_hello),
        Kind.AUTH: (2, lambda items: Auth(_blob(items[1], 64))),
        Kind.WELCOME: (2, lambda items: Welcome(_text(_map(items[1]).get("principal"), AGENT_TEXT))),
        Kind.OPEN: (5, lambda items: Open(_channel(items[1]), _name(items[2]), _map(items[3]), _window(items[4]))),
        Kind.ACCEPT: (4, lambda items: Accept(_channel(items[1]), _map(items[2]), _window(items[3]))),
        Kind.DATA: (3, lambda items: Data(_channel(items[1]), _bytes(items[2]))),
        Kind.CREDIT: (4, _credit),
        Kind.END: (3, lambda items: End(_channel(items[1]), _number(items[2], -NOTE_MAX, NOTE_MAX - 1))),
        Kind.STOP: (2, lambda items: Stop(_channel(items[1]))),
        Kind.LOG: (4, lambda items: Log(_channel(items[1]), _number(items[2], 1, 2), _bytes(items[3]))),
        Kind.RESULT: (3, lambda items: Result(_channel(items[1]), _map(items[2]))),
        Kind.ERROR: (3, _error),
        Kind.CANCEL: (2, lambda items: Cancel(_channel(items[1]))),
        Kind.PING: (2, lambda items: Ping(_count(items[1]))),
        Kind.PONG: (2, lambda items: Pong(_count(items[1]))),
        Kind.FAREWELL: (2, _farewell),
    }
)
