"""What a program is started with; words.

In:  a checked and paid request. Out: a frozen Order, in the hand of its instance as long as that lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatebus.bounds import ORIGIN_WINDOW
from gatebus.host.lives.manners import PLAIN, Manner
from sandbox.errors import BadSetup, public_text_untrusted
from sandbox.form import Form
from sandbox.image import EXPORTS_MAX, Image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from gatebus.host.principals import Principal
    from sandbox.limits import Limits
    from sandbox.setup import Setup

# Of a name that the program's author chose: enough to know it again.
_NAME_MAX = 60


@dataclass(frozen=True, slots=True)
class Order:
    """What a program is started with; checked. `module`: sha256 in hex, or a source such as ipfs://..."""

    instance: UUID
    principal: Principal
    module: str
    setup: Setup
    limits: Limits
    tags: tuple[str, ...] = ()
    open: bool = False  # whoever knows its id may connect
    kept: bool = False  # launched: its end is remembered for a while
    stored: Mapping[str, bytes] = field(default_factory=dict)  # files whose content was uploaded before
    connections: int = 1  # how many it may have, for a fair share of windows
    window: int = ORIGIN_WINDOW  # bytes of each of its connections that may wait here
    manner: Manner = PLAIN

    @property
    def form(self) -> Form:
        return Form.SUSPENDABLE if self.manner.suspendable else Form.PLAIN


def check_function(image: Image, name: str | None) -> None:
    """Asked before it starts, so that the answer can name what there is. A full list may not be complete."""
    if name is None or name in image.exports or len(image.exports) >= EXPORTS_MAX:
        return
    there = ", ".join(public_text_untrusted(each, _NAME_MAX) for each in image.exports) or "none"
    raise BadSetup("setup-function", f"It has no function of this name without parameters. There is: {there}.")
