"""Wire: ask the native part which layers it finds here, and why others are missing (`gatebus-sandbox probe`).

In:  the executable. Out: Layers for `gatebus doctor`, or the reason why the native back-end cannot be opened.
Slower than opening it (a container is made and thrown away), so it is only asked when somebody wants to know.
"""

from __future__ import annotations

import subprocess

import trio

from sandbox.errors import BackendUnavailable, SandboxBroken
from sandbox.keeperprocess import find_executable
from sandbox.layers import REQUIRED, Layers, parse_probe_untrusted

# A container is made in 10 ms; on a starved machine in seconds.
PROBE_SECONDS = 20.0


async def probe_layers(executable: str | None = None, required: tuple[str, ...] = REQUIRED) -> Layers:
    """Raises BackendUnavailable (no executable), SandboxBroken (it says nothing useful)."""
    path = find_executable(executable)
    with trio.move_on_after(PROBE_SECONDS):
        done = await trio.run_process(
            [path, "probe"], capture_stdout=True, stderr=subprocess.DEVNULL, env={}, check=False
        )
        return parse_probe_untrusted(done.stdout, required)
    raise SandboxBroken("probe-silent", "The native part does not say which layers it finds; run make build again.")


async def why_unavailable(executable: str, required: tuple[str, ...]) -> BackendUnavailable:
    """The best explanation of a keeper that does not become ready."""
    try:
        layers = await probe_layers(executable, required)
    except (OSError, SandboxBroken):
        layers = None
    absent = [each for each in layers.missing if each.name in required] if layers is not None else []
    if not absent:
        text = "The sandbox did not become ready; run make build again, then `gatebus doctor`."
        return BackendUnavailable("keeper-silent", text)
    names, first = ", ".join(each.name for each in absent), absent[0]
    text = (
        f"Required layers of the sandbox are missing: {names} ({first.name}: {first.why}). What helps: {first.advice}"
    )
    return BackendUnavailable("layers-missing", text)
