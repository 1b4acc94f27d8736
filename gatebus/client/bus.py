"""Wire: everything that can be asked of a host, over a link that comes back.

In:  what the caller wants. Out: frozen answers, streams; errors by whose fault (module complaints). Each operation may
be cancelled: the host is told, and the bus is as usable as before. Operations are repeated on another link when theirs
is lost, and each is made so that twice is the same as once: streams and instances have names that are chosen here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from gatebus.bounds import STREAM_WINDOW
from gatebus.client import transfers
from gatebus.client.answers import (
    Module,
    Pinned,
    Result,
    Status,
    Stored,
    Uploaded,
    files_untrusted,
    instance_untrusted,
    module_untrusted,
    outcome_untrusted,
    pinned_untrusted,
    status_untrusted,
)
from gatebus.client.clientstream import Running, Stream
from gatebus.client.complaints import BusError, HostError, TooMuchOutput
from gatebus.client.livebus import LiveBus
from gatebus.client.orders import Program, check_fits, is_content, module_name, parameters, room_for_input
from gatebus.client.watching import Watching
from gatebus.clientbounds import CALL_LOG_BYTES, CALL_OUTPUT_BYTES, INLINE_FILES, MODULES_REMEMBERED
from gatebus.slips import check_bytes, instance_id
from sandbox.background import background_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from uuid import UUID

    from gatebus.client.lifeline import Lifeline
    from gatebus.client.transfers import Source
    from gatebus.protocol import Flows

T = TypeVar("T")


class Bus(LiveBus):
    """Made by gatebus.client.connect."""

    def __init__(self, lifeline: Lifeline, dice: Callable[[int], bytes]) -> None:
        super().__init__(lifeline, dice)
        self._sent: dict[bytes, None] = {}  # modules that the host has had from us

    # Programs.

    async def call(self, program: Program, stdin: bytes = b"", *, most: int = CALL_OUTPUT_BYTES) -> Result:
        """Run it to its end; its output (at most `most` bytes) and log in memory."""
        check_bytes("stdin", stdin)
        log = bytearray()

        def hear_log(_source: int, data: bytes) -> None:
            log.extend(data)
            del log[: max(0, len(log) - CALL_LOG_BYTES)]

        async with self.open_call(program, on_log=hear_log) as running:
            output = await _converse(running, stdin, most)
            answer = await running.answer()
        files = {path: await self._content(left, most) for path, left in files_untrusted(answer).items()}
        return Result(outcome_untrusted(answer), output, bytes(log), files)

    async def _content(self, left: bytes | Stored, most: int) -> bytes:
        return left if isinstance(left, bytes) else await self.download(left.sha256, most=most)

    @asynccontextmanager
    async def open_call(
        self, program: Program, *, on_log: Callable[[int, bytes], None] | None = None, window: int = STREAM_WINDOW
    ) -> AsyncIterator[Running]:
        """A program and a stream to it. Leaving the context before it has ended kills it."""
        program = await self._with_files(program)
        given, supply = await self._module(program)
        first = room_for_input(program)
        async with self._stream(Stream("call", self._name, given, window, supply, on_log, first)) as running:
            yield running

    async def launch(self, program: Program) -> UUID:
        """Start a program that goes on without us. Its id."""
        instance = self._name()

        async def launched(given: dict[str, Any]) -> UUID:
            return instance_untrusted(await self._ask("launch", **given, instance=instance))

        return await self._with_module(program, launched)

    async def warm(self, program: Program) -> bytes:
        """Run it until it waits for input for the first time, and keep that: a call with `warm` begins there. The name
        of the snapshot.
        """
        return await self._with_module(program, self._warm)

    async def _with_module(self, program: Program, ask: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        """Asked again when the host has let go of the module meanwhile."""
        given, supply = await self._module(await self._with_files(program))
        try:
            return await ask(given)
        except HostError as fault:
            if fault.code != "not-found" or supply is None:
                raise
        await supply()
        return await ask(given)

    @asynccontextmanager
    async def io(self, instance: UUID | str, *, window: int = STREAM_WINDOW) -> AsyncIterator[Running]:
        """A new connection to a running instance; leaving it ends only the connection."""
        given = {"instance": instance_id(instance)}
        async with self._stream(Stream("io", self._name, given, window)) as running:
            yield running

    @asynccontextmanager
    async def attach(self, stream: bytes, flows: Flows | None = None) -> AsyncIterator[Running]:
        """Go on with a stream by its name; without its flows from byte 0, which works while none was taken."""
        async with self._stream(Stream("attach", lambda: stream, {}), flows) as running:
            yield running

    @asynccontextmanager
    async def _stream(self, stream: Stream, flows: Flows | None = None) -> AsyncIterator[Running]:
        running = Running(self.lifeline, stream, flows)
        async with background_tasks() as nursery:
            nursery.start_soon(running.keep)
            try:
                yield running
            finally:
                running.let_go()

    async def _module(self, program: Program) -> tuple[dict[str, Any], Callable[[], Awaitable[None]] | None]:
        """Parameters, and how to supply the module again when the host has let go of it.

        A module that is given as bytes is offered once: one message there and back when the host has it.
        """
        if not is_content(program.module):
            return parameters(program, module_name(program.module)), None
        content = program.module
        assert isinstance(content, bytes)

        async def supply() -> None:
            self._sent[(await self.upload(content)).sha256] = None
            if len(self._sent) > MODULES_REMEMBERED:
                del self._sent[next(iter(self._sent))]

        digest = program.digest()
        if digest not in self._sent:
            await supply()
        return parameters(program, digest), supply

    async def _with_files(self, program: Program) -> Program:
        """Files that are too large to travel with the order are uploaded before it, the largest first. UsageError."""
        check_fits(program)
        inline = {path: content for path, content in program.files.items() if isinstance(content, bytes)}
        sizes = sum(map(len, inline.values()))
        if sizes <= INLINE_FILES:
            return program
        files = dict(program.files)
        for path, content in sorted(inline.items(), key=lambda item: -len(item[1])):
            if sizes <= INLINE_FILES:
                break
            sizes -= len(content)
            files[path] = {"sha256": (await self.upload(content)).sha256}
        return replace(program, files=files)

    # Instances.

    async def list(self) -> list[Status]:
        """Our instances, the oldest first."""
        found: dict[UUID, Status] = {}
        async for row in self._pages("list", "instances", "instance"):
            status = status_untrusted(row)
            found[status.instance] = status
        return [*found.values()]

    async def status(self, instance: UUID | str) -> Status:
        return status_untrusted(await self._ask("status", instance=instance_id(instance)))

    async def wait(self, instance: UUID | str) -> Status:
        """When it has ended."""
        return status_untrusted(await self._ask("wait", instance=instance_id(instance)))

    async def kill(self, instance: UUID | str) -> Status:
        """When it has ended."""
        return status_untrusted(await self._ask("kill", instance=instance_id(instance)))

    async def delete(self, instance: UUID | str) -> None:
        """Forget an instance that has ended."""
        before = self.lifeline.connections
        try:
            await self._ask("delete", instance=instance_id(instance))
        except HostError as fault:
            if fault.code != "not-found" or self.lifeline.connections == before:
                raise  # on a second link, not-found is what the first one has done

    # Modules and files.

    async def upload(self, source: bytes | Source, progress: Callable[[int, int], None] | None = None) -> Uploaded:
        """`progress(bytes that the host has, size)`. For a file: `await transfers.file_source(path)`."""
        if isinstance(source, bytes):
            source = transfers.BytesSource(source)
        return await transfers.upload(self.lifeline, source, progress)

    async def download(self, sha256: bytes, *, most: int = CALL_OUTPUT_BYTES) -> bytes:
        """A file of a result, or one of our modules; its hash is checked."""
        return await transfers.download(self.lifeline, sha256, most)

    async def modules(self, module: bytes | None = None) -> Sequence[Module]:
        """What the host keeps for us, or one of it; the newest first."""
        given = {} if module is None else {"module": module}
        found: dict[bytes, Module] = {}
        async for row in self._pages("modules", "modules", "module", **given):
            held = module_untrusted(row)
            found[held.sha256] = held
        return [*found.values()]

    async def pin(self, module: bytes | str, tags: Sequence[str] = ()) -> Pinned:
        """The host keeps it until it is unpinned; one that is named by an address, such as ipfs://CID/path, it fetches
        first.
        """
        return pinned_untrusted(await self._ask("pin", module=module, tags=list(tags)))

    async def unpin(self, module: bytes, tags: Sequence[str] = ()) -> None:
        await self._ask("unpin", module=module, tags=list(tags))

    # The host.

    async def usage(self) -> Mapping[str, Any]:
        """Totals and limits of whom we are, as the host says them."""
        return await self._ask("usage")

    async def features(self) -> Mapping[str, Any]:
        return await self._ask("features")

    @asynccontextmanager
    async def events(self, since: int | None = None) -> AsyncIterator[Watching]:
        """What happens to our instances: `async for event in watching`."""
        watching = Watching(self.lifeline, since)
        try:
            await watching.subscribe()
            yield watching
        finally:
            watching.let_go()


async def _converse(running: Running, stdin: bytes, most: int) -> bytes:
    """All of stdin in, all of the output out."""
    if len(stdin) <= running.room:
        await running.send(stdin)
        running.end()
        return await _collect(running, most)
    async with background_tasks() as nursery:
        nursery.start_soon(_feed, running, stdin)
        return await _collect(running, most)


async def _collect(running: Running, most: int) -> bytes:
    output = bytearray()
    async for data in running:
        output += data
        if len(output) > most:
            raise TooMuchOutput(f"The program wrote more than {most} bytes. open_call streams its output.")
    return bytes(output)


async def _feed(running: Running, stdin: bytes) -> None:
    try:
        await running.send(stdin)
    except BusError:
        return  # what went wrong is told where the output is read
    running.end()
