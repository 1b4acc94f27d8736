"""The commands about stopped programs at a host; assembly.

In:  options; what the host says (untrusted). Out: lines, tables or JSON on stdout; files that appear whole or not at
all. bus_commands has the way there and back.
"""

import contextlib
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from uuid import UUID

import trio

from gatebus.accountbounds import IMPORT_BYTES
from gatebus.cli.bus_wording import as_json, status_map
from gatebus.cli.busprogram import read_order
from gatebus.cli.connecting_host import Bar, Connection, about_file, ready
from gatebus.cli.eachnamed import each_named
from gatebus.cli.ending import until_signal
from gatebus.cli.live_wording import difference_lines, failed_copy, policy_lines, shown_lines, snapshots_table
from gatebus.cli.saying import put, put_bytes, put_name
from gatebus.cli.surroundings import STDIN, check_plain, opened
from gatebus.cli.wording import BY_SIGNAL, Result, failed
from gatebus.client import Imported, Life, Status, file_source
from gatebus.faults import UsageError
from gatebus.snapshots.spool import Spool

Work = Callable[[Connection], Awaitable[Result]]
_BAR_FROM = 256 * 1024
_CONTENT = ("ipfs://", "/ipfs/")
# A snapshot's name is at most so many digits. No CID with a hash is made of them: as hexadecimal digits it has 73.
_NAME = re.compile(r"[0-9a-fA-F]{1,64}")
_AS_LONG_AS_A_CID = 46


def _say(connection: Connection, value: object, line: str) -> Result:
    text = as_json(value) if connection.options.json else line
    if text:
        put(f"{text}\n")
    return Result(0)


def _made(connection: Connection, value: object, name: str) -> Result:
    put_name(f"{as_json(value) if connection.options.json else name}\n", name)
    return Result(0)


async def _suspend(connection: Connection) -> Result:
    depth = "parked" if connection.options.live.park else "stored"

    async def suspend(instance: UUID) -> None:
        _say(connection, status_map(await connection.bus.suspend(instance, depth)), "")

    return await each_named(connection.options.arguments, connection.instance, suspend)


async def _resume(connection: Connection) -> Result:
    async def resume(instance: UUID) -> None:
        status = await connection.bus.resume(instance, connection.options.live.function)
        _say(connection, status_map(status), "")

    return await each_named(connection.options.arguments, connection.instance, resume)


async def _snapshot(connection: Connection) -> Result:
    options = connection.options
    if options.ipfs:
        return await _snapshot_by_content(connection)
    taken = await connection.bus.snapshot(await connection.instance(options.arguments[0]), options.tags)
    return _made(connection, taken, taken.snapshot.hex())


async def _snapshot_by_content(connection: Connection) -> Result:
    """What is wrong with the store or the sources is found before there is a snapshot."""
    from gatebus.cli.snapshot_content import save_by_content, shelf  # whoever asks a host does not pay for codecs

    options, place = connection.options, shelf()
    taken = await connection.bus.snapshot(await connection.instance(options.arguments[0]), options.tags)
    with Spool() as spool:
        await connection.bus.export(taken.snapshot, spool.add)
        cid, trouble = await save_by_content(place, spool.view())
    result = _made(connection, {**asdict(taken), "cid": cid}, cid)
    if not trouble:
        return result
    return failed("", "no-content", trouble)


async def _restore(connection: Connection) -> Result:
    options = connection.options
    name = await _named(connection, options.arguments[0])
    live, life = options.live, Life(options.open or None, options.live.transient, options.live.policy)
    instance = await connection.bus.restore(
        name, tags=options.tags, limits=live.limits, function=live.function, life=life
    )
    return _made(connection, {"instance": instance}, str(instance))


async def _named(connection: Connection, typed: str) -> bytes:
    """A snapshot of the host, or one that is brought to it by its content."""
    if not _is_content(typed):
        return await _snapshot_named(connection, typed)
    from gatebus.cli.snapshot_content import file_by_content

    with Spool() as spool:
        with about_file(typed):
            await file_by_content(typed, spool)
        return (await connection.bus.import_snapshot(spool)).snapshot


def _is_content(typed: str) -> bool:
    """An address, or a CID as any tool writes it, alone or with a path behind it."""
    if typed.startswith(_CONTENT):
        return True
    if _NAME.fullmatch(typed):
        return False
    from ipfs.addresses import begins_with_cid  # whoever names a snapshot of the host does not pay for codecs

    return begins_with_cid(typed)


async def _snapshot_named(connection: Connection, typed: str) -> bytes:
    """What is as long as a CID was perhaps meant as one."""
    try:
        return await connection.snapshot(typed)
    except UsageError as fault:
        if len(typed) < _AS_LONG_AS_A_CID or _NAME.fullmatch(typed):
            raise
        raise type(fault)(f"{fault.text} It is no CID either, or one that was mistyped.") from None


async def _clone(connection: Connection) -> Result:
    """What was refused is said on stderr, by whose fault it is; the others run."""
    live, tags = connection.options.live, connection.options.tags
    original = await connection.instance(connection.options.arguments[0])
    copies = await connection.bus.clone(original, live.count, tags=tags, durable=live.durable, transient=live.transient)
    refused = [each for each in copies if not isinstance(each, Status)]
    for each in copies:
        if isinstance(each, Status):
            _made(connection, status_map(each), str(each.instance))
    return failed_copy(refused, len(copies)) if refused else Result(0)


