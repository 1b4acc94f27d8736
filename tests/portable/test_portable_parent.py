"""The parent's side: compile jobs and programs as child processes, what they leave, and what is done to them."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import trio
from openfiles import left_open, open_files
from processes import children_of
from waiting import PATIENCE
from wasmbytes import HEADER, leb, section

import sandbox
from sandbox import CompileLimit, CompileLimits, Limits, SandboxBroken, Settings, StartFailed
from sandbox.backend import Beginning
from sandbox.outcome import EndRecord, Why
from sandbox.portable import parent
from sandbox.portable.child_process import ChildEnd, command, environment, start_child
from sandbox.portable.portable_layers import portable_layers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HELLO = b'(module (memory 1) (func (export "_start")))'
BUSY = b'(module (func (export "_start") (loop (br 0))))'


def slow_to_compile(count: int = 100, length: int = 40_000) -> bytes:
    """Functions just below the bounds: only the limits of the worker stand against them."""
    body = b"\0" + b"\x20\0" + b"\x41\1\x6a" * length + b"\x0b"
    parts = [
        (1, b"\1\x60\1\x7f\1\x7f"),
        (3, leb(count) + b"\0" * count),
        (10, leb(count) + (leb(len(body)) + body) * count),
    ]
    return HEADER + b"".join(section(kind, part) for kind, part in parts)


@pytest.fixture
async def backend() -> AsyncIterator[parent.PortableBackend]:
    async with parent.open_backend(Settings()) as opened:
        yield opened


async def compiled(backend: parent.PortableBackend, wasm: bytes) -> parent.ImageFile:
    result = await backend.compile_job(wasm, CompileLimits())
    assert isinstance(result.blob, parent.ImageFile)
    return result.blob


async def test_a_compile_job_that_takes_too_much_cpu_time_is_the_program_s_fault(backend) -> None:
    before = children_of()
    with pytest.raises(CompileLimit) as caught:
        await backend.compile_job(slow_to_compile(), CompileLimits(cpu_time=1.0, wall_time=PATIENCE))
    assert (caught.value.code, caught.value.text) == (
        "compile-cpu-time",
        "Compiling the program needs more than 1 seconds of a CPU.",
    )
    assert children_of() <= before


async def test_a_compile_job_that_takes_too_long_is_ended(backend) -> None:
    with pytest.raises(CompileLimit) as caught:
        await backend.compile_job(slow_to_compile(), CompileLimits(wall_time=0.5))
    assert caught.value.code == "compile-wall-time"


async def test_a_compile_job_that_takes_too_much_memory_is_ended(backend) -> None:
    with pytest.raises(CompileLimit) as caught:
        await backend.compile_job(slow_to_compile(1, 150_000), CompileLimits(memory=64 << 20, wall_time=PATIENCE))
    assert caught.value.text == "Compiling the program needs more than 64 MiB of memory."


async def test_a_cancelled_compile_job_leaves_nothing(backend) -> None:
    before, files = children_of(), set(backend._directory.iterdir())
    with trio.move_on_after(0.3) as scope:
        await backend.compile_job(slow_to_compile(), CompileLimits())
    assert scope.cancelled_caught
    assert children_of() <= before
    assert set(backend._directory.iterdir()) == files


async def test_a_disk_without_room_is_told_as_the_machine_s_fault(backend, monkeypatch: pytest.MonkeyPatch) -> None:
    files = set(backend._directory.iterdir())

    def full(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parent, "write_given", full)
    with pytest.raises(SandboxBroken) as caught:
        await backend.compile_job(HELLO, CompileLimits())
    assert caught.value.code == "compiler-files"
    assert set(backend._directory.iterdir()) == files


async def test_without_a_descriptor_for_its_socket_no_program_starts_and_nothing_is_left(
    backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await compiled(backend, HELLO)
    before, files = open_files(), set(backend._directory.iterdir())

    def none_left(*_words: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("sandbox.portable.parent.socket.socketpair", none_left)
    for suspendable in (False, True):
        with pytest.raises(StartFailed) as caught:
            await backend.start_process(image, b"", Limits(), Beginning(suspendable=suspendable))
        assert caught.value.code == "no-descriptors"
        del caught
    assert left_open(before) == []
    assert set(backend._directory.iterdir()) == files


async def test_an_image_is_a_file_as_long_as_somebody_holds_it(backend) -> None:
    image = await compiled(backend, HELLO)
    path = image.path
    assert image.read() == path.read_bytes()
    assert image.size == path.stat().st_size
    again = backend.blob(image.read())
    assert again.sha256 == image.sha256
    assert again.path != path
    del image
    assert not path.exists()
    assert again.path.exists()


async def test_an_image_that_was_changed_on_disk_is_not_run(backend) -> None:
    image = await compiled(backend, HELLO)
    data = bytearray(image.read())
    data[-100] ^= 1
    image.path.write_bytes(bytes(data))
    started, _ = await backend.start_process(image, b"", Limits())
    with trio.fail_after(PATIENCE):
        assert (await started.wait()).exit_code == 71
    started.close()


async def test_the_end_of_the_back_end_kills_and_waits_for_every_program() -> None:
    before = children_of()
    async with parent.open_backend(Settings()) as backend:
        image = await compiled(backend, BUSY)
        directory = backend._directory
        started = [(await backend.start_process(image, b"", Limits()))[0] for _ in range(3)]
    for each in started:
        record = await each.wait()
        assert (record.why, record.signal) == (Why.KILL, signal.SIGKILL)
        each.close()
    assert children_of() <= before
    assert not directory.exists()


async def test_a_child_ends_with_its_wall_time_even_when_its_setup_never_comes(backend) -> None:
    image = await compiled(backend, BUSY)
    started, _ = await backend.start_process(image, b"", Limits(wall_time=0.1))
    with trio.fail_after(PATIENCE):
        assert (await started.wait()).why is Why.WALL
    started.close()


async def test_a_child_that_is_killed_by_somebody_else_is_an_internal_end(backend) -> None:
    image = await compiled(backend, BUSY)
    started, _ = await backend.start_process(image, b"", Limits())
    os.kill(started._end._process.pid, signal.SIGSEGV)
    record = await started.wait()
    assert (record.why, record.signal, record.exit_code) == (Why.ITSELF, signal.SIGSEGV, None)
    started.close()


async def test_a_program_whose_host_is_gone_ends_by_itself(backend) -> None:
    image = await compiled(backend, BUSY)
    started, _ = await backend.start_process(image, b"", Limits())
    started.close()
    with trio.fail_after(PATIENCE):
        assert (await started.wait()).exit_code == 75


async def test_setup_that_is_nonsense_has_its_status(backend) -> None:
    image = await compiled(backend, BUSY)
    started, unsent = await backend.start_process(image, b"\xff" * 64, Limits())
    assert unsent == b""
    with trio.fail_after(PATIENCE):
        assert (await started.wait()).exit_code == 74
    started.close()


async def test_what_does_not_fit_into_the_socket_is_given_back(backend) -> None:
    image = await compiled(backend, BUSY)
    started, unsent = await backend.start_process(image, bytes(10 << 20), Limits())
    assert 0 < len(unsent) < 10 << 20
    started.kill()
    await started.wait()
    started.close()


async def test_waiting_for_an_end_can_be_given_up_and_taken_up_again() -> None:
    process = start_child([sys.executable, "-c", "import sys; sys.exit(7)"], None)
    end = ChildEnd(process)
    with trio.move_on_after(0):
        await end.wait()
    result = await end.wait()
    assert (result.exit_code, result.signal) == (7, None)
    assert (await end.wait()) is result
    assert result.max_rss > 1 << 20
    end.kill()


async def test_killing_what_has_just_ended_by_itself_keeps_its_account() -> None:
    end = ChildEnd(start_child([sys.executable, "-c", "import sys; sys.exit(7)"], None))
    ended = os.pidfd_open(end._process.pid)
    await trio.lowlevel.wait_readable(ended)
    os.close(ended)
    end.kill()
    result = await end.wait()
    assert (result.exit_code, result.signal) == (7, None)
    assert result.max_rss > 1 << 20


async def test_a_child_that_somebody_else_waited_for_is_lost_and_nothing_else(backend) -> None:
    started, _ = await backend.start_process(await compiled(backend, BUSY), b"", Limits())
    number = started._end._process.pid
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)  # noqa: ASYNC222 - it is dead
    assert await started.wait() == EndRecord(None, None, Why.LOST)
    started.close()


async def test_without_pidfd_a_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    end = ChildEnd(start_child([sys.executable, "-c", "import time; time.sleep(60)"], None))
    end.kill()
    with trio.fail_after(PATIENCE):
        assert (await end.wait()).signal == signal.SIGKILL


def test_a_child_gets_no_environment_and_nothing_of_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert set(environment()) <= {"SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    assert {"-I", "-S"} <= set(command("program", "site", "{}"))


def test_without_the_package_wasmtime_the_text_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(sandbox.BackendUnavailable) as caught:
        parent.find_engine()
    assert caught.value.text == "The package wasmtime is missing; install it with: python -m pip install wasmtime"


def test_on_other_systems_the_text_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "SYSTEM", "nt")
    with pytest.raises(sandbox.BackendUnavailable) as caught:
        parent.find_engine()
    assert caught.value.code == "portable-system"


@pytest.mark.parametrize("has_rlimits", [True, False])
def test_every_missing_layer_is_told_with_its_reason(has_rlimits: bool) -> None:
    layers = portable_layers(has_rlimits=has_rlimits)
    assert ("rlimits" in layers.on) is has_rlimits
    assert {each.name for each in layers.missing} >= {"seccomp", "user", "landlock"}
    assert ("rlimits" in {each.name for each in layers.missing}) is not has_rlimits
    assert all(each.why and each.advice for each in layers.missing)
    assert layers.required_missing == ()


async def test_the_layers_of_the_back_end_are_those_of_this_machine(backend) -> None:
    assert backend.layers == portable_layers(has_rlimits=True)
    assert backend.fingerprint.startswith("wasmtime-py ")
