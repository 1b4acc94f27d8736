"""Small files that name gigabytes, and states that are none: refused before a byte is read, and nothing is left."""

from __future__ import annotations

import gc
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from busworld import ALICE
from forgedfiles import Taken, taken_apart
from liveworld import CHAIN, chained, digest, live_world, put
from test_live_instances import ONE, TWO, connect, ended, launch
from test_snapshots_as_files import exported, taken

from gatebus.bounds import MAX_SERVICES
from gatebus.host.hostconfig import HostConfig
from gatebus.host.lives import carrying
from gatebus.host.principals import by_key
from gatebus.host.quotas import Amounts, QuotaBounds
from gatebus.protocol.proofs import public_key
from sandbox.suspended import Suspended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from busworld import BusWorld, Talker

    from gatebus.snapshots.manifestwords import Section

pytestmark = pytest.mark.usefixtures("native")
MIB = 1 << 20
OWNER = by_key(public_key(ALICE), "alice")
NO_SUCH_SERVICE = "The snapshot has something of a service that this host does not have."


async def file_of_a_chain(bus: Talker) -> Taken:
    await launch(bus)
    own = taken_apart(await exported(bus, await taken(bus)))
    await bus.ask("kill", instance=ONE)
    return own


async def refused(bus: Talker, data: bytes) -> tuple[str, str]:
    """Why it is not let in. Its sender may hear of it before all of it is sent."""
    given = {"size": len(data), "sha256": sha256(data).digest()}
    channel = await bus.open("import", given).until(lambda each: each.accepted)
    for at in range(0, len(data), 60_000):
        channel.write(data[at : at + 60_000])
    channel.end()
    error = await channel.error()
    return error.code, error.text


def services(own: Taken, count: int) -> list[Section]:
    return [own.held.of(f"service:n{number}", b"calls") for number in range(count)]


