"""gatebus.client when links break and operations are cancelled, at every byte and at every step: nothing lost, nothing
doubled, nothing left behind."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import trio
from fakehost import ID, FakeHost, pattern
from hypothesis import given, settings
from hypothesis import strategies as st
from stepwise import anybody, cancelled_at

from gatebus.client import Denied, ExactKey, LinkLost, NotTrusted, Program, StreamLost
from gatebus.client.handshake import Introduction, greet_host
from gatebus.protocol import FEATURES
from gatebus.protocol.messages import Farewell, encode
from gatebus.web.link import LinkClosed
from gatebus.web.memorytransport import Wires

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INSTANCE = UUID(bytes=ID)


class CutFirst:
    """Wires of the first link break after so many bytes in one direction; all later ones hold."""

    def __init__(self, direction: str, after: int) -> None:
        self.direction, self.after, self.links = direction, after, 0

    def __call__(self) -> tuple[Wires, Wires]:
        self.links += 1
        wires = Wires(), Wires()
        if self.links == 1:
            wires[self.direction == "to client"].cut_after = self.after
        return wires


async def survives(
    cut: CutFirst, work: Callable[[FakeHost, Any], Awaitable[None]], features: tuple[str, ...] = ()
) -> bool:
    """False: the link was never cut. A cut inside the greeting is the first connection's error."""
    host = FakeHost(window=16, answers={"usage": {}}, features=features)
    host.wires = cut
    try:
        async with host.client(patience=10) as bus:
            await work(host, bus)
    except LinkLost:
        assert host.opened == [], "the greeting was over"
    return cut.links > 1 or host.opened == []


@pytest.mark.parametrize("direction", ["to host", "to client"])
async def test_a_call_survives_a_cut_at_every_byte(autojump_clock: object, direction: str) -> None:
    async def work(_host: FakeHost, bus: Any) -> None:
        result = await bus.call(Program("fake://echo"), stdin=pattern(40))
        assert result.output == pattern(40)
        assert result.outcome.cause == "NORMAL"

    for features in ((), FEATURES):
        after = 1
        while await survives(CutFirst(direction, after), work, features):
            after += 1
        assert after > 200


@pytest.mark.parametrize("direction", ["to host", "to client"])
async def test_an_upload_survives_a_cut_at_every_byte_and_sends_little_twice(
    autojump_clock: object, direction: str
) -> None:
    content = pattern(100)

    async def work(host: FakeHost, bus: Any) -> None:
        assert (await bus.upload(content)).size == 100
        assert host.known[hashlib.sha256(content).digest()] == content

    after = 1
    while await survives(CutFirst(direction, after), work):
        after += 1
    assert after > 300


async def test_a_download_survives_a_cut_at_every_byte(autojump_clock: object) -> None:
    content = pattern(100)

    async def work(host: FakeHost, bus: Any) -> None:
        host.known[hashlib.sha256(content).digest()] = content
        assert await bus.download(hashlib.sha256(content).digest()) == content

    after = 1
    while await survives(CutFirst("to client", after), work):
        after += 1
    assert after > 300


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(300, 6000)), max_size=6),
    st.integers(0, 20_000),
    st.sampled_from((100, 3000, 1 << 18)),
    st.sampled_from(((), FEATURES)),
)
def test_a_stream_survives_any_number_of_cuts(
    cuts: list[tuple[bool, int]], size: int, window: int, features: tuple[str, ...]
) -> None:
    async def main() -> None:
        host, left = FakeHost(window=window, features=features), list(cuts)

        def wires() -> tuple[Wires, Wires]:
            made = Wires(), Wires()
            if host.opened and left:
                which, after = left.pop()
                made[which].cut_after = after
            return made

        host.wires = wires
        async with host.client(patience=1000) as bus:
            host.opened.append(("connected", {}))
            async with bus.open_call(Program("fake://echo"), window=window) as running, trio.open_nursery() as nursery:
                nursery.start_soon(speak, running, pattern(size))
                await running.started()
                host.network.cut()
                heard = b"".join([data async for data in running])
        assert heard == pattern(size)
        assert len(host.streams) == 1

    async def speak(running: Any, data: bytes) -> None:
        await running.send(data)
        running.end(3)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def first_event(bus: Any) -> object:
    async with bus.events() as watching:
        return await anext(watching)


