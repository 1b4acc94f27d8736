"""Words: the functions that Gate's library offers (its own two, and WASI's as Gate answers them).

"Fault" is answered only for a null pointer where Gate checks for one; any other bad address is a memory trap. What
Gate cannot do is a deficiency: the program ends. Stated deviations from Gate are its defects (elapsed timers are
reported; reading a clock does not clear the started flag; an io without receive buffers does not wait for input).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sandbox.packets import PACKET_MAX
from sandbox.portable.gate_world import PACKET_FD, STARTED, STATUS_DEFICIENCY
from sandbox.portable.guest_errno import CallError, Errno, GuestEnd
from sandbox.portable.guest_time import MONOTONIC, PROCESS_TIME, THREAD_TIME
from sandbox.portable.wasi_layout import FDSTAT
from sandbox.portable.wasi_plain_calls import STATUS_EXIT_OTHER, STATUS_EXIT_ZERO

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


def deficiency(what: str) -> NoReturn:
    """A call that Gate's interface has only in name."""
    raise GuestEnd(STATUS_DEFICIENCY, text=what)


def check_fd(fd: int) -> None:
    if fd not in VALID:
        raise CallError(Errno.BADF)


def not_null(*addresses: int) -> None:
    """Null is FAULT where Gate looks for it."""
    if 0 in addresses:
        raise CallError(Errno.FAULT)


def signed_count(count: int) -> int:
    """Gate takes a count for a signed number: a negative one is none."""
    return 0 if count >> 31 else count


# -- Gate's own two


def gate_fd(_world: GateWorld) -> int:
    return PACKET_FD


def gate_io(  # noqa: PLR0913 - the ABI's
    world: GateWorld, received: int, received_count: int, nreceived: int, sent: int, sent_count: int, nsent: int,
    timeout: int, flags: int,
) -> None:  # fmt: skip
    """First out, then in."""
    into, out = _vectors(world, received, received_count), _vectors(world, sent, sent_count)
    receiving, sending = any(length for _, length in into), any(length for _, length in out)
    readable, writable = _wait_io(world, timeout, receiving=receiving, sending=sending)
    done_out = _send(world, out) if writable and sending else 0
    done_in = _receive(world, into)[0] if readable and receiving else 0
    if nreceived:
        world.memory.write_u32(nreceived, done_in)
    if nsent:
        world.memory.write_u32(nsent, done_out)
    if flags:
        world.memory.write_u64(flags, STARTED | world.lifecycle << 1 if world.started_unread else 0)
        world.started_unread = False


def _wait_io(world: GateWorld, timeout: int, *, receiving: bool, sending: bool) -> tuple[bool, bool]:
    signed = timeout - (1 << 64) if timeout >> 63 else timeout
    if 0 <= signed < SHORTEST_WAIT and (receiving or sending):
        return True, True
    started = world.stopped.begin(world.clock.precise(MONOTONIC))
    while True:
        ready = world.wait(readable=receiving, writable=sending, until=_end_of_wait(world, started, signed))
        if any(ready) or (signed >= 0 and _left(world, started, signed) == 0):
            return ready
        if world.inbox.asked_to_stop:
            world.stopped.stop(started)


def _end_of_wait(world: GateWorld, started: int, nanoseconds: int) -> int | None:
    return None if nanoseconds < 0 else world.pipe.clock() + _left(world, started, nanoseconds)


def _left(world: GateWorld, started: int, nanoseconds: int) -> int:
    """So that the guest's clock will show that the time is over."""
    return world.clock.until(MONOTONIC, started + nanoseconds) if nanoseconds else 0


def _vectors(world: GateWorld, address: int, count: int) -> list[tuple[int, int]]:
    """The trap for a bad pointer comes here, before anything is moved."""
    return world.memory.vectors(address, signed_count(count))


def _send(world: GateWorld, pairs: list[tuple[int, int]]) -> int:
    """Gathers up to a packet's worth at a time, so that header and content leave in one write."""
    data = world.memory.gather(pairs, sum(length for _, length in pairs))
    done = 0
    while done < len(data):
        piece = data[done : done + PACKET_MAX]
        taken = world.outbox.write(piece)
        done += taken
        if taken < len(piece):
            break
    return done


def _receive(world: GateWorld, pairs: list[tuple[int, int]]) -> tuple[int, bool]:
    """The second value: it stopped at a buffer that is not full. One read for each buffer."""
    total = 0
    for start, length in pairs:
        if length == 0:
            continue
        data = world.inbox.read(min(length, PACKET_MAX))
        world.memory.write(start, data)
        total += len(data)
        if len(data) < length:
            return total, True
    return total, False


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
    """All four clocks have the same resolution, also the two that cannot be read."""
    not_null(result)
    if clock > THREAD_TIME:
        raise CallError(Errno.INVAL)
    world.memory.write_u64(result, world.clock.resolution)


