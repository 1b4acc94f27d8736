"""Assembly of the benchmark: runs the scripts that measure, prints one table, writes build/bench.json.

Each script is a process of its own that prints one JSON object {key: number} as its last line, so that no measurement
warms or disturbs another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.table import rows, wanted

ROOT = Path(__file__).parent.parent
# The longest script holds 3,000 programs or runs kernels for minutes; a slow machine takes three times as long.
PATIENCE = 1_800.0
SCRIPTS = {
    "spawn": [str(ROOT / "sandbox/bin/gatebus-sandbox"), "bench-spawn"],
    "python": [sys.executable, "-m", "bench.sandbox_python"],
    "idle": [sys.executable, "-m", "bench.idle_many"],
    "compile": [sys.executable, "-m", "bench.compile_ratio"],
    "command": [sys.executable, "-m", "bench.run_command"],
    "peers": [sys.executable, "-m", "bench.neighbours"],
    "bus": [sys.executable, "-m", "bench.bus_figures"],
    "content": [sys.executable, "-m", "bench.content_figures"],
    "kernels": [sys.executable, "-m", "bench.kernels"],
    "copies": [sys.executable, "-m", "bench.copy_figures"],
    "stops": [sys.executable, "-m", "bench.stop_and_go"],
    "store": [sys.executable, "-m", "bench.snapshot_disk"],
    "lives": [sys.executable, "-m", "bench.lives_figures"],
    "live": [sys.executable, "-m", "bench.live_figures"],
}


def machine() -> str:
    """The facts without which a timing says nothing."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {system}, load before: {load}"


def run(command: list[str], patience: float) -> tuple[int | None, str]:
    """(exit code, what it said); None when it had to be killed, with everything that it started.

    It writes to a file: a pipe ends only when the last process that holds it has ended, and that may be never.
    """
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, text=True, cwd=ROOT, start_new_session=True)
        try:
            code = process.wait(patience)
        except BaseException as problem:  # Ctrl-C does not reach a session of its own
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(problem, subprocess.TimeoutExpired):
                raise
            return None, ""
        out.seek(0)
        return code, out.read()


def measure(source: str) -> dict[str, float]:
    """Run one script and take the JSON object of its last line; its other lines are passed on."""
    code, said = run(SCRIPTS[source], PATIENCE)
    lines = said.strip().splitlines()
    if code is None:
        print(f"bench: {source} had not ended after {PATIENCE:g} seconds; it was killed", file=sys.stderr)
        return {}
    if code != 0 or not lines:
        print(f"bench: {source} failed with exit code {code}", file=sys.stderr)
        return {}
    print("\n".join(lines[:-1]))
    said = json.loads(lines[-1])
    return {key: float(value) for key, value in said.items() if not isinstance(value, str)}  # text: what was on


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="KEY,KEY", help="measure these figures only")
    figures = wanted(parser.parse_args().only)
    facts = machine()
    values: dict[str, float] = {}
    for source in dict.fromkeys(figure.source for figure in figures):
        values |= measure(source)
    if {"spawn_ms", "fork_ms"} <= values.keys():
        values["spawn_vs_fork"] = values["spawn_ms"] / values["fork_ms"]  # both without pauses, taken in turn
    keys = {figure.key for figure in figures}
    values = {key: value for key, value in values.items() if key in keys}
    print(f"\n{facts}\n")
    print("\n".join(rows(values)))
    out = ROOT / "build/bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(values, indent=1) + "\n")
    return 0 if keys <= set(values) else 1


if __name__ == "__main__":
    raise SystemExit(main())
