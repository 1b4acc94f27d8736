"""bench.__main__: a script that measures is run, and never waited for longer than it may take."""

import os
import signal
import sys

from bench.__main__ import run


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_what_a_script_says_is_taken_with_its_exit_code() -> None:
    assert run(script("print('a'); print('b'); raise SystemExit(3)"), 60) == (3, "a\nb\n")


def test_a_process_that_a_script_left_behind_is_not_waited_for() -> None:
    waits = "import signal; signal.pause()"
    leaving = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {waits!r}]).pid)"
    code, said = run(script(leaving), 60)
    os.kill(int(said), signal.SIGKILL)
    assert code == 0


def test_a_script_that_never_ends_is_killed() -> None:
    assert run(script("import signal; signal.pause()"), 0.2) == (None, "")
