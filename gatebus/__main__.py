"""The command `gatebus`: picks the subcommand and imports only that one; no traceback for what a person did.

In:  argv. Out: an exit code. What is not foreseen is said in one line; GATEBUS_DEBUG=1 shows where it happened.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import NoReturn

from gatebus.cli.saying import put, tell
from gatebus.faults import HelpAsked, UsageError

HELP = """usage: gatebus COMMAND ...

Send programs instead of messages: WebAssembly, each program in a sandbox of its own.

  gatebus run FILE [ARGUMENT ...]   run a program; it can do nothing else on this machine
  gatebus show FILE                 what a stopped program was doing; whether a module can be stopped
  gatebus export FILE -o OUT.wasm   make one ordinary module of a stopped program
  gatebus ipfs COMMAND ...          files by content (CID): add, cat, get, ls, pin, gc, stat

At a host:
  gatebus call MODULE [ARGUMENT ...]  run a program there and talk to it; `launch`: one that goes on without you
  gatebus ps | status | wait | kill | rm | io INSTANCE   see, end and connect to what you launched
  gatebus push FILE | modules | pin | unpin   keep modules there
  gatebus suspend | resume | snapshot | clone INSTANCE   stop it anywhere, keep it, copy it; `keep`: again and again
  gatebus snapshots | restore | show | diff | drop | export | import   what was kept; `warm`: begin where it is ready
  gatebus policy INSTANCE             who wakes it when it is suspended, and when it is put away by itself
  gatebus events | usage | features   what happens, what you use, what the host can
  gatebus login NAME ADDRESS          remember a host; `login` alone lists them, `login --forget NAME` forgets one

Your own host:
  gatebus serve                     start a host: run programs that arrive over a websocket
  gatebus key                       show who this host is, and who you are
  gatebus fsck                      look through everything that your host has stored
  gatebus doctor                    say whether programs can run here, and what protects the machine

`gatebus COMMAND --help` says more.
"""

# Command -> what reads its arguments, and what does it. `run` is apart: something begins before it is read.
COMMANDS = {
    "doctor": ("options:doctor_options", "doctor_command:doctor"),
    "show": ("options:show_options", "statecommand:show"),
    "export": ("options:export_options", "exportcommand:export"),
    "ipfs": ("ipfs_options:ipfs_options", "ipfs_command:ipfs"),
    "serve": ("serve_options:serve_options", "serve_command:serve"),
    "key": ("serve_options:key_options", "key_command:key"),
    "fsck": ("serve_options:fsck_options", "fsck_command:fsck"),
}

# What is asked of a host: one table of words (cli.bus_options), three ways to do it.
BUS = {
    **dict.fromkeys(("call", "io"), "bus_running"),
    **dict.fromkeys(
        (*("launch", "ps", "status", "wait", "kill", "rm"), *("push", "modules", "pin", "unpin"), "events", "usage"),
        "bus_commands:ask",
    ),
    **dict.fromkeys(
        (
            *("suspend", "resume", "snapshot", "restore", "clone", "keep", "policy"),
            *("snapshots", "drop", "show", "diff"),
            "warm",
        ),
        "bus_commands:ask",
    ),
    **dict.fromkeys(("export", "import"), "bus_commands:ask"),
    "features": "bus_commands:ask",
    "login": "login_command",
}

OURS = 125
CONTROL_C = 130
BY_SIGPIPE = 141


def quickly_imported(module: str) -> ModuleType:
    """Without the collector, which would look through everything again and again for nothing: a tenth of the time.

    Ctrl-C ends the process at once meanwhile: an exception in the middle of somebody's import becomes a traceback.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()
        signal.signal(signal.SIGINT, handler)


def command() -> NoReturn:
    """The process. It ends without tidying up memory that the kernel takes back anyway: a tenth of a run's time."""
    _end_by_ctrl_c()
    code = main()
    _end_by_ctrl_c()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = BY_SIGPIPE
    except OSError:
        code = code or OURS
    os._exit(code)  # stderr holds nothing back (cli.saying)


