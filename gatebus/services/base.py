"""What a service is: one small class with `packet`, `save`, `restore` and `for_copy`; words, no I/O.

In:  Call, Info, Flow and Data values: packets of one program, already cut and checked for form; their content is
     untrusted.
     Data packets of one stream in a row come as one Run; a service that does not care gets them one by one.
Out: replies, information, flow and data, through the Outlet that the service was given; never an await, never an
     exception other than Violation (the program's fault, its text is public).

One Service object belongs to one program. It is made at the first packet for it. It gets everything that it uses as
arguments of its constructor: the outlet first, then its collaborators (clock, randomness, principal, connections); it
asks nobody for anything else. What is made for every packet is a NamedTuple (a third of a dataclass' time).
`gatebus.checks.check_service` is the contract as a test that anyone can run on a service of their own.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gatebus.faults import StateRefused, Violation
from gatebus.flow import Change, Chunk, Run


class Call(NamedTuple):
    """Wants exactly one reply, now or later, in any order: `outlet.reply(call.ticket, content)`."""

    ticket: int
    content: bytes


class Info(NamedTuple):
    """Wants none."""

    content: bytes


class Flow(NamedTuple):
    """Changes of the program's credit for what we send, in order."""

    changes: tuple[Change, ...]


Packet = Call | Info | Flow | Chunk


class Outlet(Protocol):
    """Where a service's packets go. None of these blocks; a service that sends data looks at `room` first."""

    @property
    def room(self) -> int:
        """Bytes that may be queued for the program now. `Service.room_again` is called when there is more of it."""

    def reply(self, ticket: int, content: bytes = b"") -> None:
        """Answer the call with this ticket."""

    def info(self, content: bytes) -> None:
        """Tell the program something that it did not ask for."""

    def flow(self, *changes: Change) -> None:
        """Let the program send on streams, or close our reading side of them."""

    def data(self, chunk: Chunk) -> None:
        """Send on a stream within the credit that the program gave."""

    def relay(self, run: Run, stream: int) -> None:
        """Send what another program sent, as it came, on this stream of ours."""


class Service:
    """The base: answers every call with nothing, ignores information, has no streams and no state."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet

    def packet(self, packet: Packet) -> None:
        match packet:
            case Call():
                self.call(packet)
            case Flow() | Chunk():
                raise Violation("The program sent a flow or data packet to a service that has no streams.")
            case Info():
                pass

    def run(self, run: Run) -> None:
        """Several data packets of one stream. Overridden by services that do better than one by one."""
        for chunk in run.chunks():
            self.packet(chunk)

    def call(self, call: Call) -> None:
        self.outlet.reply(call.ticket)

    def pause(self) -> None:
        """Before `save`, of a program that was stopped and goes on elsewhere: what it is owed is sent."""

    def save(self) -> bytes:
        """Everything that `restore` needs to go on, the tickets of unanswered calls among it."""
        return b""

    def for_copy(self, state: bytes) -> bytes:
        """What of a saved state a copy of the program goes on with: it was cloned, or restored from a snapshot, which
        may have come as a file, and then anybody has written it. Nothing, unless a service says otherwise: a handle
        would be another program's, or an invented one. The copy meets the service as a new program does then, and what
        its original had asked is answered with nothing. What this returns is handed to `restore`. Raises StateRefused.
        """
        return b""

    def restore(self, state: bytes) -> None:
        """Called once, before the first packet. Raises StateRefused for what `save` did not write."""
        if state:
            raise StateRefused("A service without state was handed some.")

    def next_timeout(self) -> float | None:
        """When `timeout` wants to be called, on the clock of the one who drives this; None: not at all."""
        return None

    def timeout(self, now: float) -> None:
        """Called at that time or later."""

    def room_again(self) -> None:
        """The program has taken packets: outlet.room has grown."""

    def close(self) -> None:
        """The program is gone or the service was withdrawn. Nothing may be sent any more."""


class Offer(NamedTuple):
    """A line of a table of services: name -> revision and how one is made for one program."""

    revision: str
    make: Callable[[Outlet], Service]
