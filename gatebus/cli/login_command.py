"""`gatebus login`: remember a host under a name, after its key was compared; assembly.

In:  options; the person's answer; the host's proof of its key. Out: a line in hosts.toml and one in known_hosts; an
exit code. Nothing is written before the host was reached, has proved its key, and the person has agreed.
"""

import os
from dataclasses import dataclass, replace
from functools import partial

import trio

from gatebus.cli.bus_options import BusOptions
from gatebus.cli.bus_wording import as_json, result_json, table
from gatebus.cli.connecting_host import in_trio, known_hosts, note, told
from gatebus.cli.hostbook import ANONYMOUS, HostBook, KnownHost, Target, check_name, is_name, unknown_host
from gatebus.cli.hostbookfile import read_book, write_book
from gatebus.cli.key_command import default_comment
from gatebus.cli.naming import NoneMeant
from gatebus.cli.saying import put, tell
from gatebus.cli.signing import is_agent, signer
from gatebus.client import KnownHostsFile, Manner, NotTrusted, connect
from gatebus.client.knownhosts import changed_text
from gatebus.client.trustfile import SameMachine
from gatebus.faults import UsageError
from gatebus.host.identityfile import own_private_key
from gatebus.sshkeys import fingerprint, public_line
from gatebus.web.link import CannotConnect
from gatebus.web.places import parse_address
from gatebus.xdg import user_key_path
from sandbox.inthread import in_thread

_YES = ("y", "yes")
_LINE = 4096  # a terminal's longest


def login(options: BusOptions) -> int:
    """The whole command. The exit code."""
    try:
        if options.forget:
            _say(options, *_forget(options))
        elif not options.arguments:
            _list(read_book(), options)
        elif len(options.arguments) != 2:
            raise UsageError("It is written `gatebus login NAME ADDRESS`; see `gatebus login --help`.")
        else:
            _say(options, *_remember(options))
    except Exception as raised:
        result = told("", raised, unknown_key="")
        if result.error == "not-authorized":
            result = result._replace(line=f"{result.line}{_line_for_owner(options)}")
        tell(f"{result_json('', '', result, None, None) if options.json else result.line}\n")
        return result.code
    return 0


def _say(options: BusOptions, line: str, row: dict[str, object]) -> None:
    if options.json:
        put(as_json(row) + "\n")
    else:
        note(line)


def _line_for_owner(options: BusOptions) -> str:
    key = in_trio(partial(signer, replace(options, key=_key_file(options)), Target("")))
    return f" Your line is: {public_line(key.public, getattr(key, 'comment', ''))}" if key else ""


def _list(book: HostBook, options: BusOptions) -> None:
    rows = [
        (f"{name}{' *' if name == book.default else ''}", host.address, host.key or "-")
        for name, host in book.hosts.items()
    ]
    if options.json:
        put(as_json([_row(name, host, book) for name, host in book.hosts.items()]) + "\n")
    elif rows:
        put(table(("NAME", "ADDRESS", "KEY"), rows) + "\n")
    else:
        note("no host is remembered. `gatebus login NAME ADDRESS` remembers one.")


def _row(name: str, host: KnownHost, book: HostBook) -> dict[str, object]:
    return {"name": name, "address": host.address, "key": host.key, "default": name == book.default}


def _forget(options: BusOptions) -> tuple[str, dict[str, object]]:
    """A name and its address's key, unless another name has the same address; or an address's key alone."""
    if len(options.arguments) != 1:
        raise UsageError("It is written `gatebus login --forget NAME`; `gatebus login` lists the hosts.")
    (name,) = options.arguments
    book = read_book()
    if name in book.hosts:
        address, left = book.hosts[name].address, book.without_host(name)
        write_book(left)
        if not left.named_by(address):
            KnownHostsFile(known_hosts(), address).forget()
        was_default = book.default == name and left.hosts
        line = f"{name} is forgotten; it was the default." if was_default else f"{name} is forgotten."
        return line, {"forgotten": name, "address": address}
    if is_name(name):
        raise NoneMeant(unknown_host(name, book, "`gatebus login` lists them."))
    address = str(parse_address(name))
    if not KnownHostsFile(known_hosts(), address).forget():
        raise NoneMeant(f"No key of {address} is remembered.")
    return f"the key of {address} is forgotten.", {"forgotten": None, "address": address}


def _remember(options: BusOptions) -> tuple[str, dict[str, object]]:
    name, address = check_name(options.arguments[0]), str(parse_address(options.arguments[1]))
    key = _key_file(options)
    met = in_trio(partial(_meet, options, address, key))
    if met.key is not None and not address.startswith("unix:"):
        in_trio(partial(KnownHostsFile(known_hosts(), address).check, met.key))
    book = read_book().with_host(name, KnownHost(address, key))
    if options.default or book.default is None:
        book = replace(book, default=name)
    write_book(book)
    used = "used when no host is named" if book.default == name else f"used with --host {name}"
    line = f"{name} is remembered, and {used}. `gatebus --help` lists what you can do there."
    return line, _row(name, book.hosts[name], book)


def _key_file(options: BusOptions) -> str | None:
    if options.key == ANONYMOUS:
        return None
    if is_agent(options.key):
        return options.key
    if options.key is not None:
        return os.path.abspath(os.path.expanduser(options.key))
    path = user_key_path()
    own_private_key(path, default_comment())
    return str(path)


@dataclass(slots=True)
class Meeting:
    """The host's key is compared before we sign anything for it."""

    address: str
    expected: str | None
    key: bytes | None = None

    async def check(self, key: bytes) -> None:
        """Asked once, also where the host did not wait for the answer and was reached again."""
        shown = fingerprint(key)
        if key == self.key:
            return
        if self.expected is not None and self.expected != shown:
            raise NotTrusted(f"The host's key is {shown}, and not the one that you named. Do not go on.")
        if self.expected is None and not await self._known(key):
            await _ask(self.address, shown)
        self.key = key

    async def _known(self, key: bytes) -> bool:
        try:
            await KnownHostsFile(known_hosts(), self.address, remember=False).check(key)
        except NotTrusted as fault:
            if fault.text == NotTrusted(changed_text(self.address, key)).text:
                raise
            return False
        return True


async def _ask(address: str, shown: str) -> None:
    """What is typed is read past `sys.stdin`: a thread that were left waiting inside of it would keep the process from
    ending. Raises NotTrusted.
    """
    if not (os.isatty(0) and os.isatty(2)):
        raise NotTrusted(f"The host's key is {shown}. Compare it with `gatebus key` there, and name it: --host-key.")
    tell(f"The key of {address} is {shown}.\nIs it what `gatebus key` shows there? [y/N] ")
    try:
        typed = await in_thread(os.read, 0, _LINE, abandon_on_cancel=True)
    except trio.Cancelled:  # by Ctrl-C, or the connection was lost: the next line begins on the left
        tell("\n")
        raise
    if typed.decode(errors="replace").strip().lower() not in _YES:
        raise NotTrusted("Nothing was remembered.")


async def _meet(options: BusOptions, address: str, key: str | None) -> Meeting:
    meeting = Meeting(address, options.host_key)
    trust = SameMachine() if address.startswith("unix:") and options.host_key is None else meeting
    ours = await signer(replace(options, key=key), Target(address))
    try:
        async with connect(address, ours, Manner(trust=trust)) as bus:
            await bus.features()
    except* CannotConnect as group:
        raise CannotConnect(f"The host {address} cannot be reached: {_text(group)}") from None
    return meeting


def _text(group: BaseExceptionGroup[CannotConnect]) -> str:
    fault: BaseException = group
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return str(getattr(fault, "text", ""))
