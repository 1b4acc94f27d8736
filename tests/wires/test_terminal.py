"""gatebus.cli.terminal: descriptors of the person's side, with real pipes and files."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.abc
import trio.testing

from gatebus.cli.terminal import CountingSink, Sink, Source, Terminal
from gatebus.flow import Change, Chunk
from gatebus.services.origin import Stream


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


class Outlet:
    """What the service origin would send to the program."""

    def __init__(self) -> None:
        self.room = 1 << 20
        self.sent: list[object] = []

    def reply(self, ticket: int, content: bytes = b"") -> None: ...

    def info(self, content: bytes) -> None: ...

    def flow(self, *changes: Change) -> None:
        self.sent.extend(changes)

    def data(self, chunk: Chunk) -> None:
        self.sent.append(chunk.data)


async def test_a_source_gives_what_is_there_and_then_the_end(pipe: tuple[int, int]) -> None:
    source = Source(pipe[0])
    os.write(pipe[1], b"some bytes")
    assert await source.read(lambda: 4) == b"some"
    assert await source.read(lambda: 100) == b" bytes"
    os.close(pipe[1])
    assert await source.read(lambda: 100) == b""


async def test_a_source_waits_without_holding_up_others(pipe: tuple[int, int]) -> None:
    got: list[bytes] = []

    async def read() -> None:
        got.append(await Source(pipe[0]).read(lambda: 10))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        os.write(pipe[1], b"late")
    assert got == [b"late"]


async def test_a_file_can_be_a_source(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as file:
        source = Source(file.fileno())
        assert [await source.read(lambda: 4), await source.read(lambda: 4), await source.read(lambda: 4)] == [
            b"cont",
            b"ent",
            b"",
        ]


async def test_a_descriptor_that_is_closed_is_the_end(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    assert await Source(pipe[0]).read(lambda: 10) == b""


async def drained(descriptor: int) -> bytes:
    def read_all() -> bytes:
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()

    return await trio.to_thread.run_sync(read_all)


async def test_a_sink_writes_everything_in_order_and_tells_how_much(pipe: tuple[int, int]) -> None:
    sink, written = Sink(pipe[1]), []
    sink.on_written = written.append
    pieces = [b"a" * 10, b"b" * 300_000, b"c" * 5]
    read: list[bytes] = []

    async def reader() -> None:
        read.append(await drained(pipe[0]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        for piece in pieces:
            sink.put(piece)
        sink.end()
        await sink.run()
        os.close(pipe[1])
    assert read == [b"".join(pieces)]
    assert sum(written) == 300_015


def test_small_pieces_that_nobody_reads_take_little_more_than_their_bytes(pipe: tuple[int, int]) -> None:
    sink = Sink(pipe[1])
    tracemalloc.start()
    try:
        for number in range(200_000):
            sink.put(bytes((number & 255, 0)))
        assert tracemalloc.get_traced_memory()[0] < 2 * 400_000
    finally:
        tracemalloc.stop()


async def test_a_sink_goes_on_when_its_descriptor_was_made_non_blocking_by_others(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    sink = Sink(pipe[1])
    sink.put(bytes(500_000))
    sink.end()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run)
        got = 0
        while got < 500_000:
            await trio.lowlevel.wait_readable(pipe[0])
            got += len(os.read(pipe[0], 65_536))


async def test_a_sink_whose_reader_is_gone_says_so_once_and_drops_the_rest(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    sink, told, written = Sink(pipe[1]), [], []
    sink.on_broken = told.append
    sink.on_written = written.append
    sink.put(b"first")
    sink.end()
    await sink.run()
    sink.put(b"second")
    await sink.run()
    assert [type(problem) for problem in told] == [BrokenPipeError]
    assert written == [5, 6]


async def test_a_reader_that_stops_stops_the_program_and_nothing_else(pipe: tuple[int, int]) -> None:
    """A large write is in a thread then; the event loop is not."""
    sink = Sink(pipe[1])
    sink.put(bytes(1_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert not sink.broken
        os.close(pipe[0])  # lets the thread go
        sink.end()
    assert sink.broken


def terminal(pipe: tuple[int, int]) -> tuple[Terminal, Stream, Outlet]:
    mine, outlet = Terminal(Source(pipe[0]), Sink(pipe[1])), Outlet()
    return mine, Stream(0, outlet, mine, 1000), outlet


async def test_input_is_read_only_as_far_as_the_program_gave_credit(pipe: tuple[int, int]) -> None:
    mine, stream, outlet = terminal(pipe)
    os.write(pipe[1], b"x" * 100)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.read_input)
        mine.opened(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert outlet.sent == []
        stream.granted(30)
        await trio.testing.wait_all_tasks_blocked()
        assert outlet.sent == [b"x" * 30]
        assert len(os.read(pipe[0], 1000)) == 70
        nursery.cancel_scope.cancel()


async def test_the_end_of_input_is_the_end_of_the_stream(pipe: tuple[int, int]) -> None:
    mine, stream, outlet = terminal(pipe)
    mine.opened(stream)
    stream.granted(10)
    os.close(pipe[1])
    await mine.read_input()
    assert outlet.sent == [b""]


async def test_a_program_that_closes_its_input_ends_the_reading(pipe: tuple[int, int]) -> None:
    mine, stream, outlet = terminal(pipe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.read_input)
        mine.opened(stream)
        await trio.testing.wait_all_tasks_blocked()
        stream.granted(0)
    assert outlet.sent == [b""]


async def test_a_program_that_is_gone_ends_the_reading(pipe: tuple[int, int]) -> None:
    mine, stream, _ = terminal(pipe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.read_input)
        mine.opened(stream)
        await trio.testing.wait_all_tasks_blocked()
        mine.lost()


class Woken(trio.abc.Instrument):
    """Something happens when a task has been woken and has not had its turn yet."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        if "read_input" in task.name:
            self._what()


