"""gatebus.cli.naming: which module or instance a person means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.cli.naming import (
    INSTANCES,
    MODULES,
    SHORTEST,
    Named,
    as_content,
    both_are_meant,
    meant,
    none_is_meant,
)
from gatebus.faults import UsageError

HELLO, ECHO, BEEF = "aaaa" + "1" * 60, "aaab" + "2" * 60, "beef" + "3" * 60
THERE = [Named(HELLO, ("hello", "first")), Named(ECHO, ("echo", "both")), Named(BEEF, ("both", "aaaa"))]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("hello", HELLO),
        ("echo", ECHO),
        ("aaab", ECHO),
        ("AAAB", ECHO),
        ("aa-ab", ECHO),
        ("bee", None),
        ("beef", BEEF),
        (BEEF, BEEF),
        (BEEF + "0", None),
        ("Hello", None),
        ("hell", None),
        ("", None),
        ("----", None),
    ],
)
def test_a_tag_is_meant_as_it_stands_and_a_beginning_from_four_digits_on(typed: str, found: str | None) -> None:
    assert meant(typed, MODULES, THERE) == found


def test_a_name_that_two_things_have_means_none_and_both_are_told() -> None:
    with pytest.raises(UsageError) as caught:
        meant("both", MODULES, THERE)
    assert caught.value.text == (
        "2 of your modules begin with both, or have it as a tag: aaab22222222, beef33333333. Write the digits of one."
    )
    with pytest.raises(UsageError, match="2 of your modules begin with aaaa, or have it as a tag: aaaa11111111, beef3"):
        meant("aaaa", MODULES, THERE)


def test_what_a_snapshot_and_an_instance_have_means_neither() -> None:
    assert both_are_meant("mine", "ab" * 32, "cd" * 16) == (
        "mine is a snapshot of yours (abababababab) and an instance (cdcdcdcdcdcd). Write the digits of one."
    )


def test_of_many_candidates_some_are_shown() -> None:
    many = [Named(f"abcd{each:060}", ()) for each in range(9)]
    with pytest.raises(UsageError) as caught:
        meant("abcd", INSTANCES, many)
    shown = "abcd00000000, abcd00000000, abcd00000000, ..."
    assert caught.value.text == (
        f"9 of your instances begin with abcd, or have it as a tag: {shown}. Write the digits of one."
    )


def test_what_is_not_there_is_told_with_the_command_that_lists_what_is() -> None:
    assert none_is_meant("x" * 99, INSTANCES) == (
        f"None of your instances begins with {'x' * 40}, or has it as a tag. `gatebus ps` lists them."
    )


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(SHORTEST, 64))
def test_every_beginning_of_an_only_one_means_it(digits: str, size: int) -> None:
    assert meant(digits[:size], MODULES, [Named(digits, ())]) == digits


@given(
    st.lists(st.builds(Named, st.text("0123abcdef", min_size=8, max_size=8), st.lists(st.text(max_size=5)))), st.text()
)
def test_what_is_found_has_the_tag_or_the_beginning(there: list[Named], typed: str) -> None:
    try:
        found = meant(typed, MODULES, there)
    except UsageError:
        return
    if found is not None:
        start = typed.lower().replace("-", "")
        assert [each for each in there if each.digits == found and (typed in each.tags or found.startswith(start))]


CID = "bafkreibuymcm2p7reiphguft3iwtc2jwogp5iwjqe2axylwdrqw3r7psfe"
OLD = "QmVTKGHcGJvpzxo7q8ZgoHR6T6PuNUDCBn1DywqTZwyU56"


@pytest.mark.parametrize("cid", [CID, OLD])
def test_who_names_a_module_by_its_cid_alone_is_told_how_content_is_written(cid: str) -> None:
    for typed in (cid, f"/ipfs/{cid}"):
        assert none_is_meant(typed, MODULES) == (
            f"None of your modules has this name. Content is written ipfs://{cid}."
        )
    assert as_content(f"{cid}/a/b.wasm") == f" Content is written ipfs://{cid}/a/b.wasm."
    for other in (cid[:-8] if cid is CID else cid[:-1], f"x{cid}", f"./{cid}", "", "bafoon", cid.swapcase()):
        assert as_content(other) == ""
