"""Program over a fake back-end: what comes out of it, in simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import trio
import trio.testing

import sandbox
from sandbox import Cause, File, Limits, PacketViolation, SandboxClosed, Setup, State, Tree
from sandbox.packets import CODE_CONTROL, HEADER, encode, encode_data
from sandbox.testing import EndOfInput, Exit, FakeGuest, Script, Trap, open_fake_sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager


def fake(script: Script) -> AbstractAsyncContextManager[sandbox.Sandbox]:
    return open_fake_sandbox({b"it": script})


async def everything(program: sandbox.Program) -> bytes:
    return b"".join([packets async for packets in program])


async def test_a_setup_arrives_as_it_was_given() -> None:
    seen: list[FakeGuest] = []

    async def script(guest: FakeGuest) -> None:
        seen.append(guest)

    setup = Setup(("a", "b"), {"X": "1"}, "entry", Tree({"d/f": File(b"x" * 200_000)}))
    name = UUID(int=7)
    async with fake(script) as box, box.start(await box.compile(b"it"), setup, instance=name) as program:
        assert (await everything(program)) == b""
        assert (await program.wait()).ok
        (guest,) = seen
        assert (guest.arguments, guest.environment, guest.function) == (["a", "b"], {"X": "1"}, "entry")
        assert guest.tree == program.tree() == setup.tree
        assert guest.instance == name.bytes == program.instance


async def test_logs_come_out_by_themselves_and_never_as_packets() -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.log(b"one", 1)
        await guest.send(encode_data(0, 0, b"data"))
        await guest.log(b"two", 2)

    logged: list[tuple[int, bytes]] = []
    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        program.on_log = lambda stream, data: logged.append((stream, data))
        assert await everything(program) == encode_data(0, 0, b"data")
        assert logged == [(1, b"one"), (2, b"two")]
        assert program.usage().packets_out == 1


async def test_empty_logs_which_no_limit_counts_are_told_to_nobody() -> None:
    async def script(guest: FakeGuest) -> None:
        for _ in range(1_000):
            await guest.log(b"")
        await guest.log(b"full")

    logged: list[bytes] = []
    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        program.on_log = lambda _stream, data: logged.append(data)
        await everything(program)
        assert logged == [b"full"]


async def test_more_log_than_the_limit_is_a_violation_of_the_runtime() -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.log(bytes(11))
        await guest.receive()

    async with fake(script) as box, box.start(await box.compile(b"it"), None, Limits(log=10)) as program:
        with pytest.raises(PacketViolation):
            await program.receive_some()
        assert (await program.wait()).cause is Cause.ABI_VIOLATION


@pytest.mark.parametrize(
    "bad",
    [encode(CODE_CONTROL, 0, b"", kind) for kind in (0, 4, 5, 6, 9)] + [HEADER.pack(0, 0, 0, 0)],
    ids=["begin", "node", "content", "go", "reserved", "size 0"],
)
async def test_what_a_runtime_may_not_send_kills_the_program(bad: bytes) -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.send(encode(0, 0, b"good") + bad)
        await guest.receive()

    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        with pytest.raises(PacketViolation):
            await everything(program)
        assert await program.receive_some() == b""
        outcome = await program.wait()
        assert (outcome.state, outcome.cause) == (State.KILLED, Cause.ABI_VIOLATION)


async def test_a_violation_that_is_found_after_the_end_still_counts() -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.send(bytes(8))

    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        assert (await program.wait()).cause is Cause.ABI_VIOLATION


@pytest.mark.parametrize(
    ("ending", "state", "cause", "result"),
    [
        (Exit(0), State.TERMINATED, Cause.NORMAL, 0),
        (Exit(0xFFFFFFFF), State.TERMINATED, Cause.NORMAL, 0xFFFFFFFF),
        (Trap(Cause.UNREACHABLE), State.KILLED, Cause.UNREACHABLE, 0),
        (EndOfInput(), State.KILLED, Cause.ORPHANED, 0),
    ],
)
async def test_ends_become_outcomes(ending: Exception, state: State, cause: Cause, result: int) -> None:
    async def script(_guest: FakeGuest) -> None:
        raise ending

    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        outcome = await program.wait()
        assert (outcome.state, outcome.cause, outcome.result) == (state, cause, result)


async def test_wall_time_is_simulated(autojump_clock: trio.testing.MockClock) -> None:
    async def script(_guest: FakeGuest) -> None:
        await trio.sleep_forever()

    async with fake(script) as box, box.start(await box.compile(b"it"), None, Limits(wall_time=100)) as program:
        outcome = await program.wait()
        assert outcome.cause is Cause.WALL_TIME
        assert outcome.usage.wall == pytest.approx(100, abs=1)


async def test_a_full_pipe_makes_a_sender_wait_and_send_nowait_says_so() -> None:
    async def script(guest: FakeGuest) -> None:
        packet = await guest.receive()
        assert packet.code == 1
        while (await guest.receive()).code != 9:
            pass

    packet = encode(1, 0, bytes(50_000))
    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        sent = 0
        while taken := program.send_nowait(packet[sent % len(packet) :]):
            sent += taken
        if sent % len(packet):
            await program.send(packet[sent % len(packet) :])
        await program.send(encode(9, 0))
        assert (await program.wait()).ok
        assert program.usage().packets_in == -(-sent // len(packet)) + 1


async def test_what_is_no_packet_is_our_own_bug_when_we_send_it() -> None:
    async def script(guest: FakeGuest) -> None:
        await guest.receive()

    async with fake(script) as box, box.start(await box.compile(b"it")) as program:
        with pytest.raises(ValueError, match="whole packets"):
            await program.send(bytes(8))


async def test_a_flood_of_logs_does_not_hold_the_loop() -> None:
    async def script(guest: FakeGuest) -> None:
        while True:
            await guest.log(bytes(1000))

    limits = Limits(log=1 << 30)
    async with fake(script) as box, box.start(await box.compile(b"it"), None, limits) as program:
        with trio.move_on_after(0.05) as scope:
            await program.receive_some()
        assert scope.cancelled_caught


async def test_errors_of_the_body_come_out_of_the_sandbox_as_they_are() -> None:
    async def script(_guest: FakeGuest) -> None:
        await trio.sleep_forever()

    with pytest.raises(KeyError):
        async with fake(script) as box, box.start(await box.compile(b"it")):
            raise KeyError


@pytest.mark.parametrize("early", [False, True])
async def test_a_sandbox_that_is_cancelled_from_outside_ends_at_once(
    autojump_clock: trio.testing.MockClock, early: bool
) -> None:
    """`early`: the cancellation comes before the program's task has begun."""

    async def script(_guest: FakeGuest) -> None:
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        async with fake(script) as box, box.start(await box.compile(b"it")) as program:
            if not early:
                await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert program.ended
    assert trio.current_time() == 0


