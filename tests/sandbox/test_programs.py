"""What a program gets, gives and leaves, over both back-ends."""

from __future__ import annotations

import pytest
import trio
import wat_programs as wat
from talk import run
from wasmbytes import HEADER, leb, section

import sandbox
from sandbox import Cause, Directory, File, Limits, Link, Setup, State, Tree
from sandbox.packets import encode


async def test_hello_says_hello_and_halts(box: sandbox.Sandbox) -> None:
    result = await run(box, wat.HELLO)
    assert result.stdout == b"hello\n"
    assert (result.outcome.state, result.outcome.cause, result.outcome.result) == (State.HALTED, Cause.NORMAL, 0)
    assert result.outcome.ok


@pytest.mark.parametrize("code", [0, 1, 3, 255, 256, 0x7FFFFFFF])
async def test_the_whole_exit_code_arrives(box: sandbox.Sandbox, code: int) -> None:
    outcome = (await run(box, wat.exit_with(code))).outcome
    assert (outcome.state, outcome.result) == (State.TERMINATED, code)


async def test_arguments_and_environment_arrive_as_they_are(box: sandbox.Sandbox) -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    setup = Setup(arguments=("name", "", "ä b", odd), environment={"A": "1", "EMPTY": ""})
    assert (await run(box, wat.ARGUMENTS, setup)).stdout == b"name\0\0\xc3\xa4 b\0\xff\xfe\0"
    assert (await run(box, wat.ENVIRONMENT, setup)).stdout == b"A=1\0EMPTY=\0"


async def test_what_is_sent_comes_back_until_the_end(box: sandbox.Sandbox) -> None:
    sent = bytes(range(256)) * 1500
    result = await run(box, wat.ECHO, stdin=sent)
    assert result.stdout == sent
    assert result.outcome.ok


async def test_standard_error_is_the_log(box: sandbox.Sandbox) -> None:
    result = await run(box, wat.SAY_ON_STDERR)
    assert (result.stdout, result.log) == (b"", b"oh no\n")


async def test_a_debug_log_that_is_off_is_empty(box: sandbox.Sandbox) -> None:
    assert (await run(box, wat.SAY_ON_STDERR, Setup(debug_log=False))).log == b""


@pytest.mark.parametrize(("terminal", "types"), [(True, 22), (False, 20)])
async def test_output_looks_like_a_terminal_where_it_is_one(box: sandbox.Sandbox, terminal: bool, types: int) -> None:
    assert (await run(box, wat.FILE_TYPES, Setup(terminal=terminal))).outcome.result == types


async def test_a_program_reads_the_files_it_was_given(box: sandbox.Sandbox) -> None:
    tree = Tree({"dir/name": File(b"content of the file"), "link": Link("dir/name")})
    assert (await run(box, wat.read_file("dir/name"), Setup(tree=tree))).stdout == b"content of the file"
    assert (await run(box, wat.read_file("link"), Setup(tree=tree))).outcome.result in (0, 32)  # followed, or ELOOP


async def test_a_program_leaves_the_files_it_made(box: sandbox.Sandbox) -> None:
    given = Tree({"old": File(b"kept", 1_000_000_000), "dir": Directory(2_000_000_000)})
    result = await run(box, wat.write_file("dir/new", "fresh"), Setup(tree=given))
    assert result.outcome.ok
    assert result.tree is not None
    assert set(result.tree) == {"old", "dir", "dir/new"}
    assert result.tree["old"] == File(b"kept", 1_000_000_000)
    new = result.tree["dir/new"]
    assert isinstance(new, File)
    assert new.content == b"fresh"


async def test_a_large_tree_goes_in_and_comes_back(box: sandbox.Sandbox) -> None:
    tree = Tree({f"d{number % 10}/f{number}": File(bytes([number]) * 50_000, number) for number in range(100)})
    result = await run(box, wat.NOTHING, Setup(tree=tree))
    assert result.outcome.ok
    assert result.tree is not None
    assert {path: node for path, node in result.tree.items() if isinstance(node, File)} == {
        path: node for path, node in tree.items() if isinstance(node, File)
    }


async def test_without_a_tree_nothing_comes_back(box: sandbox.Sandbox) -> None:
    result = await run(box, wat.write_file("new", "fresh"))
    assert result.outcome.ok
    assert result.tree is None


async def test_a_killed_program_leaves_no_tree(box: sandbox.Sandbox) -> None:
    assert (await run(box, wat.TRAPS["UNREACHABLE"], Setup(tree=Tree()))).tree is None


