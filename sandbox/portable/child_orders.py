"""Words: what the parent tells a child on its command line: numbers, and the image with its checksum. Trusted in
both directions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ProgramOrders:
    """One program. `wall_ms` 0 = no limit."""

    image: str
    image_sha256: str
    memory: int
    table: int
    stack: int
    cpu_ms: int
    wall_ms: int
    data: int


@dataclass(frozen=True, slots=True)
class CompileOrders:
    """One compilation: three files of the parent, and the limits."""

    wasm: str
    image: str
    facts: str
    max_code: int
    memory: int
    cpu_ms: int


def encode_orders(orders: ProgramOrders | CompileOrders) -> str:
    return json.dumps(asdict(orders))


def decode_program_orders(text: str) -> ProgramOrders:
    return ProgramOrders(**json.loads(text))


def decode_compile_orders(text: str) -> CompileOrders:
    return CompileOrders(**json.loads(text))
