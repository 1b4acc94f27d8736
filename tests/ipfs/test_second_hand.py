"""Two threads where one would wait for the disk: all of it is done, and the first error counts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from ipfs.secondhand import SecondHand

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE, SMALL = 1 << 20, 100


def test_what_was_handed_over_is_done_when_it_is_left() -> None:
    done: list[int] = []
    with SecondHand() as hand:
        for each in range(50):
            hand.do(lambda each=each: done.append(each), LARGE if each % 3 else SMALL)  # type: ignore[misc]
    assert sorted(done) == list(range(50))


def test_large_work_is_done_beside_and_small_work_at_once() -> None:
    here, there = threading.get_ident(), list[int]()
    gate = threading.Event()

    def wait() -> None:
        gate.wait()
        there.append(threading.get_ident())

    with SecondHand() as hand:
        hand.do(lambda: there.append(threading.get_ident()), LARGE)  # the only one so far: no thread for it
        hand.do(wait, LARGE)
        hand.do(lambda: there.append(threading.get_ident()), SMALL)
        assert there == [here, here]
        gate.set()
    assert len(there) == 3
    assert there[2] != here


def test_when_enough_waits_the_first_thread_does_its_own() -> None:
    gate, done = threading.Event(), list[int]()
    with SecondHand() as hand:
        hand.do(lambda: None, LARGE)
        for _ in range(2):
            hand.do(gate.wait, LARGE)  # type: ignore[arg-type]
        hand.do(lambda: done.append(threading.get_ident()), LARGE)
        assert done == [threading.get_ident()]
        gate.set()


def fail() -> None:
    raise OSError("the disk is full")


def do_all(*work: Callable[[], object]) -> None:
    with SecondHand() as hand:
        for each in work:
            hand.do(each, LARGE)  # type: ignore[arg-type]


def test_an_error_of_either_thread_comes_out() -> None:
    for work in ((fail,), (list, fail), (fail, list), (list, fail, list, list, list)):
        with pytest.raises(OSError, match="the disk is full"):
            do_all(*work)


def test_an_error_on_the_way_out_is_not_hidden_and_nothing_goes_on_behind_it() -> None:
    gate, done = threading.Event(), list[bool]()

    def later() -> None:
        gate.wait()
        done.append(True)
        fail()

    def leave() -> None:
        with SecondHand() as hand:
            hand.do(list, LARGE)  # type: ignore[arg-type]
            hand.do(later, LARGE)
            gate.set()
            raise KeyError

    with pytest.raises(KeyError):
        leave()
    assert done == [True]
