"""What holds for all tests, and the native back-end for those that need it.

Properties are tried with the same examples every time, however slow the machine: a test that fails once in a hundred
runs stops whoever did not cause it; new examples are what `make fuzz` is for. Ctrl-C is itself, also for the commands
that tests start: a shell that runs the tests in the background has SIGINT ignored, and children inherit that.

A native back-end that is missing is a skip with its reason on a developer's machine, and a failure where
GATEBUS_REQUIRE_LAYERS says that this class of machine has it (.ci/run).
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, settings
from required import no_skip

import sandbox

settings.register_profile(
    "gatebus", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gatebus")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    no_skip(report)
    return report


@pytest.fixture(scope="session")
def image_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the session and all its processes (`pytest -n`): each program compiles once for each back-end."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "images"
    directory.mkdir(mode=0o700, exist_ok=True)
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
