"""What bad input gets: an error for whoever caused it, and nothing for anybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import trio
import trio.testing
from busworld import ALICE, BusWorld, Talker, bus_world, busy, flood, hello, module
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebus.accountbounds import INPUT_BYTES
from gatebus.bounds import CHANNELS_OPEN, LOG_WATER
from gatebus.host.hostconfig import HostConfig
from gatebus.host.operations import OPERATION
from gatebus.host.quotas import Amounts, QuotaBounds
from gatebus.protocol.messages import Auth, ClientHello, Error, Open, Ping, encode
from gatebus.protocol.proofs import public_key
from gatebus.protocol.reading import parse_untrusted
from gatebus.web.link import LinkClosed
from gatebus.web.memorylink import MemoryNetwork
from gatebus.web.memorytransport import Wires

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatebus.web.link import Link
    from sandbox.testing import FakeGuest

GOOD: Mapping[str, object] = {
    "stream": b"s" * 16,
    "instance": b"i" * 16,
    "module": module(hello),
    "taken": 0,
    "sha256": b"h" * 32,
    "size": 10,
}
NEEDED = {
    "call": ("stream", "module"),
    "launch": ("instance", "module"),
    "io": ("stream", "instance"),
    "attach": ("stream",),
    "upload": ("sha256", "size"),
    "download": ("sha256",),
    "pin": ("module",),
    "unpin": ("module",),
    **dict.fromkeys(("status", "wait", "kill", "delete"), ("instance",)),
}
BAD: tuple[object, ...] = (None, -1, "text", b"short", b"l" * 64, [1], {"a": 1}, True, 1.5)


@pytest.mark.parametrize("operation", NEEDED)
async def test_a_parameter_that_is_missing_or_wrong_costs_the_channel_and_names_the_parameter(operation: str) -> None:
    async with bus_world() as world, world.talker() as bus:
        for name in NEEDED[operation]:
            given = {each: GOOD[each] for each in NEEDED[operation]}
            wrong = [{**given, name: bad} for bad in BAD] + [{key: given[key] for key in given if key != name}]
            for parameters in wrong:
                error = await bus.open(operation, parameters).error()
                assert error.code == "bad-request", (operation, parameters)
                assert f"`{name}`" in error.text or name == "size", error.text
        assert (await bus.call(hello).result())["state"] == "HALTED"


OPTIONS: Mapping[str, tuple[object, ...]] = {
    "args": ("text", [1], {"a": "b"}, b"bytes"),
    "env": ([1], {"a": 1}, "text"),
    "files": ([1], {"a": 1}, {"a": {"sha256": b"short"}}, "text"),
    "limits": ([1], {"speed": 1}, "text"),
    "function": (1, b"bytes"),
    "want_files": (1, "yes"),
    "input": ("text", 1, [b"a"], bytes(INPUT_BYTES + 1)),
    "end": ("0", b"", 1.5, True, 1 << 31, -(1 << 31) - 1),
}


@pytest.mark.parametrize("name", OPTIONS)
async def test_a_wrong_option_of_a_call_is_a_bad_request(name: str) -> None:
    async with bus_world() as world, world.talker() as bus:
        for bad in OPTIONS[name]:
            error = await bus.call(hello, **{name: bad}).error()
            assert (error.code, f"`{name}`" in error.text) == ("bad-request", True)
        assert len(world.host.parts.registry) == 0


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ({"limits": {"memory": 1}}, "bad-setup"),
        ({"limits": {"memory": 1 << 40}}, "bad-setup"),
        ({"limits": {"memory": "much"}}, "bad-setup"),
        ({"files": {"../up": b""}}, "bad-setup"),
        ({"args": ["a\0b"]}, "bad-setup"),
        ({"env": {"": "x"}}, "bad-setup"),
    ],
)
async def test_what_a_program_cannot_be_started_with_is_told_and_takes_no_quota(
    option: dict[str, object], code: str
) -> None:
    async with bus_world() as world, world.talker() as bus:
        error = await bus.call(hello, **option).error()
        assert (error.code, "/" in error.text, "0x" in error.text) == (code, False, False)
        assert (await bus.ask("usage"))["instances"]["used"] == 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*GOOD, *OPTIONS, "tags", "open", "after", "since", "unknown"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(OPERATION)), st.dictionaries(NAMES, VALUES, max_size=5)), max_size=30))
def test_no_parameters_at_all_break_a_host(asked: list[tuple[str, dict[str, object]]]) -> None:
    """Each channel is answered or goes on; the host's own bugs would fail this test (busworld.Problems)."""

    async def main() -> None:
        async with bus_world() as world, world.talker() as bus:
            for operation, parameters in asked:
                bus.open(operation, parameters)
            assert "instances" in await bus.ask("usage")

    trio.run(main)


