"""gatebus.client at its edges: an ssh-agent, the file of known hosts, hosts that talk nonsense or nothing at all."""

from __future__ import annotations

import asyncio
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from fakehost import KEY, FakeHost
from stepwise import anybody, cancelled_at

from gatebus.client import HostNonsense, KeyUnusable, KnownHostsFile, LinkLost, NotTrusted, Program, connect, sync
from gatebus.client.agentsocket import AgentSigner, agent_keys
from gatebus.client.connecting import Manner, connected, default_trust
from gatebus.client.handshake import Introduction
from gatebus.client.knownhosts import known_host_line
from gatebus.client.trustfile import ExactKey, SameMachine
from gatebus.faults import UsageError
from gatebus.host.server import Host
from gatebus.protocol.messages import Data, encode
from gatebus.protocol.proofs import public_key, sign
from gatebus.sshkeys import public_blob
from gatebus.web.places import parse_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from gatebus.web.link import Link

SEED = b"a key that lives in an agent 32b"
PUBLIC = public_key(SEED)


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


def answer(asked: bytes) -> bytes:
    """What OpenSSH's agent answers to the two questions."""
    if asked == b"\x0b":
        return b"\x0c" + (1).to_bytes(4) + string(public_blob(PUBLIC)) + string(b"comment")
    blob_size = int.from_bytes(asked[1:5])
    rest = asked[5 + blob_size :]
    statement = rest[4 : 4 + int.from_bytes(rest[:4])]
    if asked[5 : 5 + blob_size] != public_blob(PUBLIC):
        return b"\x05"
    return b"\x0e" + string(string(b"ssh-ed25519") + string(sign(SEED, statement)))


@asynccontextmanager
async def agent(path: Path, reply: bytes | None = None) -> AsyncIterator[str]:
    """An agent on a socket; with a reply it says that and nothing else."""
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(path))
    listening.listen()

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            asked = b""
            while len(asked) < 4 or len(asked) < 4 + int.from_bytes(asked[:4]):
                asked += await stream.receive_some()
            await stream.send_all(string(answer(asked[4:])) if reply is None else reply)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listening)])
        yield str(path)
        nursery.cancel_scope.cancel()


async def test_an_agent_signs_for_a_key_that_never_leaves_it(tmp_path: Path) -> None:
    async with agent(tmp_path / "agent") as path:
        assert await agent_keys(path) == [PUBLIC]
        host = FakeHost(answers={"usage": {"ok": 1}})
        ours = Introduction("test", AgentSigner(path, PUBLIC), ExactKey(KEY))
        async with host.network.running(), connected(host.network.dial, ours, Manner()) as bus:
            assert await bus.usage() == {"ok": 1}
            assert (await bus.lifeline.line()).principal == PUBLIC.hex()


async def test_an_agent_that_does_not_have_the_key_says_so(tmp_path: Path) -> None:
    async with agent(tmp_path / "agent") as path:
        with pytest.raises(KeyUnusable) as caught:
            await AgentSigner(path, public_key(b"x" * 32)).sign(b"statement")
    assert caught.value.text == "The agent does not have this key, or did not want to sign."


@pytest.mark.parametrize("reply", [b"", b"\0\0", b"\0\0\0\0", b"\xff" * 8, string(b"\x0e" + string(b"short"))])
async def test_an_agent_that_answers_nonsense_is_unusable(tmp_path: Path, reply: bytes) -> None:
    async with agent(tmp_path / "agent", reply) as path:
        with pytest.raises(KeyUnusable, match="agent"):
            await AgentSigner(path, PUBLIC).sign(b"statement")


async def test_an_agent_that_is_not_there_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable) as caught:
        await agent_keys(str(tmp_path / "none"))
    assert caught.value.text == "The ssh-agent cannot be reached, or did not answer. Is SSH_AUTH_SOCK right?"


async def test_a_host_is_remembered_once_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    trust = KnownHostsFile(path, "ws://h:1")
    await trust.check(KEY)
    await trust.check(KEY)
    assert path.read_text() == known_host_line("ws://h:1", KEY)
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(NotTrusted, match="has changed"):
        await trust.check(b"x" * 32)
    assert path.read_text() == known_host_line("ws://h:1", KEY)


