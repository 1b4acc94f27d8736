"""Assembly: sockets that listen, and the loop that accepts.

In:  connections of strangers on TCP, TLS and unix sockets. Out: each in a task of its own, at front. On a unix socket
the kernel says who connects (SO_PEERCRED): that is what a local principal rests on.

Closing the listeners lets `serve` return when the last connection has ended; cancelling it ends everything at once.
"""

from __future__ import annotations

import errno
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from gatebus import bounds
from gatebus.faults import UsageError
from gatebus.web.bytetransport import SocketTransport, immediate
from gatebus.web.crowd import Crowd
from gatebus.web.front import Front, Reception
from gatebus.web.link import Peer
from gatebus.web.places import check_socket_path

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from gatebus.web.crowd import Seat

_REASONS = {
    errno.EADDRINUSE: "the port is in use, perhaps by another host; take another one",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
    errno.EACCES: "not permitted",
    errno.ENOENT: "no such folder",
}
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
ACCEPTED_AT_ONCE = 4  # before others get their turn
BREATH_SECONDS = 0.1  # when the machine has no descriptor left


@dataclass(frozen=True, slots=True)
class Listener:
    """Open; owns its socket and, for unix, the file."""

    sock: socket.socket
    context: ssl.SSLContext | None = None
    file: Path | None = None

    @property
    def port(self) -> int:
        """0 for unix."""
        return 0 if self.file else int(self.sock.getsockname()[1])

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()
            if self.file is not None:
                self.file.unlink(missing_ok=True)


async def listen_tcp(host: str, port: int, context: ssl.SSLContext | None = None) -> list[Listener]:
    """On every address that the name has. Port 0: the kernel's choice. UsageError."""
    try:
        found = await trio.open_tcp_listeners(port, host=host, backlog=bounds.ACCEPT_BACKLOG)
    except OSError as error:
        raise UsageError(f"Cannot listen on {host} port {port}: {_why(error)}.") from error
    return [Listener(_plain(listener.socket), context) for listener in found]


def listen_unix(path: Path, mode: int = 0o600) -> Listener:
    """Replaces a socket that nobody serves any more. UsageError. `mode`: who may connect; by default this user."""
    check_socket_path(str(path))
    sock = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(bounds.ACCEPT_BACKLOG)
    except OSError as error:
        sock.close()
        raise UsageError(f"Cannot listen on the unix socket {path.name}: {_why(error)}.") from error
    except UsageError:
        sock.close()
        raise
    sock.settimeout(0)
    return Listener(sock, file=path)


async def serve(listeners: Sequence[Listener], front: Front) -> None:
    """Until every listener is closed and every connection has ended."""
    crowd = Crowd(front.capacity)
    async with trio.open_nursery() as looking_after:
        reception = Reception(front, looking_after)
        looking_after.start_soon(reception.keepalive.run)
        async with trio.open_nursery() as connections:
            for listener in listeners:
                connections.start_soon(_accept, listener, reception, crowd, connections)
        looking_after.cancel_scope.cancel()


async def _accept(listener: Listener, reception: Reception, crowd: Crowd, connections: trio.Nursery) -> None:
    with suppress(trio.ClosedResourceError):
        while listener.sock.fileno() >= 0:  # nobody may wait on one that was closed while we slept
            await trio.lowlevel.wait_readable(listener.sock)
            for _ in range(ACCEPTED_AT_ONCE):
                try:
                    sock, _address = listener.sock.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    await _not_accepted(error, crowd)
                    break
                _welcome(sock, listener, reception, crowd, connections)
            else:
                for _ in range(bounds.OPENING_PASSES):
                    await trio.lowlevel.checkpoint()


async def _not_accepted(error: OSError, crowd: Crowd) -> None:
    if error.errno in EXHAUSTED:
        crowd.evict_oldest()
        await trio.sleep(BREATH_SECONDS)
    elif error.errno == errno.EBADF:
        raise trio.ClosedResourceError from error
    # anything else happened to that connection before it was accepted


def _welcome(
    sock: socket.socket, listener: Listener, reception: Reception, crowd: Crowd, connections: trio.Nursery
) -> None:
    try:
        peer = _peer(sock, listener)
        transport = SocketTransport(sock, reception.front.watch)
        immediate(sock)
    except OSError:  # gone already
        sock.close()
        return
    seat = crowd.enter(peer.address, transport.close)
    connections.start_soon(_seated, reception, transport, peer, seat, listener.context)


async def _seated(
    reception: Reception, transport: SocketTransport, peer: Peer, seat: Seat, context: ssl.SSLContext | None
) -> None:
    try:
        await reception.receive(transport, peer, seat, context)
    finally:
        seat.leave()


def _peer(sock: socket.socket, listener: Listener) -> Peer:
    if listener.file is not None:
        size = struct.calcsize("iII")
        _pid, uid, _gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return Peer("unix", uid=uid)
    return Peer("tls" if listener.context else "tcp", address=sock.getpeername()[0])


def _plain(listening: trio.socket.SocketType) -> socket.socket:
    sock = socket.socket(fileno=listening.detach())
    sock.settimeout(0)
    return sock


def _remove_stale(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise UsageError(f"Cannot listen on {path.name}: there is a file of that name that is no socket.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise UsageError(f"Cannot listen on {path.name}: another host listens there.")


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no machine of this name is known"
    return _REASONS.get(error.errno or 0, "the address is not this machine's or cannot be used")
