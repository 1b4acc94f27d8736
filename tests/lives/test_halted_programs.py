"""Programs whose function has returned, and another one of which runs on what it has left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from busworld import BOB
from liveworld import digest, live_world
from test_live_instances import ONE, TWO, launch
from test_restarts import recorded, until
from test_snapshots_as_files import brought, exported

from gatebus.discovery import request_content
from gatebus.host.hostconfig import HostConfig
from gatebus.host.quotas import Amounts
from gatebus.snapshots.retention import Living
from sandbox.packets import CALL, CODE_DISCOVERY, encode

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from busworld import Channel, Talker

pytestmark = pytest.mark.usefixtures("native")
MUCH_LATER = 4e9  # seconds since 1970

# A number in a global and in memory. `say` writes it as a letter; `ask` adds the next byte of its input.
COUNTS = b"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 0) "\\40\\00\\00\\00\\01\\00\\00\\00" "\\00\\01\\00\\00\\00\\f0\\00\\00")
  (func $count (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 256) (i32.add (i32.load (i32.const 256)) (i32.const 10))))
  (func $put (i32.store8 (i32.const 64) (i32.add (i32.const 96) (global.get $calls)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
  (func (export "say") (result i32) (call $count) (call $put) (i32.load (i32.const 256)))
  (func (export "flood") (result i32) (call $count)
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
    (i32.load (i32.const 16)))
  (func (export "ask") (result i32)
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.load8_u (i32.const 64)))
  (func (export "total") (result i32) (i32.load (i32.const 256)))
  (func (export "leave") (call $exit (i32.const 3)))
  (func (export "trap") unreachable)
  (func (export "_start")))"""


async def start(bus: Talker, function: str | None = "say", **more: object) -> Any:
    more = {"resumable": True, **more} | ({} if function is None else {"function": function})
    await bus.ask("launch", instance=ONE, module=digest(COUNTS), **more)
    return await bus.ask("wait", instance=ONE)


async def call(bus: Talker, function: str) -> Any:
    assert (await bus.ask("resume", instance=ONE, function=function))["instance"] == ONE
    return await bus.ask("wait", instance=ONE)


async def refused(bus: Talker, **given: object) -> tuple[str, str]:
    error = await bus.open("resume", {"instance": ONE, **given}).error()
    return error.code, error.text


