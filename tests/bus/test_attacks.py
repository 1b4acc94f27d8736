"""Attacks on a host by those whom it lets in: what they cause is bounded, said to them, and nobody else's trouble."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

import cbor2
import pytest
import trio.testing
from busworld import ALICE, BOB, PROGRAMS, BusWorld, Streams, Talker, bus_world, busy, hello, module, pattern
from looprounds import rounds

from gatebus import accountbounds, bounds
from gatebus.host import attendant, frontdesk, registry
from gatebus.host.operations import OPERATION
from gatebus.host.refusals import CODES
from gatebus.protocol.messages import Error
from gatebus.web.link import POLICY

if TYPE_CHECKING:
    from trio.testing import MockClock

    from gatebus.host.busstreams import BusStream
    from sandbox.testing import FakeGuest

LARGE = 900_000


async def large(guest: FakeGuest) -> None:
    await Streams(guest).write(pattern(0, LARGE))


LARGE_TOO = {**PROGRAMS, b"large": large}
CALLS = accountbounds.LEFTOVER_BYTES // LARGE + 10


def streams(world: BusWorld) -> list[BusStream]:
    return list(world.host.parts.registry._streams.values())


def kept(world: BusWorld) -> int:
    return sum(each.kept for each in streams(world))


async def uploaded(bus: Talker, content: bytes) -> bytes:
    """Its hash. Less than a window."""
    digest = sha256(content).digest()
    sent = await bus.open("upload", {"sha256": digest, "size": len(content)}).until(lambda each: each.accepted)
    sent.write(content)
    await sent.result()
    return digest


# Memory.


@pytest.mark.parametrize("seed", [ALICE, None], ids=["a key", "a stranger"])
async def test_answers_whose_bytes_nobody_takes_are_bounded(seed: bytes | None) -> None:
    async with bus_world(programs=LARGE_TOO) as world, world.talker(seed) as bus:
        for _ in range(CALLS):
            call = bus.call(large)
            call.reading = False
            await call.result()
        assert LARGE < kept(world) <= accountbounds.LEFTOVER_BYTES


async def test_output_that_nobody_lets_go_is_bounded_and_the_oldest_is_told() -> None:
    async with bus_world(programs=LARGE_TOO) as world, world.talker() as bus:
        calls = []
        for _ in range(CALLS):
            calls.append(await bus.call(large, window=0).until(lambda each: each.accepted))
            await trio.testing.wait_all_tasks_blocked()  # until it has ended
        error = await calls[0].error()
        assert error.code == "quota-memory"
        said = "More than 24 MiB of your ended programs' output waited; the oldest was dropped. Read faster."
        assert error.text == said
        assert kept(world) <= accountbounds.LEFTOVER_BYTES
        async with world.talker(BOB) as bob:
            assert (await bob.call(hello).result())["state"] == "HALTED"


async def test_what_a_program_was_started_with_goes_with_its_end() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(hello, env={"NAME": "v" * 50_000})
        await bus.ask("wait", instance=b"i" * 16)
        kept_instance = world.host.parts.registry.known(UUID(bytes=b"i" * 16))
        assert kept_instance is not None
        assert not kept_instance.order.setup.environment


async def test_many_small_messages_that_a_program_does_not_read_are_kept_as_few_large_ones() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(busy).until(lambda each: each.accepted)
        for _ in range(5_000):
            call.write(b"ab")
        await bus.ask("features")
        [stream] = streams(world)
        assert stream.kept == 10_000
        assert len(stream._pending) <= 3


async def test_downloads_that_nobody_reads_hold_little_and_leave_the_store_to_others() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        digest = await uploaded(bus, b"content" * 10_000)
        for _ in range(accountbounds.STORE_TASKS_EACH):
            await bus.open("download", {"sha256": digest}, window=0).until(lambda each: each.accepted)
        assert (await bus.open("download", {"sha256": digest}).error()).code == "busy"
        assert (await bob.ask("modules"))["modules"] == []


async def test_uploads_that_send_nothing_give_their_places_back(mock_clock: MockClock) -> None:
    async with bus_world() as world, world.talker(None) as bus:
        stuck = [bus.open("upload", {"sha256": bytes([each]) * 32, "size": 9}) for each in range(8)]
        for each in stuck:
            await each.until(lambda each: each.accepted)
        assert (await bus.open("upload", {"sha256": b"x" * 32, "size": 9}).error()).code == "quota-uploads"
        for _ in range(int(accountbounds.TRANSFER_SECONDS / 10) + 1):
            mock_clock.jump(10)
            await bus.ask("features")
        assert {(await each.error()).code for each in stuck} == {"busy"}
        assert await uploaded(bus, b"now there is a place")
        assert len(world.host.parts.registry) == 0


# Floods of what is cheap to ask for.


async def test_one_principal_s_subscriptions_are_bounded_and_cost_others_nothing() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        for _ in range(accountbounds.SUBSCRIPTIONS):
            await bus.open("events", {}).until(lambda each: each.accepted)
        error = await bus.open("events", {}).error()
        assert (error.code, error.text) == (
            "busy",
            "You listen to your events 64 times already. End one of them first.",
        )
        heard = await bob.open("events", {}).until(lambda each: each.accepted)
        await bob.launch(busy, b"b" * 16)
        await heard.until(lambda each: each.data)
        assert world.host.parts.registry.known(UUID(bytes=b"b" * 16)) is not None


async def test_a_subscription_that_ended_makes_room() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            for _ in range(accountbounds.SUBSCRIPTIONS):
                await bus.open("events", {}).until(lambda each: each.accepted)
        async with world.talker() as bus:
            await bus.open("events", {}).until(lambda each: each.accepted)
            assert len(world.host.parts.events._listeners) == 1


async def test_who_waits_for_an_end_and_goes_leaves_nothing() -> None:
    async with bus_world() as world, world.talker() as bus:
        await bus.launch(busy)
        instance = world.host.parts.registry.known(UUID(bytes=b"i" * 16))
        assert instance is not None
        before = len(instance.on_end)
        async with world.talker() as other:
            for _ in range(500):
                other.open("wait", {"instance": b"i" * 16}, 0)
            await other.ask("features")
            assert len(instance.on_end) == before + 500
        await bus.ask("features")
        assert len(instance.on_end) == before


async def test_more_channels_than_a_link_carries_end_that_link_only() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        await bus.launch(busy)
        for number in range(10, 10 + bounds.CHANNELS_OPEN + 1):
            bus.link.write(cbor2.dumps([4, number, "wait", {"instance": b"i" * 16}, 0]))
        bus.link.flush()
        assert (await bus.until_closed()).close_code == POLICY
        assert (await bob.call(hello).result())["state"] == "HALTED"


async def test_a_flood_that_came_in_one_read_is_heard_in_slices() -> None:
    async with bus_world() as world, world.talker():
        [one] = world.host._desk.attendants
        flood = [cbor2.dumps([4, number, "nonsense", {}, 0]) for number in range(10, 20_000)]
        heard = one._hear(flood, 0, accountbounds.LINK_SLICE_SECONDS)
        assert 0 < heard < len(flood)
        assert heard % accountbounds.LINK_SLICE_MESSAGES == 0


async def test_of_any_number_of_links_of_an_account_that_flood_one_is_heard_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two slices everybody else has several turns. The slices' clock is simulated: a look costs 0.1 ms."""
    looks = count()
    monkeypatch.setattr(attendant, "perf_counter", lambda: next(looks) * 1e-4)
    links, opens = 3, 2_000
    slice_messages = (accountbounds.FLOOD_SLICE_SECONDS / 1e-4 + 1) * accountbounds.LINK_SLICE_MESSAGES

    async with bus_world() as world, AsyncExitStack() as stack:
        talkers = [await stack.enter_async_context(world.talker(ALICE)) for _ in range(links)]
        for bus in talkers:
            for number in range(10, 10 + opens):
                bus.link.write(cbor2.dumps([4, number, "nonsense", {}, 0]))
            bus.link.flush()
        with rounds() as gone:
            async with trio.open_nursery() as nursery:
                for bus in talkers:
                    nursery.start_soon(_hear_errors, bus, opens)
    assert gone.count >= links * opens / slice_messages * accountbounds.FLOOD_PASSES / 2


