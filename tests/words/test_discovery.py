"""gatebus.discovery: names, numbers and states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.bounds import MAX_NAME, MAX_SERVICES
from gatebus.discovery import Directory, names_untrusted, printable, request_content, states_untrusted
from gatebus.faults import Violation

OFFERED = {"origin", "random"}


def states(directory: Directory, offered: set[str]) -> tuple[bool, ...]:
    return states_untrusted(directory.content(offered))


@given(st.lists(st.text(min_size=1, max_size=40).filter(lambda name: len(name.encode()) <= MAX_NAME), max_size=20))
def test_names_survive_the_wire(names: list[str]) -> None:
    assert names_untrusted(request_content(tuple(names))) == tuple(names)


@given(st.binary(max_size=60))
def test_any_request_is_understood_or_a_violation(content: bytes) -> None:
    try:
        names = names_untrusted(content)
    except Violation:
        return
    assert content.startswith(request_content(names))


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_request_cut_off_anywhere_is_a_violation(cut: int) -> None:
    whole = request_content(("origin", "here"))
    with pytest.raises(Violation):
        names_untrusted(whole[:-cut])


@pytest.mark.parametrize("size", [0, 128, 255])
def test_a_name_of_a_wrong_length_is_a_violation(size: int) -> None:
    with pytest.raises(Violation) as caught:
        names_untrusted(b"\x01\x00" + bytes([size]) + b"a" * size)
    assert caught.value.text == "A service name in a discovery packet is missing or not 1 to 127 bytes long."


def test_an_answer_lists_all_services_so_far_in_order() -> None:
    directory = Directory()
    directory.request_untrusted(request_content(("origin", "absent")), OFFERED)
    assert states(directory, OFFERED) == (True, False)
    directory.request_untrusted(request_content(("random",)), OFFERED)
    assert states(directory, OFFERED) == (True, False, True)


def test_a_service_that_is_there_may_not_be_named_twice() -> None:
    directory = Directory()
    directory.request_untrusted(request_content(("origin",)), OFFERED)
    with pytest.raises(Violation) as caught:
        directory.request_untrusted(request_content(("random", "origin")), OFFERED)
    assert caught.value.text == "The service origin was discovered twice."


def test_an_unknown_name_may_repeat_and_only_the_first_number_becomes_the_service() -> None:
    directory = Directory()
    directory.request_untrusted(request_content(("later", "later")), OFFERED)
    assert states(directory, OFFERED) == (False, False)
    assert states(directory, {"later"}) == (True, False)
    assert directory.code("later") == 0


def test_a_service_that_goes_shows_in_its_state() -> None:
    directory = Directory(("origin", "random"))
    assert states(directory, {"random"}) == (False, True)


def test_names_beyond_the_bound_are_dropped() -> None:
    directory = Directory()
    for _ in range(3):
        directory.request_untrusted(request_content(("unknown",) * 100), OFFERED)
    assert len(states(directory, OFFERED)) == MAX_SERVICES


def test_a_hostile_name_is_harmless_in_a_public_text() -> None:
    directory = Directory()
    name = "\x1b[2Jé"
    directory.request_untrusted(request_content((name,)), {name})
    with pytest.raises(Violation) as caught:
        directory.request_untrusted(request_content((name,)), {name})
    assert caught.value.text == "The service ?[2J? was discovered twice."


def test_a_name_that_is_no_text_stays_itself() -> None:
    names = names_untrusted(b"\x01\x00\x02\xff\xfe")
    assert request_content(names) == b"\x01\x00\x02\xff\xfe"
    assert printable(names[0]) == "??"