async def test_the_next_function_runs_on_what_the_one_before_has_left(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        told = [await start(bus, tags=["mine"]), await call(bus, "say"), await call(bus, "total")]
        assert [(each["state"], each["result"], each["lives"]) for each in told] == [
            ("HALTED", 10, 0), ("HALTED", 20, 1), ("HALTED", 20, 2)
        ]  # fmt: skip
        assert all((each["tags"], each["created"]) == (["mine"], told[0]["created"]) for each in told)


async def test_what_one_without_a_record_has_left_is_not_collected(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus, transient=True)
        registry, store = world.host.parts.registry, world.host.parts.lives.keeping.store
        assert await store.collect(Living(frozenset(registry.alive()), MUCH_LATER)) == []
        assert (await call(bus, "say"))["result"] == 20
        await bus.ask("delete", instance=ONE)
        assert list(registry.alive()) == []


async def test_what_the_second_function_writes_is_the_next_io_s(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus)
        stream = await bus.io(ONE).until(lambda each: len(each.data) == 1)
        assert ((await stream.result())["ended"]["state"], bytes(stream.data)) == ("HALTED", b"a")
        await call(bus, "say")
        stream = await bus.io(ONE).until(lambda each: len(each.data) == 1)
        assert ((await stream.result())["ended"]["result"], bytes(stream.data)) == (20, b"b")


async def test_its_input_is_a_new_one_and_neither_ended_nor_of_before(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(COUNTS), resumable=True, function="ask")
        await asked(bus, b"xyz", 120)
        await bus.ask("resume", instance=ONE, function="ask")
        await asked(bus, b"7", 55)


async def asked(bus: Talker, text: bytes, result: int) -> None:
    stream: Channel = await bus.io(ONE).until(lambda each: each.accepted)
    stream.write(text)
    stream.end()
    assert (await stream.result())["ended"]["result"] == result


async def test_its_window_is_whole_each_time(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus, None)
        for _ in range(5):  # 60 KiB that nobody reads: together more than a window
            assert (await call(bus, "flood"))["result"] == 60 << 10


async def test_a_halted_program_is_stopped_on_its_way_through_another_function(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus)
        await bus.ask("resume", instance=ONE, function="ask")
        assert (await bus.ask("suspend", instance=ONE))["depth"] == "stored"
        assert await refused(bus, function="say") == (
            "conflict",
            "It has not halted: it goes on where it was stopped, with `resume` without a function.",
        )
        assert (await bus.ask("resume", instance=ONE))["lives"] == 2
        await asked(bus, b"A", 65)
        assert (await call(bus, "say"))["result"] == 20


async def test_whoever_cannot_be_called_again_is_told_why(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus)
        assert await refused(bus) == (
            "conflict",
            "The program has halted. Say which function is to run on what it has left: `resume` with `function`.",
        )
        code, text = await refused(bus, function="sing")
        assert code == "bad-setup"
        assert text.startswith("It has no function of this name without parameters. There is: ")
        assert "say" in text
        assert (await bus.ask("status", instance=ONE))["state"] == "HALTED"
        assert (await call(bus, "say"))["result"] == 20


@pytest.mark.parametrize("last", ["leave", "trap"])
async def test_one_that_exits_or_traps_leaves_nothing(last: str, image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus)
        assert (await call(bus, last))["state"] in ("TERMINATED", "KILLED")
        assert await refused(bus, function="say") == (
            "conflict",
            "Nothing of it was kept that a function could run on: it was killed, exited, or could not be stored.",
        )


@pytest.mark.parametrize("more", [{"resumable": False}, {"suspendable": False}])
async def test_one_that_was_not_launched_so_is_not_called_again(more: dict[str, bool], image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus, **more)
        assert await refused(bus, function="say") == (
            "conflict",
            "Only a program that was launched `resumable`, and can be stopped, runs another function at its end.",
        )


async def test_one_that_runs_has_not_halted(image_directory: Path) -> None:
    async with live_world(image_directory) as world, world.talker() as bus, world.talker(BOB) as bob:
        await launch(bus, resumable=True)
        assert (await refused(bus, function="_start"))[0] == "conflict"
        assert (await refused(bob, function="_start"))[0] == "not-found"


async def test_what_it_has_left_outlives_the_host(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        ended = await start(bus)
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        found = await bus.ask("status", instance=ONE)
        assert [found[name] for name in ("state", "result", "snapshot")] == ["HALTED", 10, ended["snapshot"]]
        assert (await call(bus, "say"))["result"] == 20
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        assert (await call(bus, "total"))["result"] == 20


async def test_what_a_host_lost_of_its_second_function_it_has_not_run(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        await start(bus)
        await bus.ask("resume", instance=ONE, function="ask")
        await recorded(world, ONE, "stored")  # and the host ends as if it had crashed
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        assert (await until(bus, ONE, state="HALTED"))["result"] == 10


async def test_another_policy_meanwhile_changes_nothing_of_that(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        await start(bus)
        await bus.ask("resume", instance=ONE, function="ask")
        await bus.ask("policy", instance=ONE, policy={"wake": "any"})
        await recorded(world, ONE, "stored")
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        found = await until(bus, ONE, state="HALTED")
        assert (found["result"], found["policy"]["wake"]) == (10, "any")


async def test_what_it_has_left_goes_with_its_instance(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker() as bus:
        await start(bus)
        await call(bus, "say")
        assert [each["kind"] for each in (await bus.ask("snapshots"))["snapshots"]][:1] == ["suspended"]
        await bus.ask("delete", instance=ONE)
        keeping = world.host.parts.lives.keeping
        assert keeping.store is not None
        assert await keeping.store.records.get(ONE) is None, "what is answered is so after a crash, too"
        await gone(bus)


async def gone(bus: Talker) -> None:
    while (await bus.ask("snapshots"))["snapshots"]:
        pass


async def test_one_that_cannot_begin_now_is_what_it_was(image_directory: Path) -> None:
    config = HostConfig()
    config = replace(config, quotas=replace(config.quotas, principal=Amounts(1, 1 << 30, 1 << 30, 8, 8)))
    async with live_world(image_directory, None, COUNTS, config=config) as world, world.talker() as bus:
        ended = await start(bus)
        await bus.ask("launch", instance=TWO, module=digest(COUNTS), function="ask")
        assert (await refused(bus, function="say"))[0] == "quota-instances"
        found = await bus.ask("status", instance=ONE)
        assert [found[name] for name in ("state", "result", "lives")] == ["HALTED", 10, 0]
        assert found["snapshot"] == ended["snapshot"]
        await bus.ask("kill", instance=TWO)
        assert (await call(bus, "say"))["result"] == 20


async def test_of_two_who_call_at_once_one_is_refused(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus)
        one = bus.open("resume", {"instance": ONE, "function": "say"})
        error = await bus.open("resume", {"instance": ONE, "function": "say"}).error()
        assert error.code == "conflict"
        await one.result()
        assert (await bus.ask("wait", instance=ONE))["result"] == 20


# `find` asks for the service identity and does not wait for the answer; `who` asks that how it came to run.
FINDS = b"""(module
  (import "gate" "io_65536" (func $io (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "%s")
  (data (i32.const 96) "%s")
  (func $send (param $at i32) (param $count i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $count))
    (call $io (i32.const 0) (i32.const 0) (i32.const 8)
      (i32.const 0) (i32.const 1) (i32.const 12) (i64.const -1) (i32.const 0)))
  (func $take (param $count i32) (local $at i32)
    (loop $more
      (i32.store (i32.const 0) (i32.add (i32.const 128) (local.get $at)))
      (i32.store (i32.const 4) (i32.sub (local.get $count) (local.get $at)))
      (call $io (i32.const 0) (i32.const 1) (i32.const 8)
        (i32.const 0) (i32.const 0) (i32.const 12) (i64.const -1) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
      (br_if $more (i32.lt_u (local.get $at) (local.get $count)))))
  (func (export "find") (call $send (i32.const 64) (i32.const 24)))
  (func (export "who") (result i32) (local $code i32)
    (call $send (i32.const 96) (i32.const 16))
    (loop $more
      (call $take (i32.const 8))
      (local.set $code (i32.load16_s (i32.const 132)))
      (call $take (i32.and (i32.sub (i32.load (i32.const 128)) (i32.const 1)) (i32.const 0xfff8)))
      (br_if $more (local.get $code)))
    (i32.add (i32.mul (i32.load (i32.const 128)) (i32.const 100)) (i32.load (i32.const 132)))))"""


async def test_a_program_that_speaks_packets_has_its_services_as_it_left_them(image_directory: Path) -> None:
    packets = encode(CODE_DISCOVERY, CALL, request_content(["identity"])), encode(0, CALL, b"\x02")
    assert [len(each) for each in packets] == [24, 16]
    wat = FINDS % tuple("".join(f"\\{byte:02x}" for byte in each).encode() for each in packets)
    async with live_world(image_directory, None, wat) as world, world.talker() as bus:
        await bus.ask("launch", instance=ONE, module=digest(wat), resumable=True, function="find")
        await bus.ask("wait", instance=ONE)
        told = [await call(bus, "who"), await call(bus, "who")]
        assert [(each["state"], each["result"]) for each in told] == [("HALTED", 101), ("HALTED", 102)]


async def left_behind(bus: Talker) -> bytes:
    """The snapshot of what a halted one has left."""
    await start(bus)
    (line,) = (await bus.ask("snapshots", instance=ONE))["snapshots"]
    return bytes(line["snapshot"])


async def test_another_instance_goes_on_from_what_a_halted_one_has_left_with_a_function(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        left = await left_behind(bus)
        await bus.ask("restore", snapshot=left, instance=TWO, function="say")
        stream = await bus.io(TWO).until(lambda each: len(each.data) == 1)
        assert ((await stream.result())["ended"]["result"], bytes(stream.data)) == (20, b"b")
        await bus.ask("resume", instance=TWO, function="total")
        assert (await bus.ask("wait", instance=TWO))["result"] == 20
        assert (await call(bus, "say"))["result"] == 20, "the first one's is its own"


async def test_a_halted_program_goes_on_at_another_host(image_directory: Path, tmp_path: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        data = await exported(bus, await left_behind(bus))
    async with live_world(image_directory, tmp_path, COUNTS) as world, world.talker(BOB) as bob:
        came = await brought(bob, data)
        await bob.ask("restore", snapshot=came["snapshot"], instance=TWO, function="total")
        assert (await bob.ask("wait", instance=TWO))["result"] == 10


async def test_who_restores_a_halted_one_is_told_what_to_say_and_nothing_is_made(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        left = await left_behind(bus)
        error = await bus.open("restore", {"snapshot": left, "instance": TWO}).error()
        assert (error.code, error.text) == (
            "conflict",
            "The program has halted. Say which function is to run on what it has left: `restore` with `function`.",
        )
        error = await bus.open("restore", {"snapshot": left, "instance": TWO, "function": "nowhere"}).error()
        assert error.code == "bad-setup"
        assert "There is: say, flood, ask, total, leave, trap, _start." in error.text
        assert [each["instance"] for each in (await bus.ask("list"))["instances"]] == [ONE]


async def test_a_function_is_for_halted_ones(image_directory: Path) -> None:
    async with live_world(image_directory, None, COUNTS) as world, world.talker() as bus:
        await start(bus)
        await bus.ask("resume", instance=ONE, function="ask")
        taken = (await bus.ask("snapshot", instance=ONE))["snapshot"]
        error = await bus.open("restore", {"snapshot": taken, "instance": TWO, "function": "say"}).error()
        assert (error.code, error.text) == (
            "conflict",
            "The program was stopped on its way: it goes on there, with `restore` without a function.",
        )