async def _hear_errors(bus: Talker, number: int) -> None:
    while number > 0:
        number -= len(await bus.link.receive_many())


async def test_what_comes_behind_a_violation_in_the_same_read_is_not_heard() -> None:
    async with bus_world() as world, world.talker() as bus:
        bus.link.write(b"\xff")
        bus.link.write(cbor2.dumps([4, 9, "launch", {"instance": b"i" * 16, "module": module(busy)}, 0]))
        bus.link.flush()
        assert (await bus.until_closed()).close_code == POLICY
        assert len(world.host.parts.registry) == 0


# Garbage, at every place of a conversation that is under way.

GARBAGE = [
    b"",
    b"\xff" * 100,
    b"\x81" * 60_000,  # deep nesting
    b"\x9f" * 1_000,  # indefinite arrays
    b"\x9b" + b"\xff" * 8,  # an array of 2^64 - 1 items
    b"\x5b" + b"\x7f" * 8,  # a text of that size
    cbor2.dumps([99, 1]),
    cbor2.dumps([6, 77, b"x"]),  # data of a channel that was never opened
    cbor2.dumps([6, 1, b"x" * 60_000]),  # more than the window
    cbor2.dumps([7, 1, 2**53 - 1, 1]),  # credit for what was never sent
    cbor2.dumps([4, 1, "features", {}, 0]),  # a number that was used
    cbor2.dumps([0, {"versions": [1], "agent": "", "features": [], "challenge": b"c" * 32}]),  # a hello again
    cbor2.dumps([4, 9, "call", {"a" * 70_000: 1}, 0])[:65_000],
    cbor2.dumps([4, 9, "call", {"n": [[[[[[[[1]]]]]]]]}, 0]),
    cbor2.dumps([1, {}]),  # only a host says so
]


