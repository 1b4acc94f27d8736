"""The Python of a document runs as it stands, its blocks as one program; its TOML is a configuration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE

from gatebus.host.configreader import ConfigFile, configured

ROOT = Path(__file__).parent.parent.parent

# Document -> what its program prints.
PROGRAMS = {
    "docs/embedding.md": ["b'hello, world\\n' HALTED 0 ['note.txt']", "b'hello, world\\n' NORMAL"],
    "docs/services.md": [],
}


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)


@pytest.mark.parametrize("document", PROGRAMS)
def test_the_program_of_a_document_does_what_the_document_says(document: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text("\n".join(blocks(document, "python")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == PROGRAMS[document]


def test_a_service_of_ones_own_has_at_most_15_lines() -> None:
    text = "\n".join(blocks("docs/services.md", "python"))
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= 15


def test_the_configuration_of_the_operations_page_is_one() -> None:
    (text,) = blocks("docs/operations.md", "toml")
    found = configured(ConfigFile("host.toml", text), {}, {})
    assert found.config.quotas.principal.instances == 100
    assert found.config.tls.certificate == "/etc/gatebus/fullchain.pem"
    assert found.config.policy.anonymous == frozenset()
