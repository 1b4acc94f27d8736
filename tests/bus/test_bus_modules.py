"""Modules and files over the bus: upload, resume, download, pin; files in and out; programs without a network."""

from __future__ import annotations

from hashlib import sha256

import pytest
import trio.testing
from busworld import BOB, PROGRAMS, Channel, Talker, bus_world, hello, module, pattern

from gatebus.bounds import PRINCIPAL_UPLOADS
from gatebus.faults import UsageError
from gatebus.host.hostconfig import HostConfig
from gatebus.host.quotas import Amounts, QuotaBounds
from gatebus.host.server import Host
from sandbox.errors import Refused
from sandbox.testing import FakeGuest, open_fake_sandbox
from sandbox.tree import File, Tree

LARGE = pattern(0, 400_000)


async def upload(bus: Talker, content: bytes) -> dict[str, object]:
    channel = bus.open("upload", {"sha256": sha256(content).digest(), "size": len(content)})
    await channel.until(lambda each: each.accepted or each.answer)
    if not channel.answer:
        await write_all(bus, channel, content)
    return await channel.result()


async def write_all(bus: Talker, channel: Channel, content: bytes) -> None:
    assert channel.flows is not None
    assert channel.accepted is not None
    at = channel.accepted.about["taken"]
    while at < len(content):
        size = min(channel.flows.out.room, 50_000)
        if not size:
            await bus.hear()
            continue
        channel.write(content[at : at + size])
        at += size


async def test_an_uploaded_module_runs_and_is_known_the_second_time() -> None:
    async with bus_world() as world, world.talker() as bus:
        answer = await upload(bus, b"hello")
        assert answer == {"module": module(hello), "size": 5, "known": False}
        assert (await upload(bus, b"hello"))["known"] is True
        assert (await bus.call(hello).result())["state"] == "HALTED"


async def test_an_upload_of_several_windows_comes_down_again() -> None:
    async with bus_world() as world, world.talker() as bus:
        await upload(bus, LARGE)
        download = bus.open("download", {"sha256": sha256(LARGE).digest()})
        assert await download.result() == {"size": len(LARGE)}
        assert download.data == LARGE


async def test_an_upload_that_was_broken_off_goes_on_where_it_was() -> None:
    async with bus_world() as world:
        async with world.talker() as bus:
            channel = bus.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)})
            await channel.until(lambda each: each.accepted)
            channel.write(LARGE[:100_000])
            assert channel.flows is not None
            await channel.until(lambda each: each.flows and each.flows.out.taken)
        async with world.talker() as bus:
            channel = bus.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)})
            await channel.until(lambda each: each.accepted)
            assert channel.accepted is not None
            assert 0 < channel.accepted.about["taken"] <= 100_000
            await write_all(bus, channel, LARGE)
            assert (await channel.result())["size"] == len(LARGE)


async def test_links_that_bring_the_same_module_at_once_send_it_once_and_all_have_it() -> None:
    async with bus_world() as world, world.talker() as first, world.talker() as second:
        one = first.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)})
        await one.until(lambda each: each.accepted)
        two = second.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)})
        await write_all(first, one, LARGE)
        assert (await one.result())["known"] is False
        assert (await two.result())["known"] is True
        assert two.accepted is None


async def test_whoever_gives_up_waiting_for_another_upload_is_answered() -> None:
    async with bus_world() as world, world.talker() as bus:
        one = bus.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)})
        await one.until(lambda each: each.accepted)
        two = bus.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)})
        two.cancel()
        assert await two.result() == {}
        await write_all(bus, one, LARGE)
        assert (await one.result())["size"] == len(LARGE)


async def test_an_upload_with_other_bytes_than_its_hash_is_refused() -> None:
    async with bus_world() as world, world.talker() as bus:
        channel = bus.open("upload", {"sha256": sha256(b"right").digest(), "size": 5})
        await channel.until(lambda each: each.accepted)
        channel.write(b"wrong")
        error = await channel.error()
        assert (error.code, "/" in error.text) == ("bad-request", False)


async def test_whoever_hears_that_an_upload_is_cancelled_has_its_place_again() -> None:
    """As many as the account may have, time and again, with bytes and without, before the accept and after it."""
    async with bus_world() as world, world.talker() as bus:
        for turn in range(6):
            given = [{"sha256": sha256(b"%d" % each).digest(), "size": 1000} for each in range(PRINCIPAL_UPLOADS)]
            channels = [bus.open("upload", each) for each in given]
            if turn % 3:
                for each in channels:
                    await each.until(lambda each: each.accepted)
            if turn % 3 == 2:
                channels[0].write(b"some")
            for each in channels:
                each.cancel()
            assert [await each.result() for each in channels] == [{}] * PRINCIPAL_UPLOADS
        assert (await bus.ask("usage"))["uploads"]["used"] == 0


