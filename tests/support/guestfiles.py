"""Where the programs that `make guests` builds are, for tests: of this checkout, or kept in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

GUESTS = Path(__file__).parent.parent.parent / "build" / "guests"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatebus" / "guests"


def require_guest(path: str | None) -> Path:
    """The file of a built program. Without it the test skips; where nothing may be skipped it fails."""
    for folder in (GUESTS, CACHE):
        if path is None or (folder / path).is_file():
            return folder / (path or "")
    reason = f"{path} is not built: make guests"
    if os.environ.get("GATEBUS_REQUIRE_DATA"):
        pytest.fail(reason)
    pytest.skip(reason)
