"""Shipped for whoever writes services: the contract of a service as a test; words.

    from gatebus.checks import check_service
    check_service(lambda outlet: MyService(outlet, ...))          # raises AssertionError with what was broken

In:  how one service is made. Out: nothing, or the first broken promise. No clock, no network: time is a number,
     randomness is seeded, so a failure repeats itself. gatebus.fakeprogram is for tests with trio.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gatebus.company import NOBODY, Company
from gatebus.discovery import request_content
from gatebus.fakeprogram import FakeProgram, arrived
from gatebus.faults import StateRefused, Violation
from gatebus.services.base import Offer, Outlet, Service
from gatebus.switchboard import Switchboard
from sandbox.packets import CALL, CODE_DISCOVERY, CONTENT_MAX, DATA, FLOW, INFO, PAIR, Packet, encode

__all__ = ["Answer", "Company", "FakeProgram", "Heard", "SimulatedClock", "Step", "arrived", "check_service"]

Make = Callable[[Outlet], Service]

_NAME = "under/test"
# A delayed answer may take as long as a service likes, but not for ever: seconds of simulated time.
_PATIENCE = 24 * 3600.0
# What the clock of the next host shows more: an even number of seconds, so that little is rounded.
_ELSEWHERE = 65_536.0
# Two times are the same: far more than what adding _ELSEWHERE some times rounds off, far less than any wait.
_MOMENT = 1e-6
# Of a conversation that no violation has ended.
_THE_END = "the end"


class SimulatedClock:
    """Time as a number. Give `clock` to a service that wants a clock; check_service moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Step(NamedTuple):
    """Of a conversation: some seconds pass, then the program sends this, or somebody else does something (a number)."""

    wait: float
    what: Packet | int


class Answer(NamedTuple):
    """`at`: seconds that the conversation had lasted; what passes while the program is stored is not counted."""

    at: float
    domain: int
    place: int
    content: bytes


class Heard(NamedTuple):
    """A conversation as the program saw it, and as others saw it after each step. `end`: the text of the violation that
    ended it, if one did. `waiting`: which steps were calls that had no answer by then.
    """

    answers: tuple[Answer, ...]
    seen: tuple[object, ...]
    end: str
    waiting: frozenset[int]

    def like(self, other: "Heard") -> bool:
        """The same, as far as a clock that was moved can tell."""
        pairs = zip(self.answers, other.answers, strict=False)
        same = all(mine[1:] == its[1:] and abs(mine.at - its.at) < _MOMENT for mine, its in pairs)
        return same and self[1:] == other[1:] and len(self.answers) == len(other.answers)


def check_service(
    make: Make,
    *,
    clock: SimulatedClock | None = None,
    seed: int = 0,
    rounds: int = 40,
    contents: Sequence[bytes | Packet] = (),
    company: Company = NOBODY,
) -> None:
    """Run random conversations with one service and check what every service promises (services.base).

    - each call gets at most one reply, an unanswered one keeps its place, and every packet fits the protocol; - only
    Violation is raised, whatever the program sends: any content, any order, any domain, streams that do not exist; -
    saved after any packet, or after each, and restored into a new service, it behaves from there on as one that was
    never stopped: the same answers, in the same order, at the same times; what its clock shows after that may be
    anything, and the time until then was none; - a copy that is made after any packet, with what the service has for
    one (`for_copy`), waits for no answer for ever that its original gets; - state of somebody else is refused, never
    misread; - what it queues stays bounded when nobody reads.

    `contents`: of calls, or packets, that mean something to this service; half of what is sent are such ones then.
    `company`: who else has to do with it; what they have seen of it must be the same, too.
    """
    dice, stage = random.Random(seed), _Stage(make, clock, company)  # noqa: S311 - tests want the same dice each time
    for _ in range(rounds):
        script = _random_script(dice, contents, company)
        stops = [frozenset({place}) for place in range(len(script) + 1)]
        plain = _converse(stage, script, frozenset(), _Conversation.stay)
        for pauses in (*stops, frozenset(range(len(script) + 1))):
            if company is not NOBODY:
                plain = _converse(stage, script, pauses, _Conversation.stay)
            again = _converse(stage, script, pauses, _Conversation.make_anew)
            assert again.like(plain), f"saved after packets {sorted(pauses)}, it answers otherwise"
            if len(pauses) == 1:
                _check_copy(plain, _converse(stage, script, pauses, _Conversation.make_copy), *pauses)
    _check_foreign_state(make, dice)
    _check_bounded(make, dice)


class _Stage(NamedTuple):
    """Of all conversations."""

    make: Make
    clock: SimulatedClock | None
    company: Company