async def _keep(connection: Connection) -> Result:
    options = connection.options
    instance = await connection.instance(options.arguments[0])
    status = await connection.bus.keep(instance, options.live.every or 0, options.live.last)
    return _say(connection, status_map(status), "")


async def _policy(connection: Connection) -> Result:
    instance, asked = await connection.instance(connection.options.arguments[0]), connection.options.live.policy
    if asked:
        return _say(connection, status_map(await connection.bus.policy(instance, asked)), "")
    status = await connection.bus.status(instance)
    policy = {} if status.live is None else status.live.policy
    return _say(connection, policy, policy_lines(policy))


async def _snapshots(connection: Connection) -> Result:
    named = connection.options.arguments
    found = await connection.bus.snapshots(await connection.instance(named[0]) if named else None)
    return _say(connection, list(found), snapshots_table(found, time.time()))


async def _drop(connection: Connection) -> Result:
    async def drop(name: bytes) -> None:
        await connection.bus.drop(name)
        _say(connection, {"snapshot": name}, "")

    return await each_named(connection.options.arguments, connection.snapshot, drop)


async def _show(connection: Connection) -> Result:
    shown = await connection.bus.show(await connection.snapshot_or_instance(connection.options.arguments[0]))
    return _say(connection, shown, shown_lines(shown))


async def _diff(connection: Connection) -> Result:
    first, second = [await connection.snapshot(each) for each in connection.options.arguments]
    difference = await connection.bus.diff(first, second)
    return _say(connection, difference, difference_lines(difference))


async def _export(connection: Connection) -> Result:
    options, live = connection.options, connection.options.live
    name = await connection.snapshot(options.arguments[0])
    out = live.out or "-"
    if out == "-":
        await connection.bus.export(name, put_bytes, live.form)
        return Result(0)
    async with until_signal() as ending:
        with _new_file(out) as write:
            size = await connection.bus.export(name, write, live.form)
    if ending.scope.cancelled_caught:
        return Result(BY_SIGNAL + ending.signal)
    return _say(connection, {"snapshot": name, "file": out, "size": size}, "") if options.json else Result(0)


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[Callable[[bytes], object]]:
    """It is there whole, or not at all; all of a program's memory is in it, so only its owner reads it. UsageError."""
    if os.path.lexists(path):
        raise UsageError("--out: there is such a file already. Name a new one.")
    unfinished = os.path.join(os.path.dirname(path), f".{os.urandom(8).hex()}.unfinished")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file.write
        os.rename(unfinished, path)
    except OSError as problem:
        raise UsageError(f"--out: the file cannot be written: {problem.strerror}.") from problem
    finally:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)


async def _import(connection: Connection) -> Result:
    name = connection.options.arguments[0]
    if name == STDIN:
        found = await _imported_from_stdin(connection)
        return _made(connection, found, found.snapshot.hex())
    with about_file(name):
        check_plain(name, "Write `-` for what comes through stdin, or put it into a file, and name that.")
        try:
            source = await file_source(name)
        except OSError as problem:
            raise UsageError(f"it cannot be read: {problem.strerror}.") from problem
        bar = Bar(name, source.size) if sys.stderr is not None and os.isatty(2) and source.size >= _BAR_FROM else None
        try:
            found = await connection.bus.import_snapshot(source, bar.show if bar else None)
        finally:
            if bar:
                bar.clear()
    return _made(connection, found, found.snapshot.hex())


async def _imported_from_stdin(connection: Connection) -> Imported:
    """Its size and hash go first, so all of it is waited for."""
    with about_file(STDIN), Spool() as spool:
        try:
            await trio.to_thread.run_sync(_take_stdin, spool, abandon_on_cancel=True)
        except OSError as problem:
            raise UsageError(f"it cannot be read: {problem.strerror}.") from problem
        return await connection.bus.import_snapshot(spool)


def _take_stdin(spool: Spool) -> None:
    """Raises OSError, UsageError: it has more than any host takes, and need not end."""
    with opened(STDIN) as file:
        while piece := file.read(_BAR_FROM):
            spool.add(piece)
            if spool.size > IMPORT_BYTES:
                raise UsageError(f"it has more than {IMPORT_BYTES >> 20} MiB, and no host takes so much.")


async def _warm(connection: Connection) -> Result:
    program = connection.options.program
    assert program is not None
    with about_file(program.module):
        order = read_order(connection.options)
    name = await connection.bus.warm(await ready(connection, order))
    return _made(connection, {"snapshot": name}, name.hex())


WORK: Mapping[str, Work] = MappingProxyType(
    {
        "suspend": _suspend,
        "resume": _resume,
        "snapshot": _snapshot,
        "restore": _restore,
        "clone": _clone,
        "keep": _keep,
        "policy": _policy,
        "snapshots": _snapshots,
        "drop": _drop,
        "show": _show,
        "diff": _diff,
        "export": _export,
        "import": _import,
        "warm": _warm,
    }
)
