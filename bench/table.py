"""The words of the benchmark: which figures there are, what each must reach, and how a table of them is printed.

In: measured numbers by key. Out: lines of text. Targets and what was known before stand here once, with their unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Sense = Literal["<=", ">="]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `sense` and `target` say when it is reached (without a target it is only printed).

    `known` is what others, or a prototype, needed.
    """

    key: str
    meaning: str
    sense: Sense
    target: float | None
    known: str
    source: str

    def judged(self, value: float) -> str:
        if self.target is None:
            return "printed"
        reached = value <= self.target if self.sense == "<=" else value >= self.target
        return "reached" if reached else "MISSED"


FIGURES = (
    Figure(
        "spawn_ms", "request -> first packet of a cached hello, native client, median", "<=", 0.30, "Gate 3-4", "spawn"
    ),
    Figure(
        "spawn_p99_ms", "the same, idle pauses between, 99th percentile", "<=", 3.0, "v1 attach in it: 10-29", "spawn"
    ),
    Figure("spawn_vs_fork", "spawn_ms / fork+exit+wait through the spawner", "<=", 1.0, "spike 0.63", "spawn"),
    Figure("spawn_rate", "programs started and ended per second", ">=", 1500, "Gate as a whole 150-220", "spawn"),
    Figure("idle_kib", "private memory + page tables of an idle hello, KiB", "<=", 230, "spike 216; Gate 80", "spawn"),
    Figure("spawn_py_ms", "request -> first packet from Python, median", "<=", 0.5, "estimate 0.26-0.39", "python"),
    Figure("packets_s", "64 B packets, program -> Python, one program", ">=", 200_000, "", "python"),
    Figure("stream_mbs", "program -> Python in 64 KiB packets, MB/s", ">=", 1_000, "", "python"),
    Figure("idle_many", "idle programs held at once", ">=", 3_000, "Gate's constant 16,384", "idle"),
    Figure("kill_1000_s", "killing all of them, seconds per 1,000", "<=", 1.0, "", "idle"),
    Figure("compile_ratio", "cold admission, 1 MiB C program / Module.serialize()", "<=", 1.3, "", "compile"),
    Figure("run_ms", "`gatebus run hello.wasm`, whole process, cached, median", "<=", 250, "", "command"),
    Figure("peer_s", "program -> program, 128 B, one way, per second", ">=", 300_000, "prototype 634,000", "peers"),
    Figure("peer_us", "the same, request and reply, median, us", "<=", 100, "prototype 76", "peers"),
    Figure("fanout_s", "1 -> 100 programs, 1 KiB, deliveries per second", ">=", 80_000, "prototype 107,000", "peers"),
    Figure("start_ms", "cached hello over the bus: call -> first byte, median", "<=", 1.0, "Gate 11.5", "bus"),
    Figure("start_p99_ms", "the same, 99th percentile", "<=", 4.0, "Gate 40", "bus"),
    Figure("rate", "hello calls over the bus per second, 16 in flight", ">=", 1_200, "Gate 150-220", "bus"),
    Figure("rate_client", "the same with gatebus.client (Python)", ">=", None, "", "bus"),
    Figure("echo_us", "64 B client -> program -> client, median, us", "<=", 130, "Gate 340", "bus"),
    Figure("echo_vs_ping", "echo_us / 64 B there and back over TCP alone", "<=", 1.8, "prototype 1.1", "bus"),
    Figure("echo_s", "the same, 64 in flight on one stream, per second", ">=", 60_000, "prototype 115,000", "bus"),
    Figure("bus_stream_mbs", "program -> client, 64 KiB pieces, MB/s", ">=", 700, "prototype 890-1,060", "bus"),
    Figure("host_kib", "host memory of an idle instance with its link, KiB", "<=", 24, "Gate 38", "bus"),
    Figure("many", "idle instances with a stream each, held at once", ">=", 4_000, "", "bus"),
    Figure("clone_ms", "running 16 MiB program, per copy, 10 at once, all answering", "<=", 1.5, "mitos 56", "copies"),
    Figure("clone100_ms", "100 copies, all answering", "<=", 100, "forkd 101 on 8 cores", "copies"),
    Figure("clone_kib", "private memory + page tables of an idle copy, KiB", "<=", 280, "forkd 123", "copies"),
    Figure("snapshot_256", "stands still, 256 MiB touched / memcpy of them", "<=", 1.3, "", "copies"),
    Figure("snapshot_256_again", "the same, all of a shared memory written again", "<=", None, "", "copies"),
    Figure("js_ms", "a line of JavaScript, call -> answer, median", "<=", 6, "interpreter alone 1", "bus"),
    Figure("ipfs_get_ms", "60 MiB from a loopback gateway, verified and saved, ms", "<=", 1_000, "", "content"),
    Figure("ipfs_store_mbs", "blocks into the store, verified and on the disk, MB/s", ">=", 400, "", "content"),
    Figure("ipfs_import_ms", "60 MiB added and pinned, ms", "<=", 500, "", "content"),
    Figure("ipfs_launch_ms", "100 KiB fetched by CID, over an upload (neither by bus), ms", "<=", 10, "", "content"),
    Figure("kernels", "compute kernels / plain wasmtime 48, geometric mean", "<=", 1.02, "Gate 1.59", "kernels"),
    Figure("live_cost", "suspendable / plain, kernels and 3 real programs, mean", "<=", 1.12, "wanco 1.35", "live"),
    Figure("live_cost_worst", "the worst of them", "<=", 1.35, "wanco 1.83", "live"),
    Figure("live_size", "native code of sqlite3, suspendable / plain", "<=", 2.8, "wanco 2.16, Asyncify 4.5", "live"),
    Figure("live_admission", "admission of 1 MiB, suspendable / plain", "<=", 2.2, "prototype 1.8", "live"),
    Figure("live_after", "stopped in the hot loop and continued / never", "<=", 1.1, "prototype 1.02-1.06", "live"),
    Figure("stop_ms", "busy loop, 1 MiB: suspend() -> its state, median", "<=", 1.0, "Gate 0.93", "stops"),
    Figure("go_ms", "resume() -> it runs on, continuation cached, median", "<=", 2.5, "Gate 1.54", "stops"),
    Figure("go_cold_ms", "the interpreter, never stopped there before; goal 15", "<=", None, "", "stops"),
    Figure("store_256", "256 MiB stored / hashed and written by a plain loop", "<=", 1.5, "", "store"),
    Figure("delta", "second snapshot, 64 KiB of 256 MiB changed / first, bytes", "<=", 0.01, "", "store"),
    Figure("idle_records_kib", "memory of the store alone per stored instance, KiB", "<=", None, "", "store"),
    Figure("suspend_parked_ms", "over the bus, small program, median", "<=", 1.0, "Gate 0.93, not durable", "lives"),
    Figure("resume_parked_ms", "the same, until it is said to run", "<=", 1.0, "Gate 1.54", "lives"),
    Figure("suspend_stored_ms", "1 MiB touched, until it is durable, median", "<=", 6, "", "lives"),
    Figure("resume_stored_ms", "from disk, continuation cached, median", "<=", 4, "E2B about 1 s", "lives"),
    Figure("warm_js_ms", "a line of JavaScript from warm, call -> answer", "<=", 3, "", "lives"),
    Figure("idle_store_kib", "host memory per stored instance, nobody connected, KiB", "<=", 4, "", "lives"),
    Figure("idle_attached_kib", "the same, with a client's stream each", "<=", None, "", "lives"),
)


def rows(values: Mapping[str, float]) -> Iterator[str]:
    """One Markdown row for each measured figure, in the order of FIGURES."""
    yield "| key | figure | target | measured | | known |"
    yield "|---|---|---|---|---|---|"
    for figure in FIGURES:
        if figure.key in values:
            value = values[figure.key]
            target = "-" if figure.target is None else f"{figure.sense} {figure.target:g}"
            mark = figure.judged(value)
            yield f"| `{figure.key}` | {figure.meaning} | {target} | {value:.4g} | {mark} | {figure.known} |"


def wanted(only: str) -> tuple[Figure, ...]:
    """The figures named in `only` (comma-separated keys); all of them when it is empty. ValueError: an unknown key."""
    keys = {key.strip() for key in only.split(",") if key.strip()}
    unknown = keys - {figure.key for figure in FIGURES}
    if unknown:
        msg = f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(f.key for f in FIGURES)}"
        raise ValueError(msg)
    return tuple(figure for figure in FIGURES if not keys or figure.key in keys)
