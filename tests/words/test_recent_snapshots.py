"""Where the last snapshots lie: the newest of them, and only for those whose they are."""

from __future__ import annotations

from gatebus.host.quotas import Amounts, QuotaBounds, Quotas
from gatebus.snapshots.packfolder import Pack
from gatebus.snapshots.recentsnapshots import RecentSnapshots, Whole
from gatebus.snapshots.snapshotbounds import RECENT, SNAPSHOT_COST
from gatebus.snapshots.storedbytes import StoredBytes

PLENTY = Amounts(instances=1, memory=1, stored=1 << 30, uploads=1, connections=1)


def whole(number: int, account: str = "ada", size: int = 7) -> Whole:
    return Whole(number.to_bytes(32), account, size, [])


def test_what_was_noted_last_is_known_and_what_came_before_is_forgotten_in_its_order() -> None:
    recent = RecentSnapshots()
    for number in range(RECENT + 2):
        recent.note(whole(number))
    assert recent.get(whole(0).id, None) is recent.get(whole(1).id, None) is None
    assert recent.get(whole(2).id, None) == whole(2)
    assert recent.get(whole(RECENT + 1).id, "ada") == whole(RECENT + 1)


def test_what_is_noted_again_is_as_it_is_now_and_stays_as_long_as_a_new_one() -> None:
    recent = RecentSnapshots()
    for number in range(RECENT):
        recent.note(whole(number))
    recent.note(whole(0, size=8))
    recent.note(whole(RECENT))
    assert recent.get(whole(0).id, "ada") == whole(0, size=8)
    assert recent.get(whole(1).id, "ada") is None


def test_another_account_is_told_nothing_and_whoever_asks_for_anybody_s_is() -> None:
    recent = RecentSnapshots()
    recent.note(whole(1))
    assert recent.get(whole(1).id, "bob") is None
    assert recent.get(whole(1).id, None) == whole(1)


def test_what_is_forgotten_is_not_known_and_may_be_forgotten_again() -> None:
    recent = RecentSnapshots()
    recent.note(whole(1))
    recent.forget(whole(1).id)
    recent.forget(whole(1).id)
    assert recent.get(whole(1).id, None) is None


def pack(account: str, size: int) -> Pack:
    return Pack(b"name", account, size, b"")


def test_what_an_account_stores_is_one_ticket_that_grows_and_shrinks() -> None:
    quotas = Quotas(QuotaBounds(PLENTY, PLENTY, PLENTY))
    stored = StoredBytes(quotas)
    stored.adopt([pack("ada", 100_000), pack("ada", 1), pack("bob", 50_000)])
    stored.spend(pack("ada", 30_000))
    stored.overspend(pack("bob", 60_000))
    assert quotas.used("ada").stored == 130_000 + SNAPSHOT_COST
    assert quotas.used("bob").stored == 110_000
    assert stored.room("ada") == PLENTY.stored - quotas.total.stored
    for each in (pack("ada", 100_000), pack("ada", 1), pack("ada", 30_000)):
        stored.give_back(each)
    assert quotas.used("ada").stored == 0