async def test_what_comes_in_the_turn_in_which_a_program_ends_stays_for_whoever_reads_next(
    pipe: tuple[int, int],
) -> None:
    mine, stream, outlet = terminal(pipe)
    mine.opened(stream)
    stream.granted(30)
    woken = Woken(mine.lost)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.read_input)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(woken)
        os.write(pipe[1], b"late")
    trio.lowlevel.remove_instrument(woken)
    assert outlet.sent == []
    assert os.read(pipe[0], 100) == b"late"


async def test_input_that_there_is_no_room_for_any_more_is_read_when_there_is_again(pipe: tuple[int, int]) -> None:
    mine, stream, outlet = terminal(pipe)
    mine.opened(stream)
    stream.granted(30)
    woken = Woken(lambda: setattr(outlet, "room", 0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.read_input)
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(woken)
        os.write(pipe[1], b"late")
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(woken)
        assert outlet.sent == []
        outlet.room = 1000
        stream.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert outlet.sent == [b"late"]
        nursery.cancel_scope.cancel()


async def test_the_program_gets_credit_back_when_its_output_is_written(pipe: tuple[int, int]) -> None:
    mine, stream, outlet = terminal(pipe)
    sink = mine._sink
    mine.opened(stream)
    stream.received(Chunk(0, 0, b"hello"))
    assert outlet.sent == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run)
        await trio.testing.wait_all_tasks_blocked()
        mine.lost()
    assert os.read(pipe[0], 100) == b"hello"
    assert outlet.sent == [Change(0, 5)]


async def test_a_counting_sink_knows_what_nobody_took(
    pipe: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    sink, taken = CountingSink(pipe[1]), [0]
    sink.on_written = taken.append
    sent = bytes(range(256)) * 1000
    sink.put(sent)
    sink.end()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run)
        await trio.testing.wait_all_tasks_blocked()
        sink.hurry(2)
    assert trio.current_time() >= 2
    assert sink.unwritten == sent[sum(taken) :] != b""
    assert os.read(pipe[0], len(sent)) == sent[: sum(taken)]


async def test_a_counting_sink_waits_for_whoever_reads_at_all(
    pipe: tuple[int, int], autojump_clock: trio.testing.MockClock
) -> None:
    sink, got = CountingSink(pipe[1]), b""
    sent = bytes(range(256)) * 1000
    sink.put(sent)
    sink.end()
    sink.hurry(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run)
        while len(got) < len(sent):
            await trio.sleep(1)
            got += os.read(pipe[0], 8192)
    assert (got, sink.unwritten) == (sent, b"")


async def test_output_of_an_earlier_time_is_counted_by_no_stream(pipe: tuple[int, int]) -> None:
    sink, outlet = CountingSink(pipe[1]), Outlet()
    sink.put(b"owed")
    terminal = Terminal(Source(pipe[0]), sink, len(b"owed"))
    assert not terminal.accepted
    stream = Stream(0, outlet, terminal, 8)
    terminal.opened(stream)
    stream.outward.credit = 8
    stream.received(Chunk(0, 0, b"news"))
    sink.end()
    await sink.run()
    assert os.read(pipe[0], 100) == b"owednews"
    assert outlet.sent == [Change(0, 4)]
