"""Whose things are whose: every operation x own, another's, a stranger's, none such."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from busworld import ALICE, BOB, BusWorld, Talker, bus_world, busy, hello, module

from gatebus.host.operations import OPERATION
from gatebus.host.policy import OPERATIONS, STRANGERS
from gatebus.host.principals import by_key
from gatebus.protocol.proofs import public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INSTANCE = b"i" * 16
MISSING = b"?" * 16
NOT_HERE = "This host does not have the module. Upload it first."
NOT_YOURS = "There is no such file or module, or it is not yours."

# Operations on an instance -> what they are asked with, for an instance of this id.
ON_INSTANCES: Mapping[str, Callable[[bytes], dict[str, object]]] = (
    {
        name: lambda instance: {"instance": instance}
        for name in ("status", "wait", "kill", "delete", "suspend", "resume", "snapshot", "show")
    }
    | {
        "clone": lambda instance: {"instance": instance, "instances": [b"c" * 16]},
        "keep": lambda instance: {"instance": instance, "every": 1},
        "policy": lambda instance: {"instance": instance, "policy": {"wake": "any"}},
    }
    | {"io": lambda instance: {"instance": instance, "stream": b"x" * 16}}
)
# Operations that a stranger may not ask for at all.
NOT_STRANGERS = sorted(set(OPERATION) - STRANGERS)


async def launched(world: BusWorld, bus: Talker) -> None:
    await bus.launch(busy, INSTANCE)
    assert len(world.host.parts.registry) == 1


@pytest.mark.parametrize("operation", ON_INSTANCES)
async def test_another_s_instance_is_answered_exactly_like_one_that_does_not_exist(operation: str) -> None:
    ask = ON_INSTANCES[operation]
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        await launched(world, bus)
        others = await bob.open(operation, ask(INSTANCE)).error()
        missing = await bob.open(operation, ask(MISSING)).error()
        assert (others.code, others.text) == ("not-found", missing.text)
        assert (await bus.ask("status", instance=INSTANCE))["state"] == "RUNNING"


@pytest.mark.parametrize(
    ("manner", "amounts_to"),
    [
        ({"policy": {"keep_every": 1, "keep_last": 100}}, "have snapshots taken again and again (keep)"),
        ({"policy": {"idle_store": 1}}, "suspend an instance (suspend)"),
        ({"policy": {"idle_park": 1}}, "suspend an instance (suspend)"),
        ({"transient": False}, "start a program that goes on without its caller (launch)"),
        ({"resumable": True}, "start a program that goes on without its caller (launch)"),
    ],
)
async def test_a_stranger_s_call_leaves_nothing_that_a_stranger_may_not_ask_for(
    manner: dict[str, object], amounts_to: str
) -> None:
    async with bus_world() as world, world.talker(None) as stranger, world.talker() as alice:
        error = await stranger.call(hello, **manner).error()
        assert (error.code, error.text) == (
            "forbidden",
            f"Whoever has not shown a key may not {amounts_to} at this host. Connect with a key that it knows.",
        )
        assert (await stranger.call(hello, suspendable=False, policy={"wake": "any"}).result())["cause"] == "NORMAL"
        assert (await alice.call(hello, **manner).result())["cause"] == "NORMAL"


ON_SNAPSHOTS: Mapping[str, Callable[[bytes], dict[str, object]]] = {
    name: lambda snapshot: {"snapshot": snapshot} for name in ("drop", "show", "export")
} | {
    "restore": lambda snapshot: {"snapshot": snapshot, "instance": b"r" * 16},
    "diff": lambda snapshot: {"a": snapshot, "b": snapshot},
}


@pytest.mark.parametrize("operation", ON_SNAPSHOTS)
async def test_another_s_snapshot_is_answered_exactly_like_one_that_does_not_exist(operation: str) -> None:
    ask = ON_SNAPSHOTS[operation]
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        await launched(world, bus)
        own = (await bus.ask("snapshot", instance=INSTANCE))["snapshot"]
        others = await bob.open(operation, ask(own)).error()
        missing = await bob.open(operation, ask(b"?" * 32)).error()
        assert (others.code, others.text) == ("not-found", missing.text)
        assert own in [each["snapshot"] for each in (await bus.ask("snapshots"))["snapshots"]]
        assert (await bob.ask("snapshots"))["snapshots"] == []


async def test_a_hash_gives_a_run_of_the_program_and_neither_its_bytes_nor_a_pin() -> None:
    """Hashes stand in logs, command lines and events. As a file in a program's tree it would be printed by `cat`."""
    private = sha256(b"private").digest()
    async with bus_world() as world, world.talker(BOB) as bob, world.talker(None) as stranger:
        await world.host.parts.programs.keep(by_key(public_key(ALICE)), b"private")
        for thief in (bob, stranger):
            before = await thief.open("download", {"sha256": private}).error()
            channel = thief.open("upload", {"sha256": private, "size": 1000})
            await channel.until(lambda each: each.accepted or each.answer)
            assert (channel.answer, channel.accepted.about) == (None, {"taken": 0})
            channel.end()
            assert (await channel.error()).code == "bad-request"
            after = await thief.open("download", {"sha256": private}).error()
            assert (before.code, before.text) == (after.code, after.text) == ("not-found", NOT_YOURS)
            for digest in (private, b"?" * 32):
                error = await thief.call(hello, files={"a": {"sha256": digest}}).error()
                assert (error.code, error.text) == ("not-found", NOT_HERE)
        pin, missing = [await bob.open("pin", {"module": each}).error() for each in (private, b"?" * 32)]
        assert (pin.code, pin.text) == (missing.code, missing.text) == ("not-found", NOT_HERE)
        assert (await bob.ask("modules"))["modules"] == []


