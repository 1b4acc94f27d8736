"""Where the programs that `make guests` builds are, for tests: of this checkout, or kept in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from required import missing

GUESTS = Path(__file__).parent.parent.parent / "build" / "guests"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatebus" / "guests"


def require_guest(path: str | None) -> Path:
    """The file of a built program. Without it the test skips; where nothing may be skipped it fails."""
    there = (folder / (path or "") for folder in (GUESTS, CACHE) if path is None or (folder / path).is_file())
    return next(there, None) or missing(f"{path} is not built: make guests")
