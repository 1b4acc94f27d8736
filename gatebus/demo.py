"""`make demo`: what gatebus can do now, told in a person's words; assembly.

In:  a checkout with its examples. Out: the story on stdout; exit code 0 only when everything was as told.

Each step is a command that the reader can type as well, run as a process of its own, and its output and exit code are
checked before the story goes on. The JavaScript interpreter is built when it is missing; without the native back-end
the demo says so and uses the other.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gatebus.cli.surroundings import guests_directory

ROOT = Path(__file__).parent.parent
GATEBUS = (sys.executable, "-m", "gatebus")
MAKE = ("make", "-C", "examples/js", "--silent")
# The longest step compiles the interpreter the first time; a slow machine takes a minute.
PATIENCE = 300
# Seconds between two signs of life.
PULSE = 10

INTRODUCTION = """
Gatebus sends programs instead of messages: WebAssembly, from anyone. What makes that bearable is that a program can
do nothing to the machine it runs on. Four things to see:
"""

NEXT = """
Try next:
  gatebus run --usage examples/js/hello.js Ada      what a run costs
  gatebus run examples/js/files.js                  files of its own; --dir and --out copy yours in and out
  gatebus doctor                                    what protects this machine, layer by layer
  gatebus run --help                                every limit, with its default and its reason
"""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """`after` is told only when `holds`."""

    before: str
    command: tuple[str, ...]
    holds: Callable[[Ended], bool]
    after: str


STEPS = (
    Step(
        "A small program, as text. It is checked, compiled, and run in a process of its own.",
        ("examples/1_hello_wat/hello.wat",),
        lambda ended: (ended.code, ended.out) == (0, "hello, world\n"),
        "Of this machine it got its input, its output and its share of the processor, and nothing else.",
    ),
    Step(
        "JavaScript. The interpreter is 1 MB of somebody else's C code, and runs as such a program, too.",
        ("examples/js/hello.js", "Ada"),
        lambda ended: ended.code == 0 and "hello, Ada" in ended.out,
        "It read its script from a private copy; nothing that it might have written would have reached your disk.",
    ),
    Step(
        "A program that never ends. It gets one second.",
        ("--wall-time", "1s", "examples/demo/busy.wat"),
        lambda ended: ended.code == 126 and "wall time" in ended.err and ended.seconds < PATIENCE,
        "Exit code 126 says: killed. Time, memory, files, output: each has such a limit.",
    ),
    Step(
        "A program that wants to read your password file.",
        ("examples/demo/spy.wat",),
        lambda ended: (ended.code, ended.out) == (0, "/etc/passwd: there is no such file here\n"),
        "It is there, of course, but not in the program's world.",
    ),
)


def main() -> int:
    tell(INTRODUCTION)
    options = backend_options()
    if not interpreter_is_ready():
        return 1
    for number, step in enumerate(STEPS, 1):
        if not show(number, step, options):
            return 1
    tell(NEXT)
    return 0


def backend_options() -> tuple[str, ...]:
    """None for the native back-end. The other one is never used silently."""
    said = subprocess.run((*GATEBUS, "doctor", "--json"), cwd=ROOT, capture_output=True, text=True, check=False)
    native = next((each for each in json.loads(said.stdout)["backends"] if each["name"] == "native"), None)
    if native is None or native["problem"]:
        tell(f"The native sandbox does not run here: {native['problem'] if native else 'it is not built'}")
        tell("So this demo uses the portable one, which protects the machine less. `gatebus doctor` says more.\n")
        return ("--backend", "portable")
    tell("Each runs in a process of its own: no files, no network, no rights, no other process to see.\n")
    return ()


def interpreter_is_ready() -> bool:
    if (guests_directory() / "qjs.wasm").is_file():
        return True
    tell("First the JavaScript interpreter has to be built, once; that takes a minute or two.\n")
    failed = follow(MAKE, PULSE)
    if failed:
        tell("It could not be built; the lines above say why. `make -C examples/js` tries again.")
    return not failed


def follow(command: tuple[str, ...], pulse: float) -> int:
    """Run what takes minutes and says little, with a sign of life. Its exit code."""
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while True:
            try:
                return process.wait(pulse)
            except subprocess.TimeoutExpired:
                tell(f"   ... still at it, {time.monotonic() - began:.0f} s")


def show(number: int, step: Step, options: tuple[str, ...]) -> bool:
    tell(f"{number}. {step.before}\n")
    tell(f"   $ gatebus run {shlex.join((*options, *step.command))}")
    ended = run((*GATEBUS, "run", *options, *step.command))
    for line in (ended.out + ended.err).splitlines():
        tell(f"   {line}")
    if not step.holds(ended):
        tell(f"\n   This is not what should have happened (exit code {ended.code}). Please report it.")
        return False
    tell(f"\n   {step.after} ({ended.seconds:.2f} s with everything)\n")
    return True


def run(command: tuple[str, ...]) -> Ended:
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