async def polite(world: BusWorld) -> None:
    """Somebody else is served as before."""
    async with world.talker() as other:
        assert (await other.call(hello).result())["state"] == "HALTED"


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 100, b"\x83\x06\x01", b"\x84\x04\x01", b"\x9f" * 60_000, bytes(65_000), b"\x81\x00"]
)
async def test_garbage_ends_its_own_link_with_a_reason(garbage: bytes) -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            bus.say_raw(garbage)
            closed = await bus.until_closed()
            errors = [each for each in bus.heard if isinstance(each, Error)]
            assert (errors[-1].channel, errors[-1].code, closed.close_code) == (0, "protocol", 1008)
        await polite(world)


async def test_a_hello_that_is_said_twice_ends_the_link() -> None:
    async with bus_world() as world, world.talker() as bus:
        bus.say_raw(Talker(bus.link, ALICE).session.hello(b"c" * 32))
        assert (await bus.until_closed()).close_code == 1008


async def test_whoever_is_turned_away_is_not_heard_any_more_in_the_same_batch() -> None:
    none = QuotaBounds(anonymous=Amounts(connections=0))
    async with bus_world(HostConfig(quotas=none)) as world, world.network.dial() as link:
        bus = Talker(link, None)
        bus.link.write(bus.session.hello(b"c" * 32))
        bus.link.write(encode(Open(1, "call", {"stream": b"s" * 16, "module": module(hello)})))
        assert (await bus.until_closed()).close_code == 1008
        assert any("connections" in str(each) for each in bus.heard)
        assert len(world.host.parts.registry) == 0


async def test_who_says_nothing_is_sent_away(mock_clock: trio.testing.MockClock) -> None:
    async with bus_world() as world, world.network.dial() as link:
        bus = Talker(link, ALICE)
        for _ in range(12):
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        await bus.until_closed()
        assert not world.host._desk.arriving