WORKS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "call": lambda bus: bus.call(Program("fake://echo", files={"large": pattern(40_000)}), stdin=pattern(3000)),
    "module": lambda bus: bus.call(Program(b"\0asm....#echo"), stdin=b"hello"),
    "upload": lambda bus: bus.upload(pattern(3000)),
    "download": lambda bus: bus.download(hashlib.sha256(b"here").digest()),
    "usage": lambda bus: bus.usage(),
    "events": first_event,
    "launch": lambda bus: bus.launch(Program("fake://echo")),
}


@pytest.mark.parametrize("name", WORKS)
async def test_a_cancellation_at_every_step_leaves_the_bus_usable_and_nothing_running(
    autojump_clock: object, name: str
) -> None:
    step, cancelled, caught = 0, True, 0
    while cancelled:
        step += 1
        host = FakeHost(window=1000, answers={"usage": {"ok": 1}, "launch": {"instance": ID}})
        host.known[hashlib.sha256(b"here").digest()] = b"here"
        async with host.client() as bus:
            cancelled = await cancelled_at(step, lambda bus=bus: WORKS[name](bus), anybody)
            assert await bus.usage() == {"ok": 1}
            await trio.testing.wait_all_tasks_blocked()
            line = await bus.lifeline.line()
            assert line._hearers == {}
            assert [program for program in host.streams.values() if program.answer is None] == []
        caught += cancelled
    assert caught >= 3


async def test_a_cancelled_send_says_how_much_it_took(autojump_clock: object) -> None:
    host = FakeHost(window=500)
    async with host.client() as bus, bus.open_call(Program("fake://wait")) as running:
        with trio.move_on_after(1):
            await running.send(pattern(2_000_000))
        (program,) = host.streams.values()
        assert program.waiting == pattern(500)
        assert 500 < running.sent < 2_000_000


async def test_a_call_that_the_host_never_heard_of_is_made_again_and_one_that_it_did_is_not(
    autojump_clock: object,
) -> None:
    """The link breaks as the call arrives: before the host has acted, or after, with its accept under way."""
    for before in (True, False):
        host = FakeHost()

        def on_open(operation: str, host: FakeHost = host, before: bool = before) -> None:
            if operation == "call" and len(host.opened) == 1 and before:
                raise_cut(host)

        host.on_open = on_open
        async with host.client() as bus:
            if not before:
                host.network._ends[-1].to_client.delay = 5.0
            async with bus.open_call(Program("fake://echo")) as running:
                await running.send(b"hello")
                if not before:
                    await trio.sleep(1)
                    host.network.cut()
                assert await running.receive() == b"hello"
        operations = [operation for operation, _ in host.opened]
        assert operations == (["call", "call"] if before else ["call", "call", "attach"])
        assert len(host.streams) == 1


def raise_cut(host: FakeHost) -> None:
    """As if the host's process had lost the link right there."""
    host.network.cut()
    raise LinkClosed


async def test_operations_without_a_stream_are_asked_again(autojump_clock: object) -> None:
    host = FakeHost(answers={"status": {"instance": ID, "state": "RUNNING", "cause": "", "result": 0}})

    def on_open(_operation: str) -> None:
        if len(host.opened) == 1:
            raise_cut(host)

    host.on_open = on_open
    async with host.client() as bus:
        assert (await bus.status(INSTANCE)).state == "RUNNING"
    assert len(host.opened) == 2


async def test_who_waits_is_told_once_that_the_link_was_lost_and_once_that_it_is_back(autojump_clock: object) -> None:
    host, told = FakeHost(answers={"usage": {}}), []
    async with host.client(patience=30, on_link=told.append) as bus:
        await bus.usage()
        host.network.cut()
        await trio.sleep(3600)
        assert told == [], "nobody waits"
        await bus.usage()
        assert told == ["lost", "back"]
        async with bus.open_call(Program("fake://wait")) as running:
            await running.started()
            host.network.down = True
            host.network.cut()
            await trio.sleep(20)  # several attempts
            assert told == ["lost", "back", "lost"]
            host.network.down = False
            await trio.sleep(20)
            assert told == ["lost", "back"] * 2


async def test_an_operation_that_breaks_every_link_is_given_up(autojump_clock: object) -> None:
    host = FakeHost()
    host.on_open = lambda _operation: raise_cut(host)
    async with host.client(patience=1000) as bus:
        for operation in (bus.usage(), bus.upload(b"x"), bus.call(Program("fake://echo"))):
            host.opened.clear()
            with pytest.raises(LinkLost) as caught:
                await operation
            assert caught.value.text == "The connection broke 9 times in a row in the middle of this operation."
            assert len(host.opened) == 9