async def test_a_cancelled_download_is_answered_and_the_link_goes_on() -> None:
    async with bus_world() as world, world.talker() as bus:
        await upload(bus, LARGE)
        download = bus.open("download", {"sha256": sha256(LARGE).digest()})
        await download.until(lambda each: each.accepted)
        download.cancel()
        assert await download.result() in ({}, {"size": len(LARGE)})
        again = bus.open("download", {"sha256": sha256(LARGE).digest()})
        assert await again.result() == {"size": len(LARGE)}


async def test_more_stored_bytes_than_the_quota_are_refused_with_the_number() -> None:
    small = QuotaBounds(principal=Amounts(instances=2, memory=1 << 40, stored=100_000, uploads=1, connections=3))
    async with bus_world(HostConfig(quotas=small)) as world, world.talker() as bus:
        error = await bus.open("upload", {"sha256": sha256(LARGE).digest(), "size": len(LARGE)}).error()
        assert error.code == "quota-storage"
        assert "97.7 KiB" in error.text


async def test_nobody_else_downloads_or_lists_a_module() -> None:
    async with bus_world() as world, world.talker() as bus, world.talker(BOB) as bob:
        await upload(bus, LARGE)
        assert (await bob.open("download", {"sha256": sha256(LARGE).digest()}).error()).code == "not-found"
        assert await bob.ask("modules") == {"modules": [], "more": False}
        assert [each["size"] for each in (await bus.ask("modules"))["modules"]] == [len(LARGE)]


async def test_a_module_is_pinned_with_tags_and_unpinned() -> None:
    async with bus_world() as world, world.talker() as bus:
        await upload(bus, b"hello")
        assert await bus.ask("pin", module=module(hello), tags=["a"]) == {"module": module(hello), "tags": ["a"]}
        assert (await bus.ask("modules"))["modules"][0]["pinned"] is True
        assert await bus.ask("unpin", module=module(hello)) == {"module": module(hello), "tags": []}
        assert (await bus.open("pin", {"module": b"?" * 32}).error()).code == "not-found"


async def test_a_list_of_modules_is_paged_by_the_last_one() -> None:
    async with bus_world() as world, world.talker() as bus:
        for content in (b"one", b"two", b"three"):
            await upload(bus, content)
        everything = (await bus.ask("modules"))["modules"]
        first, *others = everything
        assert len(everything) == 3
        assert await bus.ask("modules", after=first["module"]) == {"modules": others, "more": False}
        assert await bus.ask("modules", after=everything[-1]["module"]) == {"modules": [], "more": False}
        assert (await bus.ask("modules", after=b"?" * 32))["modules"] == everything
        assert (await bus.open("modules", {"after": b"short"}).error()).text == (
            "The parameter `after` must be a SHA-256 of 32 bytes."
        )


async def test_more_modules_than_one_message_holds_come_on_several_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatebus.host.storeoperations.MODULES_LISTED", 2)
    async with bus_world() as world, world.talker() as bus:
        for content in (b"one", b"two", b"three"):
            await upload(bus, content)
        page = await bus.ask("modules")
        assert (len(page["modules"]), page["more"]) == (2, True)
        rest = await bus.ask("modules", after=page["modules"][-1]["module"])
        assert (len(rest["modules"]), rest["more"]) == (1, False)


async def turns_around(guest: FakeGuest) -> None:
    """Leaves each file with its bytes reversed, and a large one."""
    nodes = {path: File(node.content[::-1]) for path, node in guest.tree.items() if isinstance(node, File)}
    guest.tree = Tree({**nodes, "large": File(LARGE)})


async def test_files_go_in_and_come_out_small_ones_in_the_result_and_large_ones_by_hash() -> None:
    async with bus_world(programs={b"turns_around": turns_around}) as world, world.talker() as bus:
        await upload(bus, b"stored")
        files = {"a.txt": b"abc", "b.txt": {"sha256": sha256(b"stored").digest()}}
        result = await bus.call(turns_around, files=files, want_files=True).result()
        left = result["files"]
        assert (left["a.txt"], left["b.txt"]) == (b"cba", b"derots")
        assert left["large"] == {"sha256": sha256(LARGE).digest(), "size": len(LARGE)}
        download = bus.open("download", {"sha256": left["large"]["sha256"]})
        await download.result()
        assert download.data == LARGE


