"""A key that is taken out of the file: its links end, what it launched goes on, and nobody else notices."""

from __future__ import annotations

import trio.testing
from busworld import ALICE, BOB, BusWorld, Talker, bus_world, busy

from gatebus.accountbounds import KEYS_SECONDS
from gatebus.host.principals import by_key
from gatebus.protocol.messages import Error
from gatebus.protocol.proofs import public_key

GONE = Error(0, "not-authorized", "This host no longer knows your key. Ask its owner.")


class File:
    """Which keys it knows: all, but those that a test takes out."""

    def __init__(self, world: BusWorld) -> None:
        desk = world.host._desk
        self.missing: set[bytes] = set()
        known, desk._known = desk._known, lambda key: None if key in self.missing else known(key)
        self._look = desk.look_again
        self._turn = world.host.parts.turn

    def looked_at(self) -> None:
        with self._turn:
            self._look()


async def served(bus: Talker) -> bool:
    return bool(await bus.ask("usage"))


async def test_who_is_no_longer_known_is_told_and_its_links_end() -> None:
    async with bus_world() as world:
        file = File(world)
        async with (
            world.talker() as one,
            world.talker() as two,
            world.talker(BOB) as bob,
            world.talker(None) as stranger,
        ):
            await one.launch(busy)
            file.missing.add(public_key(ALICE))
            file.looked_at()
            assert await served(one), "a file that is being written is no reason"
            file.looked_at()
            for each in (one, two):
                assert (await each.until_closed()).close_code == 1008
                assert each.heard[-1] == GONE
            assert await served(bob)
            assert await stranger.ask("features")
            assert world.host.parts.quotas.used(by_key(public_key(ALICE)).account).connections == 0
            assert [each.state for each in world.host.parts.registry.running()] == ["RUNNING"]


async def test_a_key_that_is_missing_at_one_look_only_stays() -> None:
    async with bus_world() as world, world.talker() as bus:
        file = File(world)
        for _ in range(3):
            file.missing.add(public_key(ALICE))
            file.looked_at()
            file.missing.clear()
            file.looked_at()
        assert await served(bus)


async def test_who_has_shown_no_key_is_not_looked_for() -> None:
    async with bus_world() as world, world.talker(None) as stranger:
        file = File(world)
        file.missing.add(b"")
        for _ in range(3):
            file.looked_at()
        assert await stranger.ask("features")


async def test_the_host_looks_by_itself_and_twice(mock_clock: trio.testing.MockClock) -> None:
    async with bus_world() as world, world.talker() as bus:
        File(world).missing.add(public_key(ALICE))
        mock_clock.jump(KEYS_SECONDS)
        await trio.testing.wait_all_tasks_blocked()
        assert await served(bus)
        mock_clock.jump(KEYS_SECONDS)
        await bus.until_closed()
        assert bus.heard[-1] == GONE
