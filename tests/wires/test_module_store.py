"""The module store: what was acknowledged is there, uploads are resumed, nobody pays for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from storehelpers import ADA, GRACE, NOT_HERE, SOMEBODY, WASM, Day, opened, put, refusal, sha

from gatebus.accountbounds import MODULE_COST
from gatebus.host.hostconfig import StoreBounds
from gatebus.host.principals import anonymous
from gatebus.host.quotas import Amounts, QuotaBounds, Quotas

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_module_that_was_uploaded_is_there_after_the_host_starts_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        assert await store.get(sha(WASM)) == WASM
    async with opened(tmp_path) as store:
        assert await store.get(sha(WASM)) == WASM
        (held,) = await store.modules(ADA)
        assert (held.module.size, held.holding.pinned, held.holding.tags) == (len(WASM), False, ())


async def test_what_is_not_there_is_said_not_to_be_there(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await refusal(store.get(sha(b"x"))) == NOT_HERE
        assert await refusal(store.pin(sha(b"x"), ADA)) == NOT_HERE
        assert await store.modules(ADA) == []


async def test_what_one_has_sent_is_not_sent_again(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        await put(store)
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        assert (upload.known, upload.taken) == (True, len(WASM))
        await upload.finish()
        assert quotas.used(ADA.id) == Amounts(stored=len(WASM))


async def test_ones_own_module_has_one_size(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        assert await refusal(store.upload(sha(WASM), len(WASM) + 1, ADA)) == (
            "bad-request",
            f"The module of this hash has {len(WASM)} bytes, not {len(WASM) + 1}.",
        )


async def test_who_knows_only_the_hash_sends_every_byte_and_the_bytes_count_to_both(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        await put(store)
        upload = await store.upload(sha(WASM), len(WASM), GRACE)
        assert (upload.known, upload.taken) == (False, 0)
        await upload.write(WASM[:-1])
        assert await store.own_size(GRACE, sha(WASM)) is None
        await upload.write(WASM[-1:])
        await upload.finish()
        assert await store.own_size(GRACE, sha(WASM)) == len(WASM)
        assert quotas.used(ADA.id) == quotas.used(GRACE.id) == Amounts(stored=len(WASM))
        assert await store.get(sha(WASM)) == WASM


@pytest.mark.parametrize("there", [True, False])
async def test_an_upload_of_wrong_or_too_few_bytes_gives_nothing_whether_the_module_is_there_or_not(
    tmp_path: Path, there: bool
) -> None:
    async with opened(tmp_path) as store:
        if there:
            await put(store)
        told = []
        for content in (b"", WASM[:-1], bytes(len(WASM))):
            upload = await store.upload(sha(WASM), len(WASM), SOMEBODY)
            told.append((upload.known, upload.taken))
            if content:
                await upload.write(content)
            told.append(await refusal(upload.finish()))
            await upload.aclose()
        short = "The upload ended after {} of {} bytes."
        assert told == [
            (False, 0), ("bad-request", short.format(0, len(WASM))),
            (False, 0), ("bad-request", short.format(len(WASM) - 1, len(WASM))),
            (False, 0), ("bad-request", "The bytes are not those of the hash; they were dropped. Upload it again."),
        ]  # fmt: skip
        assert await store.own_size(SOMEBODY, sha(WASM)) is None
        assert (await refusal(store.own(SOMEBODY, sha(WASM)))) == NOT_HERE
        if there:
            assert await store.get(sha(WASM)) == WASM


async def test_an_upload_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(WASM[:2500])
        await upload.aclose()
        again = await store.upload(sha(WASM), len(WASM), ADA)
        assert again.taken == 2500
        await again.write(WASM[2500:])
        await again.finish()
        assert await store.get(sha(WASM)) == WASM


async def test_an_upload_goes_on_after_the_host_was_started_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(WASM[:2500])
        await upload.aclose()
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        assert quotas.used(ADA.id) == Amounts(stored=MODULE_COST)
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        assert upload.taken == 2500
        assert quotas.used(ADA.id) == Amounts(stored=len(WASM), uploads=1)
        await upload.write(WASM[2500:])
        await upload.finish()
        assert quotas.used(ADA.id) == Amounts(stored=len(WASM))


async def test_nobody_goes_on_with_somebody_elses_bytes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        garbage = await store.upload(sha(WASM), len(WASM), ADA)
        await garbage.write(b"x" * 2500)
        await garbage.aclose()
        assert (await store.upload(sha(WASM), len(WASM), GRACE)).taken == 0


async def test_a_stranger_leaves_nothing_half_done(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        upload = await store.upload(sha(WASM), len(WASM), SOMEBODY)
        await upload.write(WASM[:2500])
        assert quotas.used("anonymous") == Amounts(stored=len(WASM), uploads=1)
        await upload.aclose()
        assert quotas.total == Amounts()
        assert list((tmp_path / "modules" / "partial").iterdir()) == []
        assert (await store.upload(sha(WASM), len(WASM), anonymous("2"))).taken == 0


async def test_bytes_that_are_not_what_the_hash_says_are_dropped(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(b"x" * len(WASM))
        assert await refusal(upload.finish()) == (
            "bad-request",
            "The bytes are not those of the hash; they were dropped. Upload it again.",
        )
        assert await refusal(store.get(sha(WASM))) == NOT_HERE
        assert quotas.total == Amounts()
        await put(store)


async def test_more_and_fewer_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        upload = await store.upload(sha(WASM), 10, ADA)
        assert await refusal(upload.write(WASM)) == ("bad-request", "The upload has more bytes than it announced.")
        await upload.write(WASM[:3])
        assert await refusal(upload.finish()) == ("bad-request", "The upload ended after 3 of 10 bytes.")


@pytest.mark.parametrize(("digest", "size"), [(b"", 10), (b"x" * 31, 10), (b"x" * 32, 0), (b"x" * 32, -1)])
async def test_an_upload_needs_a_hash_and_a_size(digest: bytes, size: int, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        assert await refusal(store.upload(digest, size, ADA)) == (
            "bad-request",
            "An upload has a SHA-256 of 32 bytes and a size, at least 1.",
        )


async def test_quotas_are_asked_before_the_first_byte(tmp_path: Path) -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(stored=len(WASM), uploads=1)))
    async with opened(tmp_path, quotas) as store:
        first = await store.upload(sha(WASM), len(WASM), ADA)
        code, _ = await refusal(store.upload(sha(b"other"), 5, ADA))
        assert code == "quota-storage"
        await first.write(WASM)
        await first.finish()
        assert (await refusal(store.upload(sha(b"other"), 5, ADA)))[0] == "quota-storage"
        await put(store, who=GRACE)


async def test_however_small_a_module_it_counts_what_keeping_it_costs(tmp_path: Path) -> None:
    bounds = QuotaBounds(principal=Amounts(stored=4 * MODULE_COST, uploads=1))
    async with opened(tmp_path, Quotas(bounds)) as store:
        for number in range(4):
            await put(store, b"%d" % number)
        assert (await refusal(store.upload(sha(b"4"), 1, ADA)))[0] == "quota-storage"
        await put(store, b"0", GRACE)  # what is there already counts to whoever else holds it
    quotas = Quotas(bounds)
    async with opened(tmp_path, quotas) as store:
        assert (quotas.used(ADA.id).stored, quotas.used(GRACE.id).stored) == (4 * MODULE_COST, MODULE_COST)
        assert (await refusal(store.upload(sha(b"4"), 1, ADA)))[0] == "quota-storage"


async def test_a_refused_upload_leaves_a_resting_one_as_it_was(tmp_path: Path) -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(stored=len(WASM), uploads=1)))
    async with opened(tmp_path, quotas) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(WASM[:1000])
        await upload.aclose()
        assert quotas.total == Amounts(stored=MODULE_COST)
        assert (await refusal(store.upload(sha(WASM), 2 * len(WASM), ADA)))[0] == "quota-storage"
        assert quotas.total == Amounts(stored=MODULE_COST)


async def test_a_pin_keeps_and_tags_are_collected(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        assert (await store.pin(sha(WASM), ADA, ["b"])).holding.tags == ("b",)
        held = await store.pin(sha(WASM), ADA, ["a"])
        assert (held.holding.pinned, held.holding.tags, held.holding.revision) == (True, ("a", "b"), 2)
        assert (await store.unpin(sha(WASM), ADA, ["a"])).holding.pinned
        last = await store.unpin(sha(WASM), ADA, ["b"])
        assert (last.holding.pinned, last.holding.tags) == (False, ())


async def test_unpinning_without_tags_lets_go_of_all(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        await store.pin(sha(WASM), ADA, ["a", "b"])
        held = await store.unpin(sha(WASM), ADA)
        assert (held.holding.pinned, held.holding.tags) == (False, ())


async def test_a_pin_is_ones_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        await store.pin(sha(WASM), ADA, ["mine"])
        assert await refusal(store.unpin(sha(WASM), GRACE)) == (
            "not-found",
            "There is no such module, or it is not yours.",
        )
        assert await store.modules(GRACE) == []
        await put(store, WASM, GRACE)
        assert (await store.pin(sha(WASM), GRACE, ["hers"])).holding.tags == ("hers",)
        (held,) = await store.modules(ADA)
        assert held.holding.tags == ("mine",)


async def test_a_pin_of_somebody_elses_module_is_answered_as_if_there_were_none(tmp_path: Path) -> None:
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        await put(store)
        assert await refusal(store.pin(sha(WASM), GRACE)) == NOT_HERE
        assert (await store.modules(GRACE), quotas.used(GRACE.id)) == ([], Amounts())


async def test_pins_that_come_at_once_lose_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await put(store)
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(store.pin, sha(WASM), ADA, [f"tag{number}"])
        (held,) = await store.modules(ADA, sha(WASM))
        assert len(held.holding.tags) == 10


async def test_what_nobody_pinned_expires_by_age(tmp_path: Path) -> None:
    day, quotas = Day(), Quotas()
    async with opened(tmp_path, quotas, day, StoreBounds(unpinned_seconds=100)) as store:
        await put(store)
        await put(store, b"pinned", GRACE)
        await store.pin(sha(b"pinned"), GRACE)
        day.now += 99
        assert await store.collect() == ()
        day.now += 2
        (gone,) = await store.collect()
        assert gone.sha256 == sha(WASM)
        assert await refusal(store.get(sha(WASM))) == NOT_HERE
        assert await store.get(sha(b"pinned")) == b"pinned"
        assert quotas.total == Amounts(stored=MODULE_COST)
        await put(store)


async def test_what_is_used_does_not_expire(tmp_path: Path) -> None:
    day = Day()
    async with opened(tmp_path, day=day, bounds=StoreBounds(unpinned_seconds=100)) as store:
        await put(store)
        for _ in range(5):
            day.now += 80
            await store.get(sha(WASM))
            assert await store.collect() == ()


async def test_what_a_snapshot_needs_does_not_expire(tmp_path: Path) -> None:
    async def needed() -> frozenset[bytes]:
        return frozenset({sha(WASM)})

    day = Day()
    async with opened(tmp_path, day=day, bounds=StoreBounds(unpinned_seconds=100)) as store:
        await put(store)
        await put(store, b"another")
        store.needed = needed
        day.now += 200
        assert [each.sha256 for each in await store.collect()] == [sha(b"another")]


async def test_a_use_is_remembered_over_a_restart(tmp_path: Path) -> None:
    day, bounds = Day(), StoreBounds(unpinned_seconds=100)
    async with opened(tmp_path, day=day, bounds=bounds) as store:
        await put(store)
        day.now += 80
        store.touch(sha(WASM))
    day.now += 80
    async with opened(tmp_path, day=day, bounds=bounds) as store:
        assert await store.collect() == ()


async def test_of_too_much_the_oldest_goes(tmp_path: Path) -> None:
    day = Day()
    async with opened(tmp_path, day=day, bounds=StoreBounds(unpinned_bytes=15)) as store:
        for data in (b"1" * 10, b"2" * 10):
            await put(store, data)
            day.now += 1
        (gone,) = await store.collect()
        assert gone.sha256 == sha(b"1" * 10)


async def test_a_resting_upload_expires(tmp_path: Path) -> None:
    day, quotas = Day(), Quotas()
    async with opened(tmp_path, quotas, day, StoreBounds(partial_seconds=50)) as store:
        upload = await store.upload(sha(WASM), len(WASM), ADA)
        await upload.write(WASM[:1000])
        await upload.aclose()
        day.now += 51
        await store.collect()
        assert quotas.total == Amounts()
        assert (await store.upload(sha(WASM), len(WASM), ADA)).taken == 0


async def test_a_cancelled_upload_holds_nothing(tmp_path: Path) -> None:
    """Cancelled before every one of its waits in turn."""
    quotas = Quotas()
    async with opened(tmp_path, quotas) as store:
        for steps in range(40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, steps, scope)
                    upload = await store.upload(sha(WASM), len(WASM), SOMEBODY)
                    try:
                        await upload.write(WASM[:1000])
                        await trio.sleep_forever()
                    finally:
                        await upload.aclose()
            assert quotas.total == Amounts()
        assert list((tmp_path / "modules" / "partial").iterdir()) == []


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()
