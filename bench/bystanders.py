"""What somebody else notices of an attack: p50 and p99 of a stranger's calls of a hello, with and without it.

    python -m bench.bystanders [ATTACK ...]

The attacker is the user of the unix socket, the bystander a stranger (another account) with the raw client of
bus_figures, one call at a time. Each attack is measured between two quiet runs, several times, and the ratio is what
counts: figures of a machine that does something else mean little alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.attackers import ATTACKS
from bench.bus_figures import ROOT, build_client, host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.bus_figures import HostProcess

CALLS, ROUNDS = 300, 3


@contextlib.contextmanager
def attacked(path: str, attack: str, rounds: str = "") -> Iterator[None]:
    line = [sys.executable, "-m", "bench.attackers", path, attack, rounds]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", attack
        try:
            yield
        finally:
            process.stdin.close()


def noticed(server: HostProcess, path: str, attack: str) -> tuple[dict[str, float], dict[str, float], float]:
    """Milliseconds without and with it, and MiB by which the host has grown."""
    quiet, attacks = [], []
    before = server.private_kib()
    for _ in range(ROUNDS):
        quiet.append(server.measure("hello", "start", CALLS)["last"])
        with attacked(path, attack):
            attacks.append(server.measure("hello", "start", CALLS)["last"])
            grown = server.private_kib() - before
    return middle(quiet), middle(attacks), grown / 1024


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) / 1000 for key in ("p50", "p99")}


def main() -> None:
    build_client()
    figures: dict[str, float] = {}
    folder = tempfile.mkdtemp(prefix="gatebus-")
    path = str(Path(folder) / "host.sock")
    os.environ["GATEBUS_BENCH_SOCKET"] = path
    for attack in sys.argv[1:] or ATTACKS:
        with host() as server:
            quiet, attacks, grown = noticed(server, path, attack)
        for key in quiet:
            figures[f"{attack}_{key}"] = attacks[key] / quiet[key]
        ratios = {key: attacks[key] / quiet[key] for key in quiet}
        shown = [f"{key} {quiet[key]:.2f} -> {attacks[key]:.2f} ms ({ratios[key]:.1f}x)" for key in quiet]
        print(f"{attack}: {', '.join(shown)}, host {grown:+.1f} MiB", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
