"""`gatebus io` is left by a signal: what was launched goes on, and the next one has its connection."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from commandworld import World, at_ones_own_terminal
from hostprocess import PATIENCE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


@pytest.fixture
def echo(world: World) -> Iterator[str]:
    """A launched WASI program that writes what it reads."""
    instance = world.says("launch", "--wall-time", "none", str(world.cat)).strip()
    yield instance
    world.run("kill", instance)


def status(world: World, instance: str) -> tuple[str, int]:
    (told,) = world.reads("status", instance)
    return told["state"], told["clients"]["attached"] if told["clients"] else 0


def until_nobody_is_connected(world: World, instance: str) -> str:
    state, attached = status(world, instance)
    while attached:
        state, attached = status(world, instance)
    return state


def exchanged(connection: subprocess.Popen[bytes], line: bytes) -> bytes:
    assert connection.stdin is not None
    assert connection.stdout is not None
    connection.stdin.write(line)
    connection.stdin.flush()
    return connection.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_program_that_was_left_goes_on_and_the_next_one_talks_to_it(world: World, echo: str, number: int) -> None:
    connection = world.start("io", echo)
    assert exchanged(connection, b"one\n") == b"one\n"
    connection.send_signal(number)
    assert connection.wait(PATIENCE) == 128 + number  # its stdin is open all the time
    assert connection.communicate() == (b"", b"")
    assert until_nobody_is_connected(world, echo) == "RUNNING"
    done = world.run("io", echo, stdin=b"two\n")
    assert (done.returncode, done.stdout) == (7, b"two\n")  # it ends as it always does
    assert status(world, echo)[0] == "TERMINATED"


def test_at_a_terminal_it_is_said_that_it_goes_on(world: World, echo: str) -> None:
    code, screen = at_ones_own_terminal(world.home, "io", echo, when=b"one\r\none\r\n", types=b"\x03", first=b"one\n")
    assert code == 130
    assert screen.endswith(f"gatebus: {echo} goes on. `gatebus io` connects again, `gatebus kill` ends it.\r\n")
    assert until_nobody_is_connected(world, echo) == "RUNNING"


def test_a_call_that_is_left_ends(world: World) -> None:
    call = world.start("call", str(world.cat))
    assert exchanged(call, b"one\n") == b"one\n"
    call.send_signal(signal.SIGINT)
    assert call.wait(PATIENCE) == 130
    call.communicate()
    assert not [each for each in world.reads("ps") if each["state"] == "RUNNING"]
