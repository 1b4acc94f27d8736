"""Words: why a compile worker ended without an answer.

In:  its end record (from the kernel). Out: the error that the program's owner gets. A worker that ends in any way
that is not one of its limits is counted as the program's fault all the same: its bytes are the only thing that
differs from one worker to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import CompileLimit, SandboxBroken, SandboxError
from sandbox.outcome import SIGKILL, SIGXCPU, EndRecord, Why

if TYPE_CHECKING:
    from sandbox.limits import CompileLimits

# PROTOCOL.md's exit statuses that a worker has, too.
_CPU, _WALL, _HEAP = 60, 61, 62


def compile_failure(end: EndRecord, limits: CompileLimits) -> SandboxError:
    """For a worker that did not end with status 0."""
    if end.why is Why.LOST:
        return SandboxBroken("keeper-lost", "The sandbox's keeper ended while the program was compiled. Send it again.")
    if end.why is Why.WALL or end.exit_code == _WALL:
        return CompileLimit(
            "compile-wall-time", f"Compiling the program took longer than {limits.wall_time:g} seconds."
        )
    if end.why is Why.MEMORY or end.exit_code == _HEAP:
        return CompileLimit(
            "compile-memory", f"Compiling the program needs more than {limits.memory >> 20} MiB of memory."
        )
    if end.exit_code == _CPU or end.signal == SIGXCPU or _cpu_used_up(end, limits):
        return CompileLimit(
            "compile-cpu-time", f"Compiling the program needs more than {limits.cpu_time:g} seconds of a CPU."
        )
    how = f"signal {end.signal}" if end.signal is not None else f"status {end.exit_code}"
    return CompileLimit("compile-crashed", f"The compiler stopped unexpectedly ({how}); the program was not admitted.")


def _cpu_used_up(end: EndRecord, limits: CompileLimits) -> bool:
    # The kernel counts whole seconds for RLIMIT_CPU and may be a tick early.
    return end.signal == SIGKILL and (end.user_us + end.system_us) / 1e6 >= limits.cpu_time - 0.05
