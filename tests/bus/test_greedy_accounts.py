"""Whose programs start low over the bus: those of an account that takes more of the processors than the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from busworld import ALICE, BOB, bus_world, hello

from gatebus.accountbounds import APPETITE_SECONDS, START_COST_SECONDS
from sandbox.testing import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock


@pytest.fixture
def lows() -> Iterator[list[bool]]:
    """Of each start of a program, whether it was low."""
    found: list[bool] = []
    start = FakeBackend.start_process

    async def noting(self: FakeBackend, image: Any, setup: Any, limits: Any, beginning: Any) -> Any:
        found.append(beginning.low)
        return await start(self, image, setup, limits, beginning)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeBackend, "start_process", noting)
        yield found


async def test_the_next_program_of_whoever_has_had_more_than_the_others_starts_low(
    lows: list[bool], mock_clock: MockClock
) -> None:
    async with bus_world() as world, world.talker(ALICE) as alice, world.talker(BOB) as bob:
        await alice.call(hello).result()
        await bob.call(hello).result()
        appetites = world.host.parts.contest.appetites
        alices, _bobs = appetites._lately
        appetites.spent(alices, 2 * APPETITE_SECONDS, mock_clock.current_time())
        await alice.call(hello).result()
        await bob.call(hello).result()
    assert lows == [False, False, True, False]


async def test_whoever_is_alone_starts_as_ever(lows: list[bool], mock_clock: MockClock) -> None:
    async with bus_world() as world, world.talker(ALICE) as alice:
        await alice.call(hello).result()
        appetites = world.host.parts.contest.appetites
        (account,) = appetites._lately
        appetites.spent(account, 60.0, mock_clock.current_time())
        await alice.call(hello).result()
    assert lows == [False, False]


async def test_what_a_program_has_cost_is_its_accounts(mock_clock: MockClock) -> None:
    async with bus_world() as world, world.talker(ALICE) as alice:
        await alice.call(hello).result()
        (use,) = world.host.parts.contest.appetites._lately.values()
        assert use.now(mock_clock.current_time()) >= START_COST_SECONDS
