"""`gatebus doctor`: whether programs can run here, and what protects the machine; assembly.

In:  this machine. Out: a diagnosis on stdout, an exit code.

Each back-end is asked by running a program in it: what a kernel claims to have and what a program can really be
started in differ.
"""

import platform
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import trio

from gatebus.cli.diagnosis import BackendState, Diagnosis, InterpreterState, as_json, lines
from gatebus.cli.groundwork import see_children_end
from gatebus.cli.options import DoctorOptions
from gatebus.cli.saying import put, tell
from gatebus.cli.surroundings import module_path, read_interpreters
from gatebus.faults import UsageError
from sandbox.box import open_sandbox
from sandbox.errors import SandboxError
from sandbox.layerprobe import probe_layers
from sandbox.layers import Layers
from sandbox.outcome import Outcome
from sandbox.settings import Settings

# The smallest program: returns at once.
_PROGRAM = b'(module (func (export "_start")))'
# A machine on which this takes longer does not run programs in any useful sense.
_PATIENCE = 60.0
_WEAKNESSES = Path("/sys/devices/system/cpu/vulnerabilities")


def doctor(options: DoctorOptions) -> int:
    see_children_end()
    try:
        table = read_interpreters(None)
    except UsageError as fault:
        tell(f"gatebus: {fault.text}\n")
        table = {}
    interpreters = (InterpreterState(each, module_path(line).is_file(), line.make) for each, line in table.items())
    diagnosis = Diagnosis(
        f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}",
        (_examine("native"), _examine("portable")),
        tuple(mitigations(_WEAKNESSES)),
        tuple(interpreters),
    )
    put((as_json(diagnosis) if options.json else lines(diagnosis)) + "\n")
    return diagnosis.exit_code


def _examine(name: str) -> BackendState:
    """What is wrong with one back-end must not keep the other one from being told about."""
    try:
        state = trio.run(_try, name)
        return state if name != "native" else replace(state, layers=_probed(state.layers))
    except Exception as fault:
        return BackendState(
            name, f"It failed in an unforeseen way ({type(fault).__name__}); please report it.", 0.0, None
        )


def _probed(said: Layers | None) -> Layers | None:
    """The probe knows why a layer is missing, and answers also when no program can be started."""
    try:
        return trio.run(probe_layers)
    except SandboxError:
        return said


async def _try(name: str) -> BackendState:
    backend = cast('Literal["native", "portable"]', name)
    layers: Layers | None = None
    try:
        with trio.fail_after(_PATIENCE):
            async with open_sandbox(backend, Settings(pool=1)) as box:
                layers = box.layers
                image = await box.compile(_PROGRAM, principal="local")
                began = trio.current_time()
                async with box.start(image) as program:
                    outcome = await program.wait()
                return BackendState(name, _problem(outcome), (trio.current_time() - began) * 1000, layers)
    except SandboxError as fault:
        return BackendState(name, fault.text, 0.0, layers)
    except trio.TooSlowError:
        return BackendState(name, f"The smallest program had not ended after {_PATIENCE:g} seconds.", 0.0, layers)


def _problem(outcome: Outcome) -> str:
    return "" if outcome.ok else f"The smallest program was killed: {outcome.text}"


def mitigations(directory: Path) -> list[tuple[str, str]]:
    """What the kernel says of each weakness of the processor; nothing where it says nothing."""
    try:
        return [(each.name, each.read_text().strip()) for each in sorted(directory.iterdir())]
    except OSError:
        return []
