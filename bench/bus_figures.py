"""The bus, from outside: a raw client (C) in a process of its own against an ordinary host on the same machine.

`echo_vs_ping` compares an echo with 64 B over TCP between two processes that are held on different processors,
measured right before and after it; in an echo the client is held on one, and the host and the program go where they
like. `js_ms` is a one-line script through the interpreter of examples/js, called with `gatebus.client`, as
`rate_client` is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from bench.guests import HELLO
from gatebus.cli.surroundings import guests_directory
from gatebus.client import ExactKey, Manner, Program, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CLIENT = ROOT / "build/busclient"
STARTS, CALLS, ECHOES, MANY_ECHOES, STREAM_MIB = 500, 4_000, 5_000, 200_000, 2_000
IDLE = 500
MANY, MANY_LINKS = 4_000, 40
SCRIPTS, CLIENT_CALLS, FLIGHT = 50, 1_000, 16


@dataclass
class HostProcess:
    process: subprocess.Popen[str]
    about: dict[str, Any]

    def measure(self, module: str, *words: object) -> dict[str, Any]:
        """One run of the raw client."""
        line = [str(CLIENT), str(self.about["port"]), self.about.get(module, "-"), *map(str, words)]
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def private_kib(self) -> float:
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(float(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))


@contextlib.contextmanager
def host() -> Iterator[HostProcess]:
    line = [sys.executable, "-m", "bench.bus_host"]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield HostProcess(process, json.loads(process.stdout.readline()))
        process.stdin.close()


def build_client() -> None:
    CLIENT.parent.mkdir(exist_ok=True)
    source = ROOT / "bench/programs/busclient.c"
    subprocess.run(["cc", "-O2", "-Wall", "-o", str(CLIENT), str(source)], check=True)


def echo_and_ping(server: HostProcess) -> dict[str, float]:
    before = server.measure("-", "ping", ECHOES)["ping"]["p50"]
    os.environ["BUSCLIENT_PROCESSOR"] = "0"
    echo = server.measure("echo", "echo", ECHOES, 1)["echo"]["p50"]
    del os.environ["BUSCLIENT_PROCESSOR"]
    after = server.measure("-", "ping", ECHOES)["ping"]["p50"]
    print(f"echo {echo:.0f} us, TCP there and back {before:.0f} and {after:.0f} us")
    return {"echo_us": echo, "echo_vs_ping": 2 * echo / (before + after)}


def idle_kib(server: HostProcess) -> float:
    """Private memory of the host for each of some hundred links with one idle instance each."""
    line = [str(CLIENT), str(server.about["port"]), server.about["idle"], "idle", str(IDLE), "1"]
    before = server.private_kib()
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdout is not None
        holding.stdout.readline()
        after = server.private_kib()
        holding.communicate("\n")
    return (after - before) / IDLE


def many(server: HostProcess) -> float:
    """How many idle instances, each with a client's stream, are really held at once."""
    each = MANY // MANY_LINKS
    line = [str(CLIENT), str(server.about["port"]), server.about["idle"], "idle", str(MANY_LINKS), str(each)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdout is not None
        said = holding.stdout.readline()
        holding.communicate("\n")
    return MANY if said and holding.returncode == 0 else 0


async def with_the_client(about: dict[str, Any]) -> dict[str, float]:
    """What a Python client reaches: calls per second, and a script's time."""
    manner = Manner(trust=ExactKey(bytes.fromhex(about["key"])))
    async with connect(f"127.0.0.1:{about['port']}", None, manner) as bus:
        rate = await _rate(bus)
        return {"rate_client": rate, "js_ms": await _script_ms(bus)}


async def _rate(bus: Any) -> float:
    program = Program(hashlib.sha256(HELLO).digest())
    left = iter(range(CLIENT_CALLS))

    async def caller() -> None:
        for _ in left:
            await bus.call(program)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(FLIGHT):
            nursery.start_soon(caller)
    return CLIENT_CALLS / (time.perf_counter() - began)


async def _script_ms(bus: Any) -> float:
    interpreter = (guests_directory() / "qjs.wasm").read_bytes()
    arguments = ("qjs", "--std", "--stack-size", "1024", "one.js")
    program = Program(interpreter, arguments, files={"one.js": b"console.log(6 * 7)\n"})
    times = []
    for _ in range(SCRIPTS + 1):
        began = time.perf_counter()
        assert (await bus.call(program)).output == b"42\n"
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[SCRIPTS // 2] * 1000  # the first one uploads and compiles


def main() -> None:
    build_client()
    figures: dict[str, float] = {}
    with host() as server:
        start = server.measure("hello", "start", STARTS)["first"]
        figures |= {"start_ms": start["p50"] / 1000, "start_p99_ms": start["p99"] / 1000}
        figures["rate"] = server.measure("hello", "rate", CALLS, FLIGHT)["rate"]
        figures |= echo_and_ping(server)
        figures["echo_s"] = server.measure("echo", "echo", MANY_ECHOES, 64)["rate"]
        figures["bus_stream_mbs"] = server.measure("stream", "stream", STREAM_MIB)["mbs"]
        figures |= trio.run(with_the_client, server.about)
        figures["host_kib"] = idle_kib(server)
    with host() as server:
        figures["many"] = many(server)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
