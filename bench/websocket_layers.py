"""Assembly of a benchmark: what one echoed message costs a server on different websocket layers.

    python -m bench.websocket_layers [ROUNDS] [SHARE]

Server and client share one core. The client is the same for all: prepared frames on plain sockets, every reply compared
byte for byte. What is compared is the server's CPU time per message (/proc/PID/schedstat), in rounds that go through
all servers forwards and backwards; the ratio is the median of the rounds' ratios, so that a machine that changes its
speed changes both sides of it. SHARE: of the messages, for whoever only wants to see it run.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from websockets.frames import Frame, Opcode

SERVERS = ("gatebus", "trio-websocket", "websockets.trio", "websockets.asyncio")
UPGRADE = (
    b"GET /bus HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: gatebus.v1\r\n\r\n"
)


@dataclass(frozen=True)
class Load:
    name: str
    size: int
    depth: int  # messages under way
    count: int


LOADS = (
    Load("64 B, one at a time", 64, 1, 4_000),
    Load("1 KiB, 8 at a time", 1_024, 8, 8_000),
    Load("64 KiB, one at a time", 65_536, 1, 1_500),
)


class Server:
    """One echo server in a process of its own."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        command = [sys.executable, "-m", "bench.websocket_servers", name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        assert self.process.stdout is not None
        stack.enter_context(self.process.stdout)
        self.port = int(self.process.stdout.readline())

    def cpu_ns(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def measure(self, load: Load, share: float) -> tuple[float, float]:
        """Server CPU in microseconds per message, and messages per second."""
        times = max(1, int(load.count / load.depth * share))
        count = times * load.depth
        payload = os.urandom(load.size)
        together = Frame(Opcode.BINARY, payload).serialize(mask=True) * load.depth
        expected = Frame(Opcode.BINARY, payload).serialize(mask=False) * load.depth
        with self.connected() as sock:
            exchange(sock, together, expected, times // 10)
            cpu, began = self.cpu_ns(), time.perf_counter()
            exchange(sock, together, expected, times)
            return (self.cpu_ns() - cpu) / count / 1e3, count / (time.perf_counter() - began)

    def connected(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return sock


def exchange(sock: socket.socket, together: bytes, expected: bytes, times: int) -> None:
    buffer = memoryview(bytearray(len(expected)))
    for _ in range(times):
        sock.sendall(together)
        have = 0
        while have < len(expected):
            have += sock.recv_into(buffer[have:])
        assert buffer == expected


def main(rounds: int, share: float) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with ExitStack() as stack:
        servers = {name: Server(name, stack) for name in SERVERS}
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(rounds):
            for load in LOADS:
                for name in SERVERS if number % 2 else reversed(SERVERS):
                    found.setdefault((load.name, name), []).append(servers[name].measure(load, share))
    show(found)


def show(found: dict[tuple[str, str], list[tuple[float, float]]]) -> None:
    print(f"{'load':24}{'server':22}{'CPU us/message':>16}{'messages/s':>14}{'CPU / gatebus':>16}")
    for (load, name), rows in found.items():
        pairs = zip(rows, found[load, "gatebus"], strict=True)
        ratio = median(row[0] / max(best[0], 1e-3) for row, best in pairs)
        print(f"{load:24}{name:22}{median(r[0] for r in rows):16.1f}{median(r[1] for r in rows):14,.0f}{ratio:16.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7, float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
