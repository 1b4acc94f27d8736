"""Who has to do with a service besides its program, for its contract as a test (gatebus.checks); words.

In:  numbers of the test's dice. Out: what others do to the service, and what they have seen of it. A service that
     nobody but its program notices needs none of this.

What a conversation is compared with is one in which nobody was stopped. Where a stop is meant to be noticed (a program
that was stored was away for its peers), the company does to both what is the same as a stop, and says what of all that
a program is told means only that it was stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.packets import Packet


class Company:
    """The base: nobody. Everything in it must repeat itself: the same calls, the same answers."""

    def begin(self) -> None:
        """A conversation begins: nothing has happened."""

    def happen(self, number: int) -> None:
        """Somebody else does something; the number, 0 to 255, says what."""

    def stop(self) -> None:
        """The program is about to be stopped and saved. What is made for its next process is made anew."""

    def away(self) -> None:
        """What others do while it is stored; and at the same time where it is not."""

    def go_on(self) -> None:
        """Its services are restored."""

    def told(self, packet: Packet) -> Packet | None:
        """What a packet means to the program. None: only that it was stopped."""
        return packet

    def seen(self) -> object:
        """What others have seen of the service until now."""
        return None


NOBODY = Company()
