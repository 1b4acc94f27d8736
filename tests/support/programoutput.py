"""What a real program with one connection writes, in the sandbox's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.packets import DATA, PAIR, split_untrusted

if TYPE_CHECKING:
    from sandbox import Program


def text_of(packets: bytes) -> bytes:
    return b"".join(each.content[PAIR.size :] for each in split_untrusted(packets) if each.domain == DATA)


async def said(program: Program) -> bytes:
    """Until it writes something."""
    text = b""
    while not text:
        packets = await program.receive_some()
        assert packets, await program.wait()
        text = text_of(packets)
    return text


async def rest_of(program: Program) -> bytes:
    return b"".join([text_of(packets) async for packets in program])
