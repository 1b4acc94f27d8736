"""One command's connection to its host: which host, which key, uploads with a bar, faults as lines; assembly.

In:  options, the person's list of hosts, what the host says. Out: a Connection for the length of the command; a Result
for every fault, whoever's it is.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar
from uuid import UUID

import trio

from gatebus.cli.bus_options import BusOptions, digest, instance_id
from gatebus.cli.bus_wording import progress_line, text
from gatebus.cli.busprogram import Order
from gatebus.cli.ending import alone
from gatebus.cli.hostbook import Target
from gatebus.cli.naming import (
    INSTANCES,
    MODULES,
    SNAPSHOTS,
    Named,
    NoneMeant,
    SeveralMeant,
    both_are_meant,
    meant,
    none_is_meant,
)
from gatebus.cli.saying import tell
from gatebus.cli.signing import signer
from gatebus.cli.surroundings import FileNotFound
from gatebus.cli.wording import Result, failed, not_found
from gatebus.client import Bus, Denied, HostError, Manner, Program, ProgramRefused, Uploaded, connect
from gatebus.client.trustfile import KnownHostsFile
from gatebus.faults import GatebusError, UsageError
from gatebus.sshkeys import fingerprint
from gatebus.web.link import CannotConnect
from gatebus.web.places import parse_address
from gatebus.xdg import config_directory
from sandbox.errors import SandboxError

T = TypeVar("T")
# What is said where there is no host at all; one that does not answer is another matter.
_ABSENT = ("Nobody listens", "There is no such socket")
_SHOW_ONE = "--key FILE shows yours; `gatebus login NAME ADDRESS` remembers that you mean it."
# A command in a script should not hang for ever, and a laptop that wakes up needs a moment.
_PATIENCE = 30.0
# Seconds without an answer, and a person wonders.
_UNTOLD = 2.0
_WIDTH = 80
# Less is there before a bar could be seen.
_BAR_FROM = 256 * 1024


@dataclass(frozen=True, slots=True)
class Connection:
    bus: Bus
    target: Target
    options: BusOptions

    async def instance(self, typed: str) -> UUID:
        """By its id, the beginning of it, or a tag. Raises UsageError."""
        whole = instance_id(typed)
        if whole is not None:
            return UUID(bytes=whole)
        found = await self._instance_or_none(typed)
        if found is None:
            raise NoneMeant(none_is_meant(typed, INSTANCES))
        return found

    async def _instance_or_none(self, typed: str) -> UUID | None:
        there = [Named(each.instance.hex, each.tags) for each in await self.bus.list()]
        found = meant(typed, INSTANCES, there)
        return UUID(found) if found else None

    async def snapshot(self, typed: str) -> bytes:
        """By its name, the beginning of it, or a tag. Raises UsageError."""
        found = await self._snapshot_or_none(typed)
        if found is None:
            raise NoneMeant(none_is_meant(typed, SNAPSHOTS))
        return found

    async def snapshot_or_instance(self, typed: str) -> bytes | UUID:
        """Raises UsageError. What both have as a tag is neither."""
        whole = instance_id(typed) or digest(typed)
        if whole is not None:
            return UUID(bytes=whole) if instance_id(typed) else whole
        snapshot, instance = await self._snapshot_or_none(typed), await self._instance_or_none(typed)
        if snapshot is not None and instance is not None:
            raise SeveralMeant(both_are_meant(typed, snapshot.hex(), instance.hex))
        if (found := snapshot or instance) is None:
            raise NoneMeant(none_is_meant(typed, INSTANCES))
        return found

    async def _snapshot_or_none(self, typed: str) -> bytes | None:
        whole = digest(typed)
        if whole is not None:
            return whole
        there = [Named(each.snapshot.hex(), each.tags) for each in await self.bus.snapshots()]
        found = meant(typed, SNAPSHOTS, there)
        return bytes.fromhex(found) if found else None

    async def module(self, typed: str) -> bytes:
        """By its hash, the beginning of it, or a tag. Raises UsageError."""
        found = await self.module_or_none(typed)
        if found is None:
            raise NoneMeant(none_is_meant(typed, MODULES))
        return found

    async def module_or_none(self, typed: str) -> bytes | None:
        """None: nothing at the host has this name. Raises UsageError: several have it."""
        whole = digest(typed)
        if whole is not None:
            return whole
        there = [Named(each.sha256.hex(), each.tags) for each in await self.bus.modules()]
        found = meant(typed, MODULES, there)
        return bytes.fromhex(found) if found else None


@dataclass(frozen=True, slots=True)
class TellingTrust:
    """A host that is new is believed and remembered, and the person is told its fingerprint."""

    path: Path
    name: str

    async def check(self, key: bytes) -> None:
        if await KnownHostsFile(self.path, self.name).meet(key):
            note(f"{self.name} is a new host; its key {fingerprint(key)} is remembered.")


class FileFault(Exception):  # noqa: N818 - as in faults.py
    """One of several files that were named is at fault."""

    def __init__(self, name: str, cause: Exception) -> None:
        super().__init__(name)
        self.name, self.cause = name, cause


@contextmanager
def about_file(name: str) -> Iterator[None]:
    """What goes wrong inside is told with this name."""
    try:
        yield
    except (FileNotFound, GatebusError, SandboxError) as fault:
        raise FileFault(name, fault) from fault


def known_hosts() -> Path:
    return config_directory() / "known_hosts"


def note(line: str) -> None:
    tell(f"gatebus: {line}\n")


def with_host(options: BusOptions, chosen: Target, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What the work gives back. Raises what `told` understands."""
    return in_trio(partial(_connected, options, chosen, work))