def clock_time_get(world: GateWorld, clock: int, _precision: int, result: int) -> None:
    not_null(result)
    if clock in (PROCESS_TIME, THREAD_TIME):
        deficiency("a clock of CPU time was read")
    if clock > THREAD_TIME:
        raise CallError(Errno.INVAL)
    world.memory.write_u64(result, world.clock.now(clock))


def random_get(world: GateWorld, buffer: int, length: int) -> None:
    """A seed of 16 bytes in one run."""
    if length:
        not_null(buffer)
    given = min(length, world.seed_left)
    world.memory.write(buffer, world.random(given))
    world.seed_left -= given
    if given < length:
        deficiency("more than 16 random bytes were wanted; use the service random")


def sched_yield(_world: GateWorld) -> None:
    """Nothing to do."""


def proc_exit(_world: GateWorld, code: int) -> NoReturn:
    raise GuestEnd(STATUS_EXIT_OTHER if code else STATUS_EXIT_ZERO, code)


def proc_raise(_world: GateWorld, _signal: int) -> NoReturn:
    deficiency("a signal was raised")


# -- descriptors


def fd_fdstat_get(world: GateWorld, fd: int, result: int) -> None:
    """Of no type; only the packet descriptor is non-blocking."""
    not_null(result)
    check_fd(fd)
    flags = NONBLOCK if fd == PACKET_FD else 0
    world.memory.write(result, FDSTAT.pack(0, flags, RIGHTS[fd], 0))


def fd_fdstat_set_rights(_world: GateWorld, fd: int, base: int, inheriting: int) -> None:
    check_fd(fd)
    if inheriting or base & ~RIGHTS[fd]:
        raise CallError(Errno.NOTCAPABLE)
    if base != RIGHTS[fd]:
        deficiency("rights of a descriptor were given up")


def fd_close(_world: GateWorld, fd: int) -> None:
    check_fd(fd)
    deficiency("a descriptor was closed")


def fd_renumber(_world: GateWorld, source: int, target: int) -> None:
    check_fd(source)
    check_fd(target)
    if source != target:
        deficiency("a descriptor was moved")


def _check_lists(vectors: int, count: int, result: int) -> None:
    if signed_count(count):
        not_null(vectors)
    not_null(result)


def fd_read(world: GateWorld, fd: int, vectors: int, count: int, result: int) -> None:
    """Packets, without blocking. AGAIN: nothing there."""
    _check_lists(vectors, count, result)
    check_fd(fd)
    if fd != PACKET_FD:
        raise CallError(Errno.PERM)
    done, stopped = _receive(world, _vectors(world, vectors, count))
    if stopped and not done:
        raise CallError(Errno.AGAIN)
    world.memory.write_u32(result, done)


def fd_write(world: GateWorld, fd: int, vectors: int, count: int, result: int) -> None:
    """Packets, without blocking, or the log. AGAIN: no room for a single byte."""
    _check_lists(vectors, count, result)
    check_fd(fd)
    if fd == STDIN:
        raise CallError(Errno.PERM)
    pairs = _vectors(world, vectors, count)
    total = sum(length for _, length in pairs)
    if fd in LOGGED:
        # everything counts as written, whatever becomes of it
        world.log_later(fd, world.memory.gather(pairs, total))
        world.memory.write_u32(result, total)
        return
    done = _send(world, pairs)
    if total and not done:
        raise CallError(Errno.AGAIN)
    world.memory.write_u32(result, done)


def fd_prestat_dir_name(_world: GateWorld, fd: int, buffer: int, length: int) -> NoReturn:
    if length:
        not_null(buffer)
    check_fd(fd)
    raise CallError(Errno.INVAL)


def sock_recv(_world: GateWorld, fd: int, *_rest: int) -> NoReturn:
    check_fd(fd)
    raise CallError(Errno.NOTSOCK if fd == PACKET_FD else Errno.PERM)


def sock_send(_world: GateWorld, fd: int, *_rest: int) -> NoReturn:
    check_fd(fd)
    raise CallError(Errno.PERM if fd == STDIN else Errno.NOTSOCK)


def not_permitted(_world: GateWorld, fd: int, *_rest: int) -> NoReturn:
    """Every function of files: the descriptor is known but is no file."""
    check_fd(fd)
    raise CallError(Errno.PERM)


def path_link(_world: GateWorld, *given: int) -> NoReturn:
    check_fd(given[0])
    check_fd(given[4])
    raise CallError(Errno.PERM)


def path_rename(_world: GateWorld, *given: int) -> NoReturn:
    check_fd(given[0])
    check_fd(given[3])
    raise CallError(Errno.PERM)


def path_symlink(_world: GateWorld, *given: int) -> NoReturn:
    check_fd(given[2])
    raise CallError(Errno.PERM)
