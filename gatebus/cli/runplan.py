"""What is known of a `gatebus run` before its sandbox is opened; words.

In:  options that were checked, an image. Out: a plan; the fault of a person who asks for a function that is not there.
Stands between the command (running.py) and a run that is stopped or goes on (stopping_run.py): both make plans.
"""

from typing import TYPE_CHECKING, NamedTuple

from gatebus.cli.options import RunOptions
from gatebus.faults import UsageError
from sandbox.errors import public_text_untrusted
from sandbox.image import EXPORTS_MAX, Image
from sandbox.setup import Setup

if TYPE_CHECKING:
    from sandbox.statefile import Stored

# Of a name that the program's author chose: enough to know it again.
_NAME_MAX = 60
_ENTRY = "_start"


class Plan(NamedTuple):
    """Everything that is known before the sandbox is opened."""

    options: RunOptions
    wasm: bytes
    setup: Setup
    stored: "Stored | None" = None


def check_entry(image: Image, name: str | None) -> None:
    """Asked before it starts, so that the answer can name what there is. A full list may not be complete."""
    if name in image.exports or len(image.exports) >= EXPORTS_MAX or (name is None and image.has_start):
        return
    there = ", ".join(public_text_untrusted(each, _NAME_MAX) for each in image.exports)
    if name is not None and name != _ENTRY:
        raise UsageError(f"It has no function {name} without parameters. There is: {there or 'none'}.")
    if _ENTRY not in image.exports:
        calls = f"--function NAME calls one of: {there}." if there else "Build it as a command, not as a library."
        raise UsageError(f"Nothing ran: it exports no {_ENTRY}. {calls}")
