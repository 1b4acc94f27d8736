"""Words: what the parent tells a child on its command line: numbers, and the image with its checksum. Trusted in
both directions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ProgramOrders:
    """One program. `wall_ms` 0 = no limit. `stop`: of one that can be stopped, the descriptor on which it is told;
    `memory_file`: where its memory 0 comes from or goes to; `continuation`: what goes on from a state, which `checker`
    has looked at.
    """

    image: str
    image_sha256: str
    memory: int
    table: int
    stack: int
    cpu_ms: int
    wall_ms: int
    data: int
    stop: int = -1
    memory_file: str = ""
    continuation: str = ""
    continuation_sha256: str = ""
    checker: str = ""


@dataclass(frozen=True, slots=True)
class CompileOrders:
    """One compilation: three files of the parent, and the limits. `job`: form.CompileJob; `transformer`: the executable
    for all but the first.
    """

    wasm: str
    image: str
    facts: str
    max_code: int
    memory: int
    cpu_ms: int
    job: int = 0
    transformer: str = ""


def encode_orders(orders: ProgramOrders | CompileOrders) -> str:
    return json.dumps(asdict(orders))


def decode_program_orders(text: str) -> ProgramOrders:
    return ProgramOrders(**json.loads(text))


def decode_compile_orders(text: str) -> CompileOrders:
    return CompileOrders(**json.loads(text))
