"""Where a state is written and read: nothing of the owner's is lost, nobody reads for ever, forgeries are refused."""

import contextlib
import os
import struct
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing
from allocations import counted
from commands import command, native_is_missing
from hypothesis import given
from hypothesis import strategies as st
from stoppedruns import WAITS, run, surroundings
from waiting import PATIENCE

from gatebus.__main__ import main
from gatebus.cli import stopping_run
from gatebus.cli.attending import Run, offering
from gatebus.cli.options import run_options
from gatebus.cli.statecommand import check_state, read_state, suspended_untrusted, write_state
from gatebus.cli.stopping_run import board_again, limits_untrusted, prepare_to_go_on, suspend_later
from gatebus.cli.terminal import Sink, Source, Terminal
from gatebus.discovery import request_content
from gatebus.faults import UsageError
from gatebus.keptservices import Kept, encode_kept, kept_untrusted
from gatebus.services.origin import Door
from sandbox.errors import BadState, NotSuspended, StartFailed
from sandbox.image import Image
from sandbox.memfd import MemfdSnapshot, memory_memfd
from sandbox.packets import CALL, CODE_DISCOVERY, HEADER_SIZE, encode
from sandbox.setup import Setup
from sandbox.statefile import HEAD_SIZE, MAGIC, Stored
from sandbox.suspended import Suspended

MIB = 1 << 20
LARGE = 64 * MIB
PROGRAM = b"\0asm\1\0\0\0"
NO_FILE = "--state: what is there is no file. Name a new one."
IS_NONE = "--state: something that is no state is there already. Name a new file."


def refused(path: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        check_state(str(path))
    return caught.value.text


def test_a_new_file_an_empty_one_and_an_older_state_may_be_written(tmp_path: Path) -> None:
    check_state(str(tmp_path / "new"))
    for content in (b"", MAGIC + b"older"):
        (tmp_path / "old").write_bytes(content)
        check_state(str(tmp_path / "old"))
        assert (tmp_path / "old").read_bytes() == content


NOT_READ = (
    "It is a pipe or a device, and is not read. Write `-` for stdin, or put what it gives into a file, and name that."
)


def test_what_is_no_state_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "program.wat").write_text("(module)")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("new")
    assert refused(tmp_path / "program.wat") == IS_NONE
    for there in (tmp_path, tmp_path / "pipe", tmp_path / "link", "/dev/full"):
        assert refused(there) == NO_FILE


def test_a_place_that_cannot_be_written_is_said_before_the_program_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for there in (tmp_path / "no" / "state", f"{tmp_path}/no/", ""):
        assert refused(there) == "--state: the file cannot be written there. Name one in a directory of yours."
    if Path("/proc/self").exists():
        for there in ("/proc/state", "/proc/self/fd/state", "/sys/state"):
            assert refused(there) == "--state: the file cannot be written there. Name one in a directory of yours."
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert refused(tmp_path / "file" / "state") == "--state: the file cannot be written: Not a directory."
    assert refused(tmp_path / ("n" * 300)) == "--state: the file cannot be written: File name too long."


def test_a_state_goes_into_a_file_and_not_to_stdout() -> None:
    says = "--state: a state goes into a file, not to stdout: all of the program's memory is in it. Name one."
    assert refused("-") == says


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for there in (str(tmp_path / "pipe"), "/dev/zero", "/dev/null"):
        with pytest.raises(UsageError) as caught:
            read_state(there)
        assert caught.value.text == NOT_READ


@pytest.mark.parametrize("words", [("show",), ("export", "-o", "out")])
def test_no_command_waits_for_a_pipe_where_a_state_should_be(
    tmp_path: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main((*words, str(tmp_path / "pipe"))) == 125
    assert capsys.readouterr().err == f"gatebus: {tmp_path / 'pipe'}: {NOT_READ}\n"


def test_a_run_does_not_wait_for_a_pipe_where_a_state_should_be(tmp_path: Path) -> None:
    """In a process of its own: what was begun ahead for a run ends with the process."""
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, *command("--resume", "pipe"))
    assert (done.code, done.out) == (125, b"")
    assert done.err == f"gatebus: pipe: {NOT_READ}\n"


