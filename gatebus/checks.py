"""Shipped for whoever writes services: the contract of a service as a test, and a program without a sandbox.

    from gatebus.checks import check_service
    check_service(lambda outlet: MyService(outlet, ...))          # raises AssertionError with what was broken

In:  how one service is made. Out: nothing, or the first broken promise. No clock, no network: time is a number,
     randomness is seeded, so a failure repeats itself. FakeProgram is the program's side of an Exchange for tests
     with trio (with MockClock, if time matters).
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from gatebus.discovery import request_content
from gatebus.faults import StateRefused, Violation
from gatebus.services.base import Offer, Outlet, Service
from gatebus.switchboard import Switchboard
from sandbox.errors import BrokenProgram
from sandbox.outcome import Cause
from sandbox.packets import CALL, CODE_DISCOVERY, CONTENT_MAX, DATA, FLOW, HEADER, INFO, PAIR, Packet, encode, padded

Make = Callable[[Outlet], Service]

_NAME = "under/test"
# A delayed answer may take as long as a service likes, but not for ever: seconds of simulated time.
_PATIENCE = 24 * 3600.0
# What the clock of the next host shows more: an even number of seconds, so that little is rounded.
_ELSEWHERE = 65_536.0
# Two times are the same: far more than what adding _ELSEWHERE some times rounds off, far less than any wait.
_MOMENT = 1e-6


class SimulatedClock:
    """Time as a number. Give `clock` to a service that wants a clock; check_service moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Step(NamedTuple):
    """Of a conversation: the program waits for some seconds, then it sends this."""

    wait: float
    packet: Packet


class Answer(NamedTuple):
    """`at`: seconds that the conversation had lasted; what passes while the program is stored is not counted."""

    at: float
    domain: int
    place: int
    content: bytes


class Heard(NamedTuple):
    """A conversation as the program saw it. `end`: the text of the violation that ended it, if one did."""

    answers: tuple[Answer, ...]
    end: str

    def like(self, other: "Heard") -> bool:
        """The same, as far as a clock that was moved can tell."""
        pairs = zip(self.answers, other.answers, strict=False)
        same = all(mine[1:] == its[1:] and abs(mine.at - its.at) < _MOMENT for mine, its in pairs)
        return same and self.end == other.end and len(self.answers) == len(other.answers)


def check_service(
    make: Make,
    *,
    clock: SimulatedClock | None = None,
    seed: int = 0,
    rounds: int = 40,
    contents: Sequence[bytes] = (),
) -> None:
    """Run random conversations with one service and check what every service promises (services.base).

    - each call gets at most one reply, an unanswered one keeps its place, and every packet fits the protocol; - only
    Violation is raised, whatever the program sends: any content, any order, any domain, streams that do not exist; -
    saved after any packet, or after each, and restored into a new service, it behaves from there on as one that was
    never stopped: the same answers, in the same order, at the same times; what its clock shows after that may be
    anything, and the time until then was none; - state of somebody else is refused, never misread; - what it queues
    stays bounded when nobody reads.

    `contents`: of calls that mean something to this service; half of all calls are such ones then.
    """
    dice = random.Random(seed)  # noqa: S311 - tests want the same dice each time
    for _ in range(rounds):
        script = _random_script(dice, contents)
        plain = _converse(make, clock, script, frozenset())
        stops = [frozenset({place}) for place in range(len(script) + 1)]
        for pauses in (*stops, frozenset(range(len(script) + 1))):
            again = _converse(make, clock, script, pauses)
            assert again.like(plain), f"saved after packets {sorted(pauses)}, it answers otherwise"
    _check_foreign_state(make, dice)
    _check_bounded(make, dice)


def _random_script(dice: random.Random, contents: Sequence[bytes]) -> list[Step]:
    waits = (0.0, 0.0, 0.5, 3.0, 60.0)
    return [Step(dice.choice(waits), _random_packet(dice, contents)) for _ in range(dice.randrange(1, 12))]


