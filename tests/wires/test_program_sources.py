"""Programs that come from a source: whoever waits for it keeps nobody else from the compiler, and it is asked once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import trio
import trio.testing

from gatebus.contentbounds import FETCHES_EACH
from gatebus.host.programs import Programs
from sandbox.form import Form

if TYPE_CHECKING:
    from gatebus.host.runorders import Order

UPLOADED = "aa" * 32


class Box:
    """Compiles at once, or when it is told; knows what it has compiled."""

    def __init__(self) -> None:
        self.images: dict[str, Any] = {}
        self.may = trio.Event()
        self.may.set()

    async def cached(self, digest: str, _form: Form) -> Any:
        return self.images.get(digest)

    async def compile(self, wasm: bytes, *, principal: str, form: Form, sha256: str = "") -> Any:
        await self.may.wait()
        digest = sha256 or wasm.hex()
        self.images[digest] = SimpleNamespace(sha256=digest, suspendable=False, of=principal, form=form)
        return self.images[digest]


class Store:
    async def size(self, _digest: bytes) -> int:
        return 8

    async def get(self, digest: bytes) -> bytes:
        return digest


class Slow:
    """A source that answers when it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = trio.Event()

    async def fetch(self, address: str, _size: int, _account: str) -> bytes:
        self.asked.append(address)
        if address.startswith("slow"):
            await self.may.wait()
        return address.encode()


class World:
    def __init__(self) -> None:
        self.box, self.source = Box(), Slow()
        self.programs = Programs(cast("Any", self.box), cast("Any", Store()), self.source, 1000)
        self.done: list[str] = []

    async def call(self, module: str, account: str = "strangers") -> None:
        principal = SimpleNamespace(account=account)
        order = SimpleNamespace(module=module, form=Form.PLAIN, principal=principal)
        await self.programs.admit(cast("Order", order))
        self.done.append(module)


async def test_while_a_source_is_silent_the_programs_of_the_account_are_compiled() -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.call, "slow://1")
        await trio.testing.wait_all_tasks_blocked()
        await world.call(UPLOADED)
        await world.call("quick://1")
        assert world.done == [UPLOADED, "quick://1"]
        world.source.may.set()
    assert world.done[-1] == "slow://1"


async def test_few_programs_of_an_account_are_on_their_way_or_wait_for_the_compiler_in_memory() -> None:
    world = World()
    world.box.may = trio.Event()
    world.source.may.set()
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(world.call, f"slow://{number}", "greedy")
        await trio.testing.wait_all_tasks_blocked()
        assert len(world.source.asked) == FETCHES_EACH
        nursery.start_soon(world.call, "slow://other", "another")
        await trio.testing.wait_all_tasks_blocked()
        assert world.source.asked[FETCHES_EACH:] == ["slow://other"]
        world.box.may.set()
    assert len(world.done) == 21
    assert not any(map(len, (world.programs._compiling, world.programs._coming, world.programs._come)))


async def test_those_who_want_the_same_ask_once() -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(world.call, "slow://1")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(world.call, "slow://2")  # they take one place, not five
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(world.source.asked) == ["slow://1", "slow://2"]
        world.source.may.set()
    assert len(world.source.asked) == 2


async def test_whoever_gives_up_leaves_the_place_to_the_next_one() -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await world.call("slow://1")
        world.source.may.set()
        nursery.start_soon(world.call, "slow://1")
    assert (world.done, len(world.programs._coming)) == (["slow://1"], 0)