async def test_the_file_system_of_one_program_is_not_that_of_the_next(box: sandbox.Sandbox) -> None:
    assert (await run(box, wat.write_file("new", "fresh"))).outcome.ok
    assert (await run(box, wat.read_file("new"))).outcome.result == 44  # ENOENT


async def test_usage_counts_bytes_packets_time_and_memory(box: sandbox.Sandbox) -> None:
    usage = (await run(box, wat.ECHO, stdin=b"x" * 5000)).outcome.usage
    assert usage.bytes_in > 5000
    assert usage.bytes_out > 5000
    assert usage.packets_in >= 2
    assert usage.packets_out >= 2
    assert 0 < usage.cpu_user + usage.cpu_system < 30
    assert 0 < usage.wall < 60
    assert usage.max_rss > 0


async def test_cpu_time_of_a_busy_program_is_counted(box: sandbox.Sandbox) -> None:
    outcome = (await run(box, wat.BUSY, limits=Limits(cpu_time=0.3))).outcome
    assert outcome.cause is Cause.CPU_TIME
    assert 0.2 < outcome.usage.cpu_user + outcome.usage.cpu_system < 2


async def test_a_kill_is_at_once_and_its_cause_is_kept(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.BUSY)
    async with box.start(image) as program:
        program.kill(Cause.WALL_TIME)
        program.kill()
        outcome = await program.wait()
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.WALL_TIME)
    assert await program.wait() is outcome
    program.kill()


async def test_leaving_the_body_kills_and_waits(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.SLEEP)
    async with box.start(image) as program:
        pass
    assert (await program.wait()).cause is Cause.KILLED
    assert box.statistics().running == 0


async def test_an_error_in_the_body_comes_out_as_it_is(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.SLEEP)
    with pytest.raises(KeyError):
        async with box.start(image):
            raise KeyError
    assert box.statistics().running == 0


async def test_a_cancelled_body_kills_its_program(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.SLEEP)
    with trio.CancelScope() as scope:
        async with box.start(image) as program:
            scope.cancel()
            await program.receive_some()
    assert scope.cancelled_caught
    assert program.ended


async def test_sending_to_an_ended_program_is_a_broken_program(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.NOTHING)
    async with box.start(image) as program:
        async for _packets in program:
            pass
        await program.wait()
        with pytest.raises(sandbox.BrokenProgram) as caught:
            await program.send(encode(0, 0))
        assert caught.value.code == "program-gone"
        assert await program.receive_some() == b""


async def test_packets_that_nobody_read_are_still_there_after_the_end(box: sandbox.Sandbox) -> None:
    image = await box.compile(wat.HELLO)
    async with box.start(image) as program:
        outcome = await program.wait()
        assert outcome.ok
        assert b"hello\n" in await program.receive_some()
        assert await program.receive_some() == b""


async def test_many_programs_run_side_by_side(box: sandbox.Sandbox) -> None:
    async with trio.open_nursery() as nursery:
        results: list[bytes] = []

        async def one(number: int) -> None:
            results.append((await run(box, wat.ARGUMENTS, Setup(arguments=(str(number),)))).stdout)

        for number in range(8):
            nursery.start_soon(one, number)
    assert sorted(results) == [f"{number}\0".encode() for number in range(8)]


async def test_an_unknown_function_is_killed_with_its_cause(box: sandbox.Sandbox) -> None:
    outcome = (await run(box, wat.HELLO, Setup(function="nowhere"))).outcome
    assert (outcome.state, outcome.cause) == (State.KILLED, Cause.NO_FUNCTION)


async def test_the_binary_form_and_the_text_are_both_taken(box: sandbox.Sandbox) -> None:
    empty = b"\0asm\1\0\0\0"
    with pytest.raises(sandbox.Refused):
        await box.compile(empty[:4])
    image = await box.compile(empty)
    assert image.personality == "wasi"


def program_with_data(size: int) -> bytes:
    """Returns at once; its image is as large as its data."""
    data = b"\1\1" + leb(size) + bytes(size)
    parts = [(1, b"\1\x60\0\0"), (3, b"\1\0"), (7, b"\1\6_start\0\0"), (10, b"\1\2\0\x0b"), (11, data)]
    return HEADER + b"".join(section(kind, part) for kind, part in parts)


async def test_an_image_of_any_admitted_size_can_be_started(box: sandbox.Sandbox) -> None:
    assert (await run(box, program_with_data((32 << 20) - 100))).outcome.ok
