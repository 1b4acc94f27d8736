"""What a host says no to: one class, because all of it is the fault of whoever asked,
or of what there is too little of.

Where it stands: raised by policy, quotas, the module store and the operations; caught once, where a channel is answered
with `error`. `.code` is one of the table in gatebus/protocol/PROTOCOL.md, `.text` is public: what, why, what to do.
"""

from gatebus.bounds import ERROR_TEXT
from gatebus.faults import FileDamaged, GatebusError, StateRefused
from sandbox.errors import BadState, NotSuspendable, NotSuspended, SandboxError, StartFailed, TooBusy

CODES = frozenset(
    {
        "not-authorized",
        "forbidden",
        "origin",
        "not-found",
        "stream-exists",
        "attached-elsewhere",
        "conflict",
        "bad-request",
        "quota-instances",
        "quota-memory",
        "quota-storage",
        "quota-uploads",
        "quota-connections",
        "busy",
        "stopping",
        "disk-full",
        "not-suspendable",
        "stop-late",
        "bad-state",
    }
)

MAKE_ROOM = "Unpin modules, drop snapshots, or remove instances."
_IN_MIB = 16 << 20  # bytes


class Refusal(GatebusError):
    """The answer is no."""

    longest = ERROR_TEXT

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        assert code in CODES, code
        self.code = code


def as_refusal(fault: SandboxError | GatebusError) -> Refusal:
    """Whatever kept a program from being stopped or from going on, for whoever asked for it."""
    if isinstance(fault, Refusal):
        return fault
    if isinstance(fault, FileDamaged):
        return damaged()
    if isinstance(fault, StateRefused | BadState):
        return Refusal("bad-state", fault.text)
    if isinstance(fault, NotSuspendable):
        return Refusal("not-suspendable", fault.text)
    if isinstance(fault, NotSuspended):
        return Refusal("stop-late", fault.text)
    return Refusal("busy" if isinstance(fault, StartFailed | TooBusy) else "conflict", fault.text)


def in_bytes(value: int, of: int) -> str:
    """In the unit in which amounts up to `of` can be told apart, which is not said."""
    shown = f"{value / unit_of(of)[1]:.1f}".removesuffix(".0")
    return f"{value / unit_of(of)[1]:.2g}" if value and shown == "0" else shown


def unit_of(value: int) -> tuple[str, int]:
    return ("KiB", 1 << 10) if value < _IN_MIB else ("MiB", 1 << 20)


def no_room(room: int) -> Refusal:
    """For a snapshot, on its way to the disk."""
    return Refusal(
        "quota-storage",
        f"The snapshot needs more than the {in_bytes(room, room)} {unit_of(room)[0]} that may still be stored. "
        f"{MAKE_ROOM}",
    )


def disk_full() -> Refusal:
    """Nobody's fault who asks, but who sent something should know why it is not here."""
    return Refusal("disk-full", "The host's disk is full and nothing was changed. Its owner must make room.")


def damaged() -> Refusal:
    """A snapshot, for whoever is not at its host."""
    return Refusal(
        "bad-state",
        "This snapshot is damaged on the host's disk. Another one of its instance may be whole: see `snapshots`. "
        "The host's owner runs `gatebus fsck`.",
    )
