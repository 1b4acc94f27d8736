"""The benchmark's table says the truth about which figures reach their targets."""

from __future__ import annotations

import pytest

from bench.table import FIGURES, rows, wanted


def test_a_figure_below_an_upper_target_is_reached_and_above_it_is_missed() -> None:
    lines = list(rows({"spawn_ms": 0.2, "kernels": 1.5}))
    assert [line.split("|")[5].strip() for line in lines[2:]] == ["reached", "MISSED"]


def test_a_rate_below_its_target_is_missed() -> None:
    (line,) = list(rows({"spawn_rate": 1499.0}))[2:]
    assert "MISSED" in line


def test_keys_are_unique_and_no_selection_means_all() -> None:
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)
    assert wanted("") == FIGURES


def test_an_unknown_key_is_named_together_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no such figure: nonsense; there are spawn_ms, "):
        wanted("run_ms,nonsense")


def test_a_selection_keeps_the_order_of_the_table() -> None:
    assert [figure.key for figure in wanted("kernels, spawn_ms")] == ["spawn_ms", "kernels"]
