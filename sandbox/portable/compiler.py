"""Assembly: the compile worker: one module (from anyone) becomes an image and facts in files of the parent.

Limits first, then admission, then the compiler. Facts are written last: they say that the image is complete. The
parent does not believe them further than it believes the program itself, but it takes the image's checksum at once,
before any other process can touch it. What rewrites a module is an executable, because it is the same code as the
native back-end's (native/module/src/bin); it runs under the limits of this process.
"""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wasmtime

from sandbox.portable.child_orders import CompileOrders, decode_compile_orders
from sandbox.portable.guest_capture import MEMORY
from sandbox.portable.guest_values import FUNCTIONS
from sandbox.portable.image_format import ImageHead, encode_image
from sandbox.portable.own_exports import export_memories, export_start, free_name
from sandbox.portable.portable_admission import (
    admit_untrusted,
    compile_module,
    facts_of,
    facts_of_refusal,
)
from sandbox.portable.portable_engine import make_engine
from sandbox.portable.process_limits import limit_compiler
from sandbox.portable.refusal_texts import REASON_MAX, Refusal
from sandbox.portable.shared_growth import MOST, Growing, share_growth
from sandbox.portable.wasm_sections import Sections

if TYPE_CHECKING:
    from sandbox.portable.portable_admission import Admitted
    from sandbox.portable.wasm_scan import Scan

PAGE = 65536
# form.CompileJob, which a child does not load
PLAIN, SUSPENDABLE, CONTINUE, SHOW, EXPORT = range(5)
ROLES = {SUSPENDABLE: "transform", CONTINUE: "continue", SHOW: "show", EXPORT: "export"}
# Bytes of each thing of the lists that stand before the program: sites and what is kept of the program; frames; a state
# and pieces of a memory.
UNITS = {CONTINUE: (4, 1), SHOW: (1,), EXPORT: (1, 4100)}
_LENGTH = struct.Struct("<I")
STATUS_NO_MEMORY = 62


class TransformerError(Exception):
    """It ended without an answer: over a limit of this process, most likely of memory."""


def compile_untrusted(given: bytes, orders: CompileOrders) -> tuple[bytes, dict[str, object]]:
    """(image, facts); the image is empty when it is a refusal. Raises TransformerError."""
    try:
        if orders.job in UNITS:
            return _of_state_untrusted(given, orders)
        admitted = admit_untrusted(given)
        if orders.job == PLAIN:
            return _plain(admitted, given, orders.max_code)
        return _suspendable(admitted, given, orders)
    except Refusal as refusal:
        return b"", facts_of_refusal(refusal)


def _bounded(code: bytes, max_code: int) -> bytes:
    if len(code) > max_code:
        raise Refusal("code-too-large", f"the compiled program has {len(code)} bytes, at most {max_code}")
    return code


def _suspendable(admitted: Admitted, given: bytes, orders: CompileOrders) -> tuple[bytes, dict[str, object]]:
    """As it came when it cannot be rewritten, with the reasons."""
    said, wasm = _transform(admitted.wasm, orders)
    try:
        if wasm:
            return _rewritten(admitted, wasm, orders.max_code), facts_of(admitted, given) | said
    except Refusal as refusal:
        said = {"unsuspendable": [f"transformed for it, {refusal.text}"[:REASON_MAX]]}
    image, facts = _plain(admitted, given, orders.max_code)
    return image, facts | said


def _rewritten(admitted: Admitted, wasm: bytes, max_code: int) -> bytes:
    """The image. The hidden exports are there already."""
    sections = Sections(wasm)
    most = _share(sections, admitted.scan)
    module = compile_module(make_engine(), sections.joined() if most else wasm)
    code = _bounded(bytes(module.serialize()), max_code)
    types = (each.type for each in module.exports if each.name == FUNCTIONS)
    hidden = [each.limits.min for each in types if isinstance(each, wasmtime.TableType)]
    names = tuple(f"{MEMORY}{number}" for number in range(len(admitted.scan.memory_pages)))
    return encode_image(replace(_head(admitted, names, most), hidden_tables=max((0, *hidden))), code)


def _head(admitted: Admitted, names: tuple[str, ...], most: tuple[str, ...]) -> ImageHead:
    scan = admitted.scan
    memory_bytes = tuple(pages * PAGE for pages in scan.memory_pages)
    tables = tuple(scan.table_elements)
    return ImageHead(admitted.personality, memory_bytes, tables, names, scan.argument_memory, most=most)


def _share(sections: Sections, scan: Scan) -> tuple[str, ...]:
    """The names of the limits, where there are any."""
    growing = Growing(len(scan.memory_pages), scan.table_types)
    if not growing.several:
        return ()
    names = free_name(scan, MOST[0]), free_name(scan, MOST[1])
    share_growth(sections, growing, names)
    return names


def _of_state_untrusted(given: bytes, orders: CompileOrders) -> tuple[bytes, dict[str, object]]:
    """`given`: for each of the lists u32 count, things; then the program."""
    end = 0
    for unit in UNITS[orders.job]:
        if len(given) < end + _LENGTH.size:
            raise Refusal("malformed", "the order is cut off")
        end += _LENGTH.size + _LENGTH.unpack_from(given, end)[0] * unit
    program = given[end:]
    admitted = admit_untrusted(program)
    said, wasm = _transform(given[:end] + admitted.wasm, orders)
    facts = {"ok": True, "wasm_sha256": hashlib.sha256(program).hexdigest()} | said
    if not wasm:
        return b"", facts
    if orders.job == EXPORT:
        return _bounded(wasm, orders.max_code), facts
    sections = Sections(wasm)
    if _share(sections, admitted.scan):
        wasm = sections.joined()
    code = _bounded(bytes(compile_module(make_engine(), wasm).serialize()), orders.max_code)
    return encode_image(ImageHead("", (), (), (), 0), code), facts


def _transform(given: bytes, orders: CompileOrders) -> tuple[dict[str, Any], bytes]:
    """What it adds to the facts, and the module that it made."""
    command = [orders.transformer, ROLES[orders.job]]
    done = subprocess.run(command, input=given, capture_output=True, env={}, check=False)  # noqa: S603
    if done.returncode or len(done.stdout) < _LENGTH.size:
        raise TransformerError
    end = _LENGTH.size + _LENGTH.unpack_from(done.stdout)[0]
    said: dict[str, Any] = json.loads(done.stdout[_LENGTH.size : end])
    return said, done.stdout[end:]


def _plain(admitted: Admitted, given: bytes, max_code: int) -> tuple[bytes, dict[str, object]]:
    sections = Sections(admitted.wasm)
    names, start = export_memories(sections, admitted.scan), export_start(sections, admitted.scan)
    head = replace(_head(admitted, names, _share(sections, admitted.scan)), start=start)
    code = _bounded(bytes(compile_module(make_engine(), sections.joined()).serialize()), max_code)
    return encode_image(head, code), facts_of(admitted, given)


def work(orders: CompileOrders) -> None:
    given = Path(orders.wasm).read_bytes()
    image, facts = compile_untrusted(given, orders)
    Path(orders.image).write_bytes(image)
    Path(orders.facts).write_text(json.dumps(facts))


def main(text: str) -> int:
    orders = decode_compile_orders(text)
    limit_compiler(orders.memory, orders.cpu_ms, orders.max_code + PAGE)
    try:
        work(orders)
    except (MemoryError, TransformerError):
        return STATUS_NO_MEMORY
    return 0