@pytest.mark.parametrize("content", [b"\0asm\1\0\0\0", b" (module)", b";; a comment"])
def test_a_module_where_a_state_should_be_is_told_with_the_command_that_takes_it(
    tmp_path: Path, content: bytes
) -> None:
    there = tmp_path / "it's.wasm"
    there.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_state(str(there))
    assert caught.value.text == (
        f"It is a module, not a state: `gatebus run {quote(str(there))}` runs it from its beginning."
    )


def test_a_claim_of_many_bytes_is_not_believed(tmp_path: Path) -> None:
    claims = MAGIC + bytes(16) + (8 << 30).to_bytes(8, "little") + bytes(48)
    assert len(claims) == HEAD_SIZE
    (tmp_path / "short").write_bytes(claims)
    with pytest.raises(BadState) as caught:
        read_state(str(tmp_path / "short"))
    assert caught.value.code == "state-damaged"


def large() -> Suspended:
    """Every page of its memory is written to."""
    memory = MemfdSnapshot(memory_memfd(LARGE), LARGE)
    for at in range(0, LARGE, MIB):
        os.pwrite(memory.fd, b"x" * MIB, at)
    state = struct.pack("<I32sBI", 1, sha256(PROGRAM).digest(), 2, 0) + struct.pack("<II", LARGE >> 16, 0)
    return Suspended(sha256(PROGRAM).hexdigest(), state, memory)


def test_a_large_state_is_held_once_when_it_is_read_and_a_piece_at_a_time_when_it_is_written(tmp_path: Path) -> None:
    path = str(tmp_path / "large.state")
    with counted() as held:
        write_state(path, large(), PROGRAM, {}, b"")
    assert held[0] < 4 * MIB
    assert os.path.getsize(path) > LARGE
    with counted() as held:
        read = read_state(path)
    assert held[0] < LARGE * 5 // 4 + 4 * MIB  # what grows has room for an eighth more, and reads ahead
    with counted() as held:
        assert suspended_untrusted(read).memory.read(LARGE - 4, 4) == b"xxxx"
    assert held[0] < 4 * MIB


def stored(description: object, services: bytes = b"") -> Stored:
    return Stored({"limits": description}, b"", b"", memoryview(b""), services)


@pytest.mark.parametrize("limits", [None, [], "64MiB", 1, {"memory": True}, {"memory": "1"}, {"memory": 1.5}, {"x": 1}])
def test_limits_that_are_none_are_left_to_the_defaults(limits: object) -> None:
    assert limits_untrusted(stored(limits)) == {}


def test_limits_that_no_program_can_have_are_left_to_the_defaults() -> None:
    kept = {"memory": 1 << 20, "stack": 8 << 20, "table": 7}
    assert limits_untrusted(stored({**kept, "wall_time": 1})) == {name: str(value) for name, value in kept.items()}
    for name, value in (("memory", -1), ("memory", 10**4000), ("stack", 5), ("nodes", 0)):
        assert limits_untrusted(stored({**kept, name: value})).get(name) is None


if TYPE_CHECKING:
    from sandbox.box import Sandbox
    from sandbox.program import Program

PACKET = HEADER_SIZE.to_bytes(4, "little") + bytes(HEADER_SIZE - 4)


KEPT = Kept(True, (("origin", b"ab"), ("\udcff", b"")), b"left", PACKET * 2)


def test_what_services_keep_comes_back_and_begins_as_the_page_says() -> None:
    data = encode_kept(KEPT)
    assert kept_untrusted(data) == KEPT
    assert data[:17] == b"\1\0\0\0\2\0\0\0\6origin\2\0"
    assert kept_untrusted(encode_kept(Kept(False, (), b"", b""))) == (False, (), b"", b"")


