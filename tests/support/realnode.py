"""A real IPFS node: Kubo, built by `make kubo`, on loopback and off line; for tests.

Nothing of this machine's own node is read or touched: a new repository, ports that the system chooses, nobody to ask.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Kubo:
    """`rpc` and `gateway` are URLs."""

    program: Path
    environment: dict[str, str]
    rpc: str
    gateway: str

    def command(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What `ipfs` prints, as for whoever sits in front of the node."""
        line = [str(self.program), *arguments]
        done = subprocess.run(
            line, env=self.environment, input=stdin, capture_output=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def kubo_program() -> Path:
    """Built, or one's own by KUBO_BINARY. Skips only where there is no Go to build it with."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = Path(os.environ.get("KUBO_BINARY") or cache / "gatebus" / "kubo" / "ipfs")
    if not program.is_file():
        if os.environ.get("GATEBUS_REQUIRE_DATA") and shutil.which("go"):
            pytest.fail("there is Go but no Kubo: see what `make kubo` says")
        pytest.skip("Kubo is not built (make kubo; it needs Go)")
    return program


@contextmanager
def kubo_running(folder: Path) -> Iterator[Kubo]:
    program = kubo_program()
    home = {"HOME": str(folder), "IPFS_PATH": str(folder / "repo"), "IPFS_TELEMETRY": "off"}
    environment = {"PATH": os.environ["PATH"], **home}
    line = [str(program), "init", "--empty-repo", "--profile=test"]
    subprocess.run(line, env=environment, check=True, capture_output=True, timeout=PATIENCE)
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [str(program), "daemon", "--offline"], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert daemon.stdout is not None
            told = []
            for each in daemon.stdout:
                told.append(each)
                if "Daemon is ready" in each:
                    break
            assert daemon.poll() is None, (told, (folder / "log").read_text())
            yield Kubo(program, environment, *_places(folder / "repo"))
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=PATIENCE)


def _places(repository: Path) -> tuple[str, str]:
    _, _, host, _, port = (repository / "api").read_text().strip().split("/")
    return f"http://{host}:{port}", (repository / "gateway").read_text().strip()