@pytest.fixture
async def failing() -> AsyncIterator[sandbox.Sandbox]:
    async def script(_guest: FakeGuest) -> None:
        return None

    async with fake(script) as box:
        yield box


async def test_a_start_that_fails_counts_nothing(failing: sandbox.Sandbox) -> None:
    failing._backend.fail_starts = 1  # type: ignore[attr-defined]
    image = await failing.compile(b"it")
    with pytest.raises(sandbox.StartFailed):
        async with failing.start(image):
            pytest.fail("the body must not run")
    assert failing.statistics().started == 0
    async with failing.start(image) as program:
        assert (await program.wait()).ok
    context = failing.start(image)
    async with context:
        with pytest.raises(RuntimeError, match="once"):
            await context.__aenter__()


async def test_a_closed_sandbox_says_so_whatever_it_is_asked() -> None:
    async def script(_guest: FakeGuest) -> None:
        pass

    async with fake(script) as box:
        image = await box.compile(b"it")
    for asked in (box.compile(b"it"), box.start(image).__aenter__()):
        with pytest.raises(SandboxClosed) as caught:
            await asked
        assert caught.value.code == "closed"
        assert caught.value.text == (
            "This sandbox is closed: the body of its `async with` has ended. Open another one."
        )


class Watching:
    """A Watch that counts, and waits in the ordinary way."""

    def __init__(self) -> None:
        self.told = self.waited = 0

    def came(self) -> None:
        self.told += 1

    async def readable(self, fileno: Callable[[], int], sleep: Callable[[], Awaitable[None]]) -> None:
        assert fileno() < 0, "a fake has no descriptor"
        self.waited += 1
        await sleep()


async def test_whoever_opens_a_sandbox_may_wait_for_its_programs_in_a_way_of_his_own() -> None:
    async def script(guest: FakeGuest) -> None:
        for _ in range(3):
            await guest.receive()
            await guest.send(encode_data(0, 0, b"data"))

    watch = Watching()
    async with open_fake_sandbox({b"it": script}, watch=watch) as box, box.start(await box.compile(b"it")) as program:
        for times in range(1, 4):
            await program.send(encode_data(0, 0, b"more"))
            assert await program.receive_some() == encode_data(0, 0, b"data")
            assert watch.told == times
    assert watch.waited >= 1
