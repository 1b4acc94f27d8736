"""examples/chat: a room is a program, people are connections, bots are programs of the same principal."""

from __future__ import annotations

from contextlib import asynccontextmanager
from struct import pack
from typing import TYPE_CHECKING

import trio
from guestworld import Around, board_for, guest
from waiting import PATIENCE

from gatebus.exchange import Exchange
from gatebus.peers.gathering import Member
from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.services.group import Group
from gatebus.services.origin import Door, Stream
from gatebus.turn import Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sandbox import Sandbox


class Tab:
    """Somebody in the room: writes lines, and waits for lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reading = True
        self.over = trio.Event()
        self._stream: Stream | None = None
        self._unsent = b""
        self._rest = b""
        self._held = 0
        self._news = trio.Event()

    def opened(self, stream: Stream) -> None:
        self._stream = stream
        self.ready()

    def ready(self) -> None:
        if self._stream is not None and self._unsent and self._stream.room:
            part, self._unsent = self._unsent[: self._stream.room], self._unsent[self._stream.room :]
            self._stream.feed(part)

    def data(self, data: bytes | memoryview) -> None:
        *whole, self._rest = (self._rest + bytes(data)).split(b"\n")
        self.lines += [line.decode() for line in whole]
        self._held += len(data)
        self.read()
        self._news.set()
        self._news = trio.Event()

    def read(self) -> None:
        if self.reading and self._held and self._stream is not None:
            held, self._held = self._held, 0
            self._stream.consumed(held)

    def ended(self, note: int) -> None:
        assert note == 0
        self.over.set()
        self._news.set()

    def lost(self) -> None:
        self.over.set()

    def say(self, *lines: str) -> None:
        self.write("".join(f"{line}\n" for line in lines).encode())

    def write(self, data: bytes) -> None:
        self._unsent += data
        self.ready()

    def close(self) -> None:
        assert self._stream is not None
        self._stream.end()

    async def sees(self, line: str) -> list[str]:
        """Waits for a line; everything up to it."""
        while line not in self.lines:
            assert not self.over.is_set(), self.lines
            await self._news.wait()
        at = self.lines.index(line) + 1
        seen, self.lines = self.lines[:at], self.lines[at:]
        return seen

    async def sees_all(self, lines: set[str]) -> None:
        """In any order: credit may make one line wait."""
        while not lines <= set(self.lines):
            await self._news.wait()


class Leaver(Tab):
    """Says in the moment in which its connection is over."""

    def __init__(self) -> None:
        super().__init__()
        self.on_over: Callable[[], None] = lambda: None

    def ready(self) -> None:
        super().ready()
        if self._stream is not None and self._stream.over():
            self.on_over()


class Room:
    """A room that runs, with a door."""

    def __init__(self, door: Door, neighbourhood: Neighbourhood) -> None:
        self._door = door
        self.neighbourhood = neighbourhood

    def enter(self) -> Tab:
        return self.seat(Tab())

    def seat(self, tab: Tab) -> Tab:
        assert self._door.connect(tab)
        return tab

    async def enter_as(self, name: str) -> Tab:
        tab = self.enter()
        tab.say(f"/name {name}")
        await _sees_rename(tab, name)
        return tab


async def _sees_rename(tab: Tab, name: str) -> None:
    while not any(line.startswith("# you are guest-") for line in tab.lines):
        await tab._news.wait()
    guest_name = next(line for line in tab.lines if line.startswith("# you are ")).removeprefix("# you are ")
    await tab.sees(f"= {guest_name} {name}")


@asynccontextmanager
async def open_room(box: Sandbox) -> AsyncIterator[Room]:
    image = await box.compile(guest("chat.wasm"))
    neighbourhood, door = Neighbourhood(), Door()
    around = Around(callers=(), resident=neighbourhood.admit("alice", "room-instance"), door=door, turn=Turn())
    async with box.start(image, None, around.limits) as program, trio.open_nursery() as nursery:
        exchange = Exchange(program, board_for(image.personality, around), around.turn)
        nursery.start_soon(exchange.run)
        with trio.fail_after(PATIENCE):
            yield Room(door, neighbourhood)
        nursery.cancel_scope.cancel()
    assert exchange.fault is None


async def test_two_people_meet_take_names_and_talk(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = await room.enter_as("alice")
        bob = room.enter()
        await alice.sees("+ guest-2")
        assert await bob.sees("# you are guest-2") == ["+ guest-2", "? alice guest-2", "# you are guest-2"]
        bob.say("/name bob", "hello", "/who")
        assert await alice.sees("<bob> hello") == ["= guest-2 bob", "<bob> hello"]
        alice.say("  hi bob, \tand \x07welcome ")
        await bob.sees("? alice bob")
        await bob.sees("<alice> hi bob,  and  welcome")
        bob.say("/leave")
        await alice.sees("- bob")
        await bob.over.wait()
        alice.say("/who")
        assert (await alice.sees("? alice"))[-1] == "? alice"


async def test_a_newcomer_sees_the_topic_and_what_was_said_before(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = await room.enter_as("alice")
        alice.say("/topic tea", "one", "two")
        await alice.sees("<alice> two")
        bob = room.enter()
        seen = await bob.sees("# you are guest-2")
        assert seen[1:] == ["# topic: tea", "|<alice> one", "|<alice> two", "? alice guest-2", "# you are guest-2"]


async def test_who_goes_without_a_word_has_left_too(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice, bob = await room.enter_as("alice"), await room.enter_as("bob")
        bob.close()
        await alice.sees("- bob")
        await bob.over.wait()


async def test_who_comes_while_somebody_leaves_gets_the_same_number_and_is_heard(box: Sandbox) -> None:
    """The end of one connection and the beginning of the next one arrive together."""
    newcomers: list[Tab] = []
    async with open_room(box) as room:
        alice, leaver = await room.enter_as("alice"), Leaver()
        leaver.on_over = lambda: newcomers.append(room.enter())
        room.seat(leaver)
        await leaver.sees("# you are guest-2")
        leaver.close()
        await alice.sees("+ guest-3")
        [bob] = newcomers
        bob.say("/name bob", "hello")
        await bob.sees("# you are guest-3")
        await alice.sees("<bob> hello")


async def test_what_cannot_be_done_is_told_to_who_tried_only(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice, bob = await room.enter_as("alice"), await room.enter_as("bob")
        bob.say("/name alice", "/name a b", "/name " + "x" * 25, "/dance", "")
        await bob.sees("! that name is taken")
        await bob.sees("! a name is at most 24 letters, digits, - _ or .")
        await bob.sees("! a name is at most 24 letters, digits, - _ or .")
        await bob.sees("! there is /name NAME, /topic TEXT, /who and /leave")
        bob.say("done")
        assert not [line for line in await alice.sees("<bob> done") if line.startswith("!")]


async def test_a_long_line_is_cut_and_one_without_an_end_waits(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = await room.enter_as("alice")
        alice.say("x" * 5000)
        await alice.sees("<alice> " + "x" * 800)
        alice.write(b"half of ")
        alice.say("a line")
        await alice.sees("<alice> half of a line")


NO_TEXT = {
    b"\xff": "?",  # never a byte of UTF-8
    b"\x80": "?",  # the rest of nothing
    b"\xc3": "?",  # ends too early
    b"\xe2\x82": "??",
    b"\xf0\x9f\x99": "???",
    b"\xc0\xaf": "??",  # longer than it need be
    b"\xe0\x9f\xbf": "???",
    b"\xf0\x8f\xbf\xbf": "????",
    b"\xed\xa0\x80": "???",  # half of a pair of UTF-16
    b"\xf4\x90\x80\x80": "????",  # behind the last character
    b"\xf8\x88\x80\x80\x80": "?????",
}


async def test_no_name_is_anything_but_text(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = room.enter()
        for number, bad in enumerate(NO_TEXT):
            alice.write(b"/name a" + bad + b"b\n")
            await alice.sees("! a name is at most 24 letters, digits, - _ or .")
            if number % 8 == 7:  # within what one may say at once
                alice = room.enter()
        alice.say("/who")
        assert (await alice.sees("? guest-1 guest-2"))[-1] == "? guest-1 guest-2"


async def test_a_name_may_have_letters_of_any_kind_but_no_control_characters(box: Sandbox) -> None:
    async with open_room(box) as room:
        await room.enter_as("élodie-\u20ac\uffff\U0001f642")
        await room.enter_as("\xa0\u07ff\u0800\ud7ff\ue000\U00010000\U0010ffff")
        carol = room.enter()
        carol.say("/name a\x9bb", "/name a\x80b", "done")
        refused = await carol.sees("<guest-3> done")
        assert refused.count("! a name is at most 24 letters, digits, - _ or .") == 2


async def test_what_is_said_arrives_as_text_whatever_was_sent(box: Sandbox) -> None:
    async with open_room(box) as room:
        bob = room.enter()
        await bob.sees("# you are guest-1")
        for number, (bad, shown) in enumerate(NO_TEXT.items()):
            alice = room.enter()
            alice.write(b"a" + bad + b"\xc3\xa9\n")
            await bob.sees(f"<guest-{number + 2}> a{shown}é")
            alice.close()
            await bob.sees(f"- guest-{number + 2}")


async def test_long_lines_and_topics_are_cut_between_two_characters(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = await room.enter_as("alice")
        alice.say("a" + "é" * 500, "ab" + "\U0001f642" * 300, "/topic " + "\u20ac" * 90)
        await alice.sees("<alice> a" + "é" * 399)
        await alice.sees("<alice> ab" + "\U0001f642" * 199)
        await alice.sees("# alice set the topic: " + "\u20ac" * 66)


async def test_who_talks_too_fast_is_not_heard_for_a_while(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = await room.enter_as("alice")
        alice.say(*[f"line {number}" for number in range(200)])
        await alice.sees("! slower, please: that was not said")


async def test_who_does_not_read_stops_nobody_and_is_told_how_much_was_missed(box: Sandbox) -> None:
    async with open_room(box) as room:
        talkers = [await room.enter_as(f"talker-{number}") for number in range(30)]
        deaf = await room.enter_as("deaf")
        deaf.reading = False
        for number in range(9):
            for talker in talkers:
                talker.say(f"{number} " + "x" * 780)
            await talkers[0].sees_all({f"<talker-{each}> {number} " + "x" * 780 for each in range(30)})
        assert not any(line.startswith("# you missed") for line in deaf.lines)
        deaf.reading = True
        deaf.read()
        while not any(line.startswith("# you missed") for line in deaf.lines):
            await deaf._news.wait()


async def test_a_program_of_the_same_principal_takes_part_as_a_bot(box: Sandbox) -> None:
    async with open_room(box) as room:
        alice = await room.enter_as("alice")
        outlet = Heard()
        bot = Group(outlet, room.neighbourhood.admit("alice", "bot-instance"))
        me = bot._resident.join(b"chat", b"parrot", bot)
        assert isinstance(me, Member)
        bot._sit(0, 0, me)
        await alice.sees("+ parrot")
        alice.say("hello")
        await alice.sees("<alice> hello")
        assert outlet.letters[-1] == pack("<HHI", 4, 0, 1) + b"<alice> hello"
        bot._send_untrusted(pack("<HHI", 4, 0, 1) + b"hello hello")
        await alice.sees("<parrot> hello hello")
        alice.say("/name parrot")
        await alice.sees("! that name is taken")
        bot.close()
        await alice.sees("- parrot")


class Heard:
    """The outlet of a bot that is no program."""

    room = 1 << 20

    def __init__(self) -> None:
        self.letters: list[bytes] = []

    def reply(self, ticket: int, content: bytes = b"") -> None: ...

    def info(self, content: bytes) -> None:
        self.letters.append(content)

    def flow(self, *changes: object) -> None: ...

    def data(self, chunk: object) -> None: ...

    def relay(self, run: object, stream: int) -> None: ...