def test_what_services_keep_is_whole_or_refused() -> None:
    data = encode_kept(KEPT)
    for at in range(len(data)):
        if (len(data) - at) % len(PACKET) or at < len(data) - 2 * len(PACKET):  # else it ends between two packets
            with pytest.raises(BadState) as caught:
                kept_untrusted(data[:at])
            assert caught.value.code == "state-services"
    many = struct.pack("<BBBBI", 0, 0, 0, 0, 257) + b"\1a\0\0\0\0" * 257 + bytes(4)
    for wrong in (b"\2" + data[1:], b"\1\1" + data[2:], data + bytes(8), many, data[:8] + b"\0" + data[15:]):
        with pytest.raises(BadState):
            kept_untrusted(wrong)


@given(st.integers(0, 45), st.integers(0, 255))
def test_every_byte_of_what_services_keep_is_read_as_it_stands_or_refused(at: int, byte: int) -> None:
    data = bytearray(encode_kept(KEPT))
    data[at] = byte
    with contextlib.suppress(BadState):
        assert encode_kept(kept_untrusted(bytes(data))) == data


@given(st.binary(max_size=64))
def test_any_bytes_of_services_are_packets_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadState):
        assert encode_kept(kept_untrusted(data)) == data


def test_a_wrong_place_for_the_next_state_is_said_before_the_program_goes_on(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("mine")
    words = ("--suspend-after", "1s", "--state", str(tmp_path / "letter"), "--resume", str(tmp_path / "any"))
    with pytest.raises(UsageError) as caught:
        prepare_to_go_on(run_options(words))
    assert caught.value.text == IS_NONE
    assert (tmp_path / "letter").read_text() == "mine"


GATE_IMAGE = Image("0" * 64, "gate", (), 0, 0, 0, "key", None)


def saved_services() -> tuple[tuple[str, bytes], ...]:
    """Of a program that has discovered and used them, and has a stream."""
    door = Door()
    board = offering(GATE_IMAGE, None, door)
    door.connect(Terminal(Source(0), Sink(1)))
    names = ("origin", "random", "identity", "catalog", "scope", "group", "peer", "unknown")
    calls = (encode(0, CALL, b""), encode(0, CALL, b""), encode(4, CALL, b"\0\1\1a"), encode(1, CALL, b"\x08"))
    board.receive(encode(CODE_DISCOVERY, CALL, request_content(names)) + b"".join(calls))
    while board.step():
        board.take()
    board.pause()
    return tuple(board.save())


async def test_every_byte_of_the_services_of_a_state_is_refused_or_goes_on() -> None:
    services = saved_services()
    kept = Kept(True, services, b"", b"")
    assert dict(services)["origin"]
    board = board_again(GATE_IMAGE, None, Terminal(Source(0), Sink(1)), kept)
    assert [name for name, _ in board.save()] == [name for name, _ in services]
    data, refused = encode_kept(kept), 0
    for at in range(len(data)):
        for bit in (1, 0x10, 0x80):
            forged = bytearray(data)
            forged[at] ^= bit
            try:
                board_again(GATE_IMAGE, None, Terminal(Source(0), Sink(1)), kept_untrusted(bytes(forged))).take()
            except BadState as caught:
                refused += bool(caught.text)
    assert refused > 20


class SlowProgram:
    """Cannot be left twice."""

    def __init__(self, last: Exception | None = None) -> None:
        self.asked, self.ended, self.killed, self._last = 0, False, False, last

    async def suspend(self) -> None:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.asked <= 2:
            raise NotSuspended("stop-late", "Not yet.")
        if self._last is not None:
            raise self._last

    def kill(self) -> None:
        self.killed = True


async def test_a_program_that_stops_late_is_waited_for_and_one_that_cannot_is_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    slow, ended = SlowProgram(), Run()
    await suspend_later(cast("Program", slow), 3, ended)
    assert (slow.asked, slow.killed, ended.problem, trio.current_time()) == (3, False, "", 3)
    broken = SlowProgram(BadState("state-broken", "The state is damaged."))
    await suspend_later(cast("Program", broken), 3, ended)
    assert (broken.killed, ended.problem) == (True, "The state is damaged.")


DEEP_ENOUGH = 4085  # with the name of an unfinished file behind it, it is longer than a path may be (4,096)


def too_deep(folder: Path) -> Path:
    """A directory in which a short name can be, and no longer one."""
    while (room := DEEP_ENOUGH - len(str(folder)) - 1) > 0:
        folder /= "d" * (room if room <= 200 else min(200, room - 2))
    folder.mkdir(parents=True)
    return folder


@pytest.mark.skipif(native_is_missing(), reason="the native part is not built")
@pytest.mark.parametrize("backend", ["native", "portable"])
def test_a_program_whose_state_cannot_be_written_goes_on_where_it_was_stopped(tmp_path: Path, backend: str) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    state = too_deep(tmp_path) / "s"
    words = command("--backend", backend, "--suspend-after", "1ms", "--state", str(state), "--out", "files", "it.wat")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=pipe, cwd=tmp_path, env=surroundings(tmp_path)
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        out, err = process.communicate(b"after\n", timeout=PATIENCE)
    assert said == (
        "gatebus: --state: the file cannot be written: File name too long. "
        "It goes on running, and is not stopped again.\n"
    )
    assert (process.returncode, out, err) == (7, b"before\nafter\n", b"")
    assert (tmp_path / "files").is_dir()
    assert list(state.parent.iterdir()) == []


@pytest.mark.skipif(native_is_missing(), reason="the native part is not built")
@pytest.mark.parametrize("there", [b"", MAGIC + b"of another program"])
def test_a_program_that_ends_before_its_stop_says_that_the_state_there_is_older(tmp_path: Path, there: bytes) -> None:
    (tmp_path / "it.wat").write_text(WAITS)
    (tmp_path / "old.state").write_bytes(there)
    words = command("--suspend-after", "60s", "--state", "old.state", "it.wat")
    done = run(tmp_path, *words, text=b"x\n")
    said = "gatebus: nothing was written to old.state: the program was not stopped. What is there is older.\n"
    assert (done.code, done.out, done.err) == (7, b"before\nx\n", said if there else "")
    assert (tmp_path / "old.state").read_bytes() == there


class OnlyCompiles:
    async def compile(self, *_words: object, **_options: object) -> Image:
        return replace(GATE_IMAGE, suspendable=True)


async def test_a_program_whose_state_cannot_be_written_and_that_cannot_go_on_is_said_to_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lives: list[stopping_run.Plan] = []

    async def attended(plan: stopping_run.Plan, *_rest: object) -> stopping_run.Unsaved:
        await trio.lowlevel.checkpoint()
        lives.append(plan)
        if len(lives) == 2:
            raise StartFailed("start-failed", "There is no room for another process.")
        return stopping_run.Unsaved("--state: the file cannot be written: No space left on device.", stored({}))

    monkeypatch.setattr(stopping_run, "attended", attended)
    options = run_options(("--suspend-after", "1s", "--state", "s", "--function", "f", "it.wat"))
    with pytest.raises(UsageError) as caught:
        await stopping_run.start_to_be_stopped(
            stopping_run.Plan(options, b"", Setup()), cast("Sandbox", OnlyCompiles()), Run()
        )
    assert caught.value.text == (
        "--state: the file cannot be written: No space left on device. It could not go on, either, and is lost: "
        "There is no room for another process."
    )
    assert lives[1].stored == stored({})
    assert (lives[1].options.suspend_after, lives[1].options.function) == (None, None)
