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
from struct import Struct
from typing import TYPE_CHECKING

from sandbox.packets import DATA, DATA_MAX, FLOW, HEADER_SIZE, PAIR, encode_data, encode_flow
from sandbox.portable.guest_errno import CallError, Errno, Suspend
from sandbox.portable.packet_pipe import is_suspend_untrusted, not_understood
from sandbox.portable.saved_world import BadWorld

if TYPE_CHECKING:
    from sandbox.portable.packet_pipe import Packet, PacketPipe, PacketReader, PacketWriter
    from sandbox.portable.saved_world import FieldReader

SERVICE, STREAM = 0, 0
# u64 credit, u8 output, u8 input, u16 0, u32 granted, u32 length of the unread input
ORIGIN_LAYOUT = Struct("<QBBHII")
# Credit for input: one full packet may wait in here while the guest works on another.
INPUT_CREDIT = 65_536
# What another back-end may have given of it to a program that goes on here.
INPUT_CREDIT_MOST = 131_040
READ_SIZE = 65_536


class Direction(enum.IntEnum):
    """The numbers are those of STATE.md."""

    OPEN = 0
    ENDED = 1  # by the other side
    CLOSED = 2  # by the guest


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
        # the host has asked for the program's state, and says nothing more
        self.asked_to_stop = False

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

    def drain_until_suspend(self) -> None:
        """Take in everything that the host says before its word to stop. Blocks."""
        self.pump()
        while not self.asked_to_stop:
            self._pipe.wait(readable=True, writable=False, until=None)
            self.pump()

    def save(self) -> bytes:
        """Its part of STATE.md, after `drain_until_suspend`."""
        head = ORIGIN_LAYOUT.pack(self.credit, self._output, self._input, 0, self._granted, len(self._unread))
        return head + bytes(self._unread)

    def restore_untrusted(self, fields: FieldReader) -> None:
        """What `save` wrote. Raises BadWorld."""
        self.credit, output, input_, zero, self._granted, length = fields.unpack(ORIGIN_LAYOUT)
        self._unread[:] = fields.take(length)
        if zero or max(output, input_) > Direction.CLOSED:
            raise BadWorld("a direction of a stream that is neither open nor closed")
        self._output, self._input = Direction(output), Direction(input_)
        if self._granted + length > INPUT_CREDIT_MOST or (self._input is Direction.CLOSED and length):
            raise BadWorld("more input than was asked for")

    def send(self, packet: bytes) -> None:
        """Some other packet of ours, whole."""
        self._writer.send(packet)

    # -- output

    def write(self, data: bytes, *, wait: bool) -> int:
        """How many bytes went out: less than all only without patience, at the end of the stream, or when the program
        is to stop. Raises Suspend when it would have to wait before any of them.
        """
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
            if wait and self.asked_to_stop and not self.output_ended:
                raise Suspend
            raise CallError(Errno.PIPE if self.output_ended else Errno.AGAIN)
        return sent

    def _wait_for_credit(self, wanted: int, *, wait: bool) -> None:
        """With less credit than wanted: look whether more has come, and wait if there is none at all."""
        if self.credit < wanted:
            self.pump()
        while wait and self.credit == 0 and not self.output_ended and not self.asked_to_stop:
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
            if self.asked_to_stop:
                raise Suspend
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
        self.look()
        if data := self._pipe.receive(READ_SIZE):
            self._reader.feed(data)
            self.look()

    def look(self) -> None:
        """Take in what was read already: no wait would tell of it."""
        while packet := self._reader.next_packet():
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        if self.asked_to_stop:
            raise not_understood()
        if is_suspend_untrusted(HEADER_SIZE + len(packet.content), packet.code, packet.domain, packet.index):
            self.asked_to_stop = True
            return
        if packet.code != SERVICE:
            raise not_understood()
        if packet.domain == FLOW:
            self._take_flow(packet.content)
        elif packet.domain == DATA and len(packet.content) >= PAIR.size:
            self._take_data(packet.content)
        else:
            raise not_understood()

    def _take_flow(self, content: bytes) -> None:
        for stream, value in PAIR.iter_unpack(content[: len(content) - len(content) % PAIR.size]):
            if stream != STREAM:
                raise not_understood()
            if value == 0 and self._output is Direction.OPEN:
                self._output = Direction.ENDED
            self.credit += max(0, value)

    def _take_data(self, content: bytes) -> None:
        data = content[PAIR.size :]
        self._granted -= len(data)
        if PAIR.unpack_from(content)[0] != STREAM or self._granted < 0 or self._input is Direction.ENDED:
            raise not_understood()
        if self._input is Direction.CLOSED:
            # it was on its way when the guest closed
            return
        if data:
            self._unread += data
        else:
            self._input = Direction.ENDED
