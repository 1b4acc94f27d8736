"""Programs that find each other and talk, each in a process of its own: gate_peers.c over both back-ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from guestworld import Around, Run, guest, run_guest

from gatebus.peers.neighbourhood import Neighbourhood
from gatebus.turn import Turn
from sandbox import Cause, Setup

if TYPE_CHECKING:
    from sandbox import Sandbox


async def run_together(box: Sandbox, *roles: str, principals: tuple[str, ...] = ()) -> list[Run]:
    """Each role is an entry of the guest and a program of its own; they are neighbours."""
    neighbourhood, turn = Neighbourhood(), Turn()
    runs: dict[int, Run] = {}
    wasm = guest("tests/gate_peers.wasm")

    async def one(number: int, role: str) -> None:
        resident = neighbourhood.admit("alice", f"instance-{number}")
        around = Around(callers=(), resident=resident, turn=turn)
        runs[number] = await run_guest(box, wasm, Setup(function=role), around)

    async with trio.open_nursery() as nursery:
        for number, role in enumerate(roles):
            nursery.start_soon(one, number, role)
    return [runs[number] for number in range(len(roles))]


async def test_two_programs_stream_a_mebibyte_to_each_other(box: Sandbox) -> None:
    for run in await run_together(box, "answerer", "asker"):
        assert (run.log, run.outcome.ok, run.fault) == (b"PASS\n", True, None)


async def test_the_death_of_a_peer_is_the_end_of_the_stream_with_a_note(box: Sandbox) -> None:
    mortal, survivor = await run_together(box, "mortal", "survivor")
    assert mortal.outcome.cause is Cause.UNREACHABLE
    assert (survivor.log, survivor.outcome.ok) == (b"PASS\n", True)


async def test_all_members_of_a_group_hear_all_in_one_order(box: Sandbox) -> None:
    runs = await run_together(box, "member", "member", "member")
    orders = {run.log for run in runs}
    assert len(orders) == 1, orders
    order, word = orders.pop().split()
    assert (sorted(order), word) == (sorted(b"123"), b"PASS")
