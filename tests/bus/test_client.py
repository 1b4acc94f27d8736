"""gatebus.client against a fake host over links in memory: what each operation gives, and whose fault errors are."""

from __future__ import annotations

import hashlib
from uuid import UUID

import pytest
import trio
from fakehost import ID, KEY, OUTCOME, FakeHost, pattern

from gatebus.client import (
    Denied,
    HostNonsense,
    HostTrouble,
    LinkLost,
    NotTrusted,
    Pinned,
    Program,
    ProgramRefused,
    QuotaReached,
    StreamStopped,
    TooMuchOutput,
)
from gatebus.client.connecting import Manner, connected
from gatebus.client.handshake import Introduction
from gatebus.client.signers import as_signer
from gatebus.client.trustfile import ExactKey
from gatebus.web.link import CannotConnect

INSTANCE = UUID(bytes=ID)
STATUS = {"instance": ID, "state": "RUNNING", "cause": "", "result": 0, "module": b"m" * 32, "tags": ["a"]}
WASM = b"\0asm....#echo"


async def test_a_call_gives_back_what_the_program_wrote_and_how_it_ended(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client() as bus:
        result = await bus.call(Program("fake://echo"), stdin=pattern(5000))
    assert result.output == pattern(5000)
    assert (result.outcome.cause, result.outcome.usage.cpu_ms, result.ok) == ("NORMAL", 1, True)


async def test_a_known_key_is_proved_and_a_stranger_needs_none(autojump_clock: object) -> None:
    for key in (None, b"k" * 32):
        host = FakeHost(answers={"usage": {"instances": 0}})
        async with host.client(key=key) as bus:
            assert await bus.usage() == {"instances": 0}
            line = await bus.lifeline.line()
            assert (line.principal == "anonymous") is (key is None)


async def test_what_a_program_logs_comes_with_the_result(autojump_clock: object) -> None:
    async with FakeHost().client() as bus:
        async with bus.open_call(Program("fake://noisy")) as running:
            await running.started()
        heard: list[tuple[int, bytes]] = []
        async with bus.open_call(
            Program("fake://noisy"), on_log=lambda source, data: heard.append((source, data))
        ) as running:
            await running.started()
            await trio.testing.wait_all_tasks_blocked()
    assert heard == [(1, b"to stderr")]


async def test_a_call_without_input_says_so_at_once(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client() as bus:
        assert (await bus.call(Program("fake://echo"))).output == b""
        (program,) = host.streams.values()
        assert program.flows.into.finished == 0
        async with bus.open_call(Program("fake://echo")) as running:
            running.end(7)
            host.network.cut()
            assert await running.receive() == b""
        assert sorted(each.flows.into.finished for each in host.streams.values()) == [0, 7]


async def test_bytes_go_both_ways_while_the_program_runs(autojump_clock: object) -> None:
    async with FakeHost().client() as bus, bus.open_call(Program("fake://echo")) as running:
        assert await running.started() == INSTANCE
        for number in range(5):
            await running.send(b"ping %d" % number)
            assert await running.receive() == b"ping %d" % number
        running.end()
        assert await running.receive() == b""
        outcome = await running.wait()
        assert outcome is not None
        assert outcome.cause == "NORMAL"


async def test_a_program_that_does_not_read_holds_its_sender_up_and_nothing_else(autojump_clock: object) -> None:
    async with FakeHost(answers={"usage": {}}).client() as bus, bus.open_call(Program("fake://wait")) as running:
        with trio.move_on_after(10) as scope:
            await running.send(bytes(3_000_000))
        assert scope.cancelled_caught
        assert running.sent <= 1024 * 1024
        assert await bus.usage() == {}


async def test_a_reader_that_is_slow_holds_the_program_up_and_loses_nothing(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client() as bus, bus.open_call(Program("fake://count 200000"), window=10_000) as running:
        got = b""
        while len(got) < 200_000:
            await trio.sleep(1)
            (program,) = host.programs("count 200000")
            assert program.flows.out.sent - len(got) <= 10_000
            got += await running.receive()
    assert got == pattern(200_000)


async def test_leaving_a_call_before_its_end_kills_the_program(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {}})
    async with host.client() as bus:
        async with bus.open_call(Program("fake://wait")) as running:
            await running.started()
        await bus.usage()
        assert host.cancelled == ["call"]
        assert [program.killed for program in host.streams.values()] == [True]


async def test_a_program_that_reads_no_more_is_said_to_whoever_sends(autojump_clock: object) -> None:
    async with FakeHost().client() as bus, bus.open_call(Program("fake://deaf")) as running:
        await running.started()
        await trio.sleep(1)
        with pytest.raises(StreamStopped) as caught:
            await running.send(b"to nobody")
        assert caught.value.text == "The program reads no more."


async def test_a_call_whose_program_reads_nothing_ends_all_the_same(autojump_clock: object) -> None:
    async with FakeHost().client() as bus:
        assert (await bus.call(Program("fake://quick"), stdin=bytes(2_000_000))).output == b""


async def test_more_output_than_wanted_is_an_error_and_kills_the_program(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {}})
    async with host.client() as bus:
        with pytest.raises(TooMuchOutput) as caught:
            await bus.call(Program("fake://count 9000000"), most=50_000)
        assert caught.value.text == "The program wrote more than 50000 bytes. open_call streams its output."
        await bus.usage()
        assert host.cancelled == ["call"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("forbidden", Denied), ("quota-instances", QuotaReached), ("refused", ProgramRefused), ("stopping", HostTrouble)],
)
async def test_what_the_host_refuses_has_its_code_its_text_and_its_class(
    autojump_clock: object, code: str, kind: type
) -> None:
    host = FakeHost(refuse=dict.fromkeys(("call", "usage", "upload"), (code, "Not today.")))
    async with host.client() as bus:
        for operation in (bus.usage(), bus.call(Program("fake://echo")), bus.upload(b"x")):
            with pytest.raises(kind) as caught:
                await operation
            assert (caught.value.code, caught.value.text) == (code, "Not today.")  # type: ignore[attr-defined]


