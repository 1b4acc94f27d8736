"""The WebAssembly core suite through the native sandbox, compared with what is committed.

`gatebus-suite` makes modules that check themselves (sandbox/native/suite); here they are admitted, started and judged
by kill cause and result. `BLESS=1` writes the expectation anew; look at the difference before committing it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from outside import CODES, open_native, run, tool

import sandbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.usefixtures("native")

EXPECTATION = Path(__file__).parents[1] / "data" / "core_suite.json"
WORKERS = 8  # more than the compile workers and cores, so that neither waits for the other
# The suite has modules with large memories and tables, and functions without end that must run out of stack.
LIMITS = sandbox.Limits(memory=1 << 28, table=10_000_000, cpu_time=20, wall_time=60)

Case = dict[str, Any]


@dataclass
class Tally:
    """What happened, by kind; `wrong` names each assertion that does not hold."""

    passed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self, kind: str, where: str, found: object, expected: object, count: int = 1) -> None:
        if found == expected:
            self.passed[kind] += count
        else:
            self.wrong.append(f"{where}: {kind}: {found}, expected {expected}")


def generate(directory: Path, *scripts: Path) -> Case:
    subprocess.run([tool("gatebus-suite"), directory, *scripts], check=True)
    manifest: Case = json.loads((directory / "manifest.json").read_text())
    return manifest


async def run_case(box: sandbox.Sandbox, directory: Path, case: Case, tally: Tally, principal: str) -> None:
    """One module: everything that returns in one start, everything that is killed in a start of its own."""
    where = f"{case['file']}:{case['line']}"
    try:
        image = await box.compile((directory / case["module"]).read_bytes(), principal=principal)
    except sandbox.SandboxError as error:
        tally.wrong.append(f"{where}: {case['module']}: not admitted: {error}")
        return
    if case["trap"]:
        outcome = await run(box, image, LIMITS, "gatebus-check")
        tally.check("trap at start", where, outcome.cause.name, case["trap"])
        return
    if case["steps"] or not case["entries"]:
        outcome = await run(box, image, LIMITS, "gatebus-check")
        kind = "module, imports replaced" if case["linked"] else "module"
        tally.check(kind, where, _line(outcome, case), "all right")
        tally.passed["return"] += case["check"] if outcome.ok else 0
    for entry in case["entries"]:
        outcome = await run(box, image, LIMITS, entry["name"])
        tally.check(entry["kind"], f"{case['file']}:{entry['line']}", outcome.cause.name, entry["cause"])


def _line(outcome: sandbox.Outcome, case: Case) -> str:
    """The result is the number of the first step that is wrong."""
    if outcome.ok:
        return "all right"
    if outcome.state is sandbox.State.HALTED and 0 < outcome.result <= len(case["steps"]):
        return f"line {case['steps'][outcome.result - 1]}"
    return str(outcome)


async def refuse_case(box: sandbox.Sandbox, directory: Path, case: Case, tally: Tally, principal: str) -> None:
    where, kind = f"{case['file']}:{case['line']}", case["kind"]
    try:
        await box.compile((directory / case["module"]).read_bytes(), principal=principal)
    except sandbox.Refused as error:
        allowed = {"unsupported", "bad-import", "too-large"} if kind == "policy" else CODES
        tally.check(kind, f"{where} ({error.text})", error.code in allowed, expected=True)
        tally.refused[f"{kind}: {case['reason']}" if kind == "policy" else f"{kind}: {error.code}"] += 1
    except sandbox.SandboxError as error:
        tally.wrong.append(f"{where}: {case['module']}: {kind}: {error}")
    else:
        tally.wrong.append(f"{where}: {case['module']}: {kind} ({case['reason']}) was admitted")


async def run_all(directory: Path, manifest: Case) -> Tally:
    """Everything, by several workers, each a principal with its own queue."""
    tally = Tally()
    jobs: list[tuple[Callable[..., Awaitable[None]], Case]] = [(run_case, case) for case in manifest["runs"]]
    jobs += [(refuse_case, case) for case in manifest["refuse"]]
    waiting = iter(jobs)

    async def work(principal: str) -> None:
        for function, case in waiting:
            await function(box, directory, case, tally, principal)

    async with open_native() as box, trio.open_nursery() as nursery:
        for number in range(WORKERS):
            nursery.start_soon(work, f"suite-{number}")
    return tally


def found(manifest: Case, tally: Tally) -> Case:
    skipped = {f"{skip['kind']}: {skip['reason']}": skip["count"] for skip in manifest["skipped"]}
    return {
        "files": manifest["files"], "failed": len(tally.wrong), "passed": dict(sorted(tally.passed.items())),
        "refused": dict(sorted(tally.refused.items())), "skipped": dict(sorted(skipped.items())),
    }  # fmt: skip


@pytest.mark.timeout(600)
async def test_the_core_suite_passes_as_expected(tmp_path: Path) -> None:
    manifest = generate(tmp_path)
    tally = await run_all(tmp_path, manifest)
    assert not tally.wrong, "\n".join(tally.wrong[:50])
    if os.environ.get("BLESS"):
        EXPECTATION.write_text(json.dumps(found(manifest, tally), indent=1) + "\n")
    assert found(manifest, tally) == json.loads(EXPECTATION.read_text())


async def test_the_suite_would_see_a_wrong_result(tmp_path: Path) -> None:
    """The harness itself: each kind of assertion, once right and once wrong."""
    script = tmp_path / "wrong.wast"
    script.write_text(WRONG)
    tally = await run_all(tmp_path, generate(tmp_path, script))
    assert sorted(line.removeprefix(f"{script}:") for line in tally.wrong) == [
        "10: trap: UNREACHABLE, expected INTEGER_DIVIDE_BY_ZERO",
        "11: trap: NORMAL, expected UNREACHABLE",
        "12: module: line 16, expected all right",
        "1: module: line 8, expected all right",
    ]
    assert +tally.passed == {"trap": 1}


WRONG = """(module
  (func (export "one") (result i32) (i32.const 1))
  (func (export "nan") (result f32) (f32.const nan:0x200000))
  (func (export "stop") unreachable))
(assert_return (invoke "one") (i32.const 1))
(assert_trap (invoke "stop") "unreachable")
(assert_return (invoke "nan") (f32.const nan:0x200000))
(assert_return (invoke "nan") (f32.const nan:arithmetic))
(assert_return (invoke "one") (i32.const 2))
(assert_trap (invoke "stop") "integer divide by zero")
(assert_trap (invoke "one") "unreachable")
(module
  (func (export "lanes") (result v128) (v128.const i32x4 1 2 3 4))
  (func (export "two") (result i32 i64) (i32.const 1) (i64.const 2)))
(assert_return (invoke "two") (i32.const 1) (i64.const 2))
(assert_return (invoke "lanes") (v128.const i32x4 1 2 3 5))
"""
