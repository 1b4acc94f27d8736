"""A host with fake programs and links in memory, and a client that says exactly what a test wants.

In:  Python functions as programs, a HostConfig. Out: `async with bus_world() as world, world.talker() as bus`.
The talker drives the product's client session and nothing more: it answers nothing by itself, and what came for each
channel can be waited for. Nothing here sleeps; simulated clocks are moved by the test.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count, product
from typing import TYPE_CHECKING, Any

import trio

from gatebus.bounds import STREAM_WINDOW_LEAST
from gatebus.host.principals import by_key
from gatebus.host.server import Host
from gatebus.protocol import Flows, Role, Session, Settings
from gatebus.protocol.messages import (
    Accept,
    Auth,
    Cancel,
    Credit,
    Data,
    End,
    Error,
    HostHello,
    Log,
    Message,
    Result,
    Stop,
    Welcome,
)
from gatebus.protocol.proofs import public_key, sign
from gatebus.web.link import Link, LinkClosed, Peer
from gatebus.web.memorylink import MemoryNetwork
from sandbox.form import Form
from sandbox.outcome import Cause
from sandbox.packets import DATA, FLOW, PAIR, encode_data, encode_flow
from sandbox.testing import Exit, FakeGuest, Script, Trap, open_fake_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from gatebus.host.hostconfig import HostConfig

ALICE, BOB = b"alice".ljust(32), b"bob".ljust(32)  # seeds of keys that the host knows
NAMES = {public_key(ALICE): "alice", public_key(BOB): "bob"}
WINDOW = 1 << 20
_CREDIT = 1 << 16


class Streams:
    """What a fake program does with its first connection: credit both ways, as the runtime's C half does it."""

    def __init__(self, guest: FakeGuest, credit: int = WINDOW) -> None:
        self._guest = guest
        self._credit = credit  # what we may send
        self.ended = self.refused = False
        self._unread = bytearray()
        self._given = 0

    async def read(self) -> bytes:
        """Gives credit for one packet, and waits for it; b"" at the end."""
        if not self._given:
            self._given = _CREDIT  # what is under way to us fits a pipe: we need not read while we write
            await self._guest.send(encode_flow(0, [(0, _CREDIT)]))
        while not self._unread and not self.ended:
            await self._next()
        data, self._unread = bytes(self._unread), bytearray()
        return data

    async def _next(self) -> None:
        packet = await self._guest.receive()
        if packet.domain == FLOW:
            for stream, value in PAIR.iter_unpack(packet.content):
                assert stream == 0
                self._credit += max(0, value)
                self.refused = self.refused or value == 0
        if packet.domain == DATA:
            self.ended = self.ended or len(packet.content) == PAIR.size
            self._unread += packet.content[PAIR.size :]
            self._given -= len(packet.content) - PAIR.size

    async def write(self, data: bytes) -> None:
        while data and not self.refused:
            while not self._credit and not self.refused:
                await self._next()
            piece, data = data[: min(self._credit, 60_000)], data[min(self._credit, 60_000) :]
            self._credit -= len(piece)
            await self._guest.send(encode_data(0, 0, piece))

    async def end(self, note: int = 0) -> None:
        await self._guest.send(encode_data(0, 0, b"", note))


async def hello(guest: FakeGuest) -> None:
    await Streams(guest).write(b"hello")


async def echo(guest: FakeGuest) -> None:
    await _echo(Streams(guest))


async def narrow(guest: FakeGuest) -> None:
    """As echo, of an account that has many streams."""
    await _echo(Streams(guest, STREAM_WINDOW_LEAST))


async def _echo(streams: Streams) -> None:
    while data := await streams.read():
        await streams.write(data)
    await streams.end()


async def flood(guest: FakeGuest) -> None:
    """Writes for ever, each byte saying where it is."""
    streams, at = Streams(guest), 0
    while not streams.refused:
        await streams.write(pattern(at, 10_000))
        at += 10_000


async def eight(guest: FakeGuest) -> None:
    await Streams(guest).write(pattern(0, 8_000))


async def busy(guest: FakeGuest) -> None:
    await trio.sleep_forever()


async def deaf(guest: FakeGuest) -> None:
    await guest.send(encode_flow(0, [(0, 0)]))
    await trio.sleep_forever()


