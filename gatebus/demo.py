"""`make demo`: what gatebus can do now, told in a person's words; assembly.

In:  a checkout with its examples. Out: the story on stdout; exit code 0 only when everything was as told.

A host on loopback and a client over a websocket, both the product's own. Each step checks what came before the story
goes on. Programs that are not built yet are built first; without the native back-end the demo says so and uses the
other.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from gatebus.cli.ending import alone
from gatebus.cli.surroundings import guests_directory
from gatebus.client import Bus, BusError, ExactKey, Manner, Program, connect
from gatebus.host.hostconfig import DEFAULT_ADDRESS, Address, HostConfig, SandboxConfig
from gatebus.host.server import Host
from sandbox.errors import BackendUnavailable, SandboxError

ROOT = Path(__file__).parent.parent
MAKES = (
    ("make", "-C", str(ROOT / "examples"), "--silent"),
    ("make", "-C", str(ROOT / "examples/js"), "--silent"),
)
# The longest step compiles the interpreter the first time; a slow machine takes a minute.
PATIENCE = 300.0
# Seconds between two signs of life.
PULSE = 10.0
STREAM_BYTES, CUT_AFTER = 1_000_000, 400_000

INTRODUCTION = """
Gatebus sends programs instead of messages: WebAssembly, from anyone, over a websocket. What makes that bearable is that
a program can do nothing to the machine that runs it. A host on this machine now listens; seven things to see:
"""

NEXT = f"""
Try next:
  gatebus serve                                     a host that stays; then open http://{DEFAULT_ADDRESS}/ in a browser
  gatebus call examples/1_hello_wat/hello.wat       the same from the command line, against that host
  gatebus run --usage examples/js/hello.js Ada      a program without any host, and what it costs
  gatebus doctor                                    what protects this machine, layer by layer
"""


class NotAsToldError(Exception):
    """What came is not what the story says."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What each step plays on."""

    bus: Bus
    shaky: Bus  # its connection is lost once
    losses: Callable[[], int]


def main() -> int:
    for command in MAKES:
        if follow(command, PULSE):
            tell("The example programs could not be built; the lines above say why.")
            return 1
    try:
        trio.run(perform)
    except ExceptionGroup as raised:
        fault = alone(raised)
        if not isinstance(fault, NotAsToldError | BusError | SandboxError):
            raise
        tell(f"\n   This is not what should have happened: {fault}. Please report it.")
        return 1
    return 0


def follow(command: tuple[str, ...], pulse: float) -> int:
    """Run what takes minutes the first time and says little, with a sign of life. Its exit code."""
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while True:
            try:
                return process.wait(pulse)
            except subprocess.TimeoutExpired:
                tell(f"   ... still at it, {time.monotonic() - began:.0f} s")


async def perform() -> None:
    with tempfile.TemporaryDirectory(prefix="gatebus-demo-") as folder, trio.fail_after(PATIENCE):
        async with open_host(folder) as (host, port), open_stage(host, port) as stage:
            tell(INTRODUCTION)
            for number, step in enumerate(STEPS, 1):
                began = time.monotonic()
                tell(f"{number}. {step.__doc__}\n")
                await step(stage)
                tell(f"\n   ({time.monotonic() - began:.2f} s)\n")
    tell(NEXT)


async def hello(stage: Stage) -> None:
    """A small program is sent, checked, compiled, and run in a process of its own."""
    result = await stage.bus.call(await text_program(stage.bus, "examples/1_hello_wat/hello.wat"))
    show(result.output)
    check(result.output == b"hello, world\n", "another output")


async def javascript(stage: Stage) -> None:
    """JavaScript. The interpreter is 1 MB of somebody else's C code, and runs as such a program, too."""
    script = (ROOT / "examples/js/hello.js").read_bytes()
    interpreter = (guests_directory() / "qjs.wasm").read_bytes()
    arguments = ("qjs", "--std", "--stack-size", "1024", "hello.js", "Ada")
    result = await stage.bus.call(Program(interpreter, arguments, files={"hello.js": script}))
    show(result.output)
    check(b"hello, Ada" in result.output, "another output")


async def echo(stage: Stage) -> None:
    """A program that sends back what it gets, as it comes: a stream in both directions."""
    async with stage.bus.open_call(built("3_echo_stream")) as running:
        for words in (b"first\n", b"second\n"):
            await running.send(words)
            show(b"sent:     " + words)
            answer = await running.receive()
            show(b"received: " + answer)
            check(answer == words, "another answer")
        running.end()
        show(b"received: " + b"".join([piece async for piece in running]))


async def busy(stage: Stage) -> None:
    """A program that never ends, started to go on without us; we look at it, and kill it."""
    instance = await stage.bus.launch(await text_program(stage.bus, "examples/demo/busy.wat"))
    show(f"state: {(await stage.bus.status(instance)).state}")
    status = await stage.bus.kill(instance)
    show(f"state: {status.state}, cause: {status.cause}")
    check(status.state == "KILLED", "it was not killed")


