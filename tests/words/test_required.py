"""The tests' own rule for what a machine lacks: skipped with the reason, and a failure where nothing may be skipped."""

from __future__ import annotations

import pytest
from required import no_skip, require


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


@pytest.mark.parametrize(("all_must_run", "outcome"), [("1", "failed"), ("", "skipped")])
@pytest.mark.parametrize("reason", ["it says so", ("test.py", 7, "its mark says so")])
def test_a_skip_of_any_kind_is_a_failure_where_nothing_may_be_skipped(
    reason: str | tuple[str, int, str], all_must_run: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEBUS_REQUIRE_DATA", all_must_run)
    report = pytest.TestReport("test.py::test", ("test.py", 7, "test"), {}, "skipped", reason, "setup")
    no_skip(report)
    assert report.outcome == outcome
    assert "says so" in str(report.longrepr)
