"""Wire: the limits that the operating system has for a process, set by the child on itself before anything of a
stranger's is read.

They are the back-stop: the engine and the watchdog answer first. What a system does not have is left out (Windows
has none of them, macOS ignores RLIMIT_DATA and RLIMIT_AS); portable_layers.py says so.
"""

from __future__ import annotations

import math

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Interpreter, engine and code, measured: 60 MiB of private writable memory with a small program; what counts whole of
# one that can be stopped or goes on: the control memory, 64 MiB, and the stack, 96 MiB.
OWN_DATA = 640 << 20
# Addresses of the compile worker besides what the compiler fills: libc's allocator keeps half as much again. Measured
# with a hello of Go (2.9 MB): 1,165 MiB of addresses, 719 MiB of memory.
OWN_ADDRESSES = 512 << 20
# The interpreter's start and the loading of an image are on the same account.
OWN_CPU_SECONDS = 5
# What a child needs open: the packet socket, and for a moment the image.
OWN_DESCRIPTORS = 64


def has_limits() -> bool:
    return resource is not None


def limit_program(data: int, cpu_ms: int) -> None:
    """Before the image is read."""
    _set("RLIMIT_CORE", 0)
    _set("RLIMIT_FSIZE", 0)
    _set("RLIMIT_DATA", data + OWN_DATA)
    _set_cpu(math.ceil(cpu_ms / 1000) + OWN_CPU_SECONDS)
    _set("RLIMIT_NOFILE", OWN_DESCRIPTORS)


def limit_processes() -> None:
    """Once all threads exist: no other process or thread. (The kernel does not hold root to it.)"""
    _set("RLIMIT_NPROC", 0)


def limit_compiler(memory: int, cpu_ms: int, largest_file: int) -> None:
    _set("RLIMIT_CORE", 0)
    _set("RLIMIT_AS", memory + OWN_ADDRESSES)
    _set_cpu(math.ceil(cpu_ms / 1000))
    _set("RLIMIT_FSIZE", largest_file)
    _set("RLIMIT_NOFILE", OWN_DESCRIPTORS)


def _set_cpu(seconds: int) -> None:
    """First the signal that says why (SIGXCPU), a second later the one that cannot be ignored."""
    _set("RLIMIT_CPU", seconds, seconds + 1)


def _set(name: str, value: int, hardest: int | None = None) -> None:
    kind = getattr(resource, name, None)
    if resource is None or kind is None:
        return
    hard = resource.getrlimit(kind)[1]
    hardest = value if hardest is None else hardest
    if hard != resource.RLIM_INFINITY:
        value, hardest = min(value, hard), min(hardest, hard)
    try:
        resource.setrlimit(kind, (value, hardest))
    except (ValueError, OSError):
        # macOS refuses some values of limits that it does not enforce anyway
        return
