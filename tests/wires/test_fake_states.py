"""The fake sandbox parks, stops and continues programs as the real one does: whoever tests with it can rely on that."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from sandbox import BadState, BrokenProgram, Cause, Form, Lifecycle, Limits, NotSuspendable, Setup, State
from sandbox.packets import encode_data, split_untrusted
from sandbox.testing import FakeGuest, open_fake_sandbox


async def adder(guest: FakeGuest) -> int:
    """Says how it came, then for each byte the sum of all so far; ends at a zero."""
    guest.memory = guest.memory or bytearray(8)
    if guest.function == "total":
        return guest.memory[0]
    await guest.send(encode_data(0, 0, guest.lifecycle.name.encode()))
    while number := (await guest.receive()).content[8]:
        guest.memory[0] += number
        await guest.send(encode_data(0, 0, bytes(guest.memory[:1])))
    return 0


def number(value: int) -> bytes:
    return encode_data(0, 0, bytes([value]))


async def said(program: object) -> list[bytes]:
    data = await program.receive_some()  # type: ignore[attr-defined]
    return [packet.content[8:] for packet in split_untrusted(data)]


async def test_a_state_goes_on_as_often_as_wanted_and_each_knows_how_it_came() -> None:
    async with open_fake_sandbox({b"adder": adder}) as box:
        image = await box.compile(b"adder", form=Form.SUSPENDABLE)
        async with box.start(image) as program:
            assert await said(program) == [b"STARTED"]
            await program.send(number(5))
            assert await said(program) == [b"\5"]
            suspended = await program.suspend()
            assert (await program.wait()).state is State.SUSPENDED
        assert list(suspended.memory.data()) == [(0, 65_536)]
        assert not suspended.halted
        for lifecycle in (Lifecycle.RESUMED, Lifecycle.CLONED):
            async with box.resume(image, suspended, program=b"adder", share=True, lifecycle=lifecycle) as again:
                assert await said(again) == [lifecycle.name.encode()]
                await again.send(number(2))
                assert await said(again) == [b"\7"]


async def test_what_was_sent_before_the_stop_is_read_after_it() -> None:
    async def deaf(guest: FakeGuest) -> None:
        if guest.resumed:
            await guest.send(encode_data(0, 0, (await guest.receive()).content[8:]))
        await trio.sleep_forever()

    async with open_fake_sandbox({b"deaf": deaf}) as box:
        image = await box.compile(b"deaf", form=Form.SUSPENDABLE)
        async with box.start(image) as program:
            await program.send(encode_data(0, 0, b"kept"))
            suspended = await program.suspend()
        async with box.resume(image, suspended, program=b"deaf") as again:
            assert await said(again) == [b"kept"]


async def test_a_packet_that_was_being_sent_at_the_stop_is_sent_whole() -> None:
    async def flood(guest: FakeGuest) -> None:
        for _ in range(100):
            await guest.send(encode_data(0, 0, bytes(60_000)))

    async with open_fake_sandbox({b"flood": flood}) as box:
        image = await box.compile(b"flood", form=Form.SUSPENDABLE)
        async with box.start(image) as program:
            await trio.testing.wait_all_tasks_blocked()
            await program.suspend()
            while data := await program.receive_some():
                assert {len(packet.content) for packet in split_untrusted(data)} == {60_008}


async def test_a_parked_program_does_nothing_and_its_wall_time_stands_still(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_fake_sandbox({b"adder": adder}) as box:
        image = await box.compile(b"adder", form=Form.SUSPENDABLE)
        async with box.start(image, limits=Limits(wall_time=10)) as program:
            await said(program)
            await trio.sleep(6)
            await program.park()
            await program.park()
            await program.send(number(1))
            with trio.move_on_after(100) as waiting:
                await said(program)
            assert waiting.cancelled_caught
            assert program.usage().wall == pytest.approx(6)
            await program.unpark()
            await program.unpark()
            assert await said(program) == [b"\1"]
            with trio.move_on_after(100):
                await said(program)
            outcome = await program.wait()
            assert outcome.cause is Cause.WALL_TIME
            assert outcome.usage.wall == pytest.approx(10)
            with pytest.raises(BrokenProgram):
                await program.park()
            await program.unpark()


async def test_a_parked_program_can_be_stopped_and_killed() -> None:
    async with open_fake_sandbox({b"adder": adder}) as box:
        image = await box.compile(b"adder", form=Form.SUSPENDABLE)
        async with box.start(image) as program:
            await said(program)
            await program.park()
            assert (await program.suspend()).sha256 == image.sha256
        async with box.start(image) as program:
            await program.park()
            program.kill()
            assert (await program.wait()).cause is Cause.KILLED


async def test_a_program_at_its_end_is_kept_and_another_function_is_called() -> None:
    async with open_fake_sandbox({b"adder": adder}) as box:
        image = await box.compile(b"adder", form=Form.SUSPENDABLE)
        async with box.start(image, Setup(keep=True)) as program:
            await program.send(number(9) + number(0))
            assert (await program.wait()).state is State.HALTED
            halted = program.halted()
            with pytest.raises(BrokenProgram):
                await program.suspend()
        assert halted is not None
        assert halted.halted
        async with box.resume(image, halted, function="total", setup=Setup(keep=True)) as again:
            assert (await again.wait()).result == 9
            assert again.halted() is not None
        with pytest.raises(BadState) as none:
            async with box.resume(image, halted):
                pass
        assert none.value.text == "The program had come to its end; say which function is to be called now."


async def test_who_was_not_asked_to_keep_anything_keeps_nothing() -> None:
    async with open_fake_sandbox({b"adder": adder}) as box:
        image = await box.compile(b"adder", form=Form.SUSPENDABLE)
        async with box.start(image) as program:
            await program.send(number(0))
            await program.wait()
            assert program.halted() is None
        plain = await box.compile(b"adder")
        async with box.start(plain) as program:
            with pytest.raises(NotSuspendable):
                await program.suspend()


async def test_a_function_is_for_who_came_to_an_end() -> None:
    async with open_fake_sandbox({b"adder": adder}) as box:
        image = await box.compile(b"adder", form=Form.SUSPENDABLE)
        async with box.start(image) as program:
            await said(program)
            suspended = await program.suspend()
        with pytest.raises(BadState) as caught:
            async with box.resume(image, suspended, program=b"adder", function="total"):
                pass
        assert caught.value.text == "The program was stopped on its way: it goes on there, not with a function."
