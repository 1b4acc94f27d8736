"""What the machine refuses to whoever talks to the keeper: of one request it is that request's, of the keeper itself it
leaves nothing. Nobody else's program notices.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest
import trio
from fakekeeper import keeper_in
from openfiles import left_open, open_files
from processes import children_of

import sandbox
from sandbox import CompileLimits, Limits, Settings
from sandbox.backend import Beginning
from sandbox.keeper import Keeper
from sandbox.keeperprocess import KeeperProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the native client needs Linux")



@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> str:
    return keeper_in(tmp_path_factory.mktemp("keeper"))


@pytest.fixture
async def box(keeper: str) -> AsyncIterator[sandbox.Sandbox]:
    async with sandbox.open_sandbox("native", Settings(executable=keeper, cache_directory="")) as made:
        yield made


@pytest.fixture
def others() -> set[int]:
    """Children of this process that another test left: they are not ours to count."""
    return children_of()


@pytest.mark.parametrize("request_", ["start", "compile"])
async def test_a_request_that_the_kernel_does_not_hand_over_fails_alone(box: sandbox.Sandbox, request_: str) -> None:
    """Such as one more descriptor on its way than this user may have there."""
    hang, done = await box.compile(b"hang"), await box.compile(b"exit-0")
    keeper = box._backend._keeper
    true = keeper._socket

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(true, name)

        def sendmsg(self, *_words: object) -> int:
            raise OSError(109, "Too many references: cannot splice")

    async with box.start(hang) as other:
        keeper._socket = Full()
        if request_ == "start":
            with pytest.raises(sandbox.StartFailed):
                async with box.start(done):
                    pytest.fail("there is no process")
        else:
            with pytest.raises(sandbox.SandboxBroken):
                await box._backend.compile_job(b"exit-1", CompileLimits())
        keeper._socket = true
        assert not other.ended
        assert len(keeper._jobs) == 1
        async with box.start(done) as program:
            assert (await program.wait()).ok
        assert box._backend._keeper is keeper


async def test_a_start_without_memory_for_what_it_goes_on_from_leaves_nothing(box: sandbox.Sandbox) -> None:
    class Unreadable:
        size = 4096

        def read(self, _offset: int, _size: int) -> bytes:
            raise OSError(5, "Input/output error")

        def data(self) -> list[tuple[int, int]]:
            return [(0, 4096)]

    image = await box.compile(b"exit-0")
    before = open_files()
    with pytest.raises(sandbox.StartFailed):
        await box._backend.start_process(image.handle, b"", Limits(), Beginning(memory=Unreadable()))
    assert not box._backend._keeper._jobs
    assert left_open(before) == []


@pytest.mark.parametrize("after", range(12))
async def test_a_keeper_that_gets_no_descriptors_is_an_error_and_leaves_nothing(
    keeper: str, after: int, others: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of those that it needs is the one too many."""
    left = after

    def scarce(place: object, name: str) -> None:
        true = getattr(place, name)

        def call(*words: object) -> object:
            nonlocal left
            if left == 0:
                raise OSError(24, "Too many open files")
            left -= 1
            return true(*words)

        monkeypatch.setattr(place, name, call)

    before = open_files()
    for place, name in ((socket, "socketpair"), (os, "pipe"), (os, "open"), (os, "pidfd_open")):
        scarce(place, name)
    scarce(fcntl, "fcntl")
    if after < 7:
        with pytest.raises(sandbox.BackendUnavailable, match="no-resources"):
            KeeperProcess(keeper, [])
    else:
        await KeeperProcess(keeper, []).end()
    assert left_open(before) == []
    assert children_of() <= others


async def test_a_keeper_whose_last_word_is_nonsense_is_gone_like_any_other(keeper: str) -> None:
    """Its end is seen first."""
    async with trio.open_nursery() as nursery:
        process = KeeperProcess(keeper, [])
        made = Keeper(process, nursery, 10.0)
        ready, gone = made._receive, process.wait
        said = iter([ready, BlockingIOError, lambda: b"nonsense"])

        def receive() -> bytes:
            word = next(said)
            if word is BlockingIOError:
                raise word
            return word()

        async def seen() -> None:
            process.wait = gone  # type: ignore[method-assign]
            await trio.lowlevel.checkpoint()

        made._receive, process.wait = receive, seen  # type: ignore[method-assign]
        await nursery.start(made.run)
    assert made.lost
