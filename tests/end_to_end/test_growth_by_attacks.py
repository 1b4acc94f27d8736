"""How much a real host's process grows by attacks: its memory as the kernel counts it, the most it ever was.

Each attack is a fixed amount (bench.attackers), by somebody who was let in, in a process of its own, one after another
on one host, and the bound of 64 MiB, which one attack may have, holds for all of them together. Whatever the machine
does beside it, less is only measured when less is done: the bound is one from above. The host still answers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostprocess import HostProcess, gatebus, serving

from bench.attackers import ATTACKS
from bench.bystanders import attacked

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")

MOST_KIB = 64 * 1024
ROUNDS = {
    **dict.fromkeys(("opens", "pings", "websocket_pings", "fragments"), "3"),
    "calls": "10",
    "short_spinners": "2",
    "links": "20",
    "unread": "2",  # 256 programs: as many as one account has memory for by the default of each
    "modules": "10",
}
Attacked = tuple[HostProcess, int]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """And what it had when it was ready."""
    home = tmp_path_factory.mktemp("attacked")
    with serving(home, "--listen", "127.0.0.1:0", "--stop-seconds", "0") as process:
        yield process, resident_kib(process, "VmRSS")


def resident_kib(host: HostProcess, field: str) -> int:
    status = Path(f"/proc/{host.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_host_grows_by_no_more_than_64_mib(host: Attacked, attack: str) -> None:
    process, before = host
    path = process.address("unix")
    with attacked(path, attack, ROUNDS.get(attack, ""), idle=False):  # nothing is timed
        grown = resident_kib(process, "VmHWM") - before
        assert grown <= MOST_KIB, f"{grown} KiB"
    told = gatebus(process.home, "features", "--host", f"unix:{path}", "--json")
    assert told.returncode == 0, told.stderr
