"""The true sandbox for tests of programs that outlive their processes; a machine without it says so (tests/sandbox)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

import sandbox

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def image_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session: each program compiles once."""
    directory = tmp_path_factory.mktemp("images")
    directory.chmod(0o700)
    return directory


@pytest.fixture(scope="session")
def native() -> None:
    async def opens() -> None:
        async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory="")):
            pass

    try:
        trio.run(opens)
    except sandbox.BackendUnavailable as missing:
        if os.environ.get("GATEBUS_REQUIRE_LAYERS"):
            raise
        pytest.skip(f"native: {missing.text}")
