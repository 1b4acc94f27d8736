"""Shipped for whoever writes services: the contract of a service as a test, and a program without a sandbox.

    from gatebus.checks import check_service
    check_service(lambda outlet: MyService(outlet, ...))          # raises AssertionError with what was broken

In:  how one service is made. Out: nothing, or the first broken promise. No clock, no network: time is a number,
     randomness is seeded, so a failure repeats itself. FakeProgram is the program's side of an Exchange for tests
     with trio (with MockClock, if time matters).
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

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


class SimulatedClock:
    """Time as a number. Give `clock` to a service that wants a clock; check_service moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def check_service(make: Make, *, clock: SimulatedClock | None = None, seed: int = 0, rounds: int = 40) -> None:
    """Run random conversations with one service and check what every service promises (services.base).

    - each call gets at most one reply, an unanswered one keeps its place, and every packet fits the protocol; - only
    Violation is raised, whatever the program sends: any content, any order, any domain, streams that do not exist; -
    saved and restored after any packet, it gives the same answers; state of somebody else is refused, never misread;
    - what it queues stays bounded when nobody reads.
    """
    dice = random.Random(seed)  # noqa: S311 - tests want the same dice each time
    for _ in range(rounds):
        script = _random_script(dice)
        plain = _converse(make, clock, script)
        for pause in sorted({0, len(script) // 2, len(script), dice.randrange(len(script) + 1)}):
            assert _converse(make, clock, script, pause) == plain, f"saved after packet {pause}, it answers otherwise"
    _check_foreign_state(make, dice)
    _check_bounded(make, dice)


def _random_script(dice: random.Random) -> list[Packet]:
    return [_random_packet(dice) for _ in range(dice.randrange(1, 12))]


def _random_packet(dice: random.Random) -> Packet:
    domain = dice.choices((CALL, INFO, FLOW, DATA), (10, 2, 1, 1))[0]
    content = dice.randbytes(dice.choice((0, 1, 2, 7, 8, 9, dice.randrange(64), 1000, CONTENT_MAX - 1, CONTENT_MAX)))
    if domain == CALL and dice.random() < 0.5:
        content = dice.choice((b"json", b"\x00", b"\x01", bytes([dice.randrange(256)]), b"\x00\x01\x01a"))
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


def _converse(make: Make, clock: SimulatedClock | None, script: list[Packet], pause: int | None = None) -> list[object]:
    """All answers in order; the service is saved and made anew after `pause` packets."""
    if clock is not None:
        clock.now = 0.0
    board, answers, calls = _board(make), [], 0
    try:
        for position, packet in enumerate(script):
            if position == pause:
                board = _made_anew(board, make)
            board.receive(encode(packet.code, packet.domain, packet.content))
            calls += packet.domain == CALL
            assert board.step()
            answers += _taken(board)
        if len(script) == pause:
            board = _made_anew(board, make)
    except Violation as fault:
        return _checked(answers, calls, fault.text)
    answers += _patiently(board, clock)
    return _checked(answers, calls, "the end")


def _made_anew(board: Switchboard, make: Make) -> Switchboard:
    saved = board.save()
    board.close()
    another = Switchboard({_NAME: Offer("0", make)})
    another.restore(saved)
    announced = _taken(another)
    assert announced[-1].code == CODE_DISCOVERY, "a restored program is told which services are there"
    return another


def _patiently(board: Switchboard, clock: SimulatedClock | None) -> list[Packet]:
    answers, last = [], 0.0
    while (due := board.next_timeout()) is not None:
        assert last <= due <= _PATIENCE, "a service must not wait backwards or for ever"
        assert clock is not None, "a service that waits needs check_service(..., clock=the clock that it was given)"
        clock.now = last = max(due, clock.now)
        board.timeout(clock.now)
        answers += _taken(board)
    return answers


def _checked(answers: list[Packet], calls: int, end: str) -> list[object]:
    assert end, "a Violation needs a public text"
    unanswered = calls - sum(answer.code == 0 and answer.domain == CALL for answer in answers)
    assert unanswered >= 0, "more replies than calls"
    return [*((answer.domain, answer.place, answer.content) for answer in answers), end]


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
