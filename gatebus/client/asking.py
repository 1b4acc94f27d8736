"""Wire: what every part of a bus is made of: one question, an answer in pages, names by chance.

In:  an operation and its parameters. Out: the host's answer (untrusted; `answers` gives it types). A question is asked
again on another link when its own is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gatebus.client import transfers
from gatebus.client.answers import rows_untrusted
from gatebus.client.complaints import HostNonsense
from gatebus.clientbounds import LISTED_ROWS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from gatebus.client.lifeline import Lifeline


class Asking:
    """`dice(n)` gives n fresh random bytes."""

    def __init__(self, lifeline: Lifeline, dice: Callable[[int], bytes]) -> None:
        self.lifeline = lifeline
        self._dice = dice

    async def _ask(self, operation: str, **given: Any) -> Mapping[str, Any]:
        return await transfers.ask(self.lifeline, operation, given)

    def _name(self) -> bytes:
        return self._dice(16)

    async def _pages(self, operation: str, rows: str, key: str, **given: Any) -> AsyncIterator[Mapping[str, Any]]:
        """Rows of one answer after the other; each is asked for by the last row of the one before."""
        count = 0
        while True:
            answer = await self._ask(operation, **given)
            page = rows_untrusted(answer, rows)
            for row in page:
                yield row
            count += len(page)
            if not page or not answer.get("more"):
                return
            if count > LISTED_ROWS:
                raise HostNonsense(f"The host's list of {rows} does not end.")
            given["after"] = page[-1].get(key)
