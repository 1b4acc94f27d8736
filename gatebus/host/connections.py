"""Who is connected to a program, as the program's instance knows him; words.

Where it stands: below the instance and below all that is connected to one: a stream of the bus, whoever embeds a host,
whoever warms a program. In: what the instance has to say. Out: nothing that it waits for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gatebus.services.origin import Client

if TYPE_CHECKING:
    from gatebus.host.statuses import Map
    from gatebus.services.origin import Stream


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the channel is answered with: a result, or an error with its code and text."""

    about: Map
    error: bool = False


class Connection(Client, Protocol):
    """Who is connected to a program: a stream of the bus, or whoever embeds a host."""

    def log(self, source: int, data: bytes) -> bool:
        """False: nobody was told."""

    def conclude(self, verdict: Verdict) -> None:
        """The program has ended."""

    def let_go(self) -> None:
        """Both directions are over."""

    @property
    def attached(self) -> bool | None:
        """Whether its client is there, or has lost its link and may come back; None: both are done with it."""


class Lasting(Protocol):
    """A connection that outlives a process of its program. While that waits, what comes for it waits here."""

    def moves_on(self, stream: Stream) -> None:
        """The process goes on."""
