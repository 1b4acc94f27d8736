"""Words: the host's ear at one program: raw bytes become whole packets, logs, files and the report.

In:  a non-blocking reader of a program's bytes (untrusted). Out: packets for services; `on_log`; `tree`; `report`;
counts. It holds at most one unfinished packet, what one socket buffer held when the program ended, and the files
that the program's limits allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.control import Held, LeftContent, LeftNode, Log, StatePart, TreeCollector, decode_untrusted
from sandbox.errors import PacketViolation
from sandbox.packets import Known, scan_untrusted, without_controls

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.backend import Transport
    from sandbox.limits import Limits
    from sandbox.outcome import Report
    from sandbox.tree import Tree

# What is taken from the stream of an ended process without a reader. A socket buffer holds 200 KiB to a few MiB by
# the system's settings; more than this means that somebody still writes, and he is cut off.
LEFT_OVER_MAX = 32 << 20

# Bytes. A read of less is one of requests and replies: the next look, before waiting, would find nothing (3 us).
_FEW = 1024

# Bytes. A read of more is one of a stream: while it was copied, a program on another processor has written the next
# packet, and four packets handled together cost little more than one.
_MUCH = 32 << 10


class Inlet:
    """One program's output. `scratch` is shared by all programs: nothing in it survives a call."""

    __slots__ = (
        "_collector",
        "_known",
        "_last",
        "_log_left",
        "_rest",
        "_scratch",
        "at_end",
        "bytes",
        "left_over",
        "on_held",
        "on_log",
        "on_state",
        "packets",
        "report",
        "tree",
    )

    def __init__(self, scratch: memoryview, limits: Limits, *, wants_tree: bool) -> None:
        self._scratch = scratch
        self._known = Known()
        self._rest = b""
        self._last = 0  # bytes of the last read
        self._log_left = limits.log
        self._collector = TreeCollector(limits.files, limits.nodes) if wants_tree else None
        self.on_log: Callable[[int, bytes], None] | None = None
        # Takes the pieces of the state, and bounds them. None: nobody has asked the program to stop.
        self.on_state: Callable[[bytes], None] | None = None
        # The process waits with its state told; its memory is at this address.
        self.on_held: Callable[[int], None] | None = None
        self.at_end = False
        self.left_over = b""
        self.report: Report | None = None
        self.tree: Tree | None = None
        self.bytes = self.packets = 0

    @property
    def is_over(self) -> bool:
        """Nothing will come any more, and nothing waits to be taken."""
        return self.at_end and not self.left_over

    @property
    def is_quiet(self) -> bool:
        """Nothing is expected to be here already: the last read was of a packet or two, whose sender waits for us."""
        return self._last < _FEW and not self.left_over and not self.at_end

    def take_untrusted(self, source: Transport) -> bytes | None:
        """Packets; b"" when only control packets or a part of one came, or at the end; None when there is nothing now.

        Raises PacketViolation; after that the output is at its end.
        """
        if self.left_over:
            packets, self.left_over = self.left_over, b""
            return packets
        if self.at_end:
            return b""
        return self._read_untrusted(source)

    def read_ahead_untrusted(self, source: Transport) -> bool:
        """Take what is there for a later reader. False: nothing is there now. Raises PacketViolation."""
        packets = self._read_untrusted(source)
        if packets:
            self.left_over += packets
        if len(self.left_over) > LEFT_OVER_MAX:
            self.at_end = True
            raise PacketViolation("packet-flood", "The program wrote on and on while it was to stop.")
        return packets is not None

    def _read_untrusted(self, source: Transport) -> bytes | None:
        scratch, kept = self._scratch, len(self._rest)
        if kept:
            scratch[:kept] = self._rest
        try:
            got = source.recv_into(scratch[kept:] if kept else scratch)
        except BlockingIOError:
            return None
        if not got:
            self._end()
            return b""
        if got >= _MUCH:
            got += self._more_untrusted(source, kept + got)
        self.bytes += got
        self._last = got
        return self._cut_untrusted(kept + got)

    def _more_untrusted(self, source: Transport, end: int) -> int:
        """Of a stream: what has come meanwhile, as far as there is room for it."""
        more = 0
        try:
            while got := source.recv_into(self._scratch[end + more :]) if end + more < len(self._scratch) else 0:
                more += got
        except BlockingIOError:
            pass  # the end of the stream will be found again
        return more

    def _cut_untrusted(self, end: int) -> bytes:
        scratch = self._scratch
        try:
            cut = scan_untrusted(scratch, end, self._known)
            self._rest = bytes(scratch[cut.end : end])
            self.packets += cut.packets
            if not cut.controls:
                return bytes(scratch[: cut.end])
            packets, controls = without_controls(scratch, cut)
            for control in controls:
                self._control_untrusted(control)
        except PacketViolation:
            self.at_end = True
            raise
        return packets

    def _control_untrusted(self, packet: bytes) -> None:
        if self.at_end:
            raise PacketViolation("packet-control", "The program's runtime went on after its last packet.")
        said = decode_untrusted(packet)
        if not isinstance(said, Log | LeftNode | LeftContent):
            self.bytes -= len(packet)  # its runtime says that for itself: of it is only what the program has made
        if isinstance(said, Log):
            self._log_left -= len(said.data)
            if self._log_left < 0:
                raise PacketViolation("packet-control", "The program's runtime wrote more log than its limit.")
            if self.on_log is not None and said.data:  # nothing costs nothing of the limit: it must not be kept either
                self.on_log(said.stream, said.data)
        elif isinstance(said, LeftNode | LeftContent):
            if self._collector is None:
                raise PacketViolation("packet-control", "The program's runtime sent files that nobody asked for.")
            self._collector.add_untrusted(said)
        elif isinstance(said, StatePart):
            if self.on_state is None:
                raise PacketViolation("packet-control", "The program's runtime sent a state that nobody asked for.")
            self.on_state(said.data)
        elif isinstance(said, Held):
            if self.on_held is None or self.on_state is None:
                raise PacketViolation("packet-control", "The program's runtime waits for what nobody is going to say.")
            self.on_held(said.address)
            self.on_held = None
        else:
            self.report = said
            self._end()  # it is the last packet: nobody need wait for the end of the stream, which costs a wake-up

    def _end(self) -> None:
        self.at_end = True
        self._rest = b""
        if self._collector is not None and self.report is not None:
            self.tree = self._collector.tree_untrusted()

    def drain_untrusted(self, source: Transport) -> None:
        """The process is gone:

        take what is left, so that the report is known and a late reader still gets every packet.
        """
        pieces, size = [self.left_over], len(self.left_over)
        self.left_over = b""
        try:
            while not self.at_end and size < LEFT_OVER_MAX:
                packets = self._read_untrusted(source)
                if packets is None:
                    break
                pieces.append(packets)
                size += len(packets)
        finally:
            self.left_over = b"".join(pieces)
            if not self.at_end:
                self._end()
