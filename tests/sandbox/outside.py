"""What the tests share that throw outside material at the native sandbox: opening it, running to the end, measuring us.

Every test opens its own sandbox with an empty cache, so that what is measured is admission and not a look-up. Modules
say `pytestmark = pytest.mark.usefixtures("native")`: without a native back-end they skip (conftest.py).
"""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

import sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MIB = 1 << 20
GROWTH_MAX = 64 * MIB  # what one attack may cost the host process
# Never the guest's doing: our bug, or a system call that only native code can make.
NEVER = {sandbox.Cause.INTERNAL, sandbox.Cause.FORBIDDEN_CALL}
CODES = {"malformed", "invalid", "unsupported", "too-large", "bad-import", "code-too-large"}


@asynccontextmanager
async def open_native(**settings: object) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", sandbox.Settings(cache_directory="", **settings)) as box:  # type: ignore[arg-type]
        yield box


async def run(
    box: sandbox.Sandbox, image: sandbox.Image, limits: sandbox.Limits | None = None, function: str | None = None
) -> sandbox.Outcome:
    """Start it, read whatever it says, wait for its end."""
    async with box.start(image, sandbox.Setup(function=function), limits or sandbox.Limits()) as program:
        try:
            async for _ in program:
                pass
        except sandbox.PacketViolation:
            pass
        return await program.wait()


def binary(text: str) -> bytes:
    """The binary form, by an assembler that is not ours."""
    return bytes(wasmtime.wat2wasm(text))


def assert_public(error: sandbox.SandboxError) -> None:
    """A code that programs can decide by, and a sentence that tells nothing about this machine."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code), error.code
    assert 0 < len(error.text) <= 400, error.text
    assert not re.search(r"/[a-z]+/|0x[0-9a-f]{6}|Traceback|panicked|\.rs\b|\.py\b", error.text), error.text


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextmanager
def little_growth(limit: int = GROWTH_MAX) -> Iterator[None]:
    """The body costs this process at most so much memory (that it keeps)."""
    before = resident()
    yield
    grown = resident() - before
    assert grown <= limit, f"the host process grew by {grown // MIB} MiB"


def tool(name: str) -> Path:
    """An executable of the Rust workspace that is not shipped."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(os.environ.get("CARGO_TARGET_DIR") or cache / "gatebus" / "target") / "release" / name
    if not path.exists():
        pytest.fail(f"{name} is not built: run `make build`")
    return path
