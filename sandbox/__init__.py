"""Run one WebAssembly program from anyone in a process that can do nothing else.

This page is the whole contract of the package. Everything that is not named here is private.

    import trio, sandbox

    async def main() -> None:
        async with sandbox.open_sandbox("native") as box:            # or "portable"
            image = await box.compile(wasm, principal="alice")       # bytes in; verified, compiled, cached
            setup = sandbox.Setup(arguments=("hello",), environment={"LANG": "C"})
            async with box.start(image, setup, sandbox.Limits()) as program:
                async for packets in program:                        # bytes: whole packets, padded, at least one
                    ...
                await program.send(packet)                           # bytes: whole packets, padded
                outcome = await program.wait()                       # sandbox.Outcome; also after `async with`

Parts
-----
open_sandbox(backend, settings=Settings(), *, ahead=None, watch=None) -> async context manager of Sandbox
    backend "native": Linux only; one process per program in a container (PROTOCOL.md, docs/security.md).
    backend "portable": one ordinary child process per program with the PyPI package `wasmtime`. Never chosen silently.
    Raises BackendUnavailable (what is missing, what to do). At its end every program is killed and waited for.
    `ahead`: what `launch_ahead(settings)`, an ordinary function, returned for the same settings: the native part gets
    ready while its host still imports or reads what it needs. Raises BackendUnavailable, too.
    `watch`: how to wait for what programs send (traffic.Watch), for a host that waits for other sockets as well.

Sandbox
    .backend: str, .layers: Layers (which protections are on, which are missing and why)
    await .compile(wasm: bytes, *, principal: str = "", sha256: str | None = None, form=Form.PLAIN) -> Image
        Order: size, sha256 (when given), cache, the principal's queue, jailed worker (counts, validation,
        compilation). Text (`(module ...`) is taken like the binary form. Form.SUSPENDABLE: it can be stopped anywhere
        and continued, and is a tenth slower; when it cannot, `.unsuspendable` says why, and it is the plain program.
        Its frames are larger, those after a resume once more: give it Limits(stack=8 << 20), as `gatebus run` does,
        which is three times as much for it, and five times after a resume; then what fits without it fits with it.
        Raises Refused (the program's fault; .code, .text), CompileLimit, SandboxBroken. After the end of
        `open_sandbox` this and `start`: SandboxClosed.
    .ready(sha256, form=Form.PLAIN) -> Image | None; await .cached(sha256, form=Form.PLAIN) -> Image | None
        One that was compiled before, without its bytes: from memory at once; from the disk, too.
    .start(image, setup=Setup(), limits=Limits(), *, instance: UUID | None = None) -> async context manager of
    Program. Raises StartFailed.
        The request is sent before the body runs (so StartFailed may also come out of wait(), or at the end of the
        body). Leaving the body kills a program that still runs and waits for its end.
    .resume(image, suspended, limits=Limits(), setup=Setup(), *, program=None, instance=None, share=False,
            lifecycle=Lifecycle.RESUMED, function=None) -> like start
        It goes on where it was stopped, as often as wanted. `program`: its bytes; only what was continued at the same
        places before does without. `share`: its memory is not copied but shared with all that go on from it until it
        is written to (native; without it, up to a mebibyte is copied). `lifecycle`: what it is told (Gate's flag word
        of `io`: bit 0, and this number in the next two). `function`: of one that had come to its end
        (Program.halted), what is called now; its streams are as at a start. Raises BadState, CompileLimit, StartFailed.
    await .frames(suspended, program) -> who its frames are, for a person
    .statistics() -> frozen counts: running, started, ended, compiled, cache hits, pool.

Program
    await .receive_some() -> bytes                whole packets, at least one; b"" at the end; a malformed header raises
                                                  PacketViolation (once) and kills the program
    `async for packets in program`                the same
    await .send(data)                             bytes-like, whole packets; BrokenProgram when the program is gone
    .send_nowait(data) -> int                     bytes taken by the kernel at once, may be 0
    await .suspend() -> Suspended                 of an image that is suspendable: stopped wherever it is; its process
                                                  is gone then, and wait() says SUSPENDED. Raises NotSuspendable,
                                                  NotSuspended (it runs on), BrokenProgram (it had ended), BadState
    await .park(); await .unpark()                it takes no step in between; memory, socket and what it is sent wait;
                                                  its wall time stands still, its clocks do not. For every program.
                                                  Idempotent; kill and suspend work on a parked one. park of one that
                                                  has ended raises BrokenProgram
    .halted() -> Suspended | None                 after wait(), of one started with Setup(keep=True) whose entry
                                                  function returned: what it left, for another function of it
    .kill(cause=Cause.KILLED)                     at once, idempotent, no checkpoint
    await .wait() -> Outcome                      when its process is gone; needs somebody to read the packets, or the
                                                  program to have ended its output
    .usage() -> Usage                             bytes and packets so far; CPU and peak memory are exact after wait()
    .on_log = callback | None                     called with (1 or 2, bytes) while receiving; set it before
    .tree() -> Tree | None                        what the program left in its file system; after wait(). None when
                                                  it was killed or had no tree at the start
    Control packets never come out of receive_some().

    One task may receive and one may send at a time (trio.BusyResourceError otherwise). A cancelled send ends the
    program: half a packet cannot be taken back.

Values (frozen)
    Setup(arguments=(), environment={}, function=None, tree=None, debug_log=True, origin_credit=65536,
        terminal=True, keep=False)
    Tree: what the program's private file system holds at the start, and what it left: an immutable mapping {path:
        Directory | File(bytes) | Link(target)}, with times. The wires are in sandbox.treedisk:
        `from_directory(path, limits, on_skip)` and `write_to(tree, path, on_skip)`; both block.
    Limits: memory, table, stack, cpu_time, wall_time, files, log ... each with default and reason (sandbox/limits.py)
    Image: sha256 (of the program), personality ("wasi" | "gate"), exports, memory and table minimum, code size, key,
        suspendable, unsuspendable (reasons)
    Suspended: sha256 (of the program), state (bytes), memory (size, read(offset, size), data(): (offset, length),
        all else is zeros), base and changed (from which memory it went on, and which ranges may be different now;
        None: not known), halted; sandbox.statefile has it as a file
    Lifecycle: STARTED, RESUMED, RESTORED, CLONED
    Outcome: state (HALTED | TERMINATED | SUSPENDED | KILLED), cause, result (0..2**32-1), text; .ok; .usage
    Usage: cpu_user, cpu_system (seconds), peak_memory (guest's, bytes), max_rss (process', bytes), bytes_in, bytes_out,
        packets_in, packets_out ("in" is towards the program), log_dropped, wall (seconds)

Tests of others: sandbox.testing.open_fake_sandbox runs Python functions as programs behind this same interface.
sandbox.packets has the words to take packets apart and make them.

Errors: sandbox/errors.py, one class per whose fault. Every one has `.code` (stable, lower-case-with-dashes) and `.text`
(public: what, why, what to do; never a path, an address or a traceback).
"""