def _end_by_ctrl_c() -> None:
    """At once, as it ends any process: nothing has been begun yet, or all is done. Whoever ignores it goes on so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _doing(module: str, function: str) -> Callable[..., int]:
    """What does a command. From here on Ctrl-C is an exception, and what was begun is tidied away."""
    does: Callable[..., int] = getattr(quickly_imported(f"gatebus.cli.{module}"), function)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return does


def main(arguments: Sequence[str] | None = None) -> int:
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        return _answered(command, rest)
    except UsageError as fault:
        return _refuse(fault, command, rest)
    except KeyboardInterrupt:
        return CONTROL_C
    except BrokenPipeError:  # whoever read our own lines has gone: `gatebus --help | head -1`
        return BY_SIGPIPE
    except Exception as problem:
        if _debugging():
            raise
        name = type(problem).__name__
        return _say(f"something unforeseen happened ({name}). GATEBUS_DEBUG=1 shows where; please report it.")


def _answered(command: str, rest: list[str]) -> int:
    try:
        return _dispatch(command, rest)
    except HelpAsked as asked:
        put(asked.text)
        return 0


def _dispatch(command: str, rest: list[str]) -> int:
    if command == "run":
        return _run(rest)
    if command in COMMANDS and not (command in BUS and at_host(rest)):
        return _command(COMMANDS[command], rest)
    if command == "modules" and _of_file(rest):
        return _command(COMMANDS["show"], [each for each in rest if each != "show"])
    if command in BUS:
        return _bus(command, rest)
    if command in ("--help", "-h", "help"):
        put(HELP)
        return 0
    if command == "--version":
        return _version()
    return _say(f"there is no command `{command[:40]}`. `gatebus --help` lists them.")


def _run(arguments: list[str]) -> int:
    options = quickly_imported("gatebus.cli.options").run_options(arguments)
    groundwork = quickly_imported("gatebus.cli.groundwork")
    groundwork.open_missing_descriptors()
    groundwork.see_children_end()
    ahead = groundwork.keeper_ahead(options.backend)
    return _doing("running", "run_command")(options, ahead)


def _command(places: tuple[str, str], arguments: list[str]) -> int:
    """Options first: `--help` must not pay for an event loop."""
    (words, parse), (module, run) = (place.split(":") for place in places)
    options = getattr(quickly_imported(f"gatebus.cli.{words}"), parse)(arguments)
    return _doing(module, run)(options)


# Options of `show` and `export` that are followed by something that is not what they are about.
HOSTS_OWN = ("--host", "--key", "--form")
WITH_VALUES = ("-o", "--out", *HOSTS_OWN)


def at_host(rest: list[str]) -> bool:
    """`show`, `export`: of something that is no file here, a host is asked; and where a host or a key is named."""
    end = rest.index("--") if "--" in rest else len(rest)
    line, meant = rest[:end], rest[end + 1 :]  # behind `--` everything is a name
    if any(each.partition("=")[0] in HOSTS_OWN for each in line):
        return True
    named = [each for before, each in pairwise(("", *line)) if not each.startswith("-") and before not in WITH_VALUES]
    named += meant
    return bool(named) and not any(map(os.path.exists, named))


def _of_file(rest: list[str]) -> bool:
    """`modules show`: of a file here, unless a host is named."""
    match [each for each in rest if not each.startswith("-")]:
        case ["show", file]:
            return os.path.isfile(file) and not any(each.startswith(("--host", "--key")) for each in rest)
    return False


def _bus(command: str, arguments: list[str]) -> int:
    try:
        options = quickly_imported("gatebus.cli.bus_options").bus_options(command, arguments)
    except UsageError as fault:
        raise UsageError(
            f"{fault.text} (No file of that name is here: a host is meant.)" if command in COMMANDS else fault.text
        ) from None
    module, _, function = BUS[command].partition(":")
    return _doing(module, function or command)(options)


def _version() -> int:
    from importlib.metadata import version

    put(f"gatebus {version('gatebus')}\n")
    return 0


def _debugging() -> bool:
    return bool(os.environ.get("GATEBUS_DEBUG"))


def _refuse(fault: UsageError, command: str, arguments: list[str]) -> int:
    """Whoever asked for JSON reads the JSON of that command, although the rest of the line was not understood."""
    if "--json" not in arguments:
        return _say(fault.text)
    from gatebus.cli import bus_wording, wording  # only this one line needs them

    result = wording.failed("", fault.code, fault.text)
    at_host = command in BUS
    return _write(
        bus_wording.result_json("", "", result, None, None) if at_host else wording.result_json("", "", result)
    )


def _say(text: str) -> int:
    return _write(f"gatebus: {text}")


def _write(line: str) -> int:
    tell(f"{line}\n")
    return OURS


if __name__ == "__main__":
    command()
