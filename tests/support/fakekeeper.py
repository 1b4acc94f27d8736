"""A keeper that can be made to do everything wrong (tests/sandbox/fake_keeper.py), as an executable."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = (Path(__file__).parent.parent / "sandbox" / "fake_keeper.py").read_text()


def keeper_in(folder: Path, source: str = SOURCE) -> str:
    """Its path. `source`: of one that is a little different."""
    executable = folder / "fake-keeper"
    executable.write_text(f"#!{sys.executable} -E\n{source}")
    executable.chmod(0o755)
    return str(executable)
