"""One channel of a session: where it is, and the flows that it carries; words, no I/O.

In:  messages that a session found to be for this channel (parsed), and what we want to send. Out: the same, checked
against the tables and counted. A channel lives as long as its operation on this link; its Flows may live longer.
"""

from gatebus.bounds import COUNT_MAX, STREAM_WINDOW_LEAST, WINDOW_MAX
from gatebus.protocol.breaches import LocalProtocolError, RemoteFault
from gatebus.protocol.messages import (
    Accept,
    Cancel,
    Credit,
    End,
    Kind,
    Message,
    Parameters,
    Stop,
    credit_bytes,
    data_head,
    data_prefix,
    encode,
)
from gatebus.protocol.streams import Flows, Inflow, Outflow
from gatebus.protocol.transitions import CHANNEL, Role, Stage, table

_TABLE = table(CHANNEL)

Parts = tuple[bytes | memoryview, ...]


class Channel:
    """State of one operation on one link."""

    __slots__ = ("cancelled", "flows", "number", "prefix", "stage")

    def __init__(self, number: int, flows: Flows) -> None:
        self.number = number
        self.stage = Stage.ASKED
        self.flows = flows
        self.cancelled = False
        self.prefix = data_prefix(number)

    def step(self, sender: Role, kind: Kind) -> None:
        """Follow the table, or KeyError."""
        stage = _TABLE[sender, self.stage, kind]
        assert isinstance(stage, Stage)
        self.stage = stage

    def received(self, sender: Role, message: Message, kind: Kind) -> bool:
        """A message of the other side, neither open nor data. False: ignored, nobody need hear of it."""
        try:
            self.step(sender, kind)
        except KeyError:
            raise RemoteFault(f"A message {kind.name.lower()} came where it cannot.") from None
        match message:
            case Credit(_, taken, window):
                self.flows.out.credited(taken, window)
            case End(_, note):
                self.flows.into.end(note)
            case Stop():
                doubled = self.flows.out.stopped
                self.flows.out.stop()
                return not doubled
            case Cancel():
                doubled, self.cancelled = self.cancelled, True
                return not doubled
            case Accept(_, about, window):
                self.flows.out.begin(taken_untrusted(about), window)
                self.flows.into.kept = kept_untrusted(about)
        return True

    def said(self, sender: Role, message: Message, kind: Kind) -> None:
        """A message of ours, neither open nor data; KeyError where the table has none."""
        self.step(sender, kind)
        out, into = self.flows
        match message:
            case Accept(_, about, window):
                into.begin(taken_untrusted(about), window)
            case End(_, note):
                if out.waits or out.end_sent or (out.held and self.stage is Stage.ASKED):
                    raise LocalProtocolError("A stream is ended by `out.end` while bytes are on their way, and once.")
                out.end(note)
                out.end_sent = True
            case Stop():
                into.stop()
                into.stop_sent = True

    def unsent(self) -> list[Parts]:
        """Whole messages, in parts, that may go out now: stop, data within the window, end, credit."""
        out, into = self.flows
        found: list[Parts] = []
        if self.stage is not Stage.FLOWING:
            return found
        if (into.stopped or into.closed) and not into.stop_sent and not into.ended:
            into.stop_sent = True
            found.append((encode(Stop(self.number)),))
        while (piece := out.take()) is not None:
            found.append((data_head(self.prefix, len(piece)), piece))
        if out.end_is_due() and not out.stopped:
            out.end_sent = True
            found.append((encode(End(self.number, out.note or 0)),))
        if into.credit_is_due():
            found.append((credit_bytes(self.number, *into.credit()),))
        return found

    def carry(self, flows: Flows, taken: int) -> None:
        """Attach: this channel goes on with older flows; the other side has `taken` bytes of ours."""
        if self.stage is not Stage.ASKED:
            raise LocalProtocolError("A channel can be given another stream only before its accept.")
        window = self.flows.out.edge - self.flows.out.taken
        flows.out.resume(taken, window)
        flows.out.end_sent = False
        if self.flows.out.stopped:
            flows.out.stop()
        if self.flows.into.ended:
            flows.into.end(self.flows.into.finished or 0)
        self.flows = flows


def taken_untrusted(about: Parameters) -> int:
    """Where a stream goes on."""
    taken = about.get("taken", 0)
    if type(taken) is not int or not 0 <= taken <= COUNT_MAX:
        raise RemoteFault("An accept says `taken`, which is not a count of bytes.")
    return taken


def kept_untrusted(about: Parameters) -> int:
    """Bytes of its stream that the host keeps until we say that we have them."""
    kept = about.get("kept", STREAM_WINDOW_LEAST)
    if type(kept) is not int or not 1 <= kept <= WINDOW_MAX:
        raise RemoteFault("An accept says `kept`, which is no size.")
    return kept


def fresh(window: int, theirs: int) -> Flows:
    """Flows of a new channel: we may send `window` bytes before the first credit, they `theirs`."""
    out = Outflow()
    out.edge = min(window, out.bound)
    return Flows(out, Inflow(theirs))
