"""Fixtures of the commands' tests."""

import os
from collections.abc import Iterator

import pytest
from commandworld import World, command_world


@pytest.fixture
def open_input() -> Iterator[int]:
    """Nobody writes, and it does not end."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with command_world(tmp_path_factory.mktemp("person")) as there:
        yield there


@pytest.fixture
def instance(world: World) -> Iterator[str]:
    """One that waits for input."""
    identity = world.says("launch", "--wall-time", "none", "--tag", "waits", str(world.cat)).strip()
    yield identity
    world.run("kill", identity)
    world.run("rm", identity)