async def test_a_module_is_uploaded_when_the_host_does_not_have_it_and_only_then(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client() as bus:
        for _ in range(2):
            assert (await bus.call(Program(WASM), stdin=b"hello")).output == b"hello"
        assert [operation for operation, _ in host.opened] == ["upload", "call", "call"]
        host.known.clear()
        assert (await bus.call(Program(WASM), stdin=b"again")).output == b"again"
    assert [operation for operation, _ in host.opened][3:] == ["call", "upload", "call"]


async def test_large_files_are_uploaded_and_small_ones_travel_with_the_call(autojump_clock: object) -> None:
    host = FakeHost()
    large = pattern(100_000)
    async with host.client() as bus:
        await bus.call(Program("fake://quick", files={"small": b"s", "large": large}, args=["a"], env={"B": "c"}))
    given = host.opened[-1][1]
    assert given["files"] == {"small": b"s", "large": {"sha256": hashlib.sha256(large).digest()}}
    assert (given["args"], given["env"], "limits" in given) == (["a"], {"B": "c"}, False)


async def test_an_upload_shows_its_progress_and_is_skipped_when_the_host_has_it(autojump_clock: object) -> None:
    host, seen = FakeHost(window=4096), []
    async with host.client() as bus:
        first = await bus.upload(pattern(50_000), progress=lambda done, size: seen.append((done, size)))
        second = await bus.upload(pattern(50_000))
    assert (first.known, second.known, first.size) == (False, True, 50_000)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((0, 50_000), (50_000, 50_000))
    assert len(seen) > 5


async def test_a_download_is_held_to_its_hash_and_its_bound(autojump_clock: object) -> None:
    content = pattern(60_000)
    digest = hashlib.sha256(content).digest()
    host = FakeHost(known={digest: content, b"f" * 32: b"something else"})
    async with host.client() as bus:
        assert await bus.download(digest) == content
        with pytest.raises(TooMuchOutput):
            await bus.download(digest, most=59_999)
        with pytest.raises(Exception, match="other bytes than those that the hash names"):
            await bus.download(b"f" * 32)


async def test_small_operations_give_frozen_answers(autojump_clock: object) -> None:
    host = FakeHost(
        answers={
            **dict.fromkeys(("status", "wait", "kill", "delete"), STATUS),
            "list": {"instances": [STATUS]},
            "launch": {"instance": ID},
            "modules": {"modules": [{"module": b"m" * 32, "size": 9, "tags": ["a"], "pinned": True}]},
            "pin": {"module": b"m" * 32, "tags": []},
            "unpin": {"module": b"m" * 32, "tags": []},
            "features": {"agent": "fake"},
        }
    )
    async with host.client() as bus:
        for answer in (await bus.status(INSTANCE), await bus.wait(INSTANCE), await bus.kill(INSTANCE)):
            assert (answer.instance, answer.state, answer.tags) == (INSTANCE, "RUNNING", ("a",))
        assert [status.instance for status in await bus.list()] == [INSTANCE]
        assert await bus.launch(Program("fake://wait", tags=["x"])) == INSTANCE
        assert [(module.size, module.pinned) for module in await bus.modules()] == [(9, True)]
        assert await bus.pin(b"m" * 32, ["t"]) == Pinned(b"m" * 32)
        await bus.unpin(b"m" * 32)
        await bus.delete(INSTANCE)
        assert await bus.features() == {"agent": "fake"}
    asked = dict(host.opened)
    assert asked["pin"] == {"module": b"m" * 32, "tags": ["t"]}
    assert asked["status"] == {"instance": ID}
    assert asked["launch"]["tags"] == ["x"]


def module_row(number: int) -> dict[str, object]:
    return {"module": number.to_bytes(32), "size": 1, "tags": [], "pinned": False}


async def test_a_list_of_several_pages_is_asked_for_page_by_page(autojump_clock: object) -> None:
    host = FakeHost()
    pages = iter([([1, 2], True), ([2, 3], False)])  # what was added meanwhile moves a page's beginning

    def turn(_operation: str) -> None:
        numbers, more = next(pages)
        host.answers["modules"] = {"modules": [module_row(each) for each in numbers], "more": more}

    host.on_open = turn
    async with host.client() as bus:
        assert [int.from_bytes(each.sha256) for each in await bus.modules()] == [1, 2, 3]
    assert [given for _, given in host.opened] == [{}, {"after": (2).to_bytes(32)}]


async def test_a_list_that_a_false_host_never_ends_is_given_up(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatebus.client.asking.LISTED_ROWS", 10)
    host = FakeHost(
        answers={
            "modules": {"modules": [module_row(1), module_row(2)], "more": True},
            "list": {"instances": [STATUS], "more": True},
        }
    )
    async with host.client() as bus:
        for listing, name in ((bus.modules(), "modules"), (bus.list(), "instances")):
            with pytest.raises(HostNonsense) as caught:
                await listing
            assert caught.value.text == f"The host's list of {name} does not end."
    assert len(host.opened) < 20


async def test_events_come_in_order(autojump_clock: object) -> None:
    async with FakeHost().client() as bus, bus.events(since=7) as watching:
        assert [(await anext(watching)).number for _ in range(3)] == [8, 9, 10]


async def test_whoever_sends_to_a_program_that_never_ran_hears_why(autojump_clock: object) -> None:
    host = FakeHost(refuse={"call": ("not-found", "This host does not have the module.")})
    async with host.client() as bus, bus.open_call(Program("fake://echo")) as running:
        with pytest.raises(Denied):
            await running.wait()
        with pytest.raises(Denied) as caught:
            await running.send(b"late")
        assert caught.value.text == "This host does not have the module."


async def test_a_call_that_was_let_in_and_then_lacks_its_module_is_not_made_again_under_another_id(
    autojump_clock: object,
) -> None:
    """What was sent to the first one is gone, and somebody may know its id: the host's answer stands."""
    content = b"\0asm#lacking"
    host = FakeHost(known={hashlib.sha256(content).digest(): content})
    async with host.client() as bus, bus.open_call(Program(content)) as running:
        assert await running.started() == INSTANCE
        with pytest.raises(Denied) as caught:
            await running.wait()
        assert caught.value.code == "not-found"
        assert await running.started() == INSTANCE
    assert [operation for operation, _ in host.opened].count("call") == 1


async def test_a_call_whose_module_was_dropped_has_the_id_of_the_instance_that_runs(autojump_clock: object) -> None:
    content = b"\0asm#echo"
    host = FakeHost()

    def forget(operation: str) -> None:
        if operation == "call" and [each for each, _ in host.opened].count("call") == 1:
            host.known.clear()

    host.on_open = forget
    async with host.client() as bus, bus.open_call(Program(content)) as running:
        assert await running.started() == INSTANCE
        running.end()
        outcome = await running.wait()
        assert outcome is not None
        assert outcome.cause == "NORMAL"
    asked = [given["stream"] for operation, given in host.opened if operation == "call"]
    assert len(asked) == len(set(asked)) == 2
    assert running.name == asked[1]


async def test_a_cancelled_operation_tells_the_host_and_leaves_the_bus_usable(autojump_clock: object) -> None:
    host = FakeHost(answers={"usage": {"ok": 1}})
    async with host.client() as bus:
        with trio.move_on_after(5) as scope:
            await bus.wait(INSTANCE)  # the fake never answers it
        assert scope.cancelled_caught
        assert await bus.usage() == {"ok": 1}
    assert host.cancelled == ["wait"]


async def test_a_host_with_another_key_is_not_spoken_to(autojump_clock: object) -> None:
    host = FakeHost()
    ours = Introduction("test", as_signer(b"k" * 32), ExactKey(b"x" * 32))
    async with host.network.running():
        with pytest.raises(NotTrusted) as caught:
            async with connected(host.network.dial, ours, Manner()):
                pytest.fail("connected")
    assert caught.value.text == "The host has another key than the one that was asked for."
    assert host.opened == []
    assert KEY != b"x" * 32


async def test_a_host_that_does_not_want_us_says_why(autojump_clock: object) -> None:
    host = FakeHost(refuse={"welcome": ("not-authorized", "Your key is not known here.")})
    with pytest.raises(Denied) as caught:
        async with host.client(key=b"k" * 32):
            pytest.fail("connected")
    assert caught.value.text == "Your key is not known here."


async def test_the_first_connection_is_tried_once(autojump_clock: object) -> None:
    host = FakeHost()
    host.network.down = True
    with pytest.raises(CannotConnect) as caught:
        async with host.client():
            pytest.fail("connected")
    assert caught.value.text == "Nobody listens there."
    assert trio.current_time() < 1_000_000


async def test_without_a_link_for_too_long_operations_fail(autojump_clock: object) -> None:
    host = FakeHost()
    async with host.client(patience=30) as bus, bus.open_call(Program("fake://wait")) as running:
        await running.started()
        host.network.down = True
        host.network.cut()
        began = trio.current_time()
        with pytest.raises(LinkLost) as caught:
            await running.wait()
        assert trio.current_time() - began == pytest.approx(30, abs=1)
        assert caught.value.text == "There is no connection to the host. Nobody listens there."
    assert OUTCOME["result"] == 0
