"""What goes on from a stored program is made ready before anybody wants it; a wire.

Where it stands: behind the life loop, in front of the compiler. In: an image, the state of a program that has just been
stored there. Out: nothing that anybody waits for: its continuation is in the caches, so that the first byte for it
wakes it in milliseconds. Without that the first stop at a new place cost the one who wakes it the compiler's time,
0.2 to 0.5 s for an interpreter.

Nothing holds a program's memory or files meanwhile, an account has few of these at a time, and the host one of which
there are many megabytes of frames: what has no room here is made when it is wanted, as ever.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gatebus.accountbounds import PREPARED_BYTES, PREPARED_EACH
from gatebus.faults import GatebusError
from gatebus.host.refusals import as_refusal
from sandbox.errors import BadState, CompileLimit, SandboxError
from sandbox.statewords import look_untrusted, standing_untrusted

if TYPE_CHECKING:
    from gatebus.host.hostparts import HostParts
    from gatebus.host.instances import Instance
    from sandbox.image import Image


class Preparing:
    """One for a host."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        self._under_way: Counter[str] = Counter()  # by account
        self._large = False

    @property
    def under_way(self) -> int:
        return self._under_way.total()

    def stored(self, instance: Instance, image: Image, state: bytes) -> None:
        """It rests now (LifeLoop.on_stored)."""
        account = instance.order.principal.account
        is_large = look_untrusted(state).frames.stop > PREPARED_BYTES
        if not (is_large and self._large) and not self._parts.stopping and self._under_way[account] < PREPARED_EACH:
            self._under_way[account] += 1
            self._large |= is_large
            self._parts.tasks.start_soon(self._prepare, instance, image, standing_untrusted(state), is_large)

    async def _prepare(self, instance: Instance, image: Image, state: bytes, is_large: bool) -> None:  # noqa: FBT001
        account = instance.order.principal.account
        try:
            await self._parts.programs.prepare(image, state, instance.order)
        except (SandboxError, GatebusError) as fault:  # whoever wakes it hears of it, if it is still so
            self._parts.note("instance-not-prepared", instance=instance.id, code=fault.code)
            if isinstance(fault, BadState | CompileLimit) and (live := instance.live) is not None:
                live.failure = as_refusal(fault)  # and its owner, who asks before that, what goes on instead
        finally:
            self._large &= not is_large
            self._under_way[account] -= 1
            if not self._under_way[account]:
                del self._under_way[account]
