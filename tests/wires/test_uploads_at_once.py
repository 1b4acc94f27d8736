"""The same bytes over several connections of one account: they come once, and everybody finds them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from storehelpers import ADA, GRACE, WASM, opened, put, refusal, sha

from gatebus.accountbounds import UPLOAD_STILL_SECONDS
from gatebus.host.quotas import Amounts, QuotaBounds, Quotas

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from gatebus.host.modulestore import ModuleStore
    from gatebus.host.moduleupload import Upload

GONE = ("attached-elsewhere", "The upload goes on over a newer connection.")


class Newer:
    """Who brings the same, in a task of its own."""

    def __init__(self, store: ModuleStore) -> None:
        self._store = store
        self.begun = trio.Event()
        self.upload: Upload | None = None

    async def begin(self) -> None:
        self.upload = await self._store.upload(sha(WASM), len(WASM), ADA)
        self.begun.set()


async def test_who_comes_back_before_the_lost_connection_was_noticed_goes_on_after_a_while(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with opened(tmp_path) as store, trio.open_nursery() as nursery:
        older = await store.upload(sha(WASM), len(WASM), ADA)
        await older.write(WASM[:1000])
        newer = Newer(store)
        nursery.start_soon(newer.begin)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(UPLOAD_STILL_SECONDS - 0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert newer.upload is None
        mock_clock.jump(0.2)
        await newer.begun.wait()
        assert newer.upload is not None
        assert newer.upload.taken == 1000
        assert await refusal(older.write(WASM[1000:])) == GONE
        assert await refusal(older.finish()) == GONE
        await older.aclose()
        await newer.upload.write(WASM[1000:])
        await newer.upload.finish()
        assert await refusal(newer.upload.write(b"x")) == ("conflict", "The upload has ended.")


async def test_while_bytes_come_the_newer_one_waits_and_then_the_module_is_there(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with opened(tmp_path) as store, trio.open_nursery() as nursery:
        older, newer = await store.upload(sha(WASM), len(WASM), ADA), Newer(store)
        nursery.start_soon(newer.begin)
        for at in range(0, len(WASM), 4_000):
            await older.write(WASM[at : at + 4_000])
            mock_clock.jump(UPLOAD_STILL_SECONDS * 0.9)
            await trio.testing.wait_all_tasks_blocked()
            assert newer.upload is None
        await older.finish()
        await newer.begun.wait()
        assert newer.upload is not None
        assert newer.upload.known
        await newer.upload.aclose()


async def test_one_that_is_broken_off_is_gone_on_with_at_once(tmp_path: Path, mock_clock: MockClock) -> None:
    async with opened(tmp_path) as store, trio.open_nursery() as nursery:
        older, newer = await store.upload(sha(WASM), len(WASM), ADA), Newer(store)
        await older.write(WASM[:1000])
        nursery.start_soon(newer.begin)
        await trio.testing.wait_all_tasks_blocked()
        await older.aclose()
        await newer.begun.wait()
        assert newer.upload is not None
        assert newer.upload.taken == 1000
        await newer.upload.aclose()


async def test_another_account_or_other_bytes_wait_for_nobody(tmp_path: Path, mock_clock: MockClock) -> None:
    async with opened(tmp_path) as store:
        older = await store.upload(sha(WASM), len(WASM), ADA)
        await put(store, WASM, GRACE)
        await put(store, WASM + b"more", ADA)
        await older.aclose()


async def test_who_does_not_want_it_any_more_waits_no_longer_and_holds_nothing(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        older = await store.upload(sha(WASM), len(WASM), ADA)
        before = quotas.total
        with trio.move_on_after(UPLOAD_STILL_SECONDS / 2) as given_up:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Newer(store).begin)
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(UPLOAD_STILL_SECONDS / 2)
        assert given_up.cancelled_caught
        assert quotas.total == before
        await older.write(WASM)
        await older.finish()


@pytest.mark.parametrize("pieces", [100, len(WASM)])
async def test_many_who_begin_the_same_upload_at_once_all_find_it_there(tmp_path: Path, pieces: int) -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(stored=len(WASM), uploads=1)))
    async with opened(tmp_path, quotas) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(put, store, WASM, ADA, pieces)
        assert await store.get(sha(WASM)) == WASM
        assert quotas.total == Amounts(stored=len(WASM))