from sandbox.box import Sandbox, Statistics, open_sandbox
from sandbox.errors import (
    BackendUnavailable,
    BadSetup,
    BadState,
    BrokenProgram,
    CompileLimit,
    NotSuspendable,
    NotSuspended,
    PacketViolation,
    Refused,
    SandboxBroken,
    SandboxClosed,
    SandboxError,
    StartFailed,
    TooBusy,
)
from sandbox.form import Form
from sandbox.image import Image
from sandbox.keeperprocess import launch_ahead
from sandbox.layers import Layers
from sandbox.lifecycle import Lifecycle
from sandbox.limits import CompileLimits, HostLimits, Limits
from sandbox.outcome import Cause, Outcome, State, Usage
from sandbox.program import Program
from sandbox.settings import Settings
from sandbox.setup import Setup
from sandbox.suspended import Suspended
from sandbox.tree import Directory, File, Link, Tree

__all__ = [
    "BackendUnavailable",
    "BadSetup",
    "BadState",
    "BrokenProgram",
    "Cause",
    "CompileLimit",
    "CompileLimits",
    "Directory",
    "File",
    "Form",
    "HostLimits",
    "Image",
    "Layers",
    "Lifecycle",
    "Limits",
    "Link",
    "NotSuspendable",
    "NotSuspended",
    "Outcome",
    "PacketViolation",
    "Program",
    "Refused",
    "Sandbox",
    "SandboxBroken",
    "SandboxClosed",
    "SandboxError",
    "Settings",
    "Setup",
    "StartFailed",
    "State",
    "Statistics",
    "Suspended",
    "TooBusy",
    "Tree",
    "Usage",
    "launch_ahead",
    "open_sandbox",
]
