"""Wire: the file of known hosts, and a person's rule for hosts that are not in it.

In:  the name of a host, the key that it proved. Out: nothing, or NotTrusted. The file is read anew for each link, so a
line that was added or deleted counts at once; a line is added with one write, so two clients do not mix theirs.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from gatebus.client.complaints import NotTrusted
from gatebus.client.knownhosts import (
    Verdict,
    changed_text,
    known_host_line,
    parse_known_hosts_untrusted,
    unknown_text,
    without_host,
)
from gatebus.clientbounds import KNOWN_HOSTS_BYTES
from gatebus.durable import write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class KnownHostsFile:
    """`remember`: a host that is new is believed and written down; otherwise it is refused."""

    path: Path
    name: str
    remember: bool = True

    async def check(self, key: bytes) -> None:
        """Raises NotTrusted."""
        await trio.to_thread.run_sync(self._check, key)

    def _check(self, key: bytes) -> Verdict:
        """What it was before: a host that is new is known now."""
        with _told():
            verdict = parse_known_hosts_untrusted(self._read()).judge(self.name, key)
            match verdict:
                case Verdict.CHANGED:
                    raise NotTrusted(changed_text(self.name, key))
                case Verdict.NEW if not self.remember:
                    raise NotTrusted(unknown_text(self.name, key))
                case Verdict.NEW:
                    self._add(key)
            return verdict

    async def meet(self, key: bytes) -> bool:
        """`check`, and whether it was new."""
        return await trio.to_thread.run_sync(self._check, key) is Verdict.NEW

    def forget(self) -> bool:
        """False: it was not in the file. Raises NotTrusted: it cannot be written."""
        with _told():
            before = self._read()
            after = without_host(before, self.name)
            if after != before:
                write_durably(self.path, after)
            return after != before

    def _read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                data = file.read(KNOWN_HOSTS_BYTES + 1)
        except FileNotFoundError:
            return b""
        if len(data) > KNOWN_HOSTS_BYTES:
            raise OSError(errno.EFBIG, "it is too large")
        return data

    def _add(self, key: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, known_host_line(self.name, key).encode())
        finally:
            os.close(descriptor)


@contextmanager
def _told() -> Iterator[None]:
    """Without the file nobody is believed."""
    try:
        yield
    except OSError as problem:
        why = (problem.strerror or type(problem).__name__).lower()
        raise NotTrusted(f"Your list of known hosts (known_hosts) cannot be used: {why}.") from None


@dataclass(frozen=True, slots=True)
class ExactKey:
    """The one key that the host must have, from somewhere safe."""

    key: bytes

    async def check(self, key: bytes) -> None:
        if key != self.key:
            raise NotTrusted("The host has another key than the one that was asked for.")


class SameMachine:
    """A unix socket: whoever may put it where we look for it could change us anyway. Its key may change."""

    async def check(self, key: bytes) -> None:
        """Anybody's."""
