"""What is done to instances that outlive their processes, as the parts of a host know it; words.

Where it stands: below HostParts, so that each part of this folder asks the others for what it needs without knowing how
they are made; Lives is all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatebus.host.instances import Instance
    from gatebus.host.lives.keeping import Keeping
    from gatebus.host.lives.loading import Loading
    from gatebus.host.lives.peerwaking import PeerWaking
    from gatebus.host.lives.remains import Leftover


class LifeWork(Protocol):
    """Each raises Refusal, unless it says that nobody waits for it."""

    keeping: Keeping
    loading: Loading
    peers: PeerWaking

    async def store(self, instance: Instance, *, again: bool = False) -> None: ...

    async def copy(self, instance: Instance) -> Leftover: ...

    async def park(self, instance: Instance) -> None: ...

    async def resume(self, instance: Instance) -> None: ...

    async def rouse(self, instance: Instance) -> None: ...

    async def checkpoint(self, instance: Instance) -> None: ...

    async def try_to(self, what: Callable[[Instance], Awaitable[None]], instance: Instance) -> None:
        """Nobody waits for it."""

    def wake(self, instance: Instance) -> None: ...

    def enter(self, instance: Instance) -> None:
        """One that rests."""

    def mind(self, instance: Instance) -> None:
        """Its policy may ask for something, or it is parked."""

    def let_be(self, instance: Instance) -> None:
        """It is folded: its policy asks for nothing now."""

    def give_way(self, account: str | None) -> bool:
        """Copies that wait for calls of this account end (None: all). False: there was nothing."""
