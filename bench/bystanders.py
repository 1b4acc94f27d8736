"""What somebody else notices of an attack: p50 and p99 of a stranger's calls and echoes, with and without it.

    python -m bench.bystanders [ATTACK ...]

The attacker is the user of the unix socket, the bystander a stranger (another account) with the raw client of
bus_figures: CALLS calls of a hello over an open link, one after the other, each from its `open` to its result, and then
ECHOES times 64 B to a program and back. A round is such a run without the attack and one right after it has begun; the
ratio of a round is what counts, because figures of a machine that does something else mean little alone. Printed: the
middle of ROUNDS ratios, and the lowest and highest. All attacks take some four minutes.
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

CALLS, ECHOES, ROUNDS = 400, 2_000, 5
WARM_UP = 100  # calls that nobody measures: page faults of a host that has just been started
KEYS = ("p50", "p99", "echo_p50", "echo_p99")

Times = dict[str, float]


@contextlib.contextmanager
def attacked(path: str, attack: str, rounds: str = "", *, idle: bool = True) -> Iterator[None]:
    """`idle`: at the lowest priority there is, so that what it costs itself is not what is measured: an attacker of
    another machine would not compete for this machine's processors either.
    """
    line = [sys.executable, "-m", "bench.attackers", path, attack, rounds]
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if idle:
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        assert process.stdout.readline() == "ready\n", attack
        try:
            yield
        finally:
            process.stdin.close()


def bystander(server: HostProcess) -> Times:
    """Microseconds of both kinds."""
    call = server.measure("hello", "start", CALLS)["last"]
    echo = server.measure("echo", "echo", ECHOES, 1)["echo"]
    return {"p50": call["p50"], "p99": call["p99"], "echo_p50": echo["p50"], "echo_p99": echo["p99"]}


def noticed(server: HostProcess, path: str, attack: str) -> tuple[list[tuple[Times, Times]], float]:
    """Microseconds without and with it, round by round, and MiB by which the host has grown."""
    server.measure("hello", "start", WARM_UP)
    before, rounds = server.private_kib(), []
    for _ in range(ROUNDS):
        quiet = bystander(server)
        with attacked(path, attack):
            rounds.append((quiet, bystander(server)))
            grown = server.private_kib() - before
    return rounds, grown / 1024


def shown(key: str, rounds: list[tuple[Times, Times]]) -> tuple[float, str]:
    ratios = sorted(attack[key] / quiet[key] for quiet, attack in rounds)
    quiet, attack = (statistics.median(each[side][key] for each in rounds) / 1000 for side in (0, 1))
    ratio = statistics.median(ratios)
    return ratio, f"{key} {quiet:.2f} -> {attack:.2f} ms, {ratio:.2f}x ({ratios[0]:.2f} - {ratios[-1]:.2f})"


def main() -> None:
    build_client()
    figures: dict[str, float] = {}
    folder = tempfile.mkdtemp(prefix="gatebus-")
    path = str(Path(folder) / "host.sock")
    os.environ["GATEBUS_BENCH_SOCKET"] = path
    for attack in sys.argv[1:] or ATTACKS:
        with host() as server:
            rounds, grown = noticed(server, path, attack)
        texts = []
        for key in KEYS:
            figures[f"{attack}_{key}"], text = shown(key, rounds)
            texts.append(text)
        print(f"{attack}: {'; '.join(texts)}; host {grown:+.1f} MiB", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
