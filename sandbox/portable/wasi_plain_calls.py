"""Words: the functions of preview 1 that need no descriptor: arguments, environment, clocks, randomness, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sandbox.portable.guest_errno import CallError, Errno, GuestEnd
from sandbox.portable.guest_time import MONOTONIC, REALTIME

if TYPE_CHECKING:
    from sandbox.portable.guest_memory import GuestMemory
    from sandbox.portable.wasi_world import WasiWorld

STATUS_EXIT_ZERO, STATUS_EXIT_OTHER = 2, 3
# One call fills at most the whole memory; random bytes are made in pieces so that no second copy of it exists here.
RANDOM_PIECE = 65536


def _put_strings(memory: GuestMemory, strings: tuple[bytes, ...], pointers: int, buffer: int) -> None:
    memory.check(pointers, 4 * len(strings))
    memory.check(buffer, sum(len(text) + 1 for text in strings))
    for position, text in enumerate(strings):
        memory.write_u32(pointers + 4 * position, buffer)
        memory.write(buffer, text + b"\0")
        buffer += len(text) + 1


def _put_sizes(memory: GuestMemory, strings: tuple[bytes, ...], count: int, size: int) -> None:
    memory.check(size, 4)
    memory.write_u32(count, len(strings))
    memory.write_u32(size, sum(len(text) + 1 for text in strings))


def args_get(world: WasiWorld, pointers: int, buffer: int) -> None:
    _put_strings(world.memory, world.arguments, pointers, buffer)


def args_sizes_get(world: WasiWorld, count: int, size: int) -> None:
    _put_sizes(world.memory, world.arguments, count, size)


def environ_get(world: WasiWorld, pointers: int, buffer: int) -> None:
    _put_strings(world.memory, world.environment, pointers, buffer)


def environ_sizes_get(world: WasiWorld, count: int, size: int) -> None:
    _put_sizes(world.memory, world.environment, count, size)


def check_clock(clock: int) -> int:
    """Clocks of CPU time would tell time more finely than the others; there are none."""
    if clock not in (REALTIME, MONOTONIC):
        raise CallError(Errno.INVAL)
    return clock


def clock_res_get(world: WasiWorld, clock: int, result: int) -> None:
    check_clock(clock)
    world.memory.write_u64(result, world.clock.resolution)


def clock_time_get(world: WasiWorld, clock: int, _precision: int, result: int) -> None:
    world.memory.write_u64(result, world.clock.now(check_clock(clock)))


def random_get(world: WasiWorld, buffer: int, length: int) -> None:
    world.memory.check(buffer, length)
    for at in range(0, length, RANDOM_PIECE):
        world.memory.write(buffer + at, world.random(min(RANDOM_PIECE, length - at)))


def sched_yield(_world: WasiWorld) -> None:
    """There is nobody to yield to: one thread per program."""


def proc_exit(_world: WasiWorld, code: int) -> NoReturn:
    raise GuestEnd(STATUS_EXIT_OTHER if code else STATUS_EXIT_ZERO, code)


def proc_raise(_world: WasiWorld, _signal: int) -> NoReturn:
    raise CallError(Errno.NOTSUP)
