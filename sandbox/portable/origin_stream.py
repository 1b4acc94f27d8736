"""Words: standard input and output of a WASI program as stream 0 of service 0, `origin`, which is open from the start.

Credit goes both ways (PROTOCOL.md, "The origin of a WASI program"): the program may send what the host has granted, and
grants the host a window for input when it first wants some. A write of the program blocks until there is credit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.packets import DATA, DATA_MAX, FLOW, PAIR, encode_data, encode_flow
from sandbox.portable.guest_errno import CallError, Errno

if TYPE_CHECKING:
    from sandbox.portable.packet_pipe import Packet, PacketPipe, PacketReader, PacketWriter

SERVICE, STREAM = 0, 0
# What the host may have on its way to the program: one packet's worth; more only fills buffers of a program that
# does not read.
INPUT_WINDOW = 65536
READ_SIZE = 65536


class OriginStream:
    """One duplex stream over the pipe."""

    def __init__(self, pipe: PacketPipe, reader: PacketReader, writer: PacketWriter, credit: int) -> None:
        self._pipe, self._reader, self._writer = pipe, reader, writer
        self._credit, self._output_closed = credit, False
        self._input, self._input_ended, self._input_closed = bytearray(), False, False
        self._granted = 0

    # -- output

    def write(self, data: bytes, *, wait: bool) -> int:
        """How many bytes went out: all of them when it may wait, else what the credit allows (AGAIN when that is
        nothing).
        """
        sent = 0
        while sent < len(data):
            room = self._room(wait=wait, begun=sent > 0)
            if room == 0:
                break
            piece = data[sent : sent + min(room, DATA_MAX)]
            self._writer.send(encode_data(SERVICE, STREAM, piece))
            self._credit -= len(piece)
            sent += len(piece)
        if data and not sent:
            raise CallError(Errno.AGAIN)
        return sent

    def close_output(self) -> None:
        if not self._output_closed:
            self._output_closed = True
            self._writer.send(encode_data(SERVICE, STREAM, b""))

    def writable(self) -> int | None:
        """Bytes that may be written without waiting; None = none now. A closed stream is writable: the write says
        so.
        """
        self._drain()
        if self._output_closed:
            return 0
        return self._credit or None

    # -- input

    def read(self, limit: int, *, wait: bool) -> bytes:
        """At least one byte, or b"" at the end of input."""
        if self._input_closed:
            return b""
        while not self._input_available():
            if not wait:
                raise CallError(Errno.AGAIN)
            self._pipe.wait(readable=True, writable=False, until=None)
        taken = bytes(self._input[:limit])
        del self._input[:limit]
        return taken

    def close_input(self) -> None:
        if not self._input_closed:
            self._input_closed = True
            self._input.clear()
            self._flow(0)

    def readable(self) -> int | None:
        """Bytes that can be read without waiting (0 at the end of input); None = none yet. Wanting to know grants
        credit.
        """
        if self._input_closed or self._input_available():
            return len(self._input)
        return None

    # -- private

    def _input_available(self) -> bool:
        self._drain()
        if self._input or self._input_ended:
            return True
        # Half a window is the least worth a packet; the first grant is a whole one.
        if self._granted <= INPUT_WINDOW // 2:
            self._flow(INPUT_WINDOW - self._granted)
            self._granted = INPUT_WINDOW
        return False

    def _flow(self, value: int) -> None:
        self._writer.send(encode_flow(SERVICE, [(STREAM, value)]))

    def _room(self, *, wait: bool, begun: bool) -> int:
        """Credit to write with; 0 = stop here. What was begun is reported as written, the closing by the next write."""
        while True:
            try:
                room = self._credit_now()
            except CallError:
                if begun:
                    return 0
                raise
            if room or not wait:
                return room
            self._pipe.wait(readable=True, writable=False, until=None)

    def _credit_now(self) -> int:
        if self._credit == 0:
            self._drain()
        if self._output_closed:
            raise CallError(Errno.PIPE)
        return self._credit

    def _drain(self) -> None:
        """Take what the host has sent; bounded by the window that was granted."""
        while data := self._pipe.receive(READ_SIZE):
            self._reader.feed(data)
        while packet := self._reader.next_packet():
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        """Packets of other services or streams cannot be meant for a WASI program and are ignored."""
        if packet.code != SERVICE:
            return
        if packet.domain == FLOW:
            self._take_flow(packet.content)
        elif packet.domain == DATA and len(packet.content) >= PAIR.size:
            self._take_data(packet.content)

    def _take_flow(self, content: bytes) -> None:
        for at in range(0, len(content) - PAIR.size + 1, PAIR.size):
            stream, value = PAIR.unpack_from(content, at)
            if stream != STREAM:
                continue
            if value == 0:
                self._output_closed = True
            elif value > 0:
                self._credit += value

    def _take_data(self, content: bytes) -> None:
        if PAIR.unpack_from(content)[0] != STREAM:
            return
        data = content[PAIR.size :]
        self._granted -= len(data)
        if not data:
            self._input_ended = True
        elif not self._input_closed:
            self._input += data