async def trap(guest: FakeGuest) -> None:
    raise Trap(Cause.UNREACHABLE, "by itself")


async def seven(guest: FakeGuest) -> None:
    raise Exit(7)


async def nonsense(guest: FakeGuest) -> None:
    await guest.send(b"\xff" * 64)
    await trio.sleep_forever()


async def logs(guest: FakeGuest) -> None:
    for number in range(10):
        await guest.log(b"line %d\n" % number)


async def arguments(guest: FakeGuest) -> None:
    said = [*guest.arguments, *(f"{name}={value}" for name, value in sorted(guest.environment.items()))]
    await Streams(guest).write("\n".join(said).encode())


def pattern(start: int, size: int) -> bytes:
    """Bytes of which any piece tells where it belongs."""
    first = start // 4
    words = b"".join((number & 0xFFFFFFFF).to_bytes(4, "big") for number in range(first, first + size // 4 + 2))
    return words[start - 4 * first :][:size]


PROGRAMS: Mapping[bytes, Script] = {
    script.__name__.encode(): script
    for script in (hello, echo, narrow, flood, eight, busy, deaf, trap, seven, nonsense, logs, arguments)
}


def module(script: Callable[..., Awaitable[Any]] | bytes) -> bytes:
    """Its hash."""
    return sha256(script if isinstance(script, bytes) else script.__name__.encode()).digest()


@dataclass
class Channel:
    """What came for it."""

    bus: Talker
    number: int
    stream: bytes
    data: bytearray = field(default_factory=bytearray)
    heard: list[Message] = field(default_factory=list)
    flows: Flows | None = None
    reading: bool = True

    @property
    def answer(self) -> Result | Error | None:
        return next((each for each in self.heard if isinstance(each, Result | Error)), None)

    @property
    def accepted(self) -> Accept | None:
        return next((each for each in self.heard if isinstance(each, Accept)), None)

    async def until(self, holds: Callable[[Channel], object]) -> Channel:
        """Whatever came before is looked at first."""
        while not holds(self):
            await self.bus.hear()
        return self

    async def result(self) -> dict[str, Any]:
        """Of an operation that succeeds."""
        await self.until(lambda each: each.answer)
        assert isinstance(self.answer, Result), self.answer
        return dict(self.answer.value)

    async def error(self) -> Error:
        await self.until(lambda each: each.answer)
        assert isinstance(self.answer, Error), self.answer
        return self.answer

    def write(self, data: bytes) -> None:
        assert self.flows is not None
        self.flows.out.append(data)
        self.bus.send_unsent(self.number)

    def end(self) -> None:
        assert self.flows is not None
        self.flows.out.end()
        self.bus.send_unsent(self.number)

    def stop(self) -> None:
        assert self.flows is not None
        self.flows.into.stop()
        self.bus.send_unsent(self.number)

    def cancel(self) -> None:
        self.bus.say_raw(self.bus.session.send(Cancel(self.number)))


class Talker:
    """One client over one link."""

    def __init__(self, link: Link, seed: bytes | None) -> None:
        self.link = link
        self._seed = seed
        key = public_key(seed) if seed is not None else None
        self.session = Session(Role.CLIENT, Settings("talker", key), 0.0)
        self.channels: dict[int, Channel] = {}
        self.heard: deque[object] = deque(maxlen=1_000)  # a long run hears more than it can keep
        self.principal = ""
        self._streams = count(1)

    def say_raw(self, *parts: bytes | memoryview) -> None:
        self.link.write(*parts)
        self.link.flush()

    async def greet(self) -> None:
        self.say_raw(self.session.hello(b"c" * 32))
        while not self.principal:
            await self.hear()

    async def hear(self) -> None:
        """The next batch. LinkClosed at the end."""
        for event in self.session.receive_many(await self.link.receive_many()):
            self.heard.append(event)
            self._understand(event)

    def _understand(self, event: object) -> None:
        match event:
            case HostHello() if self._seed is not None:
                self.say_raw(self.session.send(Auth(sign(self._seed, self.session.proof_to_sign()))))
            case Welcome(principal):
                self.principal = principal
            case Data(number, data):
                channel = self.channels[number]
                channel.data += data
                if channel.reading and channel.flows is not None:
                    channel.flows.into.consume(len(data))
                    self.send_unsent(number)
            case Credit(number):
                self.send_unsent(number)
            case Error(0):
                pass
            case Accept(number) | Result(number) | Error(number) | Log(number) | End(number) | Stop(number):
                channel = self.channels[number]
                channel.heard.append(event)
                if isinstance(event, Accept) and self.session.is_open(number):
                    channel.flows = self.session.flows(number)
                    self.send_unsent(number)

    def send_unsent(self, number: int) -> None:
        for parts in self.session.unsent(number):
            self.link.write(*parts)
        self.link.flush()

    def open(self, operation: str, parameters: Mapping[str, object], window: int = WINDOW) -> Channel:
        number, message = self.session.open(operation, parameters, window)
        stream = parameters.get("stream")
        self.channels[number] = Channel(self, number, stream if isinstance(stream, bytes) else b"")
        self.say_raw(message)
        return self.channels[number]

    async def ask(self, operation: str, **parameters: object) -> dict[str, Any]:
        channel = self.open(operation, parameters, 0)
        try:
            return await channel.result()
        finally:
            self.forget(channel)

    def forget(self, channel: Channel) -> None:
        """An answered one: 10,000 answers would be taken for what the host keeps."""
        if channel.answer is not None:
            del self.channels[channel.number]

    def call(self, program: Callable[..., Any] | bytes, *, window: int = WINDOW, **more: object) -> Channel:
        return self.open("call", {"stream": self.name(), "module": module(program), **more}, window)

    async def launch(self, program: Callable[..., Any], instance: bytes = b"i" * 16, **more: object) -> bytes:
        return (await self.ask("launch", instance=instance, module=module(program), **more))["instance"]

    def io(self, instance: bytes, window: int = WINDOW) -> Channel:
        return self.open("io", {"stream": self.name(), "instance": instance}, window)

    def attach(self, channel: Channel) -> Channel:
        """Over this link, with what the former one has."""
        assert channel.flows is not None
        number, message = self.session.open("attach", {"stream": channel.stream}, flows=channel.flows)
        new = Channel(self, number, channel.stream, channel.data, flows=channel.flows, reading=channel.reading)
        self.channels[number] = new
        self.say_raw(message)
        return new

    def name(self) -> bytes:
        """Of a stream: no two of a test are the same."""
        return id(self).to_bytes(8, "big") + next(self._streams).to_bytes(8, "big")

    async def until_closed(self) -> LinkClosed:
        try:
            while True:
                await self.hear()
        except LinkClosed as closed:
            return closed


@dataclass
class BusWorld:
    host: Host
    network: MemoryNetwork

    @asynccontextmanager
    async def talker(self, seed: bytes | None = ALICE) -> AsyncIterator[Talker]:
        """Greeted. Without a seed a stranger."""
        async with self.network.dial() as link:
            talker = Talker(link, seed)
            await talker.greet()
            yield talker


@asynccontextmanager
async def bus_world(
    config: HostConfig | None = None, programs: Mapping[bytes, Script] = PROGRAMS, peer: Peer | None = None, **more: Any
) -> AsyncIterator[BusWorld]:
    """Its programs are compiled already, as those of a host that has run for a while."""
    async with Host(
        config, known=NAMES.get, open_box=lambda: open_fake_sandbox(programs), log=Problems(), **more
    ) as host:
        for each, form in product(programs, Form):
            await host.parts.box.compile(each, form=form)
        network = MemoryNetwork(host.attend, peer)
        async with network.running():
            yield BusWorld(host, network)
        assert not host.log.problems, host.log.problems  # type: ignore[attr-defined]


class Problems:
    """A log that a test looks at: the host's own bugs fail every test."""

    def __init__(self) -> None:
        self.problems: list[dict[str, object]] = []

    def event(self, name: str, **fields: object) -> None:
        if name == "internal-error":
            self.problems.append(fields)


async def put(host: Host, program: bytes) -> None:
    """Into its store, as Alice's."""
    upload = await host.parts.store.upload(module(program), len(program), by_key(public_key(ALICE), "alice"))
    try:
        if not upload.known:
            await upload.write(program)
        await upload.finish()
    finally:
        await upload.aclose()
