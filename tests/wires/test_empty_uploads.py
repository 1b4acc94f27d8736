"""Uploads that bring nothing, too little or something wrong: what is left of them counts, or nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from storehelpers import ADA, SOMEBODY, WASM, opened, put, refusal, sha

from gatebus.accountbounds import MODULE_COST
from gatebus.host.moduledata import Partial
from gatebus.host.moduleupload import who
from gatebus.host.quotas import Amounts, Quotas

if TYPE_CHECKING:
    from pathlib import Path

    from gatebus.host.modulestore import ModuleStore
    from gatebus.host.principals import Principal


def _left(folder: Path, store: ModuleStore) -> tuple[int, int]:
    """Files and records of what is half here."""
    return len(list((folder / "modules" / "partial").iterdir())), len(store._disk.records.partials())


@pytest.mark.parametrize("who", [ADA, SOMEBODY])
async def test_an_upload_without_a_byte_leaves_nothing_however_often_it_is_begun(
    tmp_path: Path, who: Principal
) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        for number in range(20):
            upload = await store.upload(sha(b"%d" % number), 1000, who)
            await upload.write(b"")
            assert _left(tmp_path, store) == (0, 0)
            await upload.aclose()
        assert _left(tmp_path, store) == (0, 0)
        assert quotas.total == Amounts()


async def test_one_byte_counts_and_is_there_when_its_upload_is_begun_again(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(WASM[:1])
        await upload.aclose()
        assert (quotas.total, _left(tmp_path, store)) == (Amounts(stored=MODULE_COST), (1, 1))
        for _ in range(2):  # nothing new comes, and what is there stays
            again = await store.upload(sha(WASM), len(WASM), ADA)
            assert again.taken == 1
            await again.aclose()
        assert (quotas.total, _left(tmp_path, store)) == (Amounts(stored=MODULE_COST), (1, 1))


async def test_an_upload_that_is_smaller_than_what_came_before_begins_anew(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        longer = await store.upload(sha(WASM), len(WASM) + 1, ADA)
        await longer.write(WASM + b"?")
        await longer.aclose()
        shorter = await store.upload(sha(WASM), len(WASM), ADA)
        assert (shorter.taken, _left(tmp_path, store)) == (0, (0, 0))
        await shorter.aclose()
        assert quotas.total == Amounts()
        await put(store)
        assert await store.get(sha(WASM)) == WASM


async def test_wrong_bytes_leave_no_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        upload = await store.upload(sha(WASM), 1, ADA)
        await upload.write(b"x")
        assert (await refusal(upload.finish()))[0] == "bad-request"
        assert _left(tmp_path, store) == (0, 0)
        await upload.aclose()


async def test_what_a_killed_host_left_without_a_byte_is_gone_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        store._disk.records.put_partial(Partial(sha(WASM), ADA.account, len(WASM), 0))
        store._disk.records.put_partial(Partial(sha(b"x"), ADA.account, 1, 0))
        (tmp_path / "modules" / "partial" / f"{sha(WASM).hex()}-{who(ADA.account)}").touch()
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        assert (quotas.total, _left(tmp_path, store)) == (Amounts(), (0, 0))
