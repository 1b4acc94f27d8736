"""Calls in threads: answers, errors, and that nothing stays of an error."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress

import pytest
import trio

from sandbox.inthread import in_thread


class Large:
    """Something that a frame has in hand."""


async def test_what_a_function_returns_is_returned_from_another_thread() -> None:
    here = threading.get_ident()
    assert await in_thread(threading.get_ident) != here
    assert await in_thread(divmod, 7, 2) == (3, 1)
    assert await in_thread(divmod, 7, 2, limiter=trio.CapacityLimiter(1)) == (3, 1)


@pytest.mark.parametrize("fault", [KeyError("x"), OSError(28, "full"), SystemExit(3)])
async def test_what_it_raises_is_raised(fault: BaseException) -> None:
    def fails() -> None:
        raise fault

    with pytest.raises(type(fault)) as caught:
        await in_thread(fails)
    assert caught.value is fault
    assert [each.name for each in caught.traceback][-1] == "fails"


async def test_what_a_failed_call_had_in_hand_is_gone_when_its_error_is() -> None:
    kept: list[weakref.ref[Large]] = []

    def fails() -> None:
        large = Large()
        kept.append(weakref.ref(large))
        raise ValueError

    async def caller() -> None:
        also = Large()
        kept.append(weakref.ref(also))
        await in_thread(fails)

    gc.disable()
    try:
        with suppress(ValueError):
            await caller()
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


async def test_a_call_that_nobody_waits_for_is_left_alone() -> None:
    goes = threading.Event()
    with trio.move_on_after(0) as scope:
        await in_thread(goes.wait, 10.0, abandon_on_cancel=True)
    assert scope.cancelled_caught
    goes.set()


async def test_without_a_thread_the_system_has_too_little_of_something(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none_left(*_words: object, **_more: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", none_left)
    with pytest.raises(OSError, match="No thread could be made"):
        await in_thread(divmod, 7, 2)
