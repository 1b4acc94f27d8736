"""Wire: one program of the keeper: its files are made here, its start is asked for, its memory is taken at its end.

In:  an image, setup packets, the memory of a stopped program. Out: backend.Started. Every program has one memory file,
of exactly its limit, sealed against another size. Where its memory 0 comes from:

    from nothing            the file, mapped shared: the host sees what the program has
    from a copy             the same, with the content of a stopped program in it
    shared, without a copy  sealed files of a stopped program, mapped privately: any number of programs at once. The
                            file gets only what the program has changed, when it stops: the kernel knows which pages
                            that are (the keeper asks, `held`), the process copies them. Nobody reads its memory.

A stop of the last kind takes one turn more: state - HELD - list of pages - TAKE - report.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sandbox import keeperwire
from sandbox.control import take_packet
from sandbox.errors import StartFailed
from sandbox.inthread import in_thread
from sandbox.keeper import LOST
from sandbox.keeperwire import CONTROL_BYTES, FRAMES_AT, REQUEST_BYTES, SPAWNER_LOST, Failed, Special, control_offset
from sandbox.layeredmemory import Files, LayeredMemory, shareable
from sandbox.memfd import MemfdBlob, MemfdSnapshot, allocated, forget_behind, memory_memfd
from sandbox.pageranges import from_pages_untrusted, to_pages, total
from sandbox.snapshotfile import copy_snapshot
from sandbox.transport import SocketTransport

if TYPE_CHECKING:
    from sandbox.backend import Beginning, Snapshot
    from sandbox.keeper import Keeper
    from sandbox.limits import Limits
    from sandbox.outcome import EndRecord
    from sandbox.pageranges import Ranges

# What every place where a program may be left reads while it is to stop.
ONES = b"\1" * REQUEST_BYTES
# Of a program that goes on alone so much is copied, and its next stop copies nothing. Going on and stopping again,
# together, measured at 1 to 3 MiB: of what is written anew, a copy takes four fifths of sharing; of what only lies
# there it takes 9 % more at 1 MiB, 17 at 2, 48 at 3. With 16 MiB written anew, sharing took half to two thirds.
COPY_MAX = 2 << 20
# Copying more goes to a thread, so that the loop keeps turning: half a millisecond.
COPY_INLINE_MAX = 3 << 19
# Of frames, which are in the state by then and stay in the memory file: giving them back takes 20 us and more.
FRAMES_KEPT = 1 << 20
# Merging more goes to a thread, so that the loop keeps turning.
MERGE_INLINE_MAX = 4 << 20
NO_MEMORY = "The host has no memory left for a program; try again later."
# Pages of 64 KiB.
_PAGE_SHIFT = 16


class NativeProcess:
    """Implements backend.Started: holds the packet socket and the guest's memory file, two descriptors."""

    __slots__ = (
        "_base",
        "_keeper",
        "_limit",
        "_memory",
        "_stop_at",
        "asked",
        "changed",
        "job",
        "shares_base",
        "transport",
    )

    def __init__(self, keeper: Keeper, sock: socket.socket, memory: int, limits: Limits, beginning: Beginning) -> None:
        self._keeper, self.job, self._memory = keeper, keeper.new_job(), memory
        self._limit, self._base = limits.memory, beginning.memory
        # Where the control memory begins in the memory file, 0 where there is none.
        self._stop_at = control_offset(limits.memory) if beginning.suspendable else 0
        self.asked = self.shares_base = False
        self.changed: Ranges | None = None
        self.transport = SocketTransport(sock)

    @property
    def peak_memory(self) -> int:
        """Of one that shares its memory, without what it has changed so far."""
        return allocated(self._memory) if self._memory >= 0 else 0

    @property
    def can_stop(self) -> bool:
        return self._stop_at > 0

    @property
    def list_at(self) -> int:
        """In the memory file: where lists of pages stand, and later frames."""
        return self._stop_at + FRAMES_AT

    def request_stop(self) -> None:
        """Where the machine has no room for it, a program that computes stops when it waits, or too late."""
        if self._stop_at and self._memory >= 0:
            with suppress(OSError):
                os.pwrite(self._memory, ONES, self._stop_at)

    def held(self, address: int) -> None:
        """Its descriptor of the memory is taken now: when the task has its turn, the program may have been killed."""
        try:
            memory = os.dup(self._memory) if self.shares_base else -1
        except OSError:
            memory = -1
        if memory < 0:
            self.kill()  # it has nothing to wait for
        else:
            self._keeper.soon(partial(self._find_changes, address, memory))

    async def _find_changes(self, address: int, memory: int) -> None:
        try:
            entries = await self._listed(address, memory)
            self.transport.send(take_packet(entries))
        except OSError:
            self.kill()  # if it is not gone: what it waits for will not come
        finally:
            os.close(memory)

    async def _listed(self, address: int, memory: int) -> int:
        """Entries of the list of its changed pages, which stands in its memory file then. Raises OSError."""
        request = keeperwire.scan(self.job.identity, address, self._limit, self.list_at)
        entries = await self._keeper.scan(self.job, request, memory)
        if entries is None:
            listed = to_pages(((0, self._limit),))
            return os.pwrite(memory, listed, self.list_at) // 8
        self.changed = from_pages_untrusted(os.pread(memory, entries * 8, self.list_at), self._limit)
        return entries

    def take_memory(self, size: int) -> Snapshot:
        """The file is this process's alone by now, and nobody writes to it any more."""
        taken, self._memory = self._memory, -1
        if self._stop_at:
            forget_behind(taken, self._stop_at + FRAMES_KEPT)
        size = min(size, self._limit)
        base = self._base
        if not self.shares_base or not isinstance(base, MemfdSnapshot | LayeredMemory):
            return MemfdSnapshot(taken, size)
        if self.changed is None:
            return MemfdSnapshot(taken, size)
        self.changed = tuple((at, min(length, size - at)) for at, length in self.changed if at < size)
        return LayeredMemory(base, taken, self.changed, size)

    @property
    def went_from(self) -> tuple[Snapshot | None, Ranges | None]:
        return self._base, self.changed

    async def park(self) -> None:
        await self._keeper.park(self.job)

    async def unpark(self) -> None:
        await self._keeper.unpark(self.job)

    def kill(self) -> None:
        self._keeper.kill(self.job)

    def share(self, account: int) -> bool:
        return self._keeper.share(self.job, account)

    async def wait(self) -> EndRecord:
        answer = await self.job.ended()
        if isinstance(answer, Failed):
            if answer.reason == SPAWNER_LOST:
                return LOST  # it may have run: whoever starts it again must know that
            raise StartFailed(*answer.code_and_text)
        return answer._replace(peak_memory=self.peak_memory)

    def close(self) -> None:
        """Of a program that was asked for and has not ended: nobody waits for it any longer, so its keeper is stuck."""
        if self.asked and not self.job.over:
            self._keeper.terminate()
        self.transport.close()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


