"""Words: the functions that Gate's library offers (its own two, and WASI's as Gate answers them).

"Fault" is answered only for a null pointer where Gate checks for one; any other bad address is a memory trap. What
Gate cannot do is a deficiency: the program ends. Stated deviations from Gate are its defects (elapsed timers are
reported; reading a clock does not clear the started flag; an io without receive buffers does not wait for input).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sandbox.portable.gate_world import PACKET_FD, STATUS_DEFICIENCY
from sandbox.portable.guest_errno import CallError, Errno, GuestEnd
from sandbox.portable.wasi_layout import FDSTAT
from sandbox.portable.wasi_plain_calls import STATUS_EXIT_OTHER, STATUS_EXIT_ZERO
from sandbox.portable.wasi_world import MONOTONIC, PROCESS_TIME, REALTIME, THREAD_TIME

if TYPE_CHECKING:
    from sandbox.portable.gate_world import GateWorld

STDIN, STDOUT, STDERR = 0, 1, 2
VALID = (STDIN, STDOUT, STDERR, PACKET_FD)
LOGGED = (STDOUT, STDERR)
RIGHT_READ, RIGHT_WRITE = 0x2, 0x40
RIGHTS = {STDIN: 0, STDOUT: RIGHT_WRITE, STDERR: RIGHT_WRITE, PACKET_FD: RIGHT_READ | RIGHT_WRITE}
NONBLOCK = 4
# Each padded with NULs to whole 8-byte words, at the offsets that Gate gives them: 0, 24, 40.
VARIABLES = (b"GATE_ABI_VERSION=0", b"GATE_FD=4", b"GATE_MAX_SEND_SIZE=65536")
ENVIRONMENT_SIZE = 72
# Shorter waits than this with something to move are only a try.
SHORTEST_WAIT = 1000
READ_PIECE, WRITE_PIECE = 65536, 65536


def deficiency(what: str) -> NoReturn:
    raise GuestEnd(STATUS_DEFICIENCY, text=what)


def _known(fd: int) -> None:
    if fd not in VALID:
        raise CallError(Errno.BADF)


def not_null(*addresses: int) -> None:
    if 0 in addresses:
        raise CallError(Errno.FAULT)


# -- Gate's own two


def gate_fd(_world: GateWorld) -> int:
    return PACKET_FD


def gate_io(  # noqa: PLR0913 - the ABI's
    world: GateWorld, received: int, received_count: int, nreceived: int, sent: int, sent_count: int, nsent: int,
    timeout: int, flags: int,
) -> None:  # fmt: skip
    into = _vectors(world, received, received_count)
    out = _vectors(world, sent, sent_count)
    done_out, done_in = 0, 0
    if _io_ready(world, into, out, timeout):
        done_out = _send(world, out)
        done_in = _receive(world, into)
    if nreceived:
        world.memory.write_u32(nreceived, done_in)
    if nsent:
        world.memory.write_u32(nsent, done_out)
    if flags:
        world.memory.write_u64(flags, int(world.started_unread))
        world.started_unread = False


def _io_ready(world: GateWorld, into: list[tuple[int, int]], out: list[tuple[int, int]], timeout: int) -> bool:
    """False: the time is over and nothing can move."""
    signed = timeout - (1 << 64) if timeout >> 63 else timeout
    if 0 <= signed < SHORTEST_WAIT and (into or out):
        return True
    until = None if signed < 0 else world.pipe.clock() + signed
    readable, writable = world.wait(readable=bool(into), writable=bool(out), until=until)
    return readable or writable


def _vectors(world: GateWorld, address: int, count: int) -> list[tuple[int, int]]:
    """Without the empty ones: reading or writing nothing checks no bounds."""
    table = world.memory.read(address, 8 * count) if count else b""
    words = memoryview(table).cast("I") if table else ()
    return [(words[at], words[at + 1]) for at in range(0, len(words), 2) if words[at + 1]]


def _send(world: GateWorld, pairs: list[tuple[int, int]]) -> int:
    total = 0
    for start, length in pairs:
        world.memory.check(start, length)
        done = _send_one(world, start, length)
        total += done
        if done < length:
            break
    return total


def _send_one(world: GateWorld, start: int, length: int) -> int:
    done = 0
    while done < length:
        taken = world.write_now(world.memory.read(start + done, min(WRITE_PIECE, length - done)))
        if taken == 0:
            break
        done += taken
    return done


def _receive(world: GateWorld, pairs: list[tuple[int, int]]) -> int:
    total = 0
    for start, length in pairs:
        world.memory.check(start, length)
        done = 0
        while done < length and (data := world.read_now(min(READ_PIECE, length - done))):
            world.memory.write(start + done, data)
            done += len(data)
        total += done
        if done < length:
            break
    return total


# -- arguments, environment, clocks, randomness


def args_get(_world: GateWorld, _pointers: int, _buffer: int) -> None:
    """There are none."""


def args_sizes_get(world: GateWorld, count: int, size: int) -> None:
    not_null(count, size)
    world.memory.write_u32(count, 0)
    world.memory.write_u32(size, 0)


def environ_sizes_get(world: GateWorld, count: int, size: int) -> None:
    not_null(count, size)
    world.memory.write_u32(count, len(VARIABLES))
    world.memory.write_u32(size, ENVIRONMENT_SIZE)


def environ_get(world: GateWorld, pointers: int, buffer: int) -> None:
    not_null(pointers, buffer)
    for position, text in enumerate(VARIABLES):
        whole = text + bytes(8 - len(text) % 8)
        world.memory.write_u32(pointers + 4 * position, buffer)
        world.memory.write(buffer, whole)
        buffer += len(whole)


def clock_res_get(world: GateWorld, clock: int, result: int) -> None:
    not_null(result)
    if clock > THREAD_TIME:
        raise CallError(Errno.INVAL)
    world.memory.write_u64(result, world.clock.resolution)


def read_gate_clock(world: GateWorld, clock: int) -> int:
    if clock == REALTIME:
        return world.clock.realtime()
    if clock == MONOTONIC:
        return world.clock.monotonic()
    if clock in (PROCESS_TIME, THREAD_TIME):
        deficiency("clocks of CPU time are not available")
    raise CallError(Errno.INVAL)


def clock_time_get(world: GateWorld, clock: int, _precision: int, result: int) -> None:
    not_null(result)
    world.memory.write_u64(result, read_gate_clock(world, clock))


def random_get(world: GateWorld, buffer: int, length: int) -> None:
    if length and not buffer:
        raise CallError(Errno.FAULT)
    if length > world.random_left:
        deficiency(f"more than {world.random_left} random bytes")
    if length:
        world.memory.write(buffer, world.random(length))
        world.random_left -= length


def sched_yield(_world: GateWorld) -> None:
    """Nothing to do."""


def proc_exit(_world: GateWorld, code: int) -> NoReturn:
    raise GuestEnd(STATUS_EXIT_OTHER if code else STATUS_EXIT_ZERO, code)


def proc_raise(_world: GateWorld, _signal: int) -> NoReturn:
    deficiency("signals are not available")


# -- descriptors


def fd_fdstat_get(world: GateWorld, fd: int, result: int) -> None:
    _known(fd)
    not_null(result)
    flags = NONBLOCK if fd == PACKET_FD else 0
    world.memory.write(result, FDSTAT.pack(0, flags, RIGHTS[fd], 0))


def fd_fdstat_set_rights(_world: GateWorld, fd: int, base: int, inheriting: int) -> None:
    _known(fd)
    if inheriting or base & ~RIGHTS[fd]:
        raise CallError(Errno.NOTCAPABLE)
    if base != RIGHTS[fd]:
        deficiency("rights of a descriptor cannot be dropped")


def fd_close(_world: GateWorld, fd: int) -> None:
    _known(fd)
    deficiency("descriptors cannot be closed")


def fd_renumber(_world: GateWorld, source: int, target: int) -> None:
    _known(source)
    _known(target)
    if source != target:
        deficiency("descriptors cannot be renumbered")


def fd_read(world: GateWorld, fd: int, vectors: int, count: int, result: int) -> None:
    _known(fd)
    if fd != PACKET_FD:
        raise CallError(Errno.PERM)
    not_null(result)
    pairs = _vectors(world, vectors, count)
    done = _receive(world, pairs)
    if pairs and not done:
        raise CallError(Errno.AGAIN)
    world.memory.write_u32(result, done)


def fd_write(world: GateWorld, fd: int, vectors: int, count: int, result: int) -> None:
    _known(fd)
    if fd == STDIN:
        raise CallError(Errno.PERM)
    not_null(result)
    pairs = _vectors(world, vectors, count)
    if fd in LOGGED:
        world.memory.write_u32(result, _log(world, fd, pairs))
        return
    done = _send(world, pairs)
    if pairs and not done:
        raise CallError(Errno.AGAIN)
    world.memory.write_u32(result, done)


def _log(world: GateWorld, fd: int, pairs: list[tuple[int, int]]) -> int:
    for start, length in pairs:
        world.log.write(fd, world.memory.read(start, length))
    return sum(length for _, length in pairs)


def fd_prestat_get(_world: GateWorld, fd: int, _result: int) -> NoReturn:
    _known(fd)
    raise CallError(Errno.PERM)


def fd_prestat_dir_name(_world: GateWorld, fd: int, buffer: int, length: int) -> NoReturn:
    _known(fd)
    if length:
        not_null(buffer)
    raise CallError(Errno.INVAL)


def sock_recv(_world: GateWorld, fd: int, *_rest: int) -> NoReturn:
    _known(fd)
    raise CallError(Errno.NOTSOCK if fd == PACKET_FD else Errno.PERM)


def sock_send(_world: GateWorld, fd: int, *_rest: int) -> NoReturn:
    _known(fd)
    raise CallError(Errno.PERM if fd == STDIN else Errno.NOTSOCK)


def not_permitted(_world: GateWorld, fd: int, *_rest: int) -> NoReturn:
    """Every function of files: the descriptor is known but is no file."""
    _known(fd)
    raise CallError(Errno.PERM)


def path_link(_world: GateWorld, *given: int) -> NoReturn:
    _known(given[0])
    _known(given[4])
    raise CallError(Errno.PERM)


def path_rename(_world: GateWorld, *given: int) -> NoReturn:
    _known(given[0])
    _known(given[3])
    raise CallError(Errno.PERM)


def path_symlink(_world: GateWorld, *given: int) -> NoReturn:
    _known(given[2])
    raise CallError(Errno.PERM)
