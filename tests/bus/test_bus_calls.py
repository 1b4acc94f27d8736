"""One program of one client over the bus: call, its stream, its end."""

from __future__ import annotations

import pytest
from busworld import arguments, bus_world, busy, deaf, echo, eight, flood, hello, logs, nonsense, pattern, seven, trap

from gatebus.protocol.messages import End, Log, Stop


async def test_a_call_is_accepted_then_its_bytes_then_its_outcome() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(hello)
        result = await call.result()
        assert call.data == b"hello"
        assert call.accepted is not None
        assert len(call.accepted.about["instance"]) == 16
        assert (result["state"], result["cause"], result["result"]) == ("HALTED", "NORMAL", 0)
        assert result["usage"]["bytes_out"] > 5


async def test_bytes_go_through_a_program_both_ways_and_each_direction_ends_by_itself() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(echo).until(lambda each: each.accepted)
        call.write(b"one")
        await call.until(lambda each: each.data == b"one")
        call.write(b" two")
        call.end()
        result = await call.result()
        assert call.data == b"one two"
        assert any(isinstance(each, End) for each in call.heard)
        assert result["state"] == "HALTED"


async def test_data_of_clients_and_programs_is_traffic_and_a_start_is_not() -> None:
    async with bus_world() as world:
        pulses: list[str] = []
        lookout = world.host.lookout
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lookout, "pulse", lambda: pulses.append("pulse"))
            async with world.talker() as bus:
                call = await bus.call(echo).until(lambda each: each.accepted)
                assert pulses == []
                call.write(b"one")
                await call.until(lambda each: each.data == b"one")
                assert pulses
                call.cancel()
                await call.result()


async def test_more_than_every_window_goes_through() -> None:
    sent = pattern(0, 3_000_000)
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(echo).until(lambda each: each.accepted)
        assert call.flows is not None
        at = 0
        while at < len(sent):
            size = min(call.flows.out.room, 50_000)
            if size:
                call.write(sent[at : at + size])
                at += size
            else:
                await bus.hear()
        call.end()
        await call.result()
        assert call.data == sent


async def test_who_reads_no_more_stops_the_program_s_output_and_gets_the_outcome() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(flood).until(lambda each: len(each.data) > 100_000)
        call.stop()
        assert (await call.result())["state"] == "HALTED"


async def test_a_program_that_reads_no_more_says_so_to_its_client() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(deaf).until(lambda each: any(isinstance(word, Stop) for word in each.heard))
        call.cancel()
        await call.result()


async def test_cancelling_a_call_kills_its_program_and_still_tells_the_outcome() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = await bus.call(busy).until(lambda each: each.accepted)
        call.cancel()
        result = await call.result()
        assert (result["state"], result["cause"]) == ("KILLED", "KILLED")
        assert len(world.host.parts.registry) == 0


async def test_a_call_that_is_cancelled_at_once_is_answered_as_well() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(busy)
        call.cancel()
        assert (await call.result())["state"] == "KILLED"


@pytest.mark.parametrize(
    ("program", "state", "cause", "result"),
    [
        (seven, "TERMINATED", "NORMAL", 7),
        (trap, "KILLED", "UNREACHABLE", None),
        (nonsense, "KILLED", "ABI_VIOLATION", None),
    ],
)
async def test_a_program_that_goes_wrong_has_an_outcome_and_no_error(
    program: object, state: str, cause: str, result: int | None
) -> None:
    async with bus_world() as world, world.talker() as bus:
        told = await bus.call(program).result()  # type: ignore[arg-type]
        assert (told["state"], told["cause"], told.get("result")) == (state, cause, result)
        assert ("result" in told) == (result is not None)


async def test_a_program_of_an_unknown_hash_is_not_found_and_only_its_channel_ends() -> None:
    async with bus_world() as world, world.talker() as bus:
        error = await bus.call(b"nobody has this").error()
        assert (error.code, error.text) == ("not-found", "This host does not have the module. Upload it first.")
        assert (await bus.call(hello).result())["state"] == "HALTED"


async def test_arguments_and_environment_reach_the_program() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(arguments, args=["a", "b c"], env={"LANG": "C"})
        await call.result()
        assert call.data == b"a\nb c\nLANG=C"


async def test_what_a_program_logs_comes_beside_its_stream() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(logs)
        result = await call.result()
        said = b"".join(each.data for each in call.heard if isinstance(each, Log))
        assert said == b"".join(b"line %d\n" % number for number in range(10))
        assert result["usage"]["log_dropped"] == 0


async def test_a_small_window_is_kept_to() -> None:
    async with bus_world() as world, world.talker() as bus:
        call = bus.call(eight, window=1000)
        call.reading = False
        while len(call.data) < 1000:
            await bus.hear()
        assert call.data == pattern(0, 1000)
        call.reading = True
        assert call.flows is not None
        call.flows.into.consume(1000)
        bus.send_unsent(call.number)
        await call.result()
        assert call.data == pattern(0, 8_000)


async def test_several_programs_share_a_link() -> None:
    async with bus_world() as world, world.talker() as bus:
        calls = [bus.call(hello) for _ in range(50)]
        for call in calls:
            assert (await call.result())["state"] == "HALTED"
            assert call.data == b"hello"
