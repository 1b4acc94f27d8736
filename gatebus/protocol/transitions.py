"""Who may say what, and when: the tables of gatebus.v1; words, no I/O.

Everything about order lives here, and nothing else does. A message that has no row where it comes is a violation: of
whoever sent it, or our own bug when we were about to send it. Why tables and not ifs: both roles read the same rows
(what the client may send is what the host may receive), tests walk them, and the diagrams in docs/protocol.md are
printed from them (`diagram`).

Three conversations, each seen alike from both ends of the link:

    LINK       each side's own greeting: two machines, one per sender, tied together by AFTER
    CHANNEL    one operation: opened, accepted when it carries a stream, answered once
    DIRECTION  one direction of a stream: written, ended by its writer, stopped by its reader
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from gatebus.protocol.messages import Kind


class Role(Enum):
    """Who we are; also, who sends a message."""

    CLIENT = "client"
    HOST = "host"

    __hash__ = object.__hash__  # the enum's own is written in Python, and each message looks up a row

    @property
    def other(self) -> "Role":
        return Role.HOST if self is Role.CLIENT else Role.CLIENT


class State(Enum):
    """How far one side's greeting is; and the whole session's state, which adds the last two."""

    HELLO = "hello"
    AUTH = "auth"
    OPEN = "open"
    FAREWELL = "farewell"
    CLOSED = "closed"
    ERROR = "error"

    __hash__ = object.__hash__


class Stage(Enum):
    """Where a channel is."""

    ASKED = "asked"
    FLOWING = "flowing"
    OVER = "over"

    __hash__ = object.__hash__


class Way(Enum):
    """Where one direction of a stream is."""

    WRITING = "writing"
    ENDED = "ended"
    STOPPED = "stopped"
    DONE = "done"


class Row(NamedTuple):
    """`sender` may say `kind` at `before`, which leads to `after`."""

    sender: Role
    before: State | Stage | Way
    kind: Kind | str
    after: State | Stage | Way
    reason: str


_C, _H = Role.CLIENT, Role.HOST
KEYLESS = "client-hello without key"  # the one message whose effect depends on what it says

_CHANNEL_KINDS = (Kind.ACCEPT, Kind.DATA, Kind.CREDIT, Kind.END, Kind.STOP, Kind.LOG, Kind.RESULT, Kind.ERROR)

LINK: tuple[Row, ...] = (
    Row(_C, State.HELLO, Kind.CLIENT_HELLO, State.AUTH, "it named a key, so the proof is its next message"),
    Row(_C, State.HELLO, KEYLESS, State.OPEN, "a stranger need not wait for anything: one round trip less"),
    Row(_C, State.AUTH, Kind.AUTH, State.OPEN, "the proof; whether it is good is checked before the next message"),
    *(
        Row(_C, State.OPEN, kind, State.OPEN, "a channel's: see CHANNEL")
        for kind in (Kind.OPEN, Kind.DATA, Kind.CREDIT, Kind.END, Kind.STOP, Kind.CANCEL)
    ),
    *(Row(_C, State.OPEN, kind, State.OPEN, "is somebody there?") for kind in (Kind.PING, Kind.PONG)),
    Row(_H, State.HELLO, Kind.HOST_HELLO, State.AUTH, "its proof; the answer to the client's greeting comes next"),
    Row(_H, State.AUTH, Kind.WELCOME, State.OPEN, "the principal is known"),
    *(Row(_H, State.OPEN, kind, State.OPEN, "a channel's: see CHANNEL") for kind in _CHANNEL_KINDS),
    *(Row(_H, State.OPEN, kind, State.OPEN, "is somebody there?") for kind in (Kind.PING, Kind.PONG)),
    Row(_H, State.OPEN, Kind.FAREWELL, State.FAREWELL, "no new channels; streams go on"),
    *(Row(_H, State.FAREWELL, kind, State.FAREWELL, "what runs comes to its end") for kind in _CHANNEL_KINDS),
    *(Row(_H, State.FAREWELL, kind, State.FAREWELL, "is somebody there?") for kind in (Kind.PING, Kind.PONG)),
)

# What the other side must have said before: (sender, kind) -> states of the other side in which it may come.
_SPOKEN = frozenset({State.OPEN, State.FAREWELL})
AFTER: Mapping[tuple[Role, Kind], frozenset[State]] = MappingProxyType(
    {
        (_C, Kind.AUTH): frozenset({State.AUTH}),  # the proof signs the host's challenge
        (_H, Kind.HOST_HELLO): frozenset({State.AUTH, State.OPEN}),  # it is an answer
        (_H, Kind.WELCOME): _SPOKEN,  # the proof has come, or none was promised
    }
)

CHANNEL: tuple[Row, ...] = (
    Row(_C, Stage.ASKED, Kind.CREDIT, Stage.ASKED, "more than the window of its open"),
    Row(_C, Stage.ASKED, Kind.END, Stage.ASKED, "nothing will come: no need to wait for the accept"),
    Row(_C, Stage.ASKED, Kind.STOP, Stage.ASKED, "nothing is wanted"),
    Row(_C, Stage.ASKED, Kind.CANCEL, Stage.ASKED, "the host still answers"),
    Row(_H, Stage.ASKED, Kind.ACCEPT, Stage.FLOWING, "a stream begins or goes on"),
    Row(_H, Stage.ASKED, Kind.RESULT, Stage.OVER, "the answer of an operation without a stream"),
    Row(_H, Stage.ASKED, Kind.ERROR, Stage.OVER, "the answer"),
    *(
        Row(sender, Stage.FLOWING, kind, Stage.FLOWING, "the stream: see DIRECTION")
        for sender in Role
        for kind in (Kind.DATA, Kind.CREDIT, Kind.END, Kind.STOP)
    ),
    Row(_C, Stage.FLOWING, Kind.CANCEL, Stage.FLOWING, "the host still answers"),
    Row(_H, Stage.FLOWING, Kind.LOG, Stage.FLOWING, "beside the stream, without credit"),
    Row(_H, Stage.FLOWING, Kind.RESULT, Stage.OVER, "the answer; the stream need not have ended"),
    Row(_H, Stage.FLOWING, Kind.ERROR, Stage.OVER, "the answer; the stream may wait for another link"),
    *(
        Row(_C, Stage.OVER, kind, Stage.OVER, "late: it crossed the answer, and is dropped")
        for kind in (Kind.DATA, Kind.CREDIT, Kind.END, Kind.STOP, Kind.CANCEL)
    ),
    *(
        Row(_H, Stage.OVER, kind, Stage.OVER, "late: dropped")
        for kind in (Kind.DATA, Kind.CREDIT, Kind.END, Kind.STOP, Kind.LOG)
    ),
)

# The writer of a direction says data and end, its reader says stop: here `sender` means nothing, a row is for both.
_WRITE: tuple[tuple[Way, Kind, Way, str], ...] = (
    (Way.WRITING, Kind.DATA, Way.WRITING, "within the window"),
    (Way.WRITING, Kind.END, Way.ENDED, "its writer writes no more"),
    (Way.WRITING, Kind.STOP, Way.STOPPED, "its reader reads no more"),
    (Way.ENDED, Kind.STOP, Way.DONE, "it crossed the end"),
    (Way.STOPPED, Kind.DATA, Way.STOPPED, "it crossed the stop, and is dropped"),
    (Way.STOPPED, Kind.END, Way.DONE, "its writer has heard it, or had ended anyway"),
    (Way.STOPPED, Kind.STOP, Way.STOPPED, "doubled: ignored"),
    (Way.DONE, Kind.STOP, Way.DONE, "doubled: ignored"),
)
DIRECTION: tuple[Row, ...] = tuple(
    Row(sender, before, kind, after, reason) for sender in Role for before, kind, after, reason in _WRITE
)

Table: TypeAlias = Mapping[tuple[Role, State | Stage | Way, Kind | str], State | Stage | Way]


def table(rows: Iterable[Row]) -> Table:
    """Rows by what a session asks: (sender, where, what) -> where to."""
    return MappingProxyType({(row.sender, row.before, row.kind): row.after for row in rows})


def diagram(rows: Iterable[Row], sender: Role | None = None) -> str:
    """The rows of one sender (or all) as Markdown that GitHub draws; messages between two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if sender in (None, row.sender):
            word = row.kind if isinstance(row.kind, str) else row.kind.name.lower().replace("_", "-")
            arrows.setdefault((row.before.value, row.after.value), []).append(word)
    lines = [f"    {before} --> {after}: {', '.join(dict.fromkeys(said))}" for (before, after), said in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])