async def test_more_data_than_the_window_is_a_violation() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            call = await bus.call(busy).until(lambda each: each.accepted)
            assert call.accepted is not None
            for _ in range(call.accepted.window // 60_000 + 2):
                bus.say_raw(b"\x83\x06" + bytes([call.number]) + b"\x59\xea\x60", bytes(60_000))
            assert (await bus.until_closed()).close_code == 1008
        await polite(world)


async def test_a_flood_of_opens_is_bounded_and_costs_only_its_link() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            instance = await bus.launch(busy)
            for number in range(2, CHANNELS_OPEN + 10):
                bus.link.write(encode(Open(number, "wait", {"instance": instance})))
            assert (await bus.until_closed()).close_code == 1008
        await polite(world)
        found = world.host.parts.registry.known(UUID(bytes=instance))
        assert found is not None
        assert len(found.on_end) == 1  # the host's own: nobody waits any more


async def test_a_client_that_does_not_read_stops_its_own_program_and_nobody_else_s() -> None:
    """T17: what waits for it is at most its window, and another program of the same link goes on."""
    async with bus_world() as world, world.talker() as bus:
        slow = bus.call(flood)
        slow.reading = False
        await slow.until(lambda each: len(each.data) >= 1 << 20)
        await trio.testing.wait_all_tasks_blocked()
        stream = world.host.parts.registry._streams[slow.stream]
        assert stream.flows.out.held <= stream.instance.order.window  # type: ignore[union-attr]
        assert (await bus.call(hello).result())["state"] == "HALTED"
        slow.cancel()
        await slow.until(lambda each: each.answer)


async def test_a_link_that_is_not_read_at_all_holds_bounded_memory() -> None:
    async with bus_world() as world:
        network = MemoryNetwork(world.host.attend, wires=lambda: (Wires(), Wires(capacity=10_000)))
        async with network.running(), network.dial() as link:
            bus = Talker(link, ALICE)
            await bus.greet()
            for _ in range(20):
                bus.call(flood)
            await trio.testing.wait_all_tasks_blocked()
            (attendant,) = world.host._desk.attendants
            held = sum(each.flows.out.held for each in world.host.parts.registry._streams.values())
            assert attendant._link.waiting + held < 40 << 20
            await polite(world)


async def chatty(guest: FakeGuest) -> None:
    for _ in range(100):  # just below the limit of a program's log
        await guest.log(b"x" * 10_000)


async def test_logs_for_a_slow_link_are_dropped_and_counted() -> None:
    programs = {b"chatty": chatty, b"hello": hello}
    async with bus_world(programs=programs) as world:
        network = MemoryNetwork(world.host.attend, wires=lambda: (Wires(), Wires(capacity=10_000)))
        async with network.running(), network.dial() as link:
            bus = Talker(link, ALICE)
            await bus.greet()
            call = bus.call(chatty)
            await trio.testing.wait_all_tasks_blocked()
            (attendant,) = world.host._desk.attendants
            assert attendant._link.waiting < LOG_WATER + 100_000
            result = await call.result()
            assert result["usage"]["log_dropped"] > 500_000, result


async def all_that_comes(link: Link) -> tuple[list[object], LinkClosed]:
    found: list[object] = []
    while True:
        try:
            found += [parse_untrusted(each) for each in await link.receive_many()]
        except LinkClosed as ended:
            return found, ended


HELLO = encode(ClientHello((1,), "attacker", (), bytes(32), None))
WITH_KEY = encode(ClientHello((1,), "attacker", (), bytes(32), public_key(ALICE)))
PROTOCOL, POLICY = "protocol", 1008


@pytest.mark.parametrize("whole", [True, False], ids=["one read", "a read for each"])
@pytest.mark.parametrize(
    ("said", "answers", "code"),
    [
        ((HELLO, b"\xff"), ["HostHello", "Welcome"], PROTOCOL),
        ((HELLO, encode(Ping(1)), b"\xff"), ["HostHello", "Welcome", "Pong"], PROTOCOL),
        ((HELLO, encode(Open(1, "features", {}, 0)), b"\xff"), ["HostHello", "Welcome", "Result"], PROTOCOL),
        ((HELLO, *[encode(Open(1, "features", {}, 0))] * 2), ["HostHello", "Welcome", "Result"], PROTOCOL),
        ((WITH_KEY, encode(Auth(bytes(64)))), ["HostHello"], "not-authorized"),
        ((b"\xff", encode(Ping(1))), [], PROTOCOL),
    ],
)
async def test_what_becomes_of_bad_input_does_not_depend_on_how_a_network_cut_it(
    said: tuple[bytes, ...], answers: list[str], code: str, whole: bool
) -> None:
    async with bus_world() as world, world.network.dial() as link:
        for message in said:
            link.write(message)
            if not whole:
                link.flush()
                await trio.testing.wait_all_tasks_blocked()
        link.flush()
        heard, ended = await all_that_comes(link)
        *before, last = heard
        assert [type(each).__name__ for each in before] == answers
        assert isinstance(last, Error)
        assert (last.channel, last.code, ended.close_code) == (0, code, POLICY)


async def test_what_runs_for_a_client_that_was_turned_away_may_end_while_it_hears_why(autojump_clock: object) -> None:
    """It does not answer the closing handshake, so that its link stays for some seconds."""
    async with bus_world() as world, world.talker() as bus, world.talker() as other:
        await bus.launch(busy, b"i" * 16)
        bus.open("wait", {"instance": b"i" * 16})
        bus.say_raw(b"\xff")
        await trio.testing.wait_all_tasks_blocked()
        assert (await other.ask("kill", instance=b"i" * 16))["state"] == "KILLED"
