"""A host with one chat room, for `make chat`: starts both and says where the room is, until it is interrupted.

The host is an ordinary one, embedded; the room is launched over its unix socket as anybody's program would be, open to
whoever knows its id.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gatebus.client import Program, connect
from gatebus.faults import UsageError
from gatebus.host.hostconfig import MOST, Address, HostConfig
from gatebus.host.server import Host

if TYPE_CHECKING:
    from uuid import UUID

WASM = Path(__file__).parent.parent.parent / "build/guests/chat.wasm"
# A room lives for long and does little: a day of a processor, and 46 days.
LIFE = {"cpu_time": 86_400.0, "wall_time": 4_000_000.0}


class Listening:
    """The host's log: all that is wanted of it is where it listens, and that it does."""

    def __init__(self) -> None:
        self.address = ""
        self.ready = trio.Event()

    def event(self, name: str, **fields: object) -> None:
        if name == "host-listening" and fields.get("transport") == "tcp":
            self.address = str(fields["address"])
        if name == "host-ready":
            self.ready.set()


async def launch(socket: str) -> UUID:
    async with connect(f"unix:{socket}") as bus:
        return await bus.launch(Program(WASM.read_bytes(), limits=LIFE, tags=("chat",), open=True))


async def serve(port: int, backend: str) -> None:
    listening = Listening()
    with tempfile.TemporaryDirectory(prefix="gatebus-chat-") as folder:
        socket = f"{folder}/socket"
        plain = HostConfig()
        config = HostConfig(
            listen=(Address("127.0.0.1", port),),
            socket=socket,
            most=replace(MOST, cpu_time=LIFE["cpu_time"]),
            sandbox=replace(plain.sandbox, backend=backend),
            stop_seconds=0.5,
        )
        async with Host(config, log=listening) as host, trio.open_nursery() as nursery:
            nursery.start_soon(_stop_by_signal, host)
            nursery.start_soon(_tell, listening, socket)
            await host.serve()
            nursery.cancel_scope.cancel()


async def _tell(listening: Listening, socket: str) -> None:
    await listening.ready.wait()
    room = await launch(socket)
    print(f"room: http://{listening.address}/chat#{room}")
    # By the socket: this host has a new key at each start, and whoever remembers one for the port would be warned.
    print(f"in a terminal: gatebus io --host unix:{socket} {room}", flush=True)


async def _stop_by_signal(host: Host) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrived:
        async for _ in arrived:
            host.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description="A host with a chat room.")
    parser.add_argument("--port", type=int, default=6473)
    parser.add_argument("--backend", choices=("native", "portable"), default="native")
    given = parser.parse_args()
    try:
        trio.run(serve, given.port, given.backend)
    except Exception as raised:
        print(_only_fault(raised).text, "`make chat PORT=7000` takes another port.")
        return 1
    return 0


def _only_fault(raised: Exception) -> UsageError:
    """What a person did wrong; anything else is a bug and stays a traceback."""
    fault = raised
    while isinstance(fault, ExceptionGroup) and len(fault.exceptions) == 1:
        fault = fault.exceptions[0]
    if not isinstance(fault, UsageError):
        raise raised
    return fault


if __name__ == "__main__":
    raise SystemExit(main())
