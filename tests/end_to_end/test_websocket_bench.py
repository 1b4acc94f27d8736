"""The comparison of websocket layers that the documents quote can be run by anybody; every reply is compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from waiting import PATIENCE

from bench.websocket_layers import LOADS, SERVERS

ROOT = Path(__file__).parent.parent.parent


def test_each_layer_is_measured_under_each_load() -> None:
    command = [sys.executable, "-m", "bench.websocket_layers", "1", "0.005"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    table = done.stdout.splitlines()[1:]
    wanted = {(load.name, name) for load in LOADS for name in SERVERS}
    assert {pair for row in table for pair in wanted if row.startswith(pair[0]) and f" {pair[1]} " in row} == wanted
