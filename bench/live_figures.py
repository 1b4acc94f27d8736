"""Measures what it costs a program that it can be stopped anywhere: time, size, admission, and life after a stop.

In:  the programs of live_programs.py; `gatebus-live` of the last build; `wasm-opt`, if it is installed
Out: a table beside two other ways to interrupt a program, and {"live_cost": …} as the last line

One process per program runs its images in turn, ROUNDS times; each time is the best of them. Images of one program that
give different results are an error, and so is another line than the one that the program must print.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.live_programs import Program, cache, interpreter, programs, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUNDS = 5
# Compiling is slower than running and steadier.
ADMISSIONS = 3
FORMS = ("plain", "suspendable", "epoch")
HEAD = """| program | suspendable / plain | epochs | Asyncify | native code | with Asyncify | stopped once / never |
|---|---|---|---|---|---|---|"""


class LiveError(Exception):
    """A program of the benchmark did not do what it must."""


def tool() -> Path:
    """Beside the other executables of the last build (`make build`)."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or cache() / "target")
    return target / "release" / "gatebus-live"


def live(*words: str | Path) -> dict[str, object]:
    done = subprocess.run([str(tool()), *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"gatebus-live {words[0]}: {done.stderr.strip()}"
        raise LiveError(msg)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def number(answer: dict[str, object], key: str) -> float:
    value = answer[key]
    assert isinstance(value, int | float), key
    return float(value)


def asyncified(program: Program, folder: Path) -> Path | None:
    """The module after Binaryen's Asyncify, every loop asking whether to stop; None where it is not installed."""
    if shutil.which("wasm-opt") is None:
        return None
    polled, out = folder / f"{program.name}.polled.wasm", folder / f"{program.name}.asyncify.wasm"
    live("poll", program.file, polled)
    command = ["wasm-opt", "--all-features", "--asyncify", "-O2", polled, "-o", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{program.name}: wasm-opt refused it: {done.stderr.strip().splitlines()[0]}")
        return None
    return out


def images(program: Program, folder: Path) -> dict[str, dict[str, object]]:
    """Form -> what compiling it said; the images lie in the folder."""
    sources = [(form, form, program.file) for form in FORMS]
    other = asyncified(program, folder)
    if other is not None:
        sources.append(("asyncify", "plain", other))
    return {name: live("compile", form, file, folder / f"{program.name}-{name}.{form}") for name, form, file in sources}


def image(program: Program, name: str, folder: Path) -> Path:
    form = name if name in FORMS else "plain"
    return folder / f"{program.name}-{name}.{form}"


def ratios(program: Program, names: Iterable[str], folder: Path) -> dict[str, float]:
    """Each form's time / plain."""
    names = list(names)
    answer = live("run", str(ROUNDS), *(image(program, name, folder) for name in names), "--", *program.words)
    if answer["said"] != program.prints:
        msg = f"{program.name} printed {answer['said']!r}"
        raise LiveError(msg)
    times = answer["seconds"]
    assert isinstance(times, list)
    return {name: seconds / times[0] for name, seconds in zip(names, times, strict=True)}


def after(program: Program) -> float:
    """A run that was stopped after a tenth and continued / one that was never stopped."""
    answer = live("after", str(ROUNDS), program.file, "--", *program.words)
    return number(answer, "parts") / number(answer, "whole")


def admission(program: Program, folder: Path) -> float:
    """Admitted suspendable / admitted plain, in turn."""
    best = dict.fromkeys(FORMS[:2], math.inf)
    for _ in range(ADMISSIONS):
        for form in best:
            said = live("compile", form, program.file, folder / f"again.{form}")
            best[form] = min(best[form], number(said, "seconds"))
    return best["suspendable"] / best["plain"]


def mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def measure(folder: Path) -> dict[str, float]:
    """The figures; each program's row is printed as soon as it is known."""
    costs, sizes, afters = {}, {}, {}
    print(HEAD)
    for program in programs():
        compiled = images(program, folder)
        text = {name: number(said, "text") / number(compiled["plain"], "text") for name, said in compiled.items()}
        ratio = ratios(program, compiled, folder)
        costs[program.name], sizes[program.name] = ratio, text
        afters[program.name] = after(program)
        times = f"{ratio['suspendable']:.3f} | {ratio['epoch']:.3f} | {shown(ratio)}"
        native = f"{text['suspendable']:.2f} | {shown(text)}"
        print(f"| {program.name} | {times} | {native} | {afters[program.name]:.3f} |", flush=True)
    if shutil.which("wasm-opt") is None:
        print("Asyncify was not measured: wasm-opt (Debian's package binaryen) is not installed")
    for name in ("suspendable", "epoch", "asyncify"):
        known = [ratio[name] for ratio in costs.values() if name in ratio]
        if known:
            print(f"{name}: geometric mean {mean(known):.3f}, worst {max(known):.3f}, of {len(known)}")
    ours = [ratio["suspendable"] for ratio in costs.values()]
    return {
        "live_cost": mean(ours),
        "live_cost_worst": max(ours),
        "live_size": sizes[sqlite().name]["suspendable"],
        "live_after": mean(afters.values()),
        "live_admission": admission(interpreter(), folder),
    }


def shown(values: dict[str, float]) -> str:
    return f"{values['asyncify']:.2f}" if "asyncify" in values else "-"


def main() -> int:
    missing = [path for path in (tool(), *(program.file for program in programs())) if not path.exists()]
    if missing:
        print(f"bench: {missing[0].name} is not built; run `make build guests`", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(json.dumps(measure(Path(folder))))
        except LiveError as failed:
            print(f"bench: {failed}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
