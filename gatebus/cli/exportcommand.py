"""`gatebus export FILE -o OUT`: a stopped program becomes one ordinary module; assembly.

In:  a state file (untrusted). Out: a module that any runtime finishes, with the state in a section that gatebus goes on
by.

A program that has files, or input that it has not read, is refused unless that is wanted: other runtimes would give it
neither, and it would not know why. What lost: leaving them out silently with a warning that nobody reads in a script.
"""

import os
from functools import partial

import trio

from gatebus.cli.groundwork import SETTINGS
from gatebus.cli.options import ExportOptions
from gatebus.cli.saying import put_bytes, tell
from gatebus.cli.statecommand import check_module, read_state, say, suspended_untrusted, write_whole
from gatebus.cli.surroundings import STDIN
from gatebus.cli.wording import failed, state_refused
from gatebus.faults import UsageError
from gatebus.keptservices import kept_untrusted
from sandbox.box import open_sandbox
from sandbox.errors import BadState, SandboxError, public_text_untrusted
from sandbox.exportfile import memories_of_untrusted, with_state
from sandbox.leftbehind import LeftBehind, left_behind_untrusted
from sandbox.packets import DATA, PAIR, split_untrusted
from sandbox.portable.admission_bounds import MEMORIES
from sandbox.statefile import Stored
from sandbox.statewords import look_untrusted

_LEAVES = (
    "It has {}, which another runtime cannot give it. --leave-behind exports it all the same; `gatebus run` still goes "
    "on with them."
)
_LEAVES_PLAIN = (
    "It has {}, which would be lost. --leave-behind exports it all the same; without --plain `gatebus run` goes on "
    "with them."
)
_DEEP = "It stands deep in calls: another runtime may need a larger stack (`wasmtime run -W max-wasm-stack=SIZE`)."
_MEMORIES = (
    f" `gatebus run` does not: a program may have {MEMORIES} memories there, and its frames are in one more. Without "
    "--plain it does."
)
# Bytes of frames: 4,000 of the smallest take about half of the 512 KiB that other runtimes begin with.
_DEEP_FROM = 32 << 10


def export(options: ExportOptions) -> int:
    """The exit code."""
    try:
        check_module(options.out)
        stored = read_state(options.file)
        left = left_behind(stored)
        if str(left) and not options.leave_behind:
            text = _LEAVES_PLAIN if options.plain else _LEAVES
            return say(failed(options.file, "state-leaves", text.format(left)))
        module = trio.run(partial(_exported, stored, plain=options.plain))
        _write(options.out, module)
    except BadState as fault:
        return say(state_refused(options.file, fault.code, fault.text))
    except (SandboxError, UsageError) as fault:
        return say(failed(options.file, fault.code, fault.text))
    state = look_untrusted(stored.state)
    name = "the module" if options.out == STDIN and state.frames else os.path.basename(options.out)
    said = how_it_goes_on(name, state.entry, len(state.frames))
    tell(f"gatebus: exported; {said}{_too_many_here(module, plain=options.plain)}\n")
    return 0


def _write(out: str, module: bytes) -> None:
    """Raises UsageError, BrokenPipeError."""
    if out == STDIN:
        put_bytes(module)
    else:
        write_whole(out, (module,), "--out")


def how_it_goes_on(name: str, entry: str, frames: int) -> str:
    """Other runtimes call `_start` by themselves, and nothing else. `frames`: bytes of them."""
    if not frames:
        return f"it had come to its end; `gatebus run --function NAME {name}`, or any runtime, calls a function of it."
    called = "" if entry in ("", "_start") else f" where its export {public_text_untrusted(entry)} is called"
    deep = f" {_DEEP}" if frames > _DEEP_FROM else ""
    return f"any WASI runtime goes on with {name}{called}.{deep}"


def _too_many_here(module: bytes, *, plain: bool) -> str:
    """The memory with its frames may be one more than `gatebus run` takes; with its state beside it is not needed."""
    return _MEMORIES if plain and memories_of_untrusted(module) > MEMORIES else ""


def left_behind(stored: Stored) -> LeftBehind:
    """Raises BadState. What was read for the program and has not reached it is on its way, too, and so is output."""
    left, kept = left_behind_untrusted(stored.state), kept_untrusted(stored.services)
    packets = split_untrusted(kept.unsent)
    data = sum(len(each.content) - PAIR.size for each in packets if each.domain == DATA)
    return left._replace(unread=left.unread + data + len(kept.output))


async def _exported(stored: Stored, *, plain: bool) -> bytes:
    """By a compile worker in the jail."""
    suspended = suspended_untrusted(stored)
    async with open_sandbox("native", SETTINGS) as box:
        module = await box.export(suspended, stored.program)
    return module if plain else with_state(module, suspended, stored.program, stored.description, stored.services)
