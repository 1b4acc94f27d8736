"""A host's log, as the host sees it; words.

Where it stands: between the parts of a host and gatebus.host.log, which only `gatebus serve` pays for. In: names and
fields of its table. Out: nothing that anybody here waits for.
"""

from typing import Protocol


class Log(Protocol):
    """What is used of gatebus.host.log."""

    def event(self, name: str, **fields: object) -> None: ...


class Silence:
    """Of whoever embeds a host and wants no log."""

    def event(self, name: str, **fields: object) -> None:
        pass
