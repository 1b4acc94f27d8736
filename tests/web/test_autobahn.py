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
from webparts import serving

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
        bad = not_good(said)
        if bad:  # the suite gives a close one second by the clock, which a busy machine may miss: alone, it must not
            said |= await autobahn.results(python2, address.port, tmp_path / "again", [*bad], [])
    assert not not_good(said)
    declined = sum(words in DECLINED for words in said.values())
    assert (len(said), declined) == ((517, 216) if everything else (247, 0))


def not_good(said: dict[str, str]) -> dict[str, str]:
    compression = ("12.", "13.")
    return {
        case: words for case, words in said.items() if words not in (DECLINED if case.startswith(compression) else GOOD)
    }
