"""`gatebus export --out FILE`: the file is there whole or not at all, whatever ends the command."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gatebus.cli.bus_options import bus_options
from gatebus.cli.connecting_host import Connection, told
from gatebus.cli.live_commands import WORK
from gatebus.cli.wording import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "ab" * 32


class Half:
    """A bus whose snapshot's second half does not come: by then `then` is called."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then = then

    async def export(self, snapshot: bytes, write: Callable[[bytes], object], form: str) -> int:
        write(b"half")
        self.then()
        await trio.sleep_forever()


async def exported(out: Path, then: Callable[[], None]) -> Result:
    options = bus_options("export", ["--out", str(out), NAME])
    bus: Any = Half(then)
    with trio.fail_after(10):
        return await WORK["export"](Connection(bus, target=None, options=options))  # type: ignore[arg-type]


@pytest.fixture(params=[signal.SIGHUP, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal that is not ignored, as it is under `nohup`."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


async def test_a_signal_leaves_nothing_unfinished(tmp_path: Path, number: int) -> None:
    assert await exported(tmp_path / "out", lambda: os.kill(os.getpid(), number)) == Result(128 + number)
    assert [*tmp_path.iterdir()] == []


async def test_a_signal_that_is_ignored_on_purpose_ends_nothing(tmp_path: Path) -> None:
    """`nohup gatebus export ...` outlives its terminal."""

    def hung_up() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise RuntimeError("and went on")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(ExceptionGroup) as caught:
            await exported(tmp_path / "out", hung_up)
        assert caught.group_contains(RuntimeError, match="and went on")
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_full_disk_is_told_and_leaves_nothing_unfinished(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ExceptionGroup) as caught:
        await exported(tmp_path / "out", full)
    said = told("", caught.value).line
    assert said == "gatebus: --out: the file cannot be written: No space left on device."
    assert [*tmp_path.iterdir()] == []
