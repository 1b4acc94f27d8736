"""gatebus.turn: what a batch causes is sent at its end, once for each receiver."""

import pytest

from gatebus.turn import Turn


def test_outside_of_a_turn_it_is_sent_at_once() -> None:
    sent: list[str] = []
    Turn().at_end(lambda: sent.append("a"))
    assert sent == ["a"]


def test_inside_of_a_turn_each_receiver_is_sent_to_once_at_the_end_in_order() -> None:
    turn, sent = Turn(), []

    def first() -> None:
        sent.append("first")

    def second() -> None:
        sent.append("second")

    with turn:
        for flush in (first, second, first, second, first):
            turn.at_end(flush)
        assert sent == []
    assert sent == ["first", "second"]


def test_what_a_flush_causes_is_part_of_the_same_turn() -> None:
    turn, sent = Turn(), []

    def later() -> None:
        sent.append("later")

    def earlier() -> None:
        sent.append("earlier")
        if len(sent) < 3:
            turn.at_end(later)
            assert sent[-1] == "earlier"

    with turn:
        turn.at_end(earlier)
    assert sent == ["earlier", "later"]


def test_after_a_turn_that_failed_the_next_one_is_an_ordinary_one() -> None:
    turn, sent = Turn(), []
    try:
        with turn:
            turn.at_end(lambda: sent.append("owed"))
            raise ValueError
    except ValueError:
        pass
    with turn:
        turn.at_end(lambda: sent.append("next"))
        assert sent == ["owed"]
    assert sent == ["owed", "next"]


def test_a_bound_method_is_one_receiver_however_often_it_is_named() -> None:
    class Link:
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    turn, link, other = Turn(), Link(), Link()
    with turn:
        for _ in range(3):
            turn.at_end(link.flush)
            turn.at_end(other.flush)
    assert (link.flushed, other.flushed) == (1, 1)


def test_a_flush_that_raises_takes_nothing_from_the_others() -> None:
    turn, sent = Turn(), []

    def broken() -> None:
        raise ZeroDivisionError

    turn.__enter__()
    turn.at_end(lambda: sent.append("before"))
    turn.at_end(broken)
    turn.at_end(lambda: sent.append("after"))
    with pytest.raises(ZeroDivisionError):
        turn.__exit__()
    assert sent == ["before"]
    with turn:
        pass
    assert sent == ["before", "after"]