async def spy(stage: Stage) -> None:
    """A program that wants to read this machine's password file. It is there, but not in the program's world."""
    result = await stage.bus.call(
        Program((await text_program(stage.bus, "examples/demo/spy.wat")).module, want_files=True)
    )
    show(result.output)
    check(result.output == b"/etc/passwd: there is no such file here\n", "it saw something")


async def two(stage: Stage) -> None:
    """Two programs of one person find each other by an index, and talk. One asks, one answers."""
    first = await stage.bus.launch(built("demo", "answer"))
    result = await stage.bus.call(built("demo", "ask"))
    show(result.output)
    check(result.output == b'yes: I heard "is anybody there?"\n', "another answer")
    check((await stage.bus.wait(first)).state == "HALTED", "the other one did not end well")


async def lost(stage: Stage) -> None:
    """A connection that breaks in the middle of a stream; the client connects again, and the stream goes on."""
    sent = b"".join(number.to_bytes(4, "big") for number in range(STREAM_BYTES // 4))
    received = bytearray()
    async with stage.shaky.open_call(built("3_echo_stream")) as running, trio.open_nursery() as nursery:

        async def feed() -> None:
            await running.send(sent)
            running.end()

        nursery.start_soon(feed)
        async for piece in running:
            received += piece
    show(f"connections lost: {stage.losses()}; bytes sent: {len(sent):,}")
    check(stage.losses() == 1, "the connection was not lost")
    check(received[: len(sent)] == sent, "bytes were lost or doubled")
    show(bytes(received[len(sent) :]))
    show("Each came back, once, in order.")


STEPS = (hello, javascript, echo, busy, spy, two, lost)


def built(name: str, function: str | None = None) -> Program:
    return Program((ROOT / f"build/guests/{name}.wasm").read_bytes(), function=function)


async def text_program(bus: Bus, name: str) -> Program:
    """A module as text: a host takes both forms."""
    return Program((await bus.upload((ROOT / name).read_bytes())).sha256)


@asynccontextmanager
async def open_host(folder: str) -> AsyncIterator[tuple[Host, int]]:
    """On a port that is free."""
    listening = Listening()
    async with AsyncExitStack() as stack:
        try:
            host = await stack.enter_async_context(new_host(folder, "native", listening))
        except BackendUnavailable as problem:
            tell(f"The native sandbox does not run here: {problem.text}")
            tell("So this demo uses the portable one, which protects the machine less. `gatebus doctor` says more.")
            host = await stack.enter_async_context(new_host(folder, "portable", listening))
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(host.serve)
        await listening.ready.wait()
        yield host, listening.port
        nursery.cancel_scope.cancel()


def new_host(folder: str, backend: str, log: "Listening") -> Host:
    """It knows every key, because there is only ours."""
    listen = (Address("127.0.0.1", 0),)
    config = HostConfig(listen=listen, data=f"{folder}/{backend}", sandbox=SandboxConfig(backend), stop_seconds=0.0)
    return Host(config, known=lambda _key: "you", log=log)


class Listening:
    """A host's log, of which the demo wants to know the port."""

    def __init__(self) -> None:
        self.port = 0
        self.ready = trio.Event()

    def event(self, name: str, **fields: object) -> None:
        if name == "host-listening":
            self.port = int(str(fields["address"]).rpartition(":")[2])
        if name == "host-ready":
            self.ready.set()


@asynccontextmanager
async def open_stage(host: Host, port: int) -> AsyncIterator[Stage]:
    relay = Relay(port)
    manner = Manner(trust=ExactKey(host.key))
    key = os.urandom(32)
    async with trio.open_nursery() as nursery:
        shaky = await nursery.start(relay.run)
        direct, indirect = f"127.0.0.1:{port}", f"127.0.0.1:{shaky}"
        async with connect(direct, key, manner) as bus, connect(indirect, key, manner) as other:
            yield Stage(bus, other, lambda: relay.losses)
        nursery.cancel_scope.cancel()


class Relay:
    """A bad network: it carries bytes between a client and the host, and breaks once, in the middle of a stream."""

    def __init__(self, port: int) -> None:
        self.losses = 0
        self._port = port
        self._left = CUT_AFTER

    async def run(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Until cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._carry, listeners)

    async def _carry(self, client: trio.SocketStream) -> None:
        host = await trio.open_tcp_stream("127.0.0.1", self._port)
        async with client, host, trio.open_nursery() as nursery:
            nursery.start_soon(self._copy, client, host, nursery)
            nursery.start_soon(self._copy, host, client, nursery)

    async def _copy(self, source: trio.SocketStream, target: trio.SocketStream, both: trio.Nursery) -> None:
        try:
            async for data in source:
                await target.send_all(data)
                self._left -= len(data)
                if self._left < 0 and not self.losses:
                    self.losses += 1
                    break
        except trio.BrokenResourceError:
            pass
        both.cancel_scope.cancel()


def show(output: bytes | str) -> None:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    for line in text.splitlines():
        tell(f"   {line}")


def check(holds: bool, what: str) -> None:  # noqa: FBT001 - a sentence: check(it is so, what else it was)
    if not holds:
        raise NotAsToldError(what)


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
