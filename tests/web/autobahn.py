"""Autobahn's websocket test suite as a client of ours: where it is, how it is run, what it says.

The suite is Python 2 only. It is installed once into the user's cache by whatever python2.7 there is; without one the
tests skip with that reason (it is the only thing this project cannot fetch itself), or fail where nothing may be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import trio
from required import missing
from webparts import echo
from websockets.frames import Opcode

from gatebus.web.entry import Terms
from gatebus.web.front import Front
from gatebus.web.websocketlink import WebsocketLink

RELEASE = "autobahntestsuite==25.10.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatebus" / "autobahn-25.10.1"
MESSAGE = 16 << 20  # the largest of cases 9.*
RUN = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"


class TextEcho(WebsocketLink):
    """The bus has no text messages; the suite asks for them, so here they are checked and go back at once."""

    takes_text = True

    def _deliver(self, kind: Opcode, message: bytes) -> None:
        if kind is not Opcode.TEXT:
            super()._deliver(kind, message)
            return
        try:
            message.decode()
        except UnicodeDecodeError:
            self._refuse(1007, "this text is not UTF-8")
            return
        if self._open:
            self._protocol.send_text(message)
            self._answer()


FRONT = Front(echo, terms=Terms(subprotocol=None, path="/", message_bytes=MESSAGE), link_class=TextEcho)


def python2() -> str | None:
    """A python2.7 that works: pyenv's shims are there even when no version is chosen."""
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"]
    found = [str(path) for root in roots for path in sorted(root.glob("2.7.*/bin/python2.7"))]
    return next((name for name in (*found, shutil.which("python2.7")) if name and _works(name)), None)


def installed() -> str:
    """The python2.7 to run it with; installs the suite the first time. Skips or fails with the reason."""
    python = python2()
    if python is None:
        missing("no Python 2.7 on this machine, which Autobahn's test suite needs: pyenv install 2.7.18")
    if not (CACHE / "complete").exists():
        fresh = CACHE.with_name(f"{CACHE.name}.{os.getpid()}")  # two test runs may install at once
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--target", str(fresh), RELEASE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            missing(f"pip of Python 2.7 could not install {RELEASE}: {done.stderr[-300:]}")
        (fresh / "complete").write_text(RELEASE)
        try:
            fresh.rename(CACHE)
        except OSError:
            shutil.rmtree(fresh)  # the other one was first
    return python


async def results(python: str, port: int, folder: Path, cases: list[str], without: list[str]) -> dict[str, str]:
    """Case -> what the suite says of it, both of the exchange and of the close."""
    folder.mkdir(exist_ok=True)
    spec = folder / "spec.json"
    server = {"agent": "gatebus", "url": f"ws://127.0.0.1:{port}"}
    outdir = folder / "report"
    settings = {"servers": [server], "outdir": str(outdir), "cases": cases, "exclude-cases": without}
    spec.write_text(json.dumps(settings))
    command = [python, "-c", RUN, str(CACHE), "-m", "fuzzingclient", "-s", str(spec)]
    await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    report = json.loads((outdir / "index.json").read_text())["gatebus"]
    return {case: f"{said['behavior']}, {said['behaviorClose']}" for case, said in report.items()}


def _works(python: str) -> bool:
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