def _random_packet(dice: random.Random, contents: Sequence[bytes]) -> Packet:
    domain = dice.choices((CALL, INFO, FLOW, DATA), (20, 4, 1, 1))[0]
    content = dice.randbytes(dice.choice((0, 1, 2, 7, 8, 9, dice.randrange(64), 1000, CONTENT_MAX - 1, CONTENT_MAX)))
    if domain == CALL and dice.random() < 0.5:
        common = (b"json", b"\x00", b"\x01", bytes([dice.randrange(256)]), b"\x00\x01\x01a")
        content = dice.choice(contents or common)
    if domain in (FLOW, DATA):
        content = PAIR.pack(dice.randrange(-1, 3), dice.randrange(-1, 2000)) + content[: CONTENT_MAX - PAIR.size]
    return Packet(0, domain, content)


def _board(make: Make) -> Switchboard:
    board = Switchboard({_NAME: Offer("0", make)})
    board.receive(encode(CODE_DISCOVERY, CALL, request_content((_NAME,))))
    assert board.step()
    _taken(board)
    return board


def _taken(board: Switchboard) -> list[Packet]:
    data = board.take()
    board.sent(len(data))
    packets, rest = arrived(data)
    assert not rest
    return packets


def arrived(data: bytes) -> tuple[list[Packet], bytes]:
    """What a guest reads: whole packets that the host made, and the beginning of one that is still under way."""
    packets, at = [], 0
    while at + HEADER.size <= len(data):
        size, code, domain, index = HEADER.unpack_from(data, at)
        if at + padded(size) > len(data):
            break
        packets.append(Packet(code, domain, bytes(data[at + HEADER.size : at + size]), index))
        at += padded(size)
    return packets, bytes(data[at:])


class _Conversation:
    """One with a service, which is saved and made anew now and then."""

    def __init__(self, make: Make, clock: SimulatedClock | None) -> None:
        self._make, self._clock = make, clock
        self._away = 0.0  # time that passed while it was stored
        if clock is not None:
            clock.now = 0.0
        self._board = _board(make)
        self.answers: list[Answer] = []
        self.calls = 0

    @property
    def _now(self) -> float:
        return self._clock.now if self._clock is not None else 0.0

    def send(self, step: Step) -> None:
        self._pass(self._now + step.wait)
        packet = step.packet
        self._board.receive(encode(packet.code, packet.domain, packet.content))
        self.calls += packet.domain == CALL
        assert self._board.step()
        self._hear()

    def _hear(self) -> bool:
        """True: the program was told which services are here."""
        at, packets = self._now - self._away, _taken(self._board)
        own = [each for each in packets if each.code != CODE_DISCOVERY]
        self.answers += [Answer(at, each.domain, each.place, each.content) for each in own]
        return len(own) < len(packets)

    def _pass(self, until: float) -> None:
        """Time, and what is due in it."""
        if self._clock is not None:
            while (due := self._board.next_timeout()) is not None and due <= until:
                self._ring(due)
            self._clock.now = max(until, self._clock.now)

    def _ring(self, due: float) -> None:
        assert self._clock is not None, (
            "a service that waits needs check_service(..., clock=the clock that it was given)"
        )
        self._clock.now = max(due, self._clock.now)
        self._board.timeout(self._clock.now)
        self._hear()

    def patiently(self) -> None:
        """All that is still to come."""
        last, started = self._now, self._now
        while (due := self._board.next_timeout()) is not None:
            assert last - _MOMENT <= due <= started + _PATIENCE, "a service must not wait backwards or for ever"
            last = due
            self._ring(due)

    def make_anew(self) -> None:
        """At another host: its clock shows something else."""
        saved = self._board.save()
        self._board.close()
        if self._clock is not None:
            self._clock.now += _ELSEWHERE
            self._away += _ELSEWHERE
        self._board = Switchboard({_NAME: Offer("0", self._make)})
        self._board.restore(saved)
        assert self._hear(), "a restored program is told which services are here"


