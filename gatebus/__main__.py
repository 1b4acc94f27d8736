"""The command `gatebus`: picks the subcommand and imports only that one; no traceback for what a person did.

In:  argv. Out: an exit code. What is not foreseen is said in one line; GATEBUS_DEBUG=1 shows where it happened.
"""

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

HELP = """usage: gatebus COMMAND ...

Send programs instead of messages: WebAssembly, each program in a sandbox of its own.

  gatebus run FILE [ARGUMENT ...]   run a program; it can do nothing else on this machine
  gatebus ipfs COMMAND ...          files by content (CID): add, cat, get, ls, pin, gc, stat
  gatebus doctor                    say whether programs can run here, and what protects the machine

`gatebus COMMAND --help` says more.
"""

OURS = 125
CONTROL_C = 130
BY_SIGPIPE = 141


def quickly_imported(module: str) -> ModuleType:
    """Without the collector, which would look through everything again and again for nothing: a tenth of the time."""
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def main(arguments: Sequence[str] | None = None) -> int:
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        return _dispatch(command, rest)
    except KeyboardInterrupt:
        return CONTROL_C
    except BrokenPipeError:  # whoever read our own lines has gone: `gatebus --help | head -1`
        return BY_SIGPIPE
    except Exception as problem:
        if _debugging():
            raise
        name = type(problem).__name__
        return _say(f"something unforeseen happened ({name}). GATEBUS_DEBUG=1 shows where; please report it.")


def _dispatch(command: str, rest: list[str]) -> int:
    if command == "run":
        return _run(rest)
    if command == "doctor":
        return _doctor(rest)
    if command == "ipfs":
        return _ipfs(rest)
    if command in ("--help", "-h", "help"):
        sys.stdout.write(HELP)
        return 0
    if command == "--version":
        return _version()
    return _say(f"there is no command `{command[:40]}`. `gatebus --help` lists them.")


def _run(arguments: list[str]) -> int:
    running = quickly_imported("gatebus.cli.running")
    from gatebus.cli.options import run_options
    from gatebus.faults import UsageError

    try:
        options = run_options(arguments)
    except UsageError as fault:
        return _say(fault.text)
    return int(running.run_command(options))


def _doctor(arguments: list[str]) -> int:
    command = quickly_imported("gatebus.cli.doctor_command")
    from gatebus.cli.options import doctor_options
    from gatebus.faults import UsageError

    try:
        options = doctor_options(arguments)
    except UsageError as fault:
        return _say(fault.text)
    return int(command.doctor(options))


def _ipfs(arguments: list[str]) -> int:
    from gatebus.cli.ipfs_options import ipfs_options
    from gatebus.faults import UsageError

    try:
        options = ipfs_options(arguments)
    except UsageError as fault:
        return _say(fault.text)
    return int(quickly_imported("gatebus.cli.ipfs_command").ipfs(options))


def _version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"gatebus {version('gatebus')}\n")
    return 0


def _debugging() -> bool:
    from os import environ

    return bool(environ.get("GATEBUS_DEBUG"))


def _say(text: str) -> int:
    if sys.stderr is not None:  # closed by whoever started us
        sys.stderr.write(f"gatebus: {text}\n")
    return OURS


if __name__ == "__main__":
    sys.exit(main())
