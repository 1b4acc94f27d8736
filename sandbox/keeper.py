"""Wire: the conversation with the keeper (PROTOCOL.md section A) over one SEQPACKET socket.

In:  requests with descriptors, from nativeclient.py. Out: one answer for each. One task reads all answers; whoever
wants one waits for its Job. When the keeper is lost, every job ends as lost: nobody waits for ever.
"""

from __future__ import annotations

import contextlib
import socket
from array import array
from typing import TYPE_CHECKING

import trio

from sandbox import keeperwire
from sandbox.background import background_tasks
from sandbox.errors import BackendUnavailable, SandboxBroken
from sandbox.keeperwire import Ended, Failed, Parked, Ready, Scanned
from sandbox.outcome import EndRecord, Why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sandbox.keeperprocess import KeeperProcess

LOST = EndRecord(None, None, Why.LOST)
# What ends a conversation with it, and what says at a request that it has ended.
_OVER = (OSError, trio.ClosedResourceError, SandboxBroken)
_BROKEN = (BrokenPipeError, ConnectionError)


class KeeperGone(SandboxBroken):
    """It ended before it took the request: nothing was started, so the request may be made again elsewhere."""


class Job:
    """One request: a program or a compilation. `answer` is there when it is over; a lost keeper answers LOST. Of a
    program that just runs nobody waits for anything: an event is 0.5 KiB, an empty deque 0.7, of every idle one.
    """

    __slots__ = ("_ended", "answer", "entries", "identity", "over", "scanned", "wishes")

    def __init__(self, identity: int) -> None:
        self.identity = identity
        self.answer: Ended | Failed | None = None
        self.over = False
        self._ended: trio.Event | None = None  # somebody waits for it
        # Of those wishes to park it or to let it go on that the keeper has not answered: oldest first.
        self.wishes: list[trio.Event] = []
        self.scanned: trio.Event | None = None
        self.entries: int | None = None  # of its list of changed pages, when `scanned` is set

    def end(self) -> None:
        self.over = True
        if self._ended is not None:
            self._ended.set()
        while self.wishes:
            self.wishes.pop(0).set()
        if self.scanned is not None:
            self.scanned.set()

    async def ended(self) -> EndRecord | Failed:
        if self.over:
            await trio.lowlevel.checkpoint()
        else:
            if self._ended is None:
                self._ended = trio.Event()
            await self._ended.wait()
        if isinstance(self.answer, Ended):
            return self.answer.record
        return self.answer or LOST


