"""gatebus.client.orders: what no message holds is refused before anything is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gatebus.client import orders
from gatebus.faults import UsageError


def orders_fault(program: orders.Program) -> str:
    with pytest.raises(UsageError) as caught:
        sent(program)
    return caught.value.text


def sent(program: orders.Program) -> dict[str, Any]:
    orders.check_fits(program)
    return orders.parameters(program, b"m" * 32)


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (orders.Program(b"m" * 32, args=["1"] * 1_025), "arguments"),
        (orders.Program(b"m" * 32, env={str(each): "" for each in range(1_025)}), "variables"),
        (orders.Program(b"m" * 32, files={str(each): b"" for each in range(1_025)}), "files"),
    ],
)
def test_more_things_than_a_message_has_items_are_refused_before_anything_is_sent(
    program: orders.Program, what: str
) -> None:
    assert orders_fault(program) == (
        f"A program gets at most 1024 {what}; these are 1025. Put them into one file that the program takes apart."
    )


@pytest.mark.parametrize(
    "program",
    [
        orders.Program(b"m" * 32, args=["a" * 70_000]),
        orders.Program(b"m" * 32, args=["ü" * 40_000]),
        orders.Program(b"m" * 32, env={"A": "a" * 70_000}),
        orders.Program(b"m" * 32, files={f"{'n' * 70}{each}": b"c" * 70 for each in range(900)}),
    ],
)
def test_what_is_larger_than_a_message_is_refused_with_its_size(program: orders.Program) -> None:
    text = orders_fault(program)
    assert re.fullmatch(
        r"The arguments, variables and names of files take \d{5} bytes, and a request holds 64512\. "
        r"Put them into one file that the program takes apart\.",
        text,
    )


def test_what_fits_is_not_refused() -> None:
    program = orders.Program(b"m" * 32, args=["a" * 60] * 1_000, files={"large": bytes(10_000_000)})
    orders.check_fits(program)
    assert len(sent(orders.Program(b"m" * 32, args=program.args))["args"]) == 1_000
