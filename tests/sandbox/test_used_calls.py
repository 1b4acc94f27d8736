"""T4: no filter allows a call that nobody makes: for each list, what is allowed minus what was seen is empty.

The keeper runs under a tracer (call_tracer.py) while programs of every kind run, end in every way and are compiled;
the lists are read from the source that the filters are made of. What another machine needs stands below, row by row.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from pathlib import Path

import pytest
import trio
import wat_programs as wat
from guestfiles import require_guest
from talk import run
from waiting import PATIENCE

import sandbox
from sandbox import CompileLimits, File, HostLimits, Limits, Settings, Setup, Tree, keeperprocess

pytestmark = [
    pytest.mark.usefixtures("native"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers below are x86-64's"),
]

SOURCE = (Path(__file__).parents[2] / "sandbox/native/jail/src/filters.rs").read_text()
NUMBERS = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "sched_yield": 24,
    "mremap": 25, "madvise": 28, "sendmsg": 46, "recvmsg": 47, "clone": 56, "wait4": 61, "fcntl": 72, "ftruncate": 77,
    "sigaltstack": 131, "prctl": 157, "futex": 202, "timer_create": 222, "timer_settime": 223, "clock_gettime": 228,
    "exit_group": 231, "newfstatat": 262, "ppoll": 271, "dup3": 292, "prlimit64": 302, "seccomp": 317,
    "getrandom": 318, "membarrier": 324, "statx": 332, "close_range": 436, "landlock_restrict_self": 446,
}  # fmt: skip

NO_VDSO = "where the kernel's clock source cannot be read from user space"
# What is allowed and not made here, and where it is.
ELSEWHERE: dict[str, dict[str, str]] = {
    "STAGE_0": {"membarrier": "arm64", "clock_gettime": NO_VDSO},
    "PROGRAM": {},
    "COMPILE": {"clock_gettime": NO_VDSO},
}


def allowed(table: str) -> set[str]:
    body = re.search(rf"pub const {table}: &\[Rule\] = &\[(.*?)\n\];", SOURCE, re.S)
    assert body is not None
    names = set(re.findall(r'rule\(\s*"(\w+)"', body.group(1)))
    assert names
    return names | {"mprotect"} if table == "PROGRAM" else names  # its rows are made from addresses


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return tmp_path / "calls.json"


@pytest.fixture
def tracer(tmp_path: Path, result: Path) -> str:
    text = (Path(__file__).parent / "call_tracer.py").read_text()
    text = text.replace("@KEEPER@", keeperprocess.find_executable(None)).replace("@RESULT@", str(result))
    executable = tmp_path / "tracer"
    executable.write_text(f"#!{sys.executable} -E\n{text}")
    executable.chmod(0o755)
    return str(executable)


async def every_kind_of_program(box: sandbox.Sandbox) -> None:
    tree = Tree({"old": File(b"x" * 100_000)})
    for program, setup, limits in [
        (wat.HELLO, None, None),
        (wat.ECHO, None, None),
        (wat.grow_to(64), None, None),
        (wat.TRAPS["MEMORY_ACCESS_OUT_OF_BOUNDS"], None, None),
        (wat.TRAPS["UNREACHABLE"], None, None),
        (wat.recurse(60_000), None, Limits(stack=8 << 20)),
        (wat.write_file("new", "x"), Setup(tree=tree), None),
        (wat.BUSY, None, Limits(cpu_time=0.2)),
        (wat.SLEEP, None, Limits(wall_time=0.2)),
    ]:
        await run(box, program, setup, limits)
    for guest in ("wasi_files.wasm", "wasi_clocks.wasm", "wasi_sqlite.wasm"):
        await run(box, require_guest(f"tests/{guest}").read_bytes())
    async with box.start(await box.compile(wat.SLEEP)) as program:
        program.kill()
        await program.wait()


async def every_kind_of_compilation(box: sandbox.Sandbox) -> None:
    for wasm in (b"\0asm\1\0\0\0\7", wat.program("(i32.const 1)"), b"(module (func"):
        with pytest.raises(sandbox.Refused):
            await box.compile(wasm)
    await box.compile(require_guest("qjs.wasm").read_bytes())  # a megabyte of somebody else's C


async def test_every_call_that_a_filter_allows_is_made_by_somebody(
    tracer: str, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeperprocess, "END_SECONDS", PATIENCE)  # the tracer writes when the last process is gone
    patient = HostLimits(keeper_seconds=PATIENCE, kill_seconds=PATIENCE)
    limits = CompileLimits(cpu_time=PATIENCE, wall_time=PATIENCE)
    settings = Settings(executable=tracer, cache_directory="", host_limits=patient, compile_limits=limits)
    with trio.fail_after(PATIENCE):
        async with sandbox.open_sandbox("native", settings) as box:
            await every_kind_of_program(box)
            await every_kind_of_compilation(box)
    seen = {kind: set(calls) for kind, calls in json.loads(result.read_text()).items()}
    seen["spawner"] |= seen["program"]  # filters add up: the first one is asked, too
    for table, kind in (("STAGE_0", "spawner"), ("PROGRAM", "program"), ("COMPILE", "worker")):
        unused = {name for name in allowed(table) if NUMBERS[name] not in seen[kind]}
        assert unused == set(ELSEWHERE[table]), table
