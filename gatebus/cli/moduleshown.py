"""`gatebus show MODULE`: what a module is, and whether it can be stopped; assembly.

In:  a module's bytes, of anyone. Out: lines for a person. It is compiled in the form that can be stopped, by the jailed
worker and under its limits, as `gatebus run --suspend-after` would: what is said here is what happens there.
"""

import os
from typing import Any

from gatebus.cli.groundwork import SETTINGS
from sandbox.box import open_sandbox
from sandbox.errors import public_text_untrusted
from sandbox.form import Form
from sandbox.image import Image

_NAME_MAX = 60


async def look_at(wasm: bytes) -> Image:
    """Raises Refused, CompileLimit, SandboxBroken."""
    async with open_sandbox("native", SETTINGS) as box:
        return await box.compile(wasm, principal="local", form=Form.SUSPENDABLE)


def module_described(file: str, wasm: bytes, image: Image) -> dict[str, Any]:
    return {
        "program": image.sha256,
        "file": public_text_untrusted(os.path.basename(file)),
        "personality": image.personality,
        "suspendable": image.suspendable,
        "unsuspendable": list(image.unsuspendable),
        "start": image.has_start,
        "exports": [public_text_untrusted(each, _NAME_MAX) for each in image.exports],
        "size": {"module": len(wasm), "code": image.code_size, "memory": image.memory_minimum},
        "table": image.table_minimum,
    }


def module_lines(told: dict[str, Any]) -> str:
    """For a person."""
    enters = ("the start function", *told["exports"]) if told["start"] else told["exports"]
    stops = ["stops     anywhere"] if told["suspendable"] else ["stops     nowhere, because of"]
    out = [
        f"program   {told['program']}  {told['file']}",
        f"speaks    {'WASI' if told['personality'] == 'wasi' else 'Gate: packets with services'}",
        f"enters    {', '.join(enters) or 'nothing: it exports no function without parameters'}",
        *stops,
        *(f"  {reason}" for reason in told["unsuspendable"]),
        "",
        "size",
        *(f"  {size:>10}  {name}" for name, size in told["size"].items()),
    ]
    return "\n".join(out) + "\n"