async def start_native(
    keeper: Keeper, image: MemfdBlob, setup: bytes, limits: Limits, beginning: Beginning
) -> tuple[NativeProcess, bytes]:
    """The process, and what of the setup is still to be sent. Raises StartFailed, KeeperGone."""
    ours, theirs, memory = _start_files(limits, CONTROL_BYTES if beginning.suspendable else 0)
    process = NativeProcess(keeper, ours, memory, limits, beginning)
    try:
        files = await _begin_memory(process, memory, beginning)
        images = [image] + ([beginning.continuation] if isinstance(beginning.continuation, MemfdBlob) else [])
        sent = ours.send(setup)
        private = sum(each.size for each in images) + beginning.private + (0 if files is None else limits.memory)
        base = (0, 0) if files is None else (len(files.descriptors), files.size >> _PAGE_SHIFT)
        control = CONTROL_BYTES if beginning.suspendable else 0
        special = Special(control, *base, int(beginning.low))
        request = keeperwire.start(process.job.identity, limits, private, special)
        given = (theirs.fileno(), image.fd, memory, *(each.fd for each in images[1:]))
        await keeper.send(process.job, request, given if files is None else given + files.descriptors)
        process.asked = True
    except BaseException as error:
        process.close()
        keeper.forget(process.job)
        if isinstance(error, OSError):
            raise StartFailed("no-memory", NO_MEMORY) from error
        raise
    finally:
        theirs.close()
    return process, setup[sent:]


async def _begin_memory(process: NativeProcess, memory: int, beginning: Beginning) -> Files | None:
    """What the process is to map, of one that shares its memory; any other has it in its file then."""
    source = beginning.memory
    if source is None:
        return None
    try:
        if isinstance(source, MemfdSnapshot | LayeredMemory) and (beginning.share or total(source.data()) > COPY_MAX):
            files = await _shareable(source)
            if files is not None:
                process.shares_base = True
                if files.pieces:
                    listed = to_pages(files.pieces)
                    os.pwrite(memory, (len(listed) // 8).to_bytes(4, "little") + listed, process.list_at)
                return files
        await _copy(source, memory)
    except OSError as error:
        raise StartFailed("no-memory", NO_MEMORY) from error
    return None


async def _shareable(source: MemfdSnapshot | LayeredMemory) -> Files | None:
    if isinstance(source, LayeredMemory) and source.to_merge > MERGE_INLINE_MAX:
        return await in_thread(shareable, source)
    return shareable(source)


async def _copy(source: Snapshot, memory: int) -> None:
    """A program with memory of its own: the snapshot may be continued again."""
    if isinstance(source, MemfdSnapshot) and total(source.data()) <= COPY_INLINE_MAX:
        source.copy_to(memory)
    elif isinstance(source, MemfdSnapshot):
        await in_thread(source.copy_to, memory)
    else:
        await in_thread(copy_snapshot, source, memory)


def _start_files(limits: Limits, control: int) -> tuple[socket.socket, socket.socket, int]:
    try:
        memory = memory_memfd(control_offset(limits.memory) + control if control else limits.memory)
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            os.close(memory)
            raise
    except OSError as error:
        raise StartFailed("no-descriptors", "The host has no descriptors or memory left for a program.") from error
    return ours, theirs, memory
