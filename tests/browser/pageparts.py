"""What the tests of pages share."""

from __future__ import annotations

from pathlib import Path

import waiting

PATIENCE = 1000 * waiting.PATIENCE  # milliseconds
SCREENSHOTS = Path(__file__).parent.parent.parent / "build" / "screenshots"
