"""The same tests over both back-ends.

A native back-end that is missing is a skip with its reason on a developer's machine, and a failure where
GATEBUS_REQUIRE_LAYERS says that this class of machine has it (.ci/run).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

import sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sandbox.box import BackendName


@pytest.fixture(scope="session")
def image_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session: each program compiles once for each back-end."""
    directory = tmp_path_factory.mktemp("images")
    directory.chmod(0o700)
    return directory


@pytest.fixture(scope="session")
def native() -> None:
    """For tests of the native back-end alone; outside of trio, so that the reason of a skip is shown."""

    async def opens() -> None:
        async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory="")):
            pass

    try:
        trio.run(opens)
    except sandbox.BackendUnavailable as missing:
        if os.environ.get("GATEBUS_REQUIRE_LAYERS"):
            raise
        pytest.skip(f"native: {missing.text}")


@pytest.fixture(params=["native", "portable"])
def backend(request: pytest.FixtureRequest) -> BackendName:
    name: BackendName = request.param
    return name


@pytest.fixture
async def box(backend: BackendName, image_directory: Path) -> AsyncIterator[sandbox.Sandbox]:
    settings = sandbox.Settings(cache_directory=str(image_directory))
    opened = False
    try:
        async with sandbox.open_sandbox(backend, settings) as made:
            opened = True
            yield made
    except sandbox.BackendUnavailable as missing:
        if opened or os.environ.get("GATEBUS_REQUIRE_LAYERS"):
            raise
        pytest.skip(f"{backend}: {missing.text}")