class Keeper:
    """A keeper that has said READY. `run` is its one task."""

    def __init__(self, process: KeeperProcess, nursery: trio.Nursery, ready_seconds: float) -> None:
        self._process, self._nursery, self._ready_seconds = process, nursery, ready_seconds
        self._socket = process.socket
        self._jobs: dict[int, Job] = {}
        self._next = 0
        self._sleeper = trio.Lock()
        self._unsent_kills: list[int] = []
        self.ready: Ready | None = None
        self.lost = False

    async def run(self, task_status: trio.TaskStatus[Ready]) -> None:
        """Until the keeper is gone. Raises BackendUnavailable when it never says READY."""
        try:
            task_status.started(await self._first_word())
            await self._converse()
        finally:
            self._lose()
            await self._process.end()

    async def _converse(self) -> None:
        with contextlib.suppress(*_OVER):
            async with background_tasks() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                await self._read_answers()

    async def _first_word(self) -> Ready:
        with contextlib.suppress(OSError), trio.move_on_after(self._ready_seconds):
            await trio.lowlevel.wait_readable(self._socket)
            first = self._receive()
            if (
                first
                and isinstance(word := keeperwire.decode_untrusted(first), Ready)
                and word.version == keeperwire.VERSION
            ):
                self.ready = word
                return word
        unavailable = BackendUnavailable(
            "keeper-silent", "The sandbox did not become ready; `gatebus doctor` says why."
        )
        unavailable.add_note(self._process.last_words())
        raise unavailable

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(keeperwire.DATAGRAM_MAX + 1)
        except ConnectionResetError:
            return b""

    async def _read_answers(self) -> None:
        while not self._at_end():
            await trio.lowlevel.wait_readable(self._socket)

    def _at_end(self) -> bool:
        """Take what is there."""
        try:
            while datagram := self._receive():
                self._dispatch_untrusted(datagram)
        except BlockingIOError:
            return False
        return True

    async def _watch(self, reading: trio.CancelScope) -> None:
        """A keeper's end is seen even when a process that it left behind holds its socket."""
        await self._process.wait()
        with contextlib.suppress(*_OVER):
            self._at_end()
        reading.cancel()

    def _dispatch_untrusted(self, datagram: bytes) -> None:
        answer = keeperwire.decode_untrusted(datagram)
        if isinstance(answer, Ready):
            self.ready = answer
            return
        if isinstance(answer, Parked | Scanned):
            self._tell(answer)
            return
        job = self._jobs.pop(answer.identity, None)
        if job is not None:  # a kill may cross the end of its program and be answered by FAILED
            job.answer = answer
            job.end()

    def _tell(self, answer: Parked | Scanned) -> None:
        job = self._jobs.get(answer.identity)
        if job is None:
            return
        if isinstance(answer, Scanned) and job.scanned is not None:
            job.entries = answer.entries
            job.scanned.set()
        elif isinstance(answer, Parked) and job.wishes:
            job.wishes.pop(0).set()

    def _lose(self) -> None:
        self.lost = True
        for job in self._jobs.values():
            job.end()
        self._jobs.clear()

    def new_job(self) -> Job:
        self._next = self._next % (keeperwire.IDS - 1) + 1
        while self._next in self._jobs:
            self._next = self._next % (keeperwire.IDS - 1) + 1
        job = self._jobs[self._next] = Job(self._next)
        return job

    def forget(self, job: Job) -> None:
        """It was never asked for."""
        self._jobs.pop(job.identity, None)

    async def send(self, job: Job, datagram: bytes, descriptors: Sequence[int]) -> None:
        """Ask. Waits only when the keeper has 200 requests before it. Raises KeeperGone, OSError: of this request."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
        try:
            while not self.lost:
                try:
                    self._socket.sendmsg([datagram], ancillary)
                except BlockingIOError:
                    await self._room()
                else:
                    return
        except (*_BROKEN, trio.ClosedResourceError):
            self.terminate()  # a socket that is broken in one direction is of no use in the other
        except BaseException:  # such as no room for one more descriptor on its way: it is of no other request
            self.forget(job)
            raise
        self.forget(job)
        raise KeeperGone("keeper-lost", "The sandbox's keeper ended; a new one is being made. Try again.")

    def kill(self, job: Job) -> None:
        """At once and without a checkpoint; when the socket is full, a task sends it as soon as there is room."""
        if self.lost or job.over:
            return
        if self._unsent_kills or not self._send_kill(job.identity):
            self._unsent_kills.append(job.identity)
            if len(self._unsent_kills) == 1:
                self._nursery.start_soon(self._send_kills)

    def _send_kill(self, identity: int) -> bool:
        try:
            self._socket.send(keeperwire.kill(identity))
        except BlockingIOError:
            return False
        except OSError:
            return True  # it is gone, and with it every program; `run` finds out
        return True

    async def _send_kills(self) -> None:
        with contextlib.suppress(OSError, trio.ClosedResourceError):  # it is gone, and with it every program
            while self._unsent_kills and not self.lost:
                if self._send_kill(self._unsent_kills[0]):
                    del self._unsent_kills[0]
                else:
                    await self._room()

    async def _room(self) -> None:
        """Until the keeper took something, or is gone. One task at a time may sleep on a socket; the others queue."""
        async with self._sleeper:
            if not self.lost:
                await trio.lowlevel.wait_writable(self._socket)

    def share(self, job: Job, account: int) -> bool:
        """At once, without a checkpoint. False when the socket is full: say it again later."""
        if self.lost or job.over:
            return True
        try:
            self._socket.send(keeperwire.share(job.identity, account))
        except BlockingIOError:
            return False
        except OSError:
            return True  # it is gone, and with it every program
        return True

    async def park(self, job: Job) -> None:
        """When it is back the program stands still, or has ended."""
        await self._wish(job, keeperwire.park(job.identity))

    async def unpark(self, job: Job) -> None:
        await self._wish(job, keeperwire.unpark(job.identity))

    def soon(self, task: Callable[[], Awaitable[None]]) -> None:
        """Something about a program that nobody waits for; it ends with the keeper at the latest."""
        self._nursery.start_soon(task)

    async def scan(self, job: Job, datagram: bytes, descriptor: int) -> int | None:
        """Entries of the list of pages that a program has changed; None: not known, or it has ended."""
        job.scanned = trio.Event()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
        with contextlib.suppress(OSError, trio.ClosedResourceError):
            while not self.lost and not job.over:
                try:
                    self._socket.sendmsg([datagram], ancillary)
                except BlockingIOError:
                    await self._room()
                else:
                    await job.scanned.wait()
                    break
        return job.entries

    async def _wish(self, job: Job, datagram: bytes) -> None:
        with contextlib.suppress(OSError, trio.ClosedResourceError):  # it is gone, and with it every program
            while not self.lost and not job.over:
                try:
                    self._socket.send(datagram)
                except BlockingIOError:
                    await self._room()
                else:
                    answered = trio.Event()
                    job.wishes.append(answered)
                    await answered.wait()
                    return
        await trio.lowlevel.checkpoint()

    def ask_status(self) -> None:
        """The answer arrives in `ready`."""
        try:
            self._socket.send(keeperwire.status(0))
        except OSError:
            return

    def terminate(self) -> None:
        """It does not do its work: end it. Its programs end with it."""
        self._lose()
        self._process.terminate()
