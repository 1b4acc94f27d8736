"""Totals: never negative, never above their bound, and back at nothing when everything was given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebus.host.quotas import HOST, PRINCIPAL, STRANGERS, Amounts, QuotaBounds, Quotas, Ticket
from gatebus.host.refusals import Refusal

MIB = 1 << 20
SMALL = QuotaBounds(
    host=Amounts(instances=4, memory=400 * MIB, stored=40 * MIB, uploads=4, connections=4),
    principal=Amounts(instances=3, memory=300 * MIB, stored=30 * MIB, uploads=3, connections=3),
    anonymous=Amounts(instances=1, memory=100 * MIB, stored=10 * MIB, uploads=1, connections=2),
)


def refused(quotas: Quotas, account: str, wanted: Amounts) -> tuple[str, str]:
    before = quotas.total, quotas.used(account)
    with pytest.raises(Refusal) as caught:
        quotas.take(account, wanted)
    assert (quotas.total, quotas.used(account)) == before, "a refusal takes nothing"
    return caught.value.code, caught.value.text


def test_what_is_taken_is_counted_and_given_back() -> None:
    quotas = Quotas(SMALL)
    ticket = quotas.take("ada", Amounts(instances=1, memory=MIB))
    assert quotas.used("ada") == quotas.total == Amounts(instances=1, memory=MIB)
    quotas.release(ticket)
    assert quotas.used("ada") == quotas.total == Amounts()


def test_a_ticket_counts_once() -> None:
    quotas = Quotas(SMALL)
    first, _second = (quotas.take("ada", Amounts(instances=1)) for _ in range(2))
    quotas.release(first)
    quotas.release(first)
    assert quotas.used("ada") == Amounts(instances=1)


def test_a_ticket_that_was_never_given_out_changes_nothing() -> None:
    quotas = Quotas(SMALL)
    quotas.release(Ticket(1, "ada", Amounts(instances=1)))
    assert quotas.total == Amounts()


@pytest.mark.parametrize(
    ("account", "taken", "wanted", "code", "text"),
    [
        (
            "ada",
            Amounts(instances=3),
            Amounts(instances=1),
            "quota-instances",
            "You have 3 of 3 instances; 1 more are too many. Wait for one to end, or kill one.",
        ),
        (
            "ada",
            Amounts(memory=299 * MIB),
            Amounts(memory=MIB + MIB // 2),
            "quota-memory",
            "You have 299 of 300 MiB of memory; 1.5 more are too many. Ask for less, or wait for an instance to end.",
        ),
        (
            "ada",
            Amounts(stored=30 * MIB),
            Amounts(stored=MIB),
            "quota-storage",
            "You have 30 of 30 MiB of stored modules and snapshots; 1 more are too many. Unpin modules, drop "
            "snapshots, or remove instances.",
        ),
        (
            "ada",
            Amounts(uploads=3),
            Amounts(uploads=1),
            "quota-uploads",
            "You have 3 of 3 uploads at once; 1 more are too many. Wait for one to end.",
        ),
        (
            "anonymous",
            Amounts(connections=2),
            Amounts(connections=1),
            "quota-connections",
            "All connections without a key together have 2 of 2 connections; 1 more are too many. Close some.",
        ),
    ],
)
def test_a_refusal_has_the_numbers(account: str, taken: Amounts, wanted: Amounts, code: str, text: str) -> None:
    quotas = Quotas(SMALL)
    quotas.take(account, taken)
    assert refused(quotas, account, wanted) == (code, text)


def test_the_host_is_full_for_everybody() -> None:
    quotas = Quotas(SMALL)
    quotas.take("ada", Amounts(instances=3))
    quotas.take("grace", Amounts(instances=1))
    assert refused(quotas, "grace", Amounts(instances=1)) == (
        "quota-instances",
        "This host has 4 of 4 instances; 1 more are too many. Wait for one to end, or kill one.",
    )


def test_an_instance_and_its_memory_are_taken_together_or_not_at_all() -> None:
    quotas = Quotas(SMALL)
    code, _ = refused(quotas, "ada", Amounts(instances=1, memory=301 * MIB))
    assert code == "quota-memory"
    assert quotas.total == Amounts()


def test_strangers_share_one_line_and_others_have_one_each() -> None:
    assert SMALL.of("anonymous") == SMALL.anonymous
    assert SMALL.of("key:x") == SMALL.of("local:0") == SMALL.principal


def test_what_is_there_already_is_counted_even_above_the_bound() -> None:
    quotas = Quotas(SMALL)
    kept = quotas.adopt("ada", Amounts(stored=50 * MIB))
    assert quotas.total.stored == 50 * MIB
    quotas.take("ada", Amounts(instances=1))  # only what is too much is refused
    assert refused(quotas, "ada", Amounts(stored=1))[0] == "quota-storage"
    quotas.release(kept)
    quotas.take("ada", Amounts(stored=1))


def test_an_account_without_anything_is_forgotten() -> None:
    quotas = Quotas(SMALL)
    for number in range(100):
        quotas.release(quotas.take(f"key:{number}", Amounts(uploads=1)))
    assert quotas.accounts == 0


def test_the_statement_names_every_total() -> None:
    quotas = Quotas(SMALL)
    quotas.take("ada", Amounts(uploads=2))
    assert quotas.statement("ada")["uploads"] == {"used": 2, "limit": 3}
    assert set(quotas.statement("ada")) == {"instances", "memory", "stored", "uploads", "connections"}


def test_by_default_nobody_can_have_the_whole_host() -> None:
    for name, whole in HOST.items():
        assert 0 < getattr(STRANGERS, name) <= getattr(PRINCIPAL, name) < whole


amounts = st.builds(
    Amounts,
    instances=st.integers(0, 3),
    memory=st.integers(0, 200 * MIB),
    stored=st.integers(0, 20 * MIB),
    uploads=st.integers(0, 2),
    connections=st.integers(0, 2),
)


def fits(used: Amounts, bound: Amounts) -> bool:
    return all(have <= limit for have, limit in zip(used.values(), bound.values(), strict=True))


steps = st.lists(st.tuples(st.sampled_from(["ada", "grace", "anonymous"]), amounts, st.booleans()), max_size=60)


@given(steps)
def test_whatever_happens_no_total_is_negative_or_above_its_bound(plan: list[tuple[str, Amounts, bool]]) -> None:
    quotas, open_tickets, codes = Quotas(SMALL), [], {"quota"}
    for account, wanted, give_back in plan:
        if give_back and open_tickets:
            quotas.release(open_tickets.pop(0))
        try:
            open_tickets.append(quotas.take(account, wanted))
        except Refusal as refusal:
            codes.add(refusal.code.partition("-")[0])
        for who, bound in (("ada", SMALL.principal), ("grace", SMALL.principal), ("anonymous", SMALL.anonymous)):
            assert fits(quotas.used(who), bound)
            assert all(value >= 0 for _, value in quotas.used(who).items())
        assert fits(quotas.total, SMALL.host)
        sums = zip(*(quotas.used(who).values() for who in ("ada", "grace", "anonymous")), strict=True)
        assert quotas.total.values() == tuple(map(sum, sums))
    for ticket in open_tickets:
        quotas.release(ticket)
    assert codes == {"quota"}
    assert (quotas.total, quotas.accounts) == (Amounts(), 0)


def test_a_few_bytes_are_more_than_nothing() -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(stored=100_000)))
    quotas.take("ada", Amounts(stored=99_000))
    _code, text = refused(quotas, "ada", Amounts(stored=16_384))
    assert text.startswith("You have 96.7 of 97.7 KiB of stored modules and snapshots; 16 more are too many.")


def test_what_is_missing_of_gigabytes_is_more_than_nothing_too() -> None:
    quotas = Quotas(QuotaBounds(principal=Amounts(stored=2 << 30)))
    quotas.take("ada", Amounts(stored=2045 << 20))
    _code, text = refused(quotas, "ada", Amounts(stored=4 << 20))
    assert text.startswith("You have 2045 of 2048 MiB of stored modules and snapshots; 4 more are too many.")
    quotas.take("ada", Amounts(stored=3 << 20))
    _code, text = refused(quotas, "ada", Amounts(stored=16_384))
    assert text.startswith("You have 2048 of 2048 MiB of stored modules and snapshots; 0.016 more are too many.")
