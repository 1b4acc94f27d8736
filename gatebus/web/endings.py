"""What is left of a websocket's protocol when its link is over; words.

In:  the library's protocol object, which nobody feeds any more. Out: nothing; it is free with its link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websockets.protocol import Protocol


def forget_parser(protocol: Protocol) -> None:
    """What it was in the middle of, and how it came to its end, know the protocol: circles of 4 KiB for each link."""
    protocol.parser.close()
    if protocol.parser_exc is not None:
        protocol.parser_exc.__traceback__ = None
