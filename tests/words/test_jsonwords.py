"""JSON of strangers: what is shallow is read as ever, what is deep never reaches the decoder."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.jsonwords import json_untrusted
from sandbox.limits import JSON_DEPTH_MAX

LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\aä', max_size=20)
SHALLOW = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text('[{"\\'), inner), max_leaves=8)


@given(SHALLOW)
def test_what_is_shallow_is_read_as_by_anybody(value: object) -> None:
    assert json_untrusted(json.dumps(value).encode()) == value


@given(SHALLOW, st.integers(0, 2 * JSON_DEPTH_MAX), st.sampled_from(["[%s]", '{"]": %s}', '["]", %s, "]"]']))
def test_levels_are_counted_and_what_stands_in_texts_is_not(value: object, levels: int, around: str) -> None:
    text = json.dumps(value)
    deep = depth(value) + levels
    for _ in range(levels):
        text = around % text
    if deep <= JSON_DEPTH_MAX:
        assert json_untrusted(text.encode()) == json.loads(text)
    else:
        with pytest.raises(ValueError, match="nested too deeply"):
            json_untrusted(text.encode())


@pytest.mark.parametrize(
    "data",
    [b"[" * 4_000_000, b'{"":' * 1_000_000, b'["]",' * 800_000, b"[" * 2_000_000 + b"]" * 2_000_000],
    ids=["open", "objects", "closed in texts only", "closed"],
)
def test_deep_ones_never_reach_the_decoder(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda _text: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="nested too deeply"):
        json_untrusted(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"]" * 100,
        b'"',
        b'"\\',
        b'\\"' * 2_000_000,
        b'"' * 4_000_001,
        b"\xff",
        b"[}",
        b"n",
        b'"' + b"\\" * 4_000_001,
    ],
    ids=lambda data: f"{len(data)} of {data[:4]!r}",
)
def test_what_is_no_json_is_refused_in_time_that_grows_with_its_length(data: bytes) -> None:
    with pytest.raises(ValueError):
        json_untrusted(data)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
