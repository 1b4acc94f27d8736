"""Measures what the sandbox costs a program that only computes: processor time here against the plain engine.

In:  bench/kernels/*.wat, each with an export `run` that returns 0 when its own check of the result holds
Out: a table, and {"kernels": geometric mean of the ratios} as the last line

Both sides use the same version of the engine and one thread. Each figure is the best of ROUNDS, taken in turn, so that
whatever else the machine does falls on both. On our side it is everything that the kernel booked for the process.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import trio

import sandbox

KERNELS = Path(__file__).parent / "kernels"
ROUNDS = 5  # the best of five is within half a percent of the best of twenty


def plain_engine() -> Path:
    """The program beside the executables of the last build (`make build`)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or cache / "gatebus" / "target")
    return target / "release" / "gatebus-plain"


async def measure_plain(file: Path) -> float:
    done = await trio.run_process([str(plain_engine()), str(file)], capture_stdout=True)
    answer = json.loads(done.stdout)
    assert answer["result"] == 0, f"{file.name} fails its own check in the plain engine"
    return float(answer["cpu"])


async def measure_sandbox(box: sandbox.Sandbox, image: sandbox.Image) -> float:
    limits = sandbox.Limits()
    async with box.start(image, sandbox.Setup(function="run"), limits) as program:
        async for _ in program:
            pass
        outcome = await program.wait()
    assert outcome.ok, f"a kernel ended with {outcome}"
    return outcome.usage.cpu_user + outcome.usage.cpu_system


async def measure() -> dict[str, tuple[float, float]]:
    """Name -> best seconds in the plain engine and in the sandbox."""
    best: dict[str, tuple[float, float]] = {}
    async with sandbox.open_sandbox("native") as box:
        files = sorted(KERNELS.glob("*.wat"))
        images = {file: await box.compile(file.read_bytes(), principal="bench") for file in files}
        for _ in range(ROUNDS):
            for file, image in images.items():
                pair = (await measure_plain(file), await measure_sandbox(box, image))
                old = best.get(file.stem, (math.inf, math.inf))
                best[file.stem] = (min(old[0], pair[0]), min(old[1], pair[1]))
    return best


def main() -> int:
    if not plain_engine().exists():
        print("bench: gatebus-plain is not built; run `make build`", file=sys.stderr)
        return 1
    best = trio.run(measure)
    print("| kernel | plain engine, ms | sandbox, ms | ratio |\n|---|---|---|---|")
    for name, (plain, ours) in best.items():
        print(f"| {name} | {plain * 1e3:.1f} | {ours * 1e3:.1f} | {ours / plain:.3f} |")
    ratios = [ours / plain for plain, ours in best.values()]
    print(json.dumps({"kernels": math.exp(sum(map(math.log, ratios)) / len(ratios))}))
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (sandbox.SandboxError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(1) from None