@pytest.mark.parametrize("message", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_message_that_cannot_be_ends_its_link_with_a_reason_and_no_other(message: bytes) -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        call = await bus.call(busy).until(lambda each: each.accepted)
        taken = call.accepted.window if call.accepted else 0
        for _ in range(taken // 60_000 + 1 if len(message) > 60_000 and message[1] == 6 else 1):
            bus.say_raw(message)
        closed = await bus.until_closed()
        assert closed.close_code == POLICY
        errors = [each for each in bus.heard if isinstance(each, Error)]
        assert [(each.channel, each.code) for each in errors] == [(0, "protocol")]
        assert_public(errors[0].text)
        assert (await bob.call(hello).result())["state"] == "HALTED"


# What errors say (T33), and whose things are whose beyond instances (T32).

VALUES: list[object] = [None, True, -1, 2**52, 1.5, "", "/etc/passwd", "../../x", b"", b"\0" * 16, b"\0" * 32, [], [1]]
VALUES += [["\x1b[2J" * 50], {"/etc/passwd": b"x"}, {"../up": b"x"}, {"a/b/": {"sha256": b"\0" * 32}}, {"memory": -1}]
VALUES += [{"memory": 2**52}, {"nonsense": 1}, {"A=B": "x"}, {"A": "\0"}, "host:///etc/passwd", "file:///etc/passwd"]
PARAMETERS = ("stream", "module", "instance", "sha256", "args", "env", "files", "limits", "tags", "size", "taken")


def assert_public(text: str) -> None:
    assert 10 < len(text) <= bounds.ERROR_TEXT
    assert text.isprintable()
    for secret in ("Traceback", "0x7f", "/etc", "/tmp", "/home", ".py", "Error("):
        assert secret not in text


@pytest.mark.parametrize("operation", OPERATION)
async def test_a_wrong_parameter_is_one_channel_s_error_with_a_public_text(operation: str) -> None:
    good = {"stream": b"s" * 16, "module": module(hello), "instance": b"i" * 16, "sha256": b"d" * 32, "size": 9}
    async with bus_world() as world, world.talker() as bus:
        for name in PARAMETERS:
            for value in VALUES:
                given = {**good, "taken": 0, "stream": os.urandom(16), "instance": os.urandom(16), name: value}
                asked = bus.open(operation, given)
                if operation in ("events", "upload", "import"):
                    asked.cancel()
                await asked.until(lambda each: each.answer)
                if isinstance(asked.answer, Error):
                    assert asked.answer.code in CODES | {"bad-setup", "refused", "not-found"}, asked.answer
                    assert_public(asked.answer.text)
        assert await bus.ask("features")


@pytest.mark.parametrize("operation", ["download", "unpin", "modules"])
async def test_another_s_module_is_answered_exactly_like_one_that_does_not_exist(operation: str) -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        digest = await uploaded(bus, b"alice's")
        answers = []
        for wanted in (digest, b"?" * 32):
            asked = await bob.open(operation, {"module": wanted, "sha256": wanted}).until(lambda each: each.answer)
            assert asked.answer is not None
            answers.append(asked.answer[1:])
        assert answers[0] == answers[1]


async def test_a_hash_with_other_bytes_is_refused_and_nothing_stays() -> None:
    async with bus_world() as world, world.talker() as bus:
        sent = await bus.open("upload", {"sha256": b"x" * 32, "size": 4}).until(lambda each: each.accepted)
        sent.write(b"evil")
        assert (await sent.error()).code == "bad-request"
        assert (await bus.ask("modules"))["modules"] == []
        assert (await bus.ask("usage"))["stored"]["used"] == 0


# Ends and channels.


async def test_whoever_launches_much_loses_their_own_ends_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ENDED_EACH", 4)
    monkeypatch.setattr(registry, "ENDED_INSTANCES", 6)
    async with bus_world() as world, world.talker(ALICE) as alice, world.talker(BOB) as bob:
        bobs = [await launched(bob) for _ in range(3)]
        alices = [await launched(alice) for _ in range(10)]
        assert [(await bob.ask("status", instance=each))["state"] for each in bobs] == ["HALTED"] * 3
        known = [await knows(alice, each) for each in alices]
        assert known == [False] * 7 + [True] * 3, "of more than six in all, who has the most loses the oldest"
        await alice.ask("delete", instance=alices[-1])
        assert len(world.host.parts.registry._ended) == 5


async def launched(bus: Talker) -> bytes:
    """One that has ended."""
    instance = os.urandom(16)
    await bus.launch(hello, instance)
    await bus.ask("wait", instance=instance)
    return instance


async def knows(bus: Talker, instance: bytes) -> bool:
    return instance in [each["instance"] for each in (await bus.ask("list"))["instances"]]


async def test_channels_are_counted_over_all_links_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontdesk, "CHANNELS_EACH", 6)
    async with bus_world() as world, world.talker(ALICE) as one, world.talker(ALICE) as two, world.talker(BOB) as bob:
        for bus in (one, two):
            for _ in range(3):
                await bus.open("events", {}).until(lambda each: each.accepted)
        for bus in (one, two):
            error = await bus.open("events", {}).error()
            assert (error.code, error.text) == (
                "busy",
                "6 channels of yours are open, the most there can be. Close some.",
            )
        assert (await bob.call(hello).result())["state"] == "HALTED"
        await one.link.aclose()
        while world.host._desk._channels.total() > 3:
            await trio.lowlevel.checkpoint()
        assert "instances" in await two.ask("usage"), "what was closed has made room"
    assert not world.host._desk._channels


# Processors.


def shares(world: BusWorld) -> list[list[int]]:
    """What each running program was told, the oldest first."""
    running = [each._program for each in world.host.parts.registry.running()]
    return [each._started.shares for each in running if each is not None]  # type: ignore[attr-defined]


async def test_programs_compete_only_while_several_accounts_run_something(autojump_clock: MockClock) -> None:
    async with bus_world() as world, world.talker(ALICE) as alice, world.talker(BOB) as bob:
        for bus in (alice, alice):
            await bus.call(busy).until(lambda each: each.accepted)
        await trio.sleep(5)
        assert shares(world) == [[], []], "whoever is alone has all there is"
        bobs = await bob.call(busy).until(lambda each: each.accepted)
        await trio.sleep(1)
        assert shares(world) == [[1], [1], [2]]
        bobs.cancel()
        await bobs.result()
        await trio.sleep(accountbounds.CONTEST_SECONDS - 1)
        assert shares(world) == [[1], [1]]
        await trio.sleep(2)
        assert shares(world) == [[1, 0], [1, 0]]
