"""What the operations of one host work with, lives included; a wire.

Where it stands: in every operation's hand. The parts of gatebus.host.lives have HostParts, and know of each other what
lifework says; operations have all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatebus.host.hostparts import HostParts

if TYPE_CHECKING:
    from gatebus.host.lives.lives import Lives


@dataclass(slots=True)
class WholeParts(HostParts):
    """Made once by the host's assembly."""

    lives: Lives = field(init=False)