def _random_script(dice: random.Random, contents: Sequence[bytes | Packet], company: Company) -> list[Step]:
    waits, others = (0.0, 0.0, 0.5, 3.0, 60.0), 0.0 if company is NOBODY else 0.4
    return [
        Step(dice.choice(waits), dice.randrange(256) if dice.random() < others else _random_packet(dice, contents))
        for _ in range(dice.randrange(1, 12))
    ]


def _random_packet(dice: random.Random, contents: Sequence[bytes | Packet]) -> Packet:
    if contents and dice.random() < 0.5:
        meant = dice.choice(contents)
        return Packet(0, CALL, meant) if isinstance(meant, bytes) else meant
    domain = dice.choices((CALL, INFO, FLOW, DATA), (20, 4, 1, 1))[0]
    content = dice.randbytes(dice.choice((0, 1, 2, 7, 8, 9, dice.randrange(64), 1000, CONTENT_MAX - 1, CONTENT_MAX)))
    if domain == CALL and dice.random() < 0.5:
        common = (b"json", b"\x00", b"\x01", bytes([dice.randrange(256)]), b"\x00\x01\x01a")
        content = dice.choice(common)
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


class _Conversation:
    """One with a service, which is saved and made anew now and then."""

    def __init__(self, stage: _Stage) -> None:
        self._make, self._clock, self._company = stage
        self._away = 0.0  # time that passed while it was stored
        if self._clock is not None:
            self._clock.now = 0.0
        self._company.begin()
        self._board = _board(self._make)
        self.answers: list[Answer] = []
        self.seen: list[object] = []
        self.waiting: list[int] = []

    @property
    def _now(self) -> float:
        return self._clock.now if self._clock is not None else 0.0

    def go(self, step: Step) -> None:
        self._pass(self._now + step.wait)
        if isinstance(step.what, int):
            self._company.happen(step.what)
        else:
            self._send(step.what)
        self._hear()
        self.seen.append(self._company.seen())

    def _send(self, packet: Packet) -> None:
        self._board.receive(encode(packet.code, packet.domain, packet.content))
        if packet.domain == CALL:
            self.waiting.append(len(self.seen))
        assert self._board.step()

    def _hear(self) -> bool:
        """True: the program was told which services are here."""
        at, packets = self._now - self._away, _taken(self._board)
        own = [each for each in packets if each.code != CODE_DISCOVERY]
        for each in own:
            if each.domain == CALL:
                assert each.place < len(self.waiting), "more replies than calls"
                del self.waiting[each.place]
        meant = [each for each in map(self._company.told, own) if each is not None]
        self.answers += [Answer(at, each.domain, each.place, each.content) for each in meant]
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

    def stay(self) -> None:
        """As it is."""
        self._company.away()
        self._hear()

    def make_anew(self) -> None:
        """At another host: its clock shows something else."""
        self._go_on(copied=False)

    def make_copy(self) -> None:
        """There, too; and it is another program."""
        self._go_on(copied=True)

    def _go_on(self, *, copied: bool) -> None:
        self._company.stop()
        self._board.pause()
        self._hear()
        saved = self._board.save()
        self._board.close()
        if self._clock is not None:
            self._clock.now += _ELSEWHERE
            self._away += _ELSEWHERE
        self._company.away()
        self._board = Switchboard({_NAME: Offer("0", self._make)})
        self._board.restore(saved, copied=copied)
        self._company.go_on()
        assert self._hear(), "a restored program is told which services are here"


def _converse(
    stage: _Stage, script: list[Step], pauses: frozenset[int], pause: Callable[[_Conversation], None]
) -> Heard:
    """There is a pause after so many packets."""
    talk = _Conversation(stage)
    try:
        for position, step in enumerate(script):
            if position in pauses:
                pause(talk)
            talk.go(step)
        if len(script) in pauses:
            pause(talk)
    except Violation as fault:
        return _checked(talk, fault.text)
    talk.patiently()
    return _checked(talk, _THE_END)


def _checked(talk: _Conversation, end: str) -> Heard:
    assert end, "a Violation needs a public text"
    return Heard(tuple(talk.answers), tuple(talk.seen), end, frozenset(talk.waiting))


def _check_copy(original: Heard, copy: Heard, made: int) -> None:
    """After so many packets. What it asks later is another conversation."""
    if original.end == copy.end == _THE_END:
        for_ever = [step for step in copy.waiting - original.waiting if step < made]
        assert not for_ever, f"in a copy made after packet {made} the calls {for_ever} are never answered"


def _check_foreign_state(make: Make, dice: random.Random) -> None:
    for number in range(200):
        state, service = dice.randbytes(dice.randrange(1, 40)), make(_Deaf())
        try:
            state = service.for_copy(state) if number % 2 else state
            if state:
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
