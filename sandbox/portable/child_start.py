"""Assembly: the first lines of a child process: `python -I -S child_start.py ROLE ROOT SITE ORDERS`.

Isolated and without site, so that neither the environment nor the user's files decide what runs here. ROOT holds
the package `sandbox`, SITE the package `wasmtime`. The package's front page imports trio, which a child has no use
for (100 ms of its start), so the package is entered without it.
"""

from __future__ import annotations

import os
import sys
import types


def enter(root: str, site: str) -> None:
    """Make `sandbox.portable` importable."""
    sys.path[:0] = [root, site]
    package = types.ModuleType("sandbox")
    package.__path__ = [os.path.join(root, "sandbox")]
    sys.modules["sandbox"] = package


def run(role: str, orders: str) -> int:
    """The status of the process."""
    if role == "program":
        from sandbox.portable.child import main as program

        return program(orders)
    from sandbox.portable.compiler import main as compiler

    return compiler(orders)


if __name__ == "__main__":
    enter(sys.argv[2], sys.argv[3])
    status = run(sys.argv[1], sys.argv[4])
    sys.stderr.flush()
    os._exit(status)
