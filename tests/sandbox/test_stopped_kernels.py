"""Every kernel of the benchmark, stopped at moments that the clock chooses, is right in the end: in the jail, and as an
ordinary module. Each checks its own result and gives 0.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from commands import ROOT

import sandbox
from sandbox import Form, Limits, SandboxError, Setup, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox import Image, Outcome, Suspended
    from sandbox.box import Running

pytestmark = pytest.mark.usefixtures("native")

KERNELS = sorted((ROOT / "bench/kernels").glob("*.wat"))
ROOM = Limits(stack=8 << 20, cpu_time=120)
RUN = Setup(function="run")
STOPS = 2
# A quick machine is through with the shortest of them in 0.1 s. Who has ended before has nothing to be stopped.
LONGEST = 0.03


@pytest.fixture
async def box(image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory=str(image_directory))) as made:
        yield made


async def until(running: Running, moment: float | None) -> tuple[Outcome, Suspended | None]:
    """To its end, or to where it is at that moment."""
    suspended = None
    async with running as program:
        if moment is not None:
            await trio.sleep(moment)  # not for something to happen: wherever it is then, it goes on
            with suppress(SandboxError):
                suspended = await program.suspend()
        while await program.receive_some():
            pass
        return await program.wait(), suspended


async def stopped(box: sandbox.Sandbox, image: Image, wasm: bytes, dice: Random) -> Suspended | None:
    """The first stop is at once: it is never too late for that."""
    _outcome, suspended = await until(box.start(image, RUN, ROOM), 0)
    for _ in range(STOPS - 1):
        assert suspended is not None
        outcome, again = await until(box.resume(image, suspended, ROOM, program=wasm), dice.uniform(0, LONGEST))
        assert again is not None or (outcome.state, outcome.result) == (State.HALTED, 0)
        suspended = again or suspended
    return suspended


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.stem)
async def test_a_kernel_that_is_stopped_wherever_it_is_is_right_and_so_is_its_module(
    box: sandbox.Sandbox, kernel: Path
) -> None:
    wasm = kernel.read_bytes()
    image = await box.compile(wasm, form=Form.SUSPENDABLE)
    suspended = await stopped(box, image, wasm, Random(kernel.stem))
    assert suspended is not None
    assert await box.frames(suspended, wasm)
    outcome, _ = await until(box.resume(image, suspended, ROOM, program=wasm), None)
    assert (outcome.state, outcome.result) == (State.HALTED, 0)
    exported = await box.compile(await box.export(suspended, wasm))
    outcome, _ = await until(box.start(exported, RUN, ROOM), None)
    assert (outcome.state, outcome.result) == (State.HALTED, 0)