async def test_waiting_for_days_over_links_that_break_each_hour_is_no_fault(autojump_clock: object) -> None:
    host = FakeHost(answers={})
    async with host.client(patience=1000) as bus, trio.open_nursery() as nursery:
        nursery.start_soon(bus.wait, INSTANCE)
        for _ in range(50):
            await trio.sleep(3600)
            host.network.cut()
        await trio.sleep(3600)
        assert [operation for operation, _ in host.opened] == ["wait"] * 51
        nursery.cancel_scope.cancel()


async def test_deleting_twice_because_a_link_broke_is_deleting_once(autojump_clock: object) -> None:
    host = FakeHost()

    def on_open(operation: str) -> None:
        if operation == "delete" and "delete" not in host.refuse:
            host.refuse["delete"] = ("not-found", "There is no such instance.")
            raise_cut(host)

    host.on_open = on_open
    async with host.client() as bus:
        await bus.delete(INSTANCE)
        with pytest.raises(Denied):
            await bus.delete(INSTANCE)


async def test_events_go_on_after_the_last_one_that_was_seen(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client() as bus, bus.events(since=10) as watching:
        assert [(await anext(watching)).number for _ in range(2)] == [11, 12]
        host.network.cut()
        assert [(await anext(watching)).number for _ in range(4)] == [13, 14, 15, 16]
    assert [given.get("since") for operation, given in host.opened if operation == "events"] == [10, 13]


async def test_a_stream_that_the_host_does_not_keep_any_more_is_lost_and_says_so(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client() as bus, bus.open_call(Program("fake://wait")) as running:
        await running.started()
        host.streams.clear()
        host.network.cut()
        with pytest.raises(StreamLost) as caught:
            await running.receive()
        assert caught.value.text == "The stream cannot go on. There is no such stream, or it is not yours."


async def test_an_idle_client_does_not_dial_until_somebody_needs_the_host(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {}})
    async with host.client() as bus:
        host.network.cut()
        await trio.sleep(1000)
        assert host.network.dialled == 1
        await bus.usage()
        assert host.network.dialled == 2


async def test_a_host_that_is_down_for_a_while_is_dialled_less_and_less_often(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {}})
    async with host.client(patience=100) as bus:
        await trio.sleep(10)
        host.network.down = True
        host.network.cut()
        attempts = []
        dial = host.network.dial

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.usage)
            bus.lifeline._dial = lambda: (attempts.append(trio.current_time()), dial())[1]
            await trio.sleep(60)
            host.network.down = False
        pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert pauses[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2], rel=0.01)
    assert max(pauses) == pytest.approx(10)


async def test_a_host_that_has_become_another_is_not_tried_again(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {}})
    async with host.client() as bus:
        ours = Introduction("test", None, ExactKey(b"x" * 32))
        bus.lifeline._greet = lambda link: greet_host(link, ours, b"c" * 32)
        host.network.cut()
        with pytest.raises(NotTrusted):
            await bus.usage()
        assert host.network.dialled == 2


async def test_a_host_that_says_farewell_gets_no_new_operations_and_may_come_back(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {}})
    async with host.client() as bus, bus.open_call(Program("fake://echo")) as running:
        await running.send(b"x")
        assert await running.receive() == b"x"
        line = await bus.lifeline.line()
        for event in line._session.receive_many([encode(Farewell("stopping", "The host stops.", 1000))]):
            line._heard(event)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bus.usage)
            await trio.sleep(1)
            await running.send(b"y")
            assert await running.receive() == b"y"
            assert [operation for operation, _ in host.opened] == ["call"]
            host.network.cut()
        assert [operation for operation, _ in host.opened][-2:] in (["attach", "usage"], ["usage", "attach"])


async def test_an_error_for_the_whole_link_that_will_be_said_again_is_told_to_whoever_waits(
    autojump_clock: object,
) -> None:
    host = FakeHost()
    async with host.client() as bus, bus.open_call(Program("fake://wait")) as running:
        await running.started()
        host.refuse["welcome"] = ("forbidden", "Your key was taken off the list.")
        host.network.cut()
        with pytest.raises(Denied) as caught:
            await running.wait()
        assert caught.value.text == "Your key was taken off the list."