def in_trio(work: Callable[[], Awaitable[T]]) -> T:
    """Ctrl-C comes out as one, whatever was under way."""
    try:
        return trio.run(work, restrict_keyboard_interrupt_to_checkpoints=True)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        raise


def tell_of_link(what: Literal["lost", "back"]) -> None:
    """To whoever sits before it and sees nothing happen; a script reads the end."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    if what == "lost":
        note(f"The connection to the host was lost. It is tried again, for up to {_PATIENCE:g} seconds.")
    else:
        note("The connection to the host is there again.")


@asynccontextmanager
async def told_if_fetched(program: Program | str) -> AsyncIterator[None]:
    """As above: a host may take two minutes for what it is to have from its gateways."""
    address = program.module if isinstance(program, Program) else program
    async with trio.open_nursery() as nursery:
        if isinstance(address, str) and address.startswith("ipfs://"):
            nursery.start_soon(_tell_of_fetch)
        yield
        nursery.cancel_scope.cancel()


async def _tell_of_fetch() -> None:
    await trio.sleep(_UNTOLD)
    if sys.stderr is not None and sys.stderr.isatty():
        note("The host has not begun yet: it is fetching the program, for up to two minutes.")


async def _connected(options: BusOptions, chosen: Target, work: Callable[[Connection], Awaitable[T]]) -> T:
    address = parse_address(chosen.address)
    trust = None if address.scheme == "unix" else TellingTrust(known_hosts(), str(address))
    key = await signer(options, chosen)
    try:
        async with connect(chosen.address, key, Manner(trust, _PATIENCE, on_link=tell_of_link)) as bus:
            with _without_a_key() if key is None and trust is not None else nullcontext():
                return await work(Connection(bus, chosen, options))
    except* CannotConnect as fault:
        why = _first(fault).text
        absent = why.startswith(_ABSENT) and not options.host
        advice = " `gatebus serve` starts one on this machine." if absent else ""
        raise CannotConnect(f"The host {chosen.shown} cannot be reached: {why}{advice}") from None


@contextmanager
def _without_a_key() -> Iterator[None]:
    """Whoever is refused perhaps meant to show one. (A unix socket shows by itself who comes.)"""
    try:
        yield
    except Exception as raised:
        fault = alone(raised)
        if isinstance(fault, Denied) and fault.code == "forbidden":
            raise Denied(f"{fault.text} {_SHOW_ONE}", fault.code, fault.details) from None
        raise


def _first(group: BaseExceptionGroup[CannotConnect]) -> CannotConnect:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, CannotConnect)
    return found


def told(file: str, raised: Exception, unknown_key: str = " `gatebus key` shows the line to add.") -> Result:
    """One line for every foreseen fault; what is a bug of ours is raised again. `file`: what the command is about; it
    stands before what is its fault, not before that of a host or a network.
    """
    fault = alone(raised)
    if isinstance(fault, FileFault):
        return _told_of(fault.name, fault.cause)
    codes = ("not-found", "bad-request") if "://" in file else ("not-found",)  # an address can be a bad one
    of_file = getattr(fault, "code", "") in codes and not isinstance(fault, UsageError)
    if of_file or isinstance(fault, ProgramRefused | FileNotFound | SandboxError):
        return _told_of(file, fault)
    advice = unknown_key if isinstance(fault, HostError) and fault.code == "not-authorized" else ""
    return _told_of("", fault, advice)


def _told_of(file: str, fault: Exception, advice: str = "") -> Result:
    if isinstance(fault, FileNotFound):
        return not_found(file, str(fault))
    if isinstance(fault, HostError):
        return failed(file, fault.code, text(fault.text, 400) + advice)
    if isinstance(fault, GatebusError | SandboxError):
        return failed(file, fault.code, fault.text)
    raise fault


async def ready(connection: Connection, order: Order) -> Program:
    """What is to be run, once its module is there and its name is known. Raises FileNotFound, UsageError."""
    if order.content is not None:
        await upload_with_bar(connection.bus, order.content, "module")
    if order.name is None:
        return order.program
    return replace(order.program, module=await _named_at(connection, order.name))


async def _named_at(connection: Connection, name: str) -> bytes:
    """There is no file of this name. Whoever may not list modules has none."""
    try:
        found = await connection.module_or_none(name)
    except Denied:
        raise FileNotFound from None
    if found is None:
        raise FileNotFound(f"and none of your modules at {connection.target.shown} has this name")
    return found


async def upload_with_bar(bus: Bus, content: bytes, name: str) -> Uploaded:
    """A bar only where somebody sees it: never in a pipe or a log."""
    shows = sys.stderr is not None and os.isatty(2) and len(content) >= _BAR_FROM
    bar = Bar(name, len(content)) if shows else None
    try:
        return await bus.upload(content, bar.show if bar else None)
    finally:
        if bar:
            bar.clear()


@dataclass(slots=True)
class Bar:
    name: str
    size: int
    last: str = field(default="")

    def show(self, done: int, size: int) -> None:
        try:
            width = os.get_terminal_size(2).columns or _WIDTH
        except OSError:
            width = _WIDTH
        line = progress_line(self.name, done, size, width)
        if line != self.last:
            tell(f"\r{line}")
            self.last = line

    def clear(self) -> None:
        if self.last:
            tell(f"\r{' ' * len(self.last)}\r")