async def test_a_snapshot_of_a_program_that_one_may_only_run_is_not_exported() -> None:
    async with bus_world() as world, world.talker(BOB) as bob:
        await bob.launch(busy, INSTANCE)
        snapshot = (await bob.ask("snapshot", instance=INSTANCE))["snapshot"]
        for form in ("file", "state", "wasm"):
            error = await bob.open("export", {"snapshot": snapshot, "form": form}).error()
            assert (error.code, "may run it, not have it" in error.text) == ("not-found", True)


@pytest.mark.parametrize("operation", NOT_STRANGERS)
async def test_a_stranger_may_not_ask_for_what_stays_or_is_somebody_s(operation: str) -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(None) as stranger:
        await launched(world, bus)
        error = await stranger.open(operation, {"instance": INSTANCE, "module": module(busy)}).error()
        assert error.code == "forbidden"


async def test_a_stranger_connects_to_no_instance_but_an_open_one() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(None) as stranger:
        await launched(world, bus)
        assert (await stranger.io(INSTANCE).error()).code == "not-found"
        await bus.launch(busy, b"o" * 16, open=True)
        assert (await stranger.io(b"o" * 16).until(lambda each: each.accepted)).accepted is not None


async def test_each_one_s_own_instances_are_listed_and_nobody_else_s() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        await bus.launch(busy, b"a" * 16)
        await bob.launch(busy, b"b" * 16)
        assert [each["instance"] for each in (await bus.ask("list"))["instances"]] == [b"a" * 16]
        assert [each["instance"] for each in (await bob.ask("list"))["instances"]] == [b"b" * 16]


async def test_two_connections_of_one_key_are_one_principal() -> None:
    async with bus_world() as world, world.talker() as one, world.talker() as other:
        await one.launch(busy, INSTANCE)
        assert (await other.ask("kill", instance=INSTANCE))["state"] == "KILLED"


async def test_two_strangers_are_two_principals() -> None:
    async with bus_world() as world, world.talker(None) as one, world.talker(None) as other:
        assert one.principal != other.principal
        call = await one.call(busy).until(lambda each: each.accepted)
        assert call.accepted is not None
        assert (await other.io(call.accepted.about["instance"]).error()).code == "not-found"


async def test_an_id_that_another_has_cannot_be_launched() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        await launched(world, bus)
        assert (await bob.open("launch", {"instance": INSTANCE, "module": module(busy)}).error()).code == "conflict"


async def test_events_are_of_one_s_own_instances() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        heard = await bob.open("events", {}).until(lambda each: each.accepted)
        await launched(world, bus)
        await bob.launch(busy, b"b" * 16)
        await heard.until(lambda each: each.data)
        assert INSTANCE not in heard.data
        assert b"b" * 16 in heard.data


async def test_a_name_of_no_operation_is_a_bad_request() -> None:
    async with bus_world() as world, world.talker() as bus:
        assert (await bus.open("format", {}).error()).code == "bad-request"


def test_the_table_is_the_policy_s_and_the_document_s() -> None:
    page = Path(__file__).parents[2].joinpath("gatebus/protocol/PROTOCOL.md").read_text()
    chapter = page.partition("## Operations")[2].partition("## Errors")[0]
    rows = [line for line in chapter.splitlines() if line.startswith("| `")]
    named = {word.strip(" `") for row in rows for word in row.split("|")[1].split("/")}
    assert set(OPERATION) == set(OPERATIONS) == named
