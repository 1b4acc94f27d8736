"""What a test needs of the machine beside this checkout: where nothing may be skipped, its absence is a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def require(there: object, reason: str) -> None:
    """`reason`: what is missing, and how to get it."""
    if not there:
        missing(reason)


def missing(reason: str) -> NoReturn:
    """Skips; fails under GATEBUS_REQUIRE_DATA, as .ci/run sets it."""
    if os.environ.get("GATEBUS_REQUIRE_DATA"):
        pytest.fail(reason)
    pytest.skip(reason)


def no_skip(report: pytest.TestReport) -> None:
    """Whatever a test says by itself, and whatever its marks say: there a skip is a failure."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("GATEBUS_REQUIRE_DATA"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
