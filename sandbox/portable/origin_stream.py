"""Words: standard input and output of a WASI program: stream 0 of service 0, open from the start, with credit both
ways.

    guest writes -> data packets, as far as the host has given credit -> host
    guest reads  <- bytes that came in data packets <- host, as far as we have given credit (from the first read on)

Every wait here takes in packets, so credit, input and the end of either direction are noticed wherever the guest
blocks. Input that the guest has not read yet is bounded by the credit that was given. The host is ours: what it
never sends ends the program as a bug.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from sandbox.packets import DATA, DATA_MAX, FLOW, PAIR, encode_data, encode_flow
from sandbox.portable.guest_errno import CallError, Errno, GuestEnd

if TYPE_CHECKING:
    from sandbox.portable.packet_pipe import Packet, PacketPipe, PacketReader, PacketWriter

SERVICE, STREAM = 0, 0
# Credit for input: one full packet may wait in here while the guest works on another.
INPUT_CREDIT = 65_536
READ_SIZE = 65_536
STATUS_INTERNAL = 70


class Direction(enum.Enum):
    OPEN = "open"
    ENDED = "ended"  # by the other side
    CLOSED = "closed"  # by the guest


def _not_understood() -> GuestEnd:
    return GuestEnd(STATUS_INTERNAL, text="the host sent a packet that the runtime does not understand")


class OriginStream:
    """The two directions and the pipe below them."""

    def __init__(self, pipe: PacketPipe, reader: PacketReader, writer: PacketWriter, credit: int) -> None:
        self._pipe, self._reader, self._writer = pipe, reader, writer
        writer.meanwhile = self.pump
        self.credit = credit
        self._output, self._input = Direction.OPEN, Direction.OPEN
        self._unread = bytearray()
        # bytes that the host may still send
        self._granted = 0

    @property
    def available(self) -> int:
        """Bytes of input that can be read now."""
        return len(self._unread)

    @property
    def input_ended(self) -> bool:
        return not self._unread and self._input is not Direction.OPEN

    @property
    def output_ended(self) -> bool:
        return self._output is not Direction.OPEN

    def send(self, packet: bytes) -> None:
        """Some other packet of ours, whole."""
        self._writer.send(packet)

    # -- output

    def write(self, data: bytes, *, wait: bool) -> int:
        """How many bytes went out: less than all only without patience, or at the end of the stream."""
        sent = 0
        while sent < len(data):
            wanted = min(len(data) - sent, DATA_MAX)
            self._wait_for_credit(wanted, wait=wait)
            if self.output_ended or self.credit == 0:
                break
            piece = data[sent : sent + min(wanted, self.credit)]
            self.credit -= len(piece)
            self._writer.send(encode_data(SERVICE, STREAM, piece))
            sent += len(piece)
        if data and not sent:
            raise CallError(Errno.PIPE if self.output_ended else Errno.AGAIN)
        return sent

    def _wait_for_credit(self, wanted: int, *, wait: bool) -> None:
        """With less credit than wanted: look whether more has come, and wait if there is none at all."""
        if self.credit < wanted:
            self.pump()
        while wait and self.credit == 0 and not self.output_ended:
            self._pipe.wait(readable=True, writable=False, until=None)
            self.pump()

    def close_output(self) -> None:
        self._output = Direction.CLOSED
        self._writer.send(encode_data(SERVICE, STREAM, b""))

    # -- input

    def read(self, limit: int, *, wait: bool) -> bytes:
        """At least one byte, or b"" at the end of input."""
        self.want_input()
        while not self._unread and self._input is Direction.OPEN:
            self.pump()
            if self._unread or self._input is not Direction.OPEN:
                break
            if not wait:
                raise CallError(Errno.AGAIN)
            self._pipe.wait(readable=True, writable=False, until=None)
        taken = bytes(self._unread[:limit])
        del self._unread[:limit]
        return taken

    def want_input(self) -> None:
        """Lets the host send, as soon as half of what it may send is used up."""
        room = INPUT_CREDIT - self._granted - len(self._unread)
        if self._input is Direction.OPEN and room >= INPUT_CREDIT // 2:
            self._granted += room
            self._flow(room)

    def close_input(self) -> None:
        before, self._input = self._input, Direction.CLOSED
        self._unread.clear()
        if before is Direction.OPEN:
            self._flow(0)

    def _flow(self, value: int) -> None:
        self._writer.send(encode_flow(SERVICE, [(STREAM, value)]))

    # -- what comes in

    def pump(self) -> None:
        """Take in what has come, without blocking; bounded by the credit that was given."""
        while packet := self._reader.next_packet():
            self._take(packet)
        if data := self._pipe.receive(READ_SIZE):
            self._reader.feed(data)
            while packet := self._reader.next_packet():
                self._take(packet)

    def _take(self, packet: Packet) -> None:
        if packet.code != SERVICE:
            raise _not_understood()
        if packet.domain == FLOW:
            self._take_flow(packet.content)
        elif packet.domain == DATA and len(packet.content) >= PAIR.size:
            self._take_data(packet.content)
        else:
            raise _not_understood()

    def _take_flow(self, content: bytes) -> None:
        for stream, value in PAIR.iter_unpack(content[: len(content) - len(content) % PAIR.size]):
            if stream != STREAM:
                raise _not_understood()
            if value == 0 and self._output is Direction.OPEN:
                self._output = Direction.ENDED
            self.credit += max(0, value)

    def _take_data(self, content: bytes) -> None:
        data = content[PAIR.size :]
        self._granted -= len(data)
        if PAIR.unpack_from(content)[0] != STREAM or self._granted < 0 or self._input is Direction.ENDED:
            raise _not_understood()
        if self._input is Direction.CLOSED:
            # it was on its way when the guest closed
            return
        if data:
            self._unread += data
        else:
            self._input = Direction.ENDED
