"""The commands that ask a host something and print the answer; assembly.

In:  options; what the host says (untrusted). Out: lines, tables or JSON on stdout; an exit code; one line on stderr
about what went wrong.
"""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from uuid import UUID

import trio

from gatebus.cli.bus_options import BusOptions
from gatebus.cli.bus_wording import (
    as_json,
    ended,
    event_line,
    event_map,
    features_lines,
    instances_table,
    modules_table,
    no_file_either,
    result_json,
    status_lines,
    status_map,
    text,
    usage_table,
)
from gatebus.cli.busprogram import Order, read_order
from gatebus.cli.connecting_host import (
    Connection,
    about_file,
    ready,
    told,
    told_if_fetched,
    upload_with_bar,
    with_host,
)
from gatebus.cli.eachnamed import each_named
from gatebus.cli.ending import alone
from gatebus.cli.hostbookfile import target
from gatebus.cli.live_commands import WORK as LIVE_WORK
from gatebus.cli.naming import NoneMeant
from gatebus.cli.saying import put, put_name, tell
from gatebus.cli.surroundings import check_module, read_checked_module
from gatebus.cli.wording import TIMED_OUT, Result, failed
from gatebus.client import Module, Pinned, Status
from gatebus.faults import UsageError
from gatebus.web.link import CannotConnect
from sandbox.errors import SandboxError
from sandbox.limits import CompileLimits, written

Work = Callable[[Connection], Awaitable[Result]]
# Commands that are about a file where there is one of that name.
_OF_FILES_TOO = ("show", "export")
# Of an address that a host told: a CID has at most 400 characters.
_ADDRESS_SHOWN = 420


def ask(options: BusOptions) -> int:
    """The whole command. The exit code."""
    if options.content is not None:
        from gatebus.cli.ipfs_command import ipfs  # whoever asks a host does not pay for an HTTP client

        return ipfs(options.content)
    host = ""
    try:
        prepare = _PREPARED.get(options.command)
        work = prepare(options) if prepare else _WORK[options.command]
        chosen = target(options)
        host = chosen.shown
        result = with_host(options, chosen, work)
    except Exception as raised:
        result = told(_named(options), raised)
        if options.command in _OF_FILES_TOO and isinstance(alone(raised), NoneMeant | CannotConnect):
            result = no_file_either(result, options.arguments[0])
    if result.line:
        line = result_json(_named(options), host, result, None, None) if options.json else result.line
        tell(f"{line}\n")
    return result.code


def _named(options: BusOptions) -> str:
    """A fault about a program or an address is preceded by its name; one about an id says it itself."""
    if options.program is not None:
        return options.program.module
    return options.arguments[0] if options.command == "pin" and "://" in options.arguments[0] else ""


def _say(line: str) -> None:
    put(f"{line}\n")


def _launching(options: BusOptions) -> Work:
    """Files are read before anybody is called: what is wrong with them is said without a host."""
    with about_file(_named(options)):
        return partial(_launch, read_order(options))


async def _launch(order: Order, connection: Connection) -> Result:
    program = await ready(connection, order)
    async with told_if_fetched(program):
        instance = await connection.bus.launch(program)
    line = as_json({"instance": instance}) if connection.options.json else str(instance)
    put_name(f"{line}\n", str(instance))
    return Result(0)


async def _ps(connection: Connection) -> Result:
    instances = await connection.bus.list()
    _say(
        as_json(list(map(status_map, instances)))
        if connection.options.json
        else instances_table(instances, time.time())
    )
    return Result(0)


async def _status(connection: Connection) -> Result:
    found = [await connection.bus.status(await connection.instance(each)) for each in connection.options.arguments]
    if connection.options.json:
        _say(as_json(list(map(status_map, found))))
    else:
        _say("\n\n".join(status_lines(each, time.time()) for each in found))
    return Result(0)


async def _ended_within(connection: Connection, instance: UUID, seconds: float | None) -> Status:
    """How it is then, ended or not."""
    with trio.move_on_after(math.inf if seconds is None else seconds):
        return await connection.bus.wait(instance)
    return await connection.bus.status(instance)


async def _wait(connection: Connection) -> Result:
    instance = await connection.instance(connection.options.arguments[0])
    status = await _ended_within(connection, instance, connection.options.timeout)
    if not status.cause:
        waited = written(connection.options.timeout, "seconds")
        return failed("", "timeout", f"The instance has not ended within {waited}.")._replace(code=TIMED_OUT)
    result = ended(str(instance), status, {})
    if connection.options.json:
        tell(result_json("", connection.target.shown, result, status, instance) + "\n")
        return Result(result.code)  # the line is in it
    return result


async def _kill(connection: Connection) -> Result:
    async def kill(instance: UUID) -> None:
        status = await connection.bus.kill(instance)
        if connection.options.json:
            _say(as_json(status_map(status)))

    return await each_named(connection.options.arguments, connection.instance, kill)


