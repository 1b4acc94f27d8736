"""gatebus.host.moduledata: seals of rows, tags, and which modules go."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import TAG_CHARACTERS, TAGS
from gatebus.host.moduledata import Holding, Module, Partial, expired, seal, tags_untrusted
from gatebus.host.refusals import Refusal

RECORDS = (
    Module(b"m" * 32, 10, 1, 2),
    Holding(b"m" * 32, "key:x", pinned=True, tags=("a", "b"), created=1, revision=3),
    Partial(b"m" * 32, "key:x", 10, 1),
)
OTHER: dict[type, Any] = {
    int: lambda value: value + 1,
    str: lambda value: value + "x",
    bytes: lambda value: bytes([value[0] ^ 1]) + value[1:],
    bool: lambda value: not value,
    tuple: lambda value: value[:-1],
}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_field_is_under_the_seal(record: Module | Holding | Partial) -> None:
    for each in fields(record):
        value = getattr(record, each.name)
        changed = replace(record, **{each.name: OTHER[type(value)](value)})
        assert seal(changed) != seal(record), each.name
    assert len({seal(each) for each in RECORDS}) == len(RECORDS)


def test_a_row_of_one_table_is_none_of_another() -> None:
    assert seal(Module(b"m", 1, 2, 3)) != seal(Partial(b"m", "1", 2, 3))


def test_tags_are_sorted_and_each_is_there_once() -> None:
    assert tags_untrusted(["b", "a", "b"]) == ("a", "b")
    assert tags_untrusted(()) == ()


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ("abc", "Tags are a list of texts."),
        ([1], "Tags are a list of texts."),
        (None, "Tags are a list of texts."),
        ({"a": 1}, "Tags are a list of texts."),
        ([""], f"A tag has 1 to {TAG_CHARACTERS} printable characters."),
        (["x" * (TAG_CHARACTERS + 1)], f"A tag has 1 to {TAG_CHARACTERS} printable characters."),
        (["a\nb"], f"A tag has 1 to {TAG_CHARACTERS} printable characters."),
        ([str(number) for number in range(TAGS + 1)], f"A module has at most {TAGS} tags."),
    ],
)
def test_tags_that_are_none_are_refused(tags: object, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        tags_untrusted(tags)
    assert (caught.value.code, caught.value.text) == ("bad-request", text)


def module(number: int, used: int, size: int = 10) -> Module:
    return Module(bytes([number]) * 32, size, 0, used)


def test_what_was_not_used_for_long_goes() -> None:
    old, new = module(1, used=99), module(2, used=100)
    assert expired([new, old], frozenset(), 100, 1000) == (old,)


def test_of_too_much_the_longest_unused_goes_first() -> None:
    three = [module(number, used=number) for number in (3, 1, 2)]
    assert expired(three, frozenset(), 0, 20) == (module(1, used=1),)
    assert len(expired(three, frozenset(), 0, 0)) == 3


modules = st.lists(
    st.builds(module, st.integers(0, 255), st.integers(0, 50), st.integers(0, 50)),
    max_size=30,
    unique_by=lambda each: each.sha256,
)


@given(modules, st.sets(st.integers(0, 255)), st.integers(0, 50), st.integers(0, 500))
def test_pinned_modules_never_go_and_the_rest_is_within_its_bounds(
    there: list[Module], kept: set[int], oldest: int, most: int
) -> None:
    pinned = frozenset(bytes([number]) * 32 for number in kept)
    gone = expired(there, pinned, oldest, most)
    left = [each for each in there if each not in gone and each.sha256 not in pinned]
    assert not pinned & {each.sha256 for each in gone}
    assert sum(each.size for each in left) <= most
    assert all(each.used >= oldest for each in left)
    assert not gone or not left or max(each.used for each in gone) <= min(each.used for each in left)
