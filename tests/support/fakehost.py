"""A host without a sandbox, for tests of clients: real sessions and links in memory, programs that are five lines of
Python.

Its programs are named by what they do: `echo`, `count N` (N bytes, then its end), `wait` (until killed), `mute` (never
reads), `lacking` (its module is gone after all). Streams live here and outlive links, as at the real host. Everything
that was opened is in `opened`.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cbor2
import trio

from gatebus.client.connecting import Manner, connected
from gatebus.client.handshake import Introduction
from gatebus.client.signers import as_signer
from gatebus.client.trustfile import ExactKey
from gatebus.protocol import Authenticated, Broken, Role, Session, Settings, State
from gatebus.protocol.messages import (
    Accept,
    Cancel,
    ClientHello,
    Data,
    Error,
    Farewell,
    Log,
    Message,
    Open,
    Ping,
    Pong,
    Result,
    Welcome,
)
from gatebus.protocol.proofs import public_key, sign
from gatebus.protocol.streams import Flows, Inflow, Outflow
from gatebus.web.link import LinkClosed
from gatebus.web.memorylink import MemoryNetwork
from gatebus.web.memorytransport import Wires

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gatebus.client import Bus
    from gatebus.web.link import Link

SEED = b"fake host's own private key 32 b"
KEY = public_key(SEED)
ID = b"i" * 16
OUTCOME = {"state": "ENDED", "cause": "NORMAL", "result": 0, "usage": {"cpu_ms": 1, "bytes_in": 2}}


def pattern(size: int, start: int = 0) -> bytes:
    """Bytes that say where they are."""
    return bytes((at * 7 + (at >> 8)) & 255 for at in range(start, start + size))


@dataclass
class Program:
    """One stream and what its program does with it."""

    does: str
    flows: Flows
    window: int
    waiting: bytes = b""
    made: int = 0
    killed: bool = False
    answer: dict[str, Any] | None = None

    def step(self) -> None:
        out, into = self.flows
        word, *numbers = self.does.split()
        if word == "echo":
            piece, self.waiting = self.waiting[: out.room], self.waiting[out.room :]
            out.append(piece)
            into.consume(len(piece))
            if into.finished is not None and not self.waiting:
                out.end(into.finished)
        elif word == "count":
            size = min(out.room, int(numbers[0]) - self.made)
            out.append(pattern(size, self.made))
            self.made += size
            if self.made == int(numbers[0]):
                out.end()
        elif word == "deaf" and not into.stopped:
            into.stop()
        if self.killed:
            self.answer = {"outcome": OUTCOME | {"cause": "KILLED"}}
        elif (out.note is not None and out.held == out.sent - out.taken) or (word == "quick"):
            self.answer = {"outcome": OUTCOME}


@dataclass
class FakeHost:
    """`refuse`: operation -> (code, text). `known`: modules by hash. `on_open` may act before an operation is
    handled."""

    refuse: dict[str, tuple[str, str]] = field(default_factory=dict)
    known: dict[bytes, bytes] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    opened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    streams: dict[bytes, Program] = field(default_factory=dict)
    partial: dict[bytes, bytearray] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    window: int = 1000
    features: tuple[str, ...] = ()
    on_open: Callable[[str], None] = lambda operation: None
    network: MemoryNetwork = field(init=False)
    wires: Callable[[], tuple[Wires, Wires]] = lambda: (Wires(), Wires())

    def __post_init__(self) -> None:
        self.network = MemoryNetwork(self.attend, wires=self._make_wires)

    def _make_wires(self) -> tuple[Wires, Wires]:
        return self.wires()  # a test may change it later

    async def attend(self, link: Link) -> None:
        attendant = _Attendant(self, link)
        try:
            await attendant.run()
        except LinkClosed:
            return

    @asynccontextmanager
    async def client(self, key: bytes | None = None, **manner: Any) -> AsyncIterator[Bus]:
        """A bus to this host."""
        ours = Introduction("test", as_signer(key), ExactKey(KEY))
        dialling = self.network.dial
        async with self.network.running(), connected(dialling, ours, Manner(dice=lambda: 1.0, **manner)) as bus:
            yield bus

    def programs(self, does: str) -> list[Program]:
        return [program for program in self.streams.values() if program.does == does]


class _Attendant:
    def __init__(self, host: FakeHost, link: Link) -> None:
        self.host, self.link = host, link
        self.session = Session(Role.HOST, self._settings(), trio.current_time())
        self.carried: dict[int, Program] = {}
        self.uploads: dict[int, tuple[bytes, int]] = {}
        self.names: dict[int, str] = {}

    def _settings(self) -> Settings:
        return Settings("fake", KEY, features=self.host.features, limits={"linger_ms": 30_000})

    async def run(self) -> None:
        while self.session.state not in (State.CLOSED, State.ERROR):
            for event in self.session.receive_many(await self.link.receive_many()):
                self.heard(event)
            for number in tuple(self.carried):
                self.move(number)
            self.link.flush()

    def say(self, message: Message) -> None:
        self.link.write(self.session.send(message))

    def heard(self, event: object) -> None:
        match event:
            case ClientHello(key=key):
                self.link.write(self.session.greet(b"c" * 32, lambda statement: sign(SEED, statement)))
                if key is None:
                    self.enter("anonymous")
            case Authenticated(key):
                self.enter(key.hex())
            case Open():
                self.open(event)
            case Data(number, data):
                self.data(number, data)
            case Cancel(number):
                self.cancel(number)
            case Ping(number):
                self.say(Pong(number))
            case Broken():
                raise AssertionError(event)

    def enter(self, who: str) -> None:
        if "welcome" in self.host.refuse:
            self.say(Error(0, *self.host.refuse["welcome"]))
            return
        self.say(Welcome(who))

    def open(self, opened: Open) -> None:
        number, operation, given, _ = opened
        self.host.opened.append((operation, dict(given)))
        self.names[number] = operation
        self.host.on_open(operation)
        if operation in self.host.refuse:
            self.say(Error(number, *self.host.refuse[operation]))
        elif operation in self.host.answers:
            self.say(Result(number, self.host.answers[operation]))
        elif operation in ("call", "io"):
            self.begin(number, given)
        elif operation == "attach":
            self.attach(number, given)
        elif operation == "upload":
            self.upload(number, given)
        elif operation == "download":
            self.download(number, given)
        elif operation == "events":
            self.events(number, given)

    def begin(self, number: int, given: Any) -> None:
        if given["stream"] in self.host.streams:
            self.say(Error(number, "stream-exists", "There is a stream of this name."))
            return
        module = given.get("module", "fake://echo")
        if isinstance(module, bytes):
            if module not in self.host.known:
                self.say(Error(number, "not-found", "There is no such module."))
                return
            module = "fake://" + self.host.known[module].partition(b"#")[2].decode()
        first = given.get("input", b"")
        flows = Flows(Outflow(), Inflow(max(self.host.window, len(first))))
        flows.into.arrived(len(first))
        if "end" in given:
            self.session.flows(number).into.end(given["end"])
        program = Program(module.removeprefix("fake://"), flows, self.host.window, first)
        self.host.streams[given["stream"]] = self.carried[number] = program
        self.link.write(self.session.resume(number, flows, 0, {"instance": ID}))
        if program.does == "noisy":
            self.say(Log(number, 1, b"to stderr"))
        if program.does == "lacking":
            del self.carried[number]
            self.say(Error(number, "not-found", "There is no such module."))

    def attach(self, number: int, given: Any) -> None:
        program = self.host.streams.get(given["stream"])
        if program is None:
            self.say(Error(number, "not-found", "There is no such stream, or it is not yours."))
            return
        self.link.write(self.session.resume(number, program.flows, given["taken"], {"instance": ID}))
        self.carried[number] = program

    def upload(self, number: int, given: Any) -> None:
        sha256, size = given["sha256"], given["size"]
        known = sha256 in self.host.known
        have = self.host.partial.setdefault(sha256, bytearray())
        if known:
            self.say(Result(number, {"module": sha256, "size": size, "known": True}))
            return
        self.uploads[number] = sha256, size
        self.say(Accept(number, {"taken": len(have)}, self.host.window))
        self.uploaded(number)

    def uploaded(self, number: int) -> None:
        sha256, size = self.uploads[number]
        have = self.host.partial[sha256]
        if len(have) == size:
            assert hashlib.sha256(have).digest() == sha256
            self.host.known[sha256] = bytes(have)
            self.say(Result(number, {"module": sha256, "size": size, "known": False}))

    def download(self, number: int, given: Any) -> None:
        content = self.host.known.get(given["sha256"])
        if content is None:
            self.say(Error(number, "not-found", "There is no such file."))
            return
        program = Program("sent", self.session.flows(number), 0)
        program.flows.out.append(content)
        program.flows.out.end()
        self.say(Accept(number, {"size": len(content)}, 0))
        self.carried[number] = program

    def events(self, number: int, given: Any) -> None:
        self.say(Accept(number, {}, 0))
        since = given.get("since", 0)
        out = self.session.flows(number).out
        for event in range(since + 1, since + 4):
            out.append(cbor2.dumps({"number": event, "event": "started", "instance": ID}))
        self.carried[number] = Program("wait", self.session.flows(number), 0)

    def data(self, number: int, data: bytes) -> None:
        if number in self.uploads:
            self.host.partial[self.uploads[number][0]].extend(data)
            self.session.flows(number).into.consume(len(data))
            for parts in self.session.unsent(number):
                self.link.write(*parts)
            self.uploaded(number)
        elif number in self.carried:
            self.carried[number].waiting += data

    def cancel(self, number: int) -> None:
        self.host.cancelled.append(self.names[number])
        if number in self.carried:
            self.carried[number].killed = True
        else:
            self.say(Result(number, {}))

    def move(self, number: int) -> None:
        program = self.carried[number]
        program.step()
        for parts in self.session.unsent(number):
            self.link.write(*parts)
        program.step()
        if program.answer is not None:
            del self.carried[number]
            self.say(Result(number, program.answer))


def farewell(within: int = 1000) -> Farewell:
    return Farewell("stopping", "The host stops.", within)
