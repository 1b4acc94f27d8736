"""What `gatebus doctor` found, and how it is told: lines for a person, JSON for a program, an exit code; words.

In:  facts about this machine, gathered by doctor_command. Out: text. Nothing is decided from them anywhere else.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sandbox.layers import Layers

NATIVE, ONLY_PORTABLE, NEITHER = 0, 1, 2

_VERDICTS = {
    NATIVE: "Programs run natively here.",
    ONLY_PORTABLE: "Programs run here only with --backend portable, which protects this machine less.",
    NEITHER: "No program can run here yet; the lines above say what to do.",
}


# The short names of the layers, as a sentence needs them; others stand as they are.
_LAYER_TEXTS = {
    "user": "user namespace",
    "pid": "process namespace",
    "mount": "empty read-only root",
    "network": "network namespace",
    "ipc": "IPC namespace",
    "uts": "host name namespace",
    "cgroup-namespace": "cgroup namespace",
    "capabilities": "no capabilities",
    "seccomp": "system call filter (seccomp)",
    "landlock": "file rules (Landlock)",
    "rlimits": "resource limits",
    "cgroup-memory": "cgroup memory limit",
    "cgroup-pids": "cgroup process limit",
    "cgroup-cpu": "cgroup processor share",
    "dumpable": "memory closed to others",
    "nested": "no nested namespaces",
    "tsc": "no precise clock (TSC)",
}


@dataclass(frozen=True, slots=True)
class BackendState:
    """`problem` is empty when a program really ran."""

    name: str
    problem: str
    milliseconds: float
    layers: Layers | None


@dataclass(frozen=True, slots=True)
class InterpreterState:
    extension: str
    present: bool
    make: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    machine: str
    backends: tuple[BackendState, ...]
    mitigations: tuple[tuple[str, str], ...]
    """Of speculative execution: name of the weakness -> what the kernel says of it."""
    interpreters: tuple[InterpreterState, ...]

    @property
    def exit_code(self) -> int:
        working = {backend.name for backend in self.backends if not backend.problem}
        return NATIVE if "native" in working else ONLY_PORTABLE if working else NEITHER

    @property
    def vulnerable(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, state) for name, state in self.mitigations if state.lower().startswith("vulnerable"))


def lines(diagnosis: Diagnosis) -> str:
    parts = [("machine", diagnosis.machine)]
    for backend in diagnosis.backends:
        parts += _backend(backend)
    parts += _mitigations(diagnosis)
    for each in diagnosis.interpreters:
        parts.append(
            (f"{each.extension} files", "ready" if each.present else f"no module yet: {each.make or 'see README'}")
        )
    verdict = _VERDICTS[diagnosis.exit_code]
    return "\n".join([*(f"{name:<12} {text}" for name, text in parts), "", verdict])


def _backend(backend: BackendState) -> Iterator[tuple[str, str]]:
    verdict = (
        f"does not work. {backend.problem}"
        if backend.problem
        else f"works: a program ran in {backend.milliseconds:.1f} ms"
    )
    yield backend.name, verdict
    if backend.layers is None:
        return
    if backend.name == "portable":
        yield "", "an ordinary process for each program, without the layers of the native one"
        return
    for name in backend.layers.on:
        yield "  on", _layer(name)
    yield "  cgroups", backend.layers.cgroups
    for missing in backend.layers.missing:
        need = "required" if missing.name in backend.layers.required else "programs run without it"
        yield "  missing", f"{_layer(missing.name)} ({need}): {missing.why}"
        yield "", f"  {missing.advice}"


def _layer(name: str) -> str:
    return _LAYER_TEXTS.get(name, name)


def _mitigations(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    if not diagnosis.mitigations:
        yield "processor", "this system does not say which weaknesses of speculative execution are mitigated"
        return
    count = len(diagnosis.mitigations) - len(diagnosis.vulnerable)
    yield "processor", f"{count} of {len(diagnosis.mitigations)} known weaknesses are mitigated or absent"
    for name, state in diagnosis.vulnerable:
        yield "  open", f"{name}: {state}. Programs of strangers could read memory by it; update kernel and microcode."


def as_json(diagnosis: Diagnosis) -> str:
    return json.dumps(asdict(diagnosis) | {"exit": diagnosis.exit_code, "verdict": _VERDICTS[diagnosis.exit_code]})
