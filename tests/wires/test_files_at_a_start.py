"""How a program's files reach it, with a keeper of our own in the place of the real one (fake_keeper.py)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from fakekeeper import keeper_in

import sandbox
from sandbox import File, Limits, Settings, Setup, State, Tree
from sandbox.control import GO_PACKET, setup_packets, tree_packets
from sandbox.packets import encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the native client needs Linux")



@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", Settings(executable=keeper_in(tmp_path), cache_directory="")) as made:
        yield made


async def test_a_program_finds_its_small_files_without_waiting_for_them(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"there")
    tree = Tree({f"{number}.txt": File(b"x" * number) for number in range(100)})
    packets = setup_packets(Setup(tree=tree), Limits(), bytes(16)), *tree_packets(tree), GO_PACKET
    async with box.start(image, Setup(tree=tree)) as program:
        assert await program.receive_some() == encode(0, 0, b"%d" % sum(map(len, packets)))
        await program.wait()


async def test_a_program_gets_files_of_any_size_whole(box: sandbox.Sandbox) -> None:
    image = await box.compile(b"arguments")
    for size in (65_000, 65_520, 65_536, 200_000, 3_000_000):
        tree = Tree({"large": File(bytes(size)), "small": File(b"x")})
        async with box.start(image, Setup(arguments=("a",), tree=tree)) as program:
            assert await program.receive_some() == encode(0, 0, b"a")
            assert (await program.wait()).state is State.TERMINATED
