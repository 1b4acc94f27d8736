"""Modules that are named by an address instead of a hash: by the scheme of the address; a wire.

Where it stands: the last place where a program's bytes may come from (gatebus.host.programs). In: an address (untrusted
text). Out: bytes (untrusted: admission judges them). `host://EXTENSION` is an interpreter that the owner of the host
names: clients learn of them by `features`, and nobody has to send one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatebus.host.programs import Keeper
from gatebus.host.refusals import Refusal
from sandbox.inthread import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gatebus.host.programs import Source
    from gatebus.host.statuses import Map

# Where a script lies inside, and what stands for it and for what is typed behind it, in an interpreter's arguments.
SCRIPT = "script"
FILE, ARGUMENTS = "{file}", "{arguments}"
_NO_CONTENT = (
    "This host fetches nothing by content: its owner names `gateways` under `[fetch]` in its configuration. Or fetch "
    "it yourself, `gatebus ipfs get`, and send the file."
)


@dataclass(frozen=True, slots=True)
class ScriptModule:
    """What runs files of one extension. `limits`: what it needs more than the default, in the units of a call."""

    path: Path
    arguments: tuple[str, ...]
    limits: Mapping[str, float | None] = field(default_factory=dict)

    def told(self, extension: str) -> Map:
        """For `features`: call `module` with `args` and what was typed behind, and the script as the file `file`."""
        file = SCRIPT + extension
        arguments = [each.replace(FILE, file) for each in self.arguments if each != ARGUMENTS]
        return {"module": f"host://{extension}", "file": file, "args": arguments, "limits": dict(self.limits)}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a host's owner lets it run besides what was uploaded: interpreters by extension, sources by scheme."""

    interpreters: Mapping[str, ScriptModule] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)

    def all(self) -> Sources:
        return Sources({"host": HostModules(self.interpreters), **self.sources})


class HostModules:
    """`host://.js` and so on."""

    def __init__(self, table: Mapping[str, ScriptModule]) -> None:
        self._table = table

    async def fetch(self, address: str, size: int, _account: str) -> bytes:
        line = self._table.get(address.partition("://")[2])
        if line is None:
            raise Refusal("not-found", "This host has no such interpreter. `features` lists those that there are.")
        try:
            return await in_thread(_read, line.path, size)
        except OSError:
            raise Refusal(
                "not-found", "This host's interpreter cannot be read any more. Tell whoever runs it."
            ) from None


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size + 1)  # admission says what is too large


class Sources:
    """One Source of several, by scheme."""

    def __init__(self, table: Mapping[str, Source]) -> None:
        self._table = table

    async def fetch(self, address: str, size: int, account: str) -> bytes:
        return await self._source(address).fetch(address, size, account)

    def check_keeping(self, address: str) -> None:
        self._keeper(address).check_keeping(address)

    async def keep(self, address: str, digest: bytes) -> str:
        return await self._keeper(address).keep(address, digest)

    def _keeper(self, address: str) -> Keeper:
        source = self._source(address)
        if not isinstance(source, Keeper):
            raise Refusal("bad-request", "Modules from there stay without a pin, or are not this host's to keep.")
        return source

    async def let_go(self, digest: bytes) -> None:
        for source in self._table.values():
            if isinstance(source, Keeper):
                await source.let_go(digest)

    def _source(self, address: str) -> Source:
        source = self._table.get(address.partition("://")[0])
        if source is None and address.startswith("ipfs://"):
            raise Refusal("not-found", _NO_CONTENT)
        if source is None:
            there = ", ".join(f"{scheme}://" for scheme in sorted(self._table)) or "none"
            raise Refusal("not-found", f"This host fetches no modules from there. Upload it. Sources: {there}.")
        return source
