"""Admission:

what is cheap comes first, one principal cannot stop another, twins are compiled once; in simulated time.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import sandbox
from sandbox import CompileLimit, CompileLimits, Form, HostLimits, Settings
from sandbox.box import Sandbox, open_store
from sandbox.testing import FakeBackend, FakeGuest, open_fake_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


async def script(_guest: FakeGuest) -> None:
    return None


PROGRAMS = [f"program {number}".encode() for number in range(40)]


@pytest.fixture
async def backend() -> AsyncIterator[FakeBackend]:
    async with open_fake_backend(dict.fromkeys(PROGRAMS, script)) as made:
        made.compile_seconds = 10
        yield made


def boxed(backend: FakeBackend, **limits: int) -> Sandbox:
    settings = Settings(
        cache_directory="",
        compile_limits=CompileLimits(program_size=1000),
        host_limits=replace(HostLimits(), **limits),
    )
    return Sandbox(backend, settings, open_store(settings))


async def test_size_and_hash_are_refused_before_anybody_waits(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend)
    for wasm, digest, code in (
        (b"", None, "malformed"),
        (bytes(1001), None, "too-large"),
        (PROGRAMS[0], "00" * 32, "wrong-hash"),
    ):
        with pytest.raises(sandbox.Refused) as caught:
            await box.compile(wasm, sha256=digest)
        assert caught.value.code == code
    assert backend.compiling_most == 0
    assert box.statistics().refused == 3


async def test_a_program_of_exactly_the_limit_is_looked_at(backend: FakeBackend, autojump_clock: MockClock) -> None:
    with pytest.raises(sandbox.Refused) as caught:
        await boxed(backend).compile(bytes(1000))
    assert caught.value.text == "This is no program."


async def test_the_right_hash_is_taken_in_either_case(backend: FakeBackend, autojump_clock: MockClock) -> None:
    digest = sha256(PROGRAMS[0]).hexdigest()
    image = await boxed(backend).compile(PROGRAMS[0], sha256=digest.upper())
    assert image.sha256 == digest


async def test_what_is_known_waits_for_nobody(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend, compile_workers=1, queue_per_principal=1)
    await box.compile(PROGRAMS[0], principal="a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(compile_for, box, PROGRAMS[1], "a")
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        await box.compile(PROGRAMS[0], principal="a")
        assert trio.current_time() == before


async def compile_for(box: Sandbox, wasm: bytes, principal: str) -> None:
    await box.compile(wasm, principal=principal)


async def test_one_program_of_a_principal_compiles_at_a_time(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend, compile_workers=8)
    async with trio.open_nursery() as nursery:
        for wasm in PROGRAMS[:4]:
            nursery.start_soon(compile_for, box, wasm, "a")
    assert backend.compiling_most == 1


async def test_principals_compile_side_by_side_up_to_the_number_of_workers(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    box = boxed(backend, compile_workers=3)
    async with trio.open_nursery() as nursery:
        for number, wasm in enumerate(PROGRAMS[:9]):
            nursery.start_soon(compile_for, box, wasm, f"principal {number}")
    assert backend.compiling_most == 3


async def test_a_principal_with_many_programs_does_not_hold_up_another(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    box = boxed(backend, compile_workers=1)
    async with trio.open_nursery() as nursery:
        for wasm in PROGRAMS[:10]:
            nursery.start_soon(compile_for, box, wasm, "greedy")
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await box.compile(PROGRAMS[20], principal="modest")
        assert trio.current_time() - began <= 20.1  # the one that ran, and its own
        nursery.cancel_scope.cancel()


async def test_a_full_queue_refuses_its_own_principal_only(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend, queue_per_principal=3)
    async with trio.open_nursery() as nursery:
        for wasm in PROGRAMS[:3]:
            nursery.start_soon(compile_for, box, wasm, "a")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(sandbox.TooBusy) as caught:
            await box.compile(PROGRAMS[3], principal="a")
        assert caught.value.code == "queue-full"
        assert caught.value.text == "3 of your programs wait for the compiler already. Try again when one is ready."
        await box.compile(PROGRAMS[4], principal="b")
    await box.compile(PROGRAMS[3], principal="a")


async def test_all_principals_together_are_bounded_in_number_and_bytes(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    for limits in ({"queue_total": 2}, {"queue_bytes": 1 << 20}):
        box = boxed(backend, **limits)
        if "queue_bytes" in limits:
            box._admission._waiting_bytes = (1 << 20) - 2 * len(PROGRAMS[0]) - 1
        async with trio.open_nursery() as nursery:
            for number in range(2):
                nursery.start_soon(compile_for, box, PROGRAMS[number], f"principal {number}")
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(sandbox.TooBusy) as caught:
                await box.compile(PROGRAMS[9], principal="late")
            assert caught.value.code == "compiler-busy"


async def test_twins_are_compiled_once(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(compile_for, box, PROGRAMS[0], "a")
    assert (box.statistics().compiled, box.statistics().cache_hits) == (1, 4)


async def test_a_cancelled_wait_gives_its_place_back(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend, queue_per_principal=2, compile_workers=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(compile_for, box, PROGRAMS[0], "a")
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1) as scope:
            await box.compile(PROGRAMS[1], principal="a")
        assert scope.cancelled_caught
        await box.compile(PROGRAMS[2], principal="a")
    assert not box._admission._queues
    assert box._admission._waiting == box._admission._waiting_bytes == 0


async def test_a_refused_program_gives_its_place_back_and_is_not_kept(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    box = boxed(backend)
    for _ in range(2):
        with pytest.raises(sandbox.Refused):
            await box.compile(b"no program")
    assert box.statistics().refused == 2
    assert not box._admission._queues


async def test_the_two_forms_of_a_program_are_two_images(backend: FakeBackend, autojump_clock: MockClock) -> None:
    box = boxed(backend)
    plain = await box.compile(PROGRAMS[0])
    suspendable = await box.compile(PROGRAMS[0], form=Form.SUSPENDABLE)
    assert (plain.suspendable, suspendable.suspendable) == (False, True)
    assert plain.sha256 == suspendable.sha256
    assert box.ready(plain.sha256) is plain
    assert box.ready(plain.sha256, Form.SUSPENDABLE) is suspendable
    assert (box.statistics().compiled, box.statistics().cache_hits) == (2, 0)


async def test_a_program_that_cannot_be_suspended_says_why_and_runs(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    backend.unsuspendable = ("function 3 (f): it uses a reference type that is not handled",)
    image = await boxed(backend).compile(PROGRAMS[0], form=Form.SUSPENDABLE)
    assert (image.suspendable, image.unsuspendable) == (False, backend.unsuspendable)


async def test_what_is_too_large_only_when_rewritten_runs_as_it_came(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    backend.refuse_rewriting = CompileLimit("compile-memory", "Compiling the program needs more than 9 MiB of memory.")
    box = boxed(backend)
    image = await box.compile(PROGRAMS[0], form=Form.SUSPENDABLE)
    assert not image.suspendable
    assert image.unsuspendable == (
        "the compiler's limits are enough for the program as it is, not for its rewritten form: "
        "Compiling the program needs more than 9 MiB of memory.",
    )
    assert box.ready(image.sha256, Form.SUSPENDABLE) is image


async def test_a_backend_that_cannot_suspend_says_so(backend: FakeBackend, autojump_clock: MockClock) -> None:
    backend.can_suspend = False
    box = boxed(backend)
    image = await box.compile(PROGRAMS[0], form=Form.SUSPENDABLE)
    assert image.unsuspendable == (
        "the executable gatebus-transform is missing, which rewrites programs for it: run `make build`",
    )
    assert (await box.compile(PROGRAMS[0])).unsuspendable == ()


async def test_a_worker_that_answers_in_another_form_is_not_believed(
    backend: FakeBackend, autojump_clock: MockClock
) -> None:
    backend.forget_the_form = True
    with pytest.raises(sandbox.SandboxBroken) as caught:
        await boxed(backend).compile(PROGRAMS[0], form=Form.SUSPENDABLE)
    assert caught.value.code == "compiler-facts"
