"""Wire: the engine's own limits of one program: they answer before the kernel's do.

The engine limits each memory and table by itself. Where a program has several, it asks for their sum itself before one
grows (shared_growth.py), by limits that are set here; what a state brings is counted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime

from sandbox.portable.guest_control import CONTROL_BYTES
from sandbox.portable.guest_entry import MINIMUM_TEXT, STATUS_MEMORY_LIMIT
from sandbox.portable.guest_errno import GuestEnd
from sandbox.portable.live_state import PAGE
from sandbox.portable.saved_world import BadWorld

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.portable.child_orders import ProgramOrders
    from sandbox.portable.image_format import ImageHead
    from sandbox.portable.live_state import LiveState

# Tables that the rewritten form has besides the program's: functions, references.
HIDDEN_TABLES = 2
MEMORIES_TEXT = "its memories are larger than the limit `memory`"
TABLES_TEXT = "its tables are larger than the limit `table`"


def limit_store(store: wasmtime.Store, head: ImageHead, orders: ProgramOrders, references: int) -> None:
    """`references`: that may be in frames, in a table that the rewritten form has."""
    memories, tables = head.memory_bytes, head.table_elements
    if sum(memories) > orders.memory or sum(tables) > orders.table:
        raise GuestEnd(STATUS_MEMORY_LIMIT, text=MINIMUM_TEXT)
    hidden = head.hidden_tables
    store.set_limits(
        memory_size=max(orders.memory, CONTROL_BYTES * (hidden is not None)),
        table_elements=max(orders.table, hidden or 0, references),
        instances=1 if hidden is None else 2,
        memories=max(1, len(memories)) + (hidden is not None),
        tables=max(1, len(tables)) + HIDDEN_TABLES * (hidden is not None),
    )


def limit_own(store: wasmtime.Store, head: ImageHead, orders: ProgramOrders) -> None:
    """What was made for a stop is there; what grows from now on is the program's."""
    store.set_limits(
        memory_size=orders.memory,
        table_elements=orders.table,
        instances=2,
        memories=len(head.memory_bytes) + 1,
        tables=len(head.table_elements) + HIDDEN_TABLES,
    )


def limit_shared(store: wasmtime.Store, exports: Mapping[str, object], head: ImageHead, orders: ProgramOrders) -> None:
    """Of the program, or of what continues it. Nothing of it grows before."""
    for name, most in zip(head.most, (orders.memory // PAGE, orders.table), strict=False):
        limit = exports[name]
        assert isinstance(limit, wasmtime.Global)
        limit.set_value(store, wasmtime.Val.i64(most))


def check_sizes_untrusted(state: LiveState, head: ImageHead, orders: ProgramOrders) -> None:
    """What a state has is within the limits; what it does not name is as it began. Raises BadWorld."""
    pages = (state.pages, *(each.pages for each in state.memories))
    if sum(pages) * PAGE + sum(head.memory_bytes[len(pages) :]) > orders.memory:
        raise BadWorld(MEMORIES_TEXT)
    tables = dict(enumerate(head.table_elements)) | {each.number: len(each.entries) for each in state.tables}
    if sum(tables.values()) > orders.table:
        raise BadWorld(TABLES_TEXT)
