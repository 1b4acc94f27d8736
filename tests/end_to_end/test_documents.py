"""Every command that a document tells the reader to type is run by some test: here, or where the table says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from guestfiles import require_guest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "examples/*/README.md", "sdk/*/README.md") for path in ROOT.glob(pattern)
)

# Command -> where it is run: a file, and a word in it that finds the place.
RUN_ELSEWHERE = {
    "make test": (".ci/run", "make test"),
    "make chat": ("tests/bus/test_chat_over_the_bus.py", "examples/chat/serve.py"),
    "make autobahn": ("Makefile", "autobahn: python"),
    "python -m bench.websocket_layers": ("tests/end_to_end/test_websocket_bench.py", "bench.websocket_layers"),
    "make -C examples": ("Makefile", "-C examples"),
    "make -C examples/js": ("Makefile", "-C examples/js"),
    "gatebus ipfs add dir": ("tests/end_to_end/test_ipfs_command.py", 'gatebus("ipfs", "add", "dir")'),
    "gatebus ipfs ls CID": ("tests/end_to_end/test_ipfs_command.py", 'gatebus("ipfs", "ls", cid)'),
    "gatebus snapshot --ipfs INSTANCE": ("tests/end_to_end/test_snapshots_by_content.py", '"snapshot", "--ipfs"'),
    "gatebus restore ipfs://CID": ("tests/end_to_end/test_snapshots_by_content.py", '"restore", f"ipfs://'),
    "gatebus run ipfs://CID/hello.wasm": ("tests/end_to_end/test_ipfs_command.py", 'f"ipfs://{folder.cid}/hello.wat"'),
    **dict.fromkeys(
        (
            "gatebus run --suspend-after 100ms --state primes.state examples/5_stop_and_go/primes.wat",
            "gatebus show primes.state",
            "gatebus run --resume primes.state",
        ),
        ("tests/end_to_end/test_stopped_run.py", "5_stop_and_go"),
    ),
    "gatebus run examples/js/hello.js Ada": ("examples/js/run.sh", "gatebus run hello.js Ada"),
    **{
        f"examples/{path.parent.name}/run.sh": ("tests/end_to_end/test_examples.py", '"run.sh"')
        for path in ROOT.glob("examples/*/run.sh")
    },
}

# Document -> the test that types all of its commands, in their order.
STORIES = {
    "docs/operations.md": "tests/end_to_end/test_operations_story.py",
    "docs/live-programs.md": "tests/end_to_end/test_live_story.py",
    "README.md": "tests/end_to_end/test_readme_story.py",
}

# Command -> the exit codes that are right for it.
RUN_HERE: dict[str, tuple[int, ...]] = {
    "gatebus doctor": (0,),
    "gatebus run examples/1_hello_wat/hello.wat": (0,),
    "gatebus run --wall-time 1s --memory 16MiB --usage examples/1_hello_wat/hello.wat": (0,),
    "make demo": (0,),
}
DEMO_PATIENCE = 900  # seconds; the demo builds what is not built and compiles the interpreter


def commands(document: Path) -> list[str]:
    """Lines of the fenced `sh` blocks, without comments; a line that ends in a backslash goes on."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [bare for line in lines if (bare := re.sub(r"(^|\s+)#.*$", "", line).strip())]


def test_there_are_documents_with_commands() -> None:
    assert sum(len(commands(path)) for path in DOCUMENTS) >= 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_document_is_run_somewhere(document: Path) -> None:
    name = str(document.relative_to(ROOT))
    if name in STORIES:
        assert Path(name).name in (ROOT / STORIES[name]).read_text()
        return
    untested = set(commands(document)) - set(RUN_ELSEWHERE) - set(RUN_HERE)
    assert not untested, "tell tests/end_to_end/test_documents.py which test runs this"


@pytest.mark.parametrize("command", RUN_ELSEWHERE)
def test_the_table_points_to_places_that_exist(command: str) -> None:
    file, word = RUN_ELSEWHERE[command]
    assert word in (ROOT / file).read_text()


@pytest.mark.timeout(DEMO_PATIENCE + 10)
@pytest.mark.parametrize("command", RUN_HERE)
def test_a_documented_command_works(command: str, tmp_path: Path) -> None:
    for program in re.findall(r"build/guests/(\S+\.wasm)", command):
        require_guest(program)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=DEMO_PATIENCE
    )
    assert done.returncode in RUN_HERE[command], done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```sh\nmake test   # all of it\n```", ["make test"]),
        ("```sh\na \\\n  b\n\nc\n```\n```text\nd\n```", ["a    b", "c"]),
        ("```\nnot a command\n```", []),
    ],
)
def test_commands_are_found_in_fenced_blocks(text: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text(text)
    assert commands(tmp_path / "x.md") == found
