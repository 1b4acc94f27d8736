"""Wire: TLS between a transport and whoever uses one; the shape is bytetransport.Transport again.

In:  records from the other end (untrusted; OpenSSL reads them), plain bytes of ours. Out: the reverse. OpenSSL works on
buffers in memory (ssl.SSLObject), so that sending stays an attempt and never a wait: trio.SSLStream would have made a
second kind of link, whose cancelled sends leave half a record. At most one attempt's records wait here (`pending`).
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gatebus.web.bytetransport import Piece, Transport

READ = 64 * 1024
TAKEN = 64 * 1024
"""Plain bytes per attempt: four records, which is what may wait here when the kernel refuses."""


class TlsTransport:
    """`name`: of the server, to be found in its certificate; None on the server's side. First: handshake()."""

    def __init__(self, raw: Transport, context: ssl.SSLContext, name: str | None = None) -> None:
        self._raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=name is None, server_hostname=name)
        self._rest = memoryview(b"")

    async def handshake(self, turn: Callable[[], Awaitable[None]] | None = None) -> None:
        """OSError (ssl.SSLError is one): there is no connection. Cancelled: close the transport. `turn`: waited for
        before what came is taken apart.
        """
        done = False
        while not done:
            if turn is not None and self._incoming.pending:
                await turn()
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            await self._push_all()
            if not done:
                await self._raw.wait_readable()
                with suppress(BlockingIOError):
                    self._fetch()

    def send(self, data: Piece) -> int:
        return self.send_parts((data,))

    def send_parts(self, parts: Sequence[Piece]) -> int:
        self._push()
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if not data:
            return 0
        taken = self._tls.write(memoryview(data)[:TAKEN])
        with suppress(BlockingIOError):
            self._push()
        return taken

    def receive_into(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            try:
                size = cast("int", self._tls.read(len(buffer) - filled, buffer[filled:]))  # it has a buffer: a count
            except ssl.SSLWantReadError:
                if not self._more(filled):
                    break
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break
            if not size:
                break  # the other's goodbye
            filled += size
        return filled

    def pending(self) -> bool:
        return bool(self._rest)

    async def wait_readable(self) -> None:
        if self._incoming.pending or self._tls.pending():
            await trio.lowlevel.checkpoint()  # it came with something before
        else:
            await self._raw.wait_readable()

    async def wait_writable(self) -> None:
        await self._raw.wait_writable()

    def finish(self) -> None:
        with suppress(OSError):  # ssl.SSLWantReadError: the other's goodbye is not waited for
            self._tls.unwrap()
        with suppress(OSError):
            self._push()
        self._raw.finish()

    def close(self) -> None:
        self._raw.close()

    def _more(self, filled: int) -> bool:
        """False: hand out what there is (nothing: the end). BlockingIOError when there is nothing yet."""
        try:
            self._fetch()
        except BlockingIOError:
            if filled:
                return False
            raise
        except ssl.SSLEOFError:
            return False
        return True

    def _fetch(self) -> None:
        buffer = memoryview(bytearray(READ))
        size = self._raw.receive_into(buffer)
        if not size:
            raise ssl.SSLEOFError
        self._incoming.write(buffer[:size])

    def _push(self) -> None:
        """BlockingIOError when not everything could be sent."""
        if self._outgoing.pending:
            self._rest = memoryview(b"".join((self._rest, self._outgoing.read())))
        while self._rest:
            self._rest = self._rest[self._raw.send(self._rest) :]

    async def _push_all(self) -> None:
        while True:
            try:
                self._push()
            except BlockingIOError:
                await self._raw.wait_writable()
            else:
                return