def _converse(make: Make, clock: SimulatedClock | None, script: list[Step], pauses: frozenset[int]) -> Heard:
    """The service is saved and made anew after so many packets."""
    talk = _Conversation(make, clock)
    try:
        for position, step in enumerate(script):
            if position in pauses:
                talk.make_anew()
            talk.send(step)
        if len(script) in pauses:
            talk.make_anew()
    except Violation as fault:
        return _checked(talk, fault.text)
    talk.patiently()
    return _checked(talk, "the end")


def _checked(talk: _Conversation, end: str) -> Heard:
    assert end, "a Violation needs a public text"
    unanswered = talk.calls - sum(answer.domain == CALL for answer in talk.answers)
    assert unanswered >= 0, "more replies than calls"
    return Heard(tuple(talk.answers), end)


def _check_foreign_state(make: Make, dice: random.Random) -> None:
    for _ in range(100):
        state = dice.randbytes(dice.randrange(1, 40))
        service = make(_Deaf())
        try:
            service.restore(state)
        except StateRefused:
            continue
        # Whatever it took for its own, it can say again: nothing is half understood.
        again = make(_Deaf())
        again.restore(service.save())


def _check_bounded(make: Make, dice: random.Random) -> None:
    """A program that calls and never reads: it is stopped by the protocol's bound on calls, or by its full queue."""
    board = _board(make)
    try:
        for _ in range(100_000):
            if not board.room:
                return
            board.receive(encode(0, CALL, dice.choice((b"", b"\xff", b"json"))))
            assert board.step()
    except Violation:
        return
    raise AssertionError("a program that never reads was served 100,000 times")


class _Deaf:
    """An outlet that nobody listens to."""

    room = 1 << 20

    def reply(self, ticket: int, content: bytes = b"") -> None: ...

    def info(self, content: bytes) -> None: ...

    def flow(self, *changes: object) -> None: ...

    def data(self, chunk: object) -> None: ...

    def relay(self, run: object, stream: int) -> None: ...


@dataclass
class FakeProgram:
    """What sandbox.Program is to an Exchange, with a test in the guest's place.

    `buffer` is what the kernel would hold for a guest that does not read.
    """

    buffer: int = 64 * 1024
    killed: Cause | None = None
    _output: deque[bytes] = field(default_factory=deque)
    _input: bytearray = field(default_factory=bytearray)
    _partial: bytes = b""
    _packets: list[Packet] = field(default_factory=list)
    _ended: bool = False
    _changed: trio.Event = field(default_factory=trio.Event)

    # The exchange's side.

    @property
    def said_all(self) -> bool:
        return self._ended and not self._output

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._output:
            if self._ended:
                return b""
            await self._change()
        batch = b"".join(self._output)
        self._output.clear()
        self._note()
        return batch

    def send_nowait(self, data: bytes) -> int:
        if self._ended:
            raise BrokenProgram("program-gone", "The program is gone.")
        taken = min(len(data), self.buffer - len(self._input))
        self._input += data[:taken]
        self._note()
        return taken

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        sent = 0
        while (sent := sent + self.send_nowait(data[sent : sent + self.buffer])) < len(data):
            await self._change()

    def kill(self, cause: Cause = Cause.KILLED) -> None:
        self.killed = self.killed or cause
        self.end()

    # The guest's side.

    def write(self, *packets: bytes) -> None:
        """What the guest sends, as one batch with whatever was not read yet."""
        self._output.extend(packets)
        self._note()

    def discover(self, *names: str) -> None:
        self.write(encode(CODE_DISCOVERY, CALL, request_content(names)))

    @property
    def unread(self) -> int:
        """Bytes of output that the exchange has not taken: back-pressure on the guest."""
        return sum(map(len, self._output))

    async def read(self) -> Packet:
        """The next packet that arrives at the guest."""
        while not self._packets:
            self._partial += self._input
            self._input.clear()
            self._note()
            self._packets, self._partial = arrived(self._partial)
            if not self._packets:
                await self._change()
        return self._packets.pop(0)

    def end(self) -> None:
        self._ended = True
        self._note()

    async def _change(self) -> None:
        await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
