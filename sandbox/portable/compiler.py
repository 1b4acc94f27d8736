"""Assembly: the compile worker: one module (from anyone) becomes an image and facts in files of the parent.

Limits first, then admission, then the compiler. Facts are written last: they say that the image is complete. The
parent does not believe them further than it believes the program itself, but it takes the image's checksum at once,
before any other process can touch it.
"""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.portable.child_orders import CompileOrders, decode_compile_orders
from sandbox.portable.image_format import ImageHead, encode_image
from sandbox.portable.portable_admission import admit_untrusted, compile_admitted, facts_of, facts_of_refusal
from sandbox.portable.portable_engine import make_engine
from sandbox.portable.process_limits import limit_compiler
from sandbox.portable.refusal_texts import Refusal

PAGE = 65536
STATUS_NO_MEMORY = 62


def compile_untrusted(given: bytes, max_code: int) -> tuple[bytes, dict[str, object]]:
    """(image, facts); the image is empty when it is a refusal."""
    try:
        admitted = admit_untrusted(given)
        code, memory_exports = compile_admitted(make_engine(), admitted)
        if len(code) > max_code:
            raise Refusal("code-too-large", f"the compiled program has {len(code)} bytes, at most {max_code}")
    except Refusal as refusal:
        return b"", facts_of_refusal(refusal)
    memory_bytes = tuple(pages * PAGE for pages in admitted.scan.memory_pages)
    tables = tuple(admitted.scan.table_elements)
    head = ImageHead(admitted.personality, memory_bytes, tables, memory_exports, admitted.scan.argument_memory)
    return encode_image(head, code), facts_of(admitted, given)


def work(orders: CompileOrders) -> None:
    given = Path(orders.wasm).read_bytes()
    image, facts = compile_untrusted(given, orders.max_code)
    Path(orders.image).write_bytes(image)
    Path(orders.facts).write_text(json.dumps(facts))


def main(text: str) -> int:
    orders = decode_compile_orders(text)
    limit_compiler(orders.memory, orders.cpu_ms, orders.max_code + PAGE)
    try:
        work(orders)
    except MemoryError:
        return STATUS_NO_MEMORY
    return 0