async def test_a_strict_client_believes_only_hosts_that_are_written_down(tmp_path: Path) -> None:
    strict = KnownHostsFile(tmp_path / "known_hosts", "ws://h:1", remember=False)
    with pytest.raises(NotTrusted, match="is not known"):
        await strict.check(KEY)
    assert not strict.path.exists()
    await KnownHostsFile(strict.path, "ws://h:1").check(KEY)
    await strict.check(KEY)


async def test_who_is_believed_without_a_file(tmp_path: Path) -> None:
    assert isinstance(default_trust(parse_address("unix:/run/s")), SameMachine)
    remembered = default_trust(parse_address("example.org"), tmp_path / "known_hosts")
    assert remembered == KnownHostsFile(tmp_path / "known_hosts", "ws://example.org:6473")
    await SameMachine().check(b"x" * 32)


def under_asyncio(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """In a thread of its own: a browser that an earlier test opened keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(main())).result()


def test_under_another_event_loop_it_is_said_what_to_use() -> None:
    async def main() -> None:
        async with connect("127.0.0.1:1"):
            pytest.fail("connected")

    with pytest.raises(UsageError) as caught:
        under_asyncio(main)
    assert caught.value.text == (
        "connect needs trio: trio.run(main). Without trio, and beside asyncio, use gatebus.client.sync "
        "(docs/clients.md)."
    )


def test_a_host_under_another_event_loop_says_so() -> None:
    async def main() -> None:
        async with Host():
            pytest.fail("there is a host")

    with pytest.raises(UsageError) as caught:
        under_asyncio(main)
    assert caught.value.text == (
        "Host needs trio: trio.run(main). Beside another event loop let `gatebus serve` run, and use "
        "gatebus.client.sync."
    )


async def test_the_synchronous_client_does_not_stop_a_trio_program() -> None:
    with pytest.raises(UsageError) as caught, sync.connect("127.0.0.1:1"):
        pytest.fail("connected")
    assert caught.value.text == (
        "gatebus.client.sync would stop this trio program while it waits. Use gatebus.client.connect."
    )


async def test_a_list_of_known_hosts_that_cannot_be_read_believes_nobody(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, why in (("folder", "is a directory"), ("device", "it is too large")):
        with pytest.raises(NotTrusted) as caught:
            await KnownHostsFile(tmp_path / name, "ws://h:1").check(KEY)
        assert caught.value.text == f"Your list of known hosts (known_hosts) cannot be used: {why}."


async def test_a_host_that_breaks_the_protocol_is_left_and_said_to_whoever_waits(autojump_clock: object) -> None:
    for nonsense in (b"nonsense", encode(Data(1, b"never allowed")), encode(Data(99, b"never opened"))):
        host = FakeHost()
        async with host.client() as bus, bus.open_call(Program("fake://wait"), window=5) as running:
            await running.started()
            end = host.network._ends[-1].host
            end.write(nonsense)
            end.flush()
            with pytest.raises(HostNonsense) as caught:
                await running.wait()
            assert caught.value.text.startswith("The host does not keep to the protocol: ")


async def test_a_host_that_never_greets_is_given_up(autojump_clock: object) -> None:
    async def silent(link: Link) -> None:
        while True:
            await link.receive_many()

    host = FakeHost()
    host.network._attendant = silent
    began = trio.current_time()
    with pytest.raises(LinkLost) as caught:
        async with host.client():
            pytest.fail("connected")
    assert caught.value.text == "The host did not greet within 20 s."
    assert trio.current_time() - began == pytest.approx(20, abs=6)


async def test_many_streams_share_a_slow_link_and_all_arrive(autojump_clock: object) -> None:
    host = FakeHost(window=1 << 20)
    done = []

    async def one(bus: object, number: int) -> None:
        content = bytes([number]) * 300_000
        result = await bus.call(Program("fake://echo"), stdin=content)  # type: ignore[attr-defined]
        assert result.output == content
        done.append(number)

    async with host.client() as bus:
        host.network._ends[-1].to_host.capacity = 5_000
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(one, bus, number)
    assert sorted(done) == list(range(12))


async def test_a_cancelled_connection_attempt_leaves_nothing(autojump_clock: object) -> None:
    before = trio.lowlevel.current_statistics().tasks_living

    async def connected() -> None:
        async with FakeHost().client(key=b"k" * 32):
            pass

    for step in count(1):
        cancelled = await cancelled_at(step, connected, anybody)
        await trio.testing.wait_all_tasks_blocked()
        if not cancelled:
            break
    assert step > 5
    assert trio.lowlevel.current_statistics().tasks_living <= before
