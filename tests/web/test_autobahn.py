"""Autobahn's 517 cases against our link: nothing may fail.

The cases of compression (12, 13) are offered and declined: "unimplemented", which is meant (permessage-deflate costs
2 to 3 ms per 64 KiB and is a way to make a host work). Both, and the cases of speed (9), take a minute
and run under `make autobahn`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import autobahn
import pytest
from test_servers import serving

if TYPE_CHECKING:
    from pathlib import Path

COMPRESSION = ["12.*", "13.*"]
SPEED = ["9.*"]
GOOD = {"OK, OK", "NON-STRICT, OK", "INFORMATIONAL, INFORMATIONAL", "OK, INFORMATIONAL"}
DECLINED = {"UNIMPLEMENTED, OK"}


@pytest.fixture(scope="module")
def python2() -> str:
    return autobahn.installed()


@pytest.mark.timeout(1000)  # the first time, pip installs the suite
async def test_no_case_fails(python2: str, tmp_path: Path) -> None:
    everything = "GATEBUS_AUTOBAHN" in os.environ
    async with serving(autobahn.FRONT) as address:
        without = [] if everything else COMPRESSION + SPEED
        said = await autobahn.results(python2, address.port, tmp_path, ["*"], without)
    compression = {case: words for case, words in said.items() if case.startswith(("12.", "13."))}
    bad = {case: words for case, words in said.items() if words not in (DECLINED if case in compression else GOOD)}
    assert not bad
    assert (len(said), len(compression)) == ((517, 216) if everything else (247, 0))
