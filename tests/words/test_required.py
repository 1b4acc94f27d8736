"""The tests' own rule for what a machine lacks: skipped with the reason, and a failure where nothing may be skipped."""

from __future__ import annotations

import pytest
from required import require


def test_what_is_there_is_no_reason_for_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEBUS_REQUIRE_DATA", "1")
    require("/usr/bin/openssl", "openssl is missing")


@pytest.mark.parametrize("nothing", [None, "", False])
def test_what_is_missing_is_skipped_and_fails_where_nothing_may_be_skipped(
    nothing: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEBUS_REQUIRE_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such tool: get it"):
        require(nothing, "no such tool: get it")
    monkeypatch.setenv("GATEBUS_REQUIRE_DATA", "1")
    with pytest.raises(pytest.fail.Exception, match="no such tool: get it"):
        require(nothing, "no such tool: get it")