async def test_a_stored_file_that_does_not_exist_is_an_error_of_the_call() -> None:
    async with bus_world() as world, world.talker() as bus:
        assert (await bus.call(hello, files={"a": {"sha256": b"?" * 32}}).error()).code == "not-found"


async def test_files_and_modules_that_are_too_large_are_refused_by_their_records_and_never_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bus_world() as world, world.talker() as bus:
        await upload(bus, LARGE)
        read: list[bytes] = []
        get = world.host.parts.store.get

        async def noted(digest: bytes) -> bytes:
            read.append(digest)
            return await get(digest)

        monkeypatch.setattr(world.host.parts.store, "get", noted)
        large = {"sha256": sha256(LARGE).digest()}
        files = {f"{number}": large for number in range(1_000)}
        error = await bus.call(hello, files=files, limits={"files": 1_000_000}).error()
        assert (error.code, error.text) == (
            "bad-setup",
            "The files are larger than the limit `files`, 1000000 bytes.",
        )
        assert len(read) <= 3
        monkeypatch.setattr(world.host.parts.programs, "_size", 1_000)
        error = await bus.open("call", {"stream": b"s" * 16, "module": sha256(LARGE).digest()}).error()
        assert (error.code, error.text) == ("refused", "The program has 400000 bytes; at most 1000 are allowed.")
        assert len(read) <= 3


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../up", "A path in a file system tree must be relative, without empty, `.` or `..` parts."),
        ("/etc/passwd", "A path in a file system tree must be relative, without empty, `.` or `..` parts."),
        ("a\0b", "A path or link in a file system tree has 1 to "),
        ("d/" * 20_000 + "f", "A path or link in a file system tree has 1 to "),
        ("d/" * 300 + "f", "A path in a file system tree has at most "),
        ("n" * 300, "A path in a file system tree has at most "),
    ],
)
async def test_a_tree_that_no_disk_would_take_is_refused_with_the_rule(path: str, why: str) -> None:
    async with bus_world() as world, world.talker() as bus:
        error = await bus.call(hello, files={path: b"x"}).error()
        assert error.code == "bad-setup"
        assert error.text.startswith(why)
        assert (await bus.call(hello).result())["state"] == "HALTED"


async def embedded(program: bytes, **more: object) -> object:
    async with Host(open_box=lambda: open_fake_sandbox({**PROGRAMS, b"turns_around": turns_around})) as host:
        return await host.run(program, **more)  # type: ignore[arg-type]


async def test_a_program_runs_without_a_network() -> None:
    result = await embedded(b"echo", stdin=b"some input")
    assert (result.stdout, result.ok, result.cut) == (b"some input", True, False)  # type: ignore[attr-defined]


async def test_a_program_without_a_network_has_arguments_files_and_a_log() -> None:
    assert (await embedded(b"arguments", args=("a", "b"))).stdout == b"a\nb"  # type: ignore[attr-defined]
    assert (await embedded(b"logs")).stderr.startswith(b"line 0\n")  # type: ignore[attr-defined]
    assert (await embedded(b"turns_around", files={"x": b"12"})).files["x"] == b"21"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"args": "abc"}, 'args is a list of texts, such as ["a", "b"]; not str \'abc\'.'),
        ({"stdin": "abc"}, "stdin is bytes, such as read_bytes() of a file or encode() of a text; not str 'abc'."),
        ({"limits": 3}, "limits is a Limits; not int '3'."),
        ({"limits": {}}, "limits is a Limits; not dict '{}'."),
        ({"files": {"a": "b"}}, "The file a is bytes, such as read_bytes() of a file or encode() of a text; not str"),
        ({"program": "a.wasm"}, "A module is bytes, such as read_bytes() of a file or encode() of a text; not str"),
    ],
)
async def test_slips_of_whoever_embeds_a_host_are_told(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        await embedded(**{"program": b"echo", **wrong})  # type: ignore[arg-type]
    assert caught.value.text.startswith(told)


async def test_a_program_that_is_none_is_refused_as_the_sandbox_says() -> None:
    with pytest.raises(Refused):
        await embedded(b"no program")


async def test_an_embedded_run_that_is_cancelled_kills_its_program() -> None:
    async with Host(open_box=lambda: open_fake_sandbox(PROGRAMS)) as host:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(host.run, b"busy")
                while not len(host.parts.registry):
                    await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        while len(host.parts.registry):
            await trio.testing.wait_all_tasks_blocked()