async def test_a_small_file_that_names_more_than_any_program_has_does_not_come_in(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        own = await file_of_a_chain(bus)
        held, before = own.held, (await bus.ask("snapshots"))["snapshots"]
        cases = {
            "The snapshot has 16777216 bytes of services' state; a program of its limits has at most 131072.": (
                held.repeated("service:origin", 16 * MIB),
            ),
            NO_SUCH_SERVICE: (held.of("service:nowhere", b"x" * 3_000),),
            "The snapshot has 67108864 bytes of input; a program of its limits has at most 41943040.": (
                held.repeated("unsent", 64 * MIB),
            ),
            "The snapshot has 1073741824 bytes of state; a program of its limits has at most 231731168.": (
                held.repeated("state", 1024 * MIB),
            ),
            "The snapshot has 4294967296 bytes of memory; a program of its limits has at most 67108864.": (
                held.repeated("memory", 4096 * MIB),
            ),
            f"The snapshot is of 258 services; a program has at most {MAX_SERVICES}.": services(own, 257),
        }
        for text, sections in cases.items():
            data = own.made(*sections)
            assert len(data) < MIB
            assert await refused(bus, data) == ("bad-state", text)
        assert (await bus.ask("snapshots"))["snapshots"] == before
        assert world.host.parts.quotas.used(OWNER.account).memory == 0


async def put_in_the_store(world: BusWorld, data: bytes) -> bytes:
    """As a version of gatebus that let everything in."""
    rest = memoryview(data)

    async def read(size: int) -> bytes:
        nonlocal rest
        piece, rest = rest[:size], rest[size:]
        return bytes(piece)

    return (await world.host.parts.lives.keeping.store.import_untrusted(read, OWNER.account)).id


async def asked_in_all_ways(bus: Talker, snapshot: bytes) -> AsyncIterator[tuple[str, str]]:
    for operation, given in {
        "show": {"snapshot": snapshot},
        "restore": {"snapshot": snapshot, "instance": TWO},
        "export": {"snapshot": snapshot, "form": "state"},
    }.items():
        error = await bus.open(operation, given).error()
        yield error.code, error.text


async def test_one_that_came_in_earlier_is_never_read(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        own = await file_of_a_chain(bus)
        mine = own.about(owner=OWNER.id, kind="snapshot")
        for each in (own.held.repeated("service:random", 64 * MIB), own.held.zeros("state", 1024 * MIB)):
            snapshot = await put_in_the_store(world, own.made(each, about=mine))
            async for code, text in asked_in_all_ways(bus, snapshot):
                assert code == "bad-state"
                assert "a program of its limits has at most" in text
        assert [each["instance"] for each in (await bus.ask("list"))["instances"]] == [ONE]


async def test_what_is_read_is_paid_for_before_and_given_back_after(image_directory: Path) -> None:
    quotas = QuotaBounds(principal=Amounts(10, 20 * MIB, 64 * MIB, 4, 10))
    async with (
        live_world(image_directory, config=HostConfig(quotas=quotas)) as world,
        world.talker() as bus,
    ):
        await launch(bus, limits={"memory": 2 * 65_536})
        own = taken_apart(await exported(bus, await taken(bus)))
        large = own.made(own.held.repeated("state", 32 * MIB), about=own.about(owner=OWNER.id, kind="snapshot"))
        snapshot = await put_in_the_store(world, large)
        async for code, _text in asked_in_all_ways(bus, snapshot):
            assert code == "quota-memory"
        assert world.host.parts.quotas.used(OWNER.account).memory == 2 * 65_536


async def test_what_a_program_went_on_from_is_not_kept_while_it_runs(image_directory: Path) -> None:
    """Its state has a file of 4 MiB, and its memory is small: so its account would pay for the rest."""
    large = bytes(range(256)) * (4 * MIB // 256)
    async with live_world(image_directory) as world, world.talker() as bus:
        await put(world.host, large)
        used = world.host.parts.quotas.used
        limits = {"memory": 2 * 65_536}
        await launch(bus, limits=limits, files={"a": {"sha256": digest(large)}})
        assert used(OWNER.account).memory == 2 * 65_536
        restored = await bus.ask("restore", snapshot=await taken(bus), instance=TWO)
        assert restored["state"] == "RUNNING"
        assert used(OWNER.account).memory == 4 * 65_536
        for instance in (ONE, TWO):
            await bus.ask("suspend", instance=instance)
        assert used(OWNER.account).memory == 0
        await bus.ask("resume", instance=TWO)
        two = await connect(bus, TWO, b" there")
        assert used(OWNER.account).memory == 2 * 65_536
        assert await ended(two) == chained(b"hello there")[5:]
        assert CHAIN not in large


def in_hand() -> int:
    """Stopped programs that this process has, without a look of the collector; other tests may have some."""
    return sum(isinstance(each, Suspended) for each in gc.get_objects())


@pytest.mark.parametrize("form", ["state", "wasm"])
async def test_nothing_stays_of_a_state_that_cannot_be_carried_away(form: str, image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        own = await file_of_a_chain(bus)
        mine = own.about(owner=OWNER.id, kind="snapshot")
        snapshot = await put_in_the_store(world, own.made(own.held.repeated("state", 16 * MIB), about=mine))
        used = world.host.parts.quotas.used
        gc.collect()
        gc.disable()
        before = in_hand()
        try:
            for _ in range(2):
                error = await bus.open("export", {"snapshot": snapshot, "form": form}).error()
                assert error.text == "The state is of version 2021161080; this program knows version 1."
            assert (in_hand(), used(OWNER.account).memory) == (before, 0)
        finally:
            gc.enable()


async def test_what_leaves_counts_as_stored_while_it_waits_and_not_longer(
    image_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file of a memory that is the same everywhere is gigabytes as a state."""
    size = 8
    monkeypatch.setattr(carrying, "encoded", lambda *_given: iter([bytes(MIB)] * size))
    quotas = QuotaBounds(principal=Amounts(10, 1 << 30, 40 * MIB, 4, 10))
    async with live_world(image_directory, config=HostConfig(quotas=quotas)) as world, world.talker() as bus:
        await launch(bus)
        given, used = {"snapshot": await taken(bus), "form": "state"}, world.host.parts.quotas.used
        before = used(OWNER.account).stored
        waiting = await bus.open("export", given, 0).until(lambda each: each.accepted)
        assert used(OWNER.account).stored - before == 8 * MIB
        waiting.cancel()
        await waiting.result()
        assert used(OWNER.account).stored == before
        size = 4096
        error = await bus.open("export", given).error()
        assert (error.code, used(OWNER.account).stored) == ("quota-storage", before)
        assert error.text.startswith(
            "A state or module that leaves waits for its client on the host's disk, and counts as stored. You have 32"
        )


async def test_a_restore_that_is_refused_makes_nothing(image_directory: Path) -> None:
    """What its process alone can see is said by its end: this is what is seen before."""
    async with live_world(image_directory) as world, world.talker() as bus:
        own = await file_of_a_chain(bus)
        state = own.held.read_all(own.section("state"))
        mine = own.about(owner=OWNER.id, kind="snapshot")
        for number, section in enumerate(
            [
                own.held.of("state", b""),
                own.held.of("state", bytes(range(200))),
                own.held.of("state", state[:60]),
                own.held.of("unsent", b"no packet"),
                own.held.of("service:origin", bytes(6) + b"no state of it"),
            ]
        ):
            snapshot = await put_in_the_store(world, own.made(section, about={**mine, "taken": number}))
            error = await bus.open("restore", {"snapshot": snapshot, "instance": TWO}).error()
            assert error.code == "bad-state", error.text
            assert "bug" not in error.text
            assert [each["instance"] for each in (await bus.ask("list"))["instances"]] == [ONE]
            assert await bus.ask("drop", snapshot=snapshot) == {}
        assert world.host.parts.quotas.used(OWNER.account).memory == 0


async def test_what_only_its_process_can_judge_ends_it_and_whoever_waits_hears_why(image_directory: Path) -> None:
    """PROTOCOL.md says so: the answer of `restore` is that there is a process."""
    async with live_world(image_directory) as world, world.talker() as bus:
        own = await file_of_a_chain(bus)
        state = own.held.read_all(own.section("state"))
        mine = own.about(owner=OWNER.id, kind="snapshot")
        snapshot = await put_in_the_store(world, own.made(own.held.of("state", state[:-8]), about=mine))
        assert (await bus.ask("restore", snapshot=snapshot, instance=TWO))["state"] == "RUNNING"
        ended = await bus.ask("wait", instance=TWO)
        assert (ended["state"], ended["cause"], ended["text"]) == (
            "KILLED",
            "BAD_STATE",
            "The program cannot go on from this state: the state is broken in its world.",
        )
        assert await bus.ask("drop", snapshot=snapshot) == {}


async def test_a_restore_with_too_little_memory_makes_nothing(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus:
        await launch(bus)
        given = {"snapshot": await taken(bus), "instance": TWO, "limits": {"memory": 65_536}}
        error = await bus.open("restore", given).error()
        assert error.text == "The program has 131072 bytes of memory; the limit `memory` is 65536."
        assert [each["instance"] for each in (await bus.ask("list"))["instances"]] == [ONE]
