"""Answers with many lines: what is sent in one message is what its reader takes."""

from __future__ import annotations

import cbor2
import pytest

from gatebus.host.statuses import Map, fitting
from gatebus.protocol.strictcbor import decode_untrusted

LONG: Map = {"instance": bytes(16), "tags": ["a tag of some length"] * 6, "text": "t" * 400}
DEEP: Map = {"policy": dict.fromkeys("abcdefgh", 0), "usage": dict.fromkeys("abcdefgh", 0), "tags": [[1], [2]]}


@pytest.mark.parametrize("line", [LONG, DEEP, {**LONG, **DEEP}, {}])
def test_as_many_lines_as_one_message_may_have(line: Map) -> None:
    shown = fitting([line] * 1_000)
    told = cbor2.dumps([7, 1, {"instances": shown, "more": True}])
    assert len(told) < 65_600
    assert decode_untrusted(told) == [7, 1, {"instances": shown, "more": True}]
    assert len(shown) >= 100 or line is not DEEP


def test_all_lines_where_they_fit() -> None:
    assert fitting([DEEP] * 50) == [DEEP] * 50