async def _rm(connection: Connection) -> Result:
    async def remove(instance: UUID) -> None:
        await connection.bus.delete(instance)
        if connection.options.json:
            _say(as_json({"instance": instance}))

    return await each_named(connection.options.arguments, connection.instance, remove)


def _pushing(options: BusOptions) -> Work:
    """Nobody is called, and nothing kept, before every file has been looked at."""
    given = []
    for name in options.arguments:
        with about_file(name):
            given.append((name, check_module(name)))
    return partial(_push, given)


async def _push(given: Sequence[tuple[str, bytes | None]], connection: Connection) -> Result:
    """Uploaded and kept; a module is named by its hash on stdout, for scripts."""
    options, many = connection.options, len(given) > 1
    for name, content in given:
        with about_file(name):
            found = await upload_with_bar(connection.bus, content or read_checked_module(name), name)
            if not options.loose:
                await connection.bus.pin(found.sha256, options.tags)
        if options.json:
            _say(as_json({"file": name, "module": found.sha256, "size": found.size, "known": found.known}))
        else:
            _say(f"{found.sha256.hex()} {name}" if many else found.sha256.hex())
    return Result(0)


async def _modules(connection: Connection) -> Result:
    if connection.options.arguments:
        return await _module_shown(connection)
    modules = await connection.bus.modules()
    _say(as_json([_module_row(each) for each in modules]) if connection.options.json else modules_table(modules))
    return Result(0)


async def _module_shown(connection: Connection) -> Result:
    """By our own jailed compiler: what is told needs no word of the host's but the bytes that the hash names."""
    from gatebus.cli import moduleshown  # only this one needs a sandbox

    word, *names = connection.options.arguments
    if word != "show" or len(names) != 1:
        raise UsageError("`gatebus modules` lists them; `gatebus modules show MODULE` shows one.")
    wasm = await connection.bus.download(await connection.module(names[0]), most=CompileLimits().program_size)
    try:
        image = await moduleshown.look_at(wasm)
    except SandboxError as fault:
        raise UsageError(fault.text) from None
    described = moduleshown.module_described(names[0], wasm, image)
    _say(as_json(described) if connection.options.json else moduleshown.module_lines(described).rstrip("\n"))
    return Result(0)


def _module_row(module: Module) -> Mapping[str, object]:
    return {"module": module.sha256, "size": module.size, "pinned": module.pinned, "tags": module.tags}


async def _pin(connection: Connection) -> Result:
    address = connection.options.arguments[0]
    if "://" in address:
        tags = [*connection.options.arguments[1:], *connection.options.tags]
        async with told_if_fetched(address):
            pinned = await connection.bus.pin(address, tags)
        if not connection.options.json:
            _say(pinned.sha256.hex())
            _tell_own_address(address, pinned)
        return await _kept(connection, pinned.sha256, content=_own_address(pinned))
    module, tags = await _module_and_tags(connection)
    await connection.bus.pin(module, tags)
    return await _kept(connection, module)


def _tell_own_address(address: str, pinned: Pinned) -> None:
    """Of a path: others get it from this host by its own CID, not by the path. Not on stdout, where the hash is."""
    own = _own_address(pinned)
    if own and own != address:
        tell(f"gatebus: Others fetch it as {own}\n")


def _own_address(pinned: Pinned) -> str | None:
    return text(pinned.content, _ADDRESS_SHOWN) if pinned.content else None


async def _unpin(connection: Connection) -> Result:
    module, tags = await _module_and_tags(connection)
    await connection.bus.unpin(module, tags)
    return await _kept(connection, module)


async def _module_and_tags(connection: Connection) -> tuple[bytes, list[str]]:
    """Tags as arguments, or with --tag as everywhere else."""
    name, *tags = connection.options.arguments
    return await connection.module(name), [*tags, *connection.options.tags]


async def _kept(connection: Connection, module: bytes, **more: object) -> Result:
    if connection.options.json:
        found = await connection.bus.modules(module)
        _say(as_json([{**_module_row(each), **more} for each in found]))
    return Result(0)


async def _events(connection: Connection) -> Result:
    async with connection.bus.events(connection.options.since) as watching:
        async for event in watching:
            _say(as_json(event_map(event)) if connection.options.json else event_line(event))
    return Result(0)


async def _usage(connection: Connection) -> Result:
    usage = await connection.bus.usage()
    _say(as_json(usage) if connection.options.json else usage_table(usage))
    return Result(0)


async def _features(connection: Connection) -> Result:
    features = await connection.bus.features()
    _say(as_json(features) if connection.options.json else features_lines(features))
    return Result(0)


# Commands that read files before anybody is called.
_PREPARED: Mapping[str, Callable[[BusOptions], Work]] = MappingProxyType({"launch": _launching, "push": _pushing})
_WORK: Mapping[str, Work] = MappingProxyType(
    {
        "ps": _ps,
        "status": _status,
        "wait": _wait,
        "kill": _kill,
        "rm": _rm,
        "modules": _modules,
        "pin": _pin,
        "unpin": _unpin,
        "events": _events,
        "usage": _usage,
        "features": _features,
        **LIVE_WORK,
    }
)
