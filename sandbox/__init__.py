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
open_sandbox(backend, settings=Settings()) -> async context manager of Sandbox
    backend "native": Linux only; one process per program in a container (PROTOCOL.md, docs/security.md).
    backend "portable": one ordinary child process per program with the PyPI package `wasmtime`. Never chosen silently.
    Raises BackendUnavailable (what is missing, what to do). At its end every program is killed and waited for.

Sandbox
    .backend: str, .layers: Layers (which protections are on, which are missing and why)
    await .compile(wasm: bytes, *, principal: str = "", sha256: str | None = None) -> Image
        Order: size, sha256 (when given), cache, the principal's queue, jailed worker (counts, validation, compilation). Text
        (`(module ...`) is taken like the binary form. Raises Refused (the program's fault; .code, .text), CompileLimit, SandboxBroken.
    .start(image, setup, limits) -> async context manager of Program. Raises StartFailed.
        The request is sent before the body runs; leaving the body kills a program that still runs and waits for its end.
    .statistics() -> frozen counts: running, started, ended, compiled, cache hits, pool.

Program
    await .receive_some() -> memoryview | bytes   raw bytes of the packet stream, b"" at the end; valid until the next call
    `async for packets in program`                the same, cut at packet boundaries (whole packets only); a malformed
                                                  header raises PacketViolation and kills the program
    await .send(data)                             bytes-like, whole packets; BrokenProgram when the program is gone
    .send_nowait(data) -> int                     bytes taken by the kernel at once, may be 0
    .kill(cause=Cause.KILLED)                     at once, idempotent, no checkpoint
    await .wait() -> Outcome                      when its process is gone; needs somebody to read the packets, or the
                                                  program to have ended its output
    .usage() -> Usage                             bytes and packets so far; CPU and peak memory are exact after wait()
    Control packets (logs, files left, the report) never come out of these calls: `.on_log` and the result of
    `.tree()` (what the program left in its file system, after wait()) carry them.

    One task may receive and one may send at a time (trio.BusyResourceError otherwise). A cancelled send ends the program:
    half a packet cannot be taken back.

Values (frozen)
    Setup(arguments=(), environment={}, function=None, tree=None, debug_log=True, origin_credit=65536)
    Tree: what the program's private file system holds at the start, and what it left. `Tree.from_directory(path, limits)`, `.write_to(path)`
    are wires in sandbox.treedisk; the value itself is pure: {path: Directory | File(bytes) | Link(target)}, with times.
    Limits: memory, table, stack, cpu_time, wall_time, files, log ... each with default and reason (sandbox/limits.py)
    Image: sha256 (of the program), personality ("wasi" | "gate"), exports, memory and table minimum, code size, key
    Outcome: state (HALTED | TERMINATED | KILLED), cause, result (0..2**32-1), text; .ok; .usage
    Usage: cpu_user, cpu_system (seconds), peak_memory (bytes), bytes_in, bytes_out, packets_in, packets_out, wall (seconds)

Errors: sandbox/errors.py, one class per whose fault. Every one has `.code` (stable, lower-case-with-dashes) and `.text`
(public: what, why, what to do; never a path, an address or a traceback).
"""
