"""Words: what protects this machine from a program of the portable back-end, and what does not. For `gatebus doctor`.

In: which limits the operating system has. Out: Layers.
"""

from __future__ import annotations

from sandbox.layers import LAYER_NAMES, Layers, Missing

RLIMITS = "rlimits"
ON = ("process", "engine", "own-session", "empty-environment", "closed-descriptors")
NATIVE = "Use the native back-end (Linux) for programs of strangers."

_WHY: dict[str, str] = {
    "user": "the program's process has your own user's rights if the engine is broken",
    "pid": "a broken engine could see and signal your other processes",
    "mount": "a broken engine could reach your files",
    "network": "a broken engine could reach the network",
    "ipc": "shared memory and message queues are not separate",
    "uts": "the host's name is visible to native code",
    "cgroup-namespace": "control groups are not separate",
    "capabilities": "the process keeps the rights that this one has: never run it as root",
    "seccomp": "no filter of system calls stands behind the engine",
    "landlock": "no rules for files stand behind the engine",
    RLIMITS: "this system has no limits of memory and CPU time for a process",
    "cgroup-memory": "memory is limited per process only",
    "cgroup-pids": "the number of processes is limited per user only",
    "cgroup-cpu": "programs share the processor by the system's own rules",
    "dumpable": "your other processes can read the program's memory",
    "nested": "native code could make namespaces",
    "tsc": "native code could read a precise clock",
}


def portable_layers(*, has_rlimits: bool) -> Layers:
    """The engine is the only wall; an ordinary process, with the system's limits, stands behind it."""
    names = [name for name in LAYER_NAMES if name != RLIMITS or not has_rlimits]
    missing = tuple(Missing(name, _WHY[name], NATIVE) for name in names)
    return Layers("portable", (*ON, RLIMITS) if has_rlimits else ON, missing, required=())
