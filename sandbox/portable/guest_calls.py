"""Words: what happens between an import being called and its answer: numbers made unsigned, errors made errnos.

In: i32 and i64 of the guest, signed as the engine gives them (untrusted). Out: an errno; or `GuestEnd` for what
ends the program. An address outside of memory is FAULT under WASI and a memory trap under Gate's rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.portable.guest_errno import CallError, Errno, GuestEnd, Suspend
from sandbox.portable.guest_memory import MemoryFault
from sandbox.portable.packet_pipe import STATUS_INTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.portable.import_table import GuestFunction, Personality

MASKS = {"i": 0xFFFF_FFFF, "I": 0xFFFF_FFFF_FFFF_FFFF}
STATUS_MEMORY = 25
OUTSIDE = "a pointer given to a host function is outside the memory"


def bind(
    function: GuestFunction, world: object, personality: Personality, unwind: Callable[[], None] | None = None
) -> Callable[..., Any]:
    """The callable that the engine gets. `unwind` makes the guest unwind after a call that is to be made again; None:
    it cannot be stopped.
    """
    masks = tuple(MASKS[letter] for letter in function.parameters)

    def call(*given: int) -> int | None:
        try:
            answer = function.call(world, *(value & mask for value, mask in zip(given, masks, strict=True)))
        except CallError as error:
            return _answer(function, error.errno)
        except MemoryFault:
            if personality == "gate":
                raise GuestEnd(STATUS_MEMORY, text=OUTSIDE) from None
            return _answer(function, Errno.FAULT)
        except Suspend:
            if unwind is None:
                raise GuestEnd(STATUS_INTERNAL, text="the program cannot be suspended") from None
            unwind()
            return _answer(function, 0)  # nobody looks at it
        return _answer(function, answer or 0)

    return call


def _answer(function: GuestFunction, value: int) -> int | None:
    return int(value) if function.has_result else None
