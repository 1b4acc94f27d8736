"""What waits for slow readers is bounded for each account, however many streams it has: gatebus.host.registry."""

from types import SimpleNamespace

from gatebus.bounds import PRINCIPAL_INSTANCES, STREAM_WINDOW_LEAST, STREAM_WINDOW_MOST
from gatebus.host.registry import Registry

MIB = 1 << 20


def started(registry: Registry, account: str, number: int) -> int:
    """One more call of this account; the window of its stream."""
    window = registry.window(account, 1)
    order = SimpleNamespace(principal=SimpleNamespace(account=account), connections=1)
    registry.add(SimpleNamespace(id=number.to_bytes(16, "big"), order=order))  # type: ignore[arg-type]
    return window


def test_whoever_has_few_streams_has_the_largest_windows() -> None:
    registry = Registry(60, 60)
    assert [started(registry, "somebody", number) for number in range(8)] == [STREAM_WINDOW_MOST] * 8
    assert started(registry, "somebody", 8) < STREAM_WINDOW_MOST


def test_another_accounts_streams_take_nothing_from_ones_own() -> None:
    registry = Registry(60, 60)
    for number in range(100):
        started(registry, "somebody", number)
    assert registry.window("somebody else", 1) == STREAM_WINDOW_MOST


def test_as_many_slow_readers_as_an_account_may_have_hold_less_than_an_attack_may_cost() -> None:
    """Their windows alone; objects come on top."""
    registry = Registry(60, 60)
    windows = [started(registry, "somebody", number) for number in range(PRINCIPAL_INSTANCES)]
    assert min(windows) == STREAM_WINDOW_LEAST
    assert sum(windows) <= 64 * MIB
