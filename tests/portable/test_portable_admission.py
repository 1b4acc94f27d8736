"""What a module must be: refusals by name, counts from both sides, and modules that are cut or spoilt anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
import wasmtime
from wasmbytes import HEADER, leb, section

from sandbox.portable import admission_bounds as bounds
from sandbox.portable.child_orders import CompileOrders
from sandbox.portable.compiler import compile_untrusted
from sandbox.portable.image_format import BadImage, load_image
from sandbox.portable.portable_admission import admit_untrusted
from sandbox.portable.refusal_texts import Refusal, engine_reason_untrusted, shown_untrusted

ORDERS = CompileOrders(wasm="", image="", facts="", max_code=64 << 20, memory=0, cpu_ms=0)


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def refusal(wasm: bytes) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        admit_untrusted(wasm)
    return caught.value.code, caught.value.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(memory i64 1)", "64-bit memory is not supported: build for wasm32"),
        ("(memory 1 1 shared)", "threads and atomics are not supported: build without -pthread or shared memory"),
        ("(type (struct))", "garbage collection (GC) is not supported: build for linear memory"),
        (
            "(type $f (func)) (func (param (ref null $f)))",
            "typed function references are not supported: build without them",
        ),
        (
            "(func try catch_all end)",
            "the legacy form of exceptions is not supported: build with -mllvm -wasm-use-legacy-eh=false",
        ),
        ("(memory 1 (pagesize 1))", "custom page sizes are not supported: build with pages of 64 KiB"),
        (
            "(func (param i64) local.get 0 local.get 0 local.get 0 local.get 0 i64.add128 drop drop)",
            "wide arithmetic is not supported: build without -mwide-arithmetic",
        ),
    ],
)
def test_what_is_not_offered_is_refused_by_name(text: str, said: str) -> None:
    assert refusal(wat(f"(module {text})")) == ("unsupported", said)


@pytest.mark.parametrize(
    "text",
    [
        "(func (result i32 i32) i32.const 1 i32.const 2)",
        '(global (mut i32) (i32.const 1)) (export "g" (global 0))',
        "(func (drop (i32.extend8_s (i32.const 1))) (drop (i32.trunc_sat_f32_s (f32.const 1))))",
        '(memory 1) (data "x") (func (memory.fill (i32.const 0) (i32.const 1) (i32.const 2)) (memory.init 0 '
        "(i32.const 0) (i32.const 0) (i32.const 1)))",
        "(table 1 externref) (func (param externref) (table.set (i32.const 0) (local.get 0)))",
        "(func (result v128) (v128.const i32x4 1 2 3 4))",
        "(func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 1 2 3 4)))",
        "(func $f (return_call $f))",
        "(global i32 (i32.add (i32.const 1) (i32.mul (i32.const 2) (i32.const 3))))",
        "(tag $t (param i32)) (func (block $b (result i32) (try_table (catch $t $b) (throw $t (i32.const "
        "1))) (i32.const 2)) drop)",
        "(memory 1) (memory 2) (func (drop (i32.load 1 (i32.const 0))))",
    ],
    ids=[
        "multi-value",
        "mutable globals",
        "sign extension and saturation",
        "bulk memory",
        "reference types",
        "simd",
        "relaxed simd",
        "tail calls",
        "extended constants",
        "exceptions",
        "multi-memory",
    ],
)
def test_what_toolchains_emit_is_accepted(text: str) -> None:
    image, facts = compile_untrusted(wat(f"(module {text})"), ORDERS)
    assert facts["ok"] is True
    assert image


def test_a_component_is_told_what_to_do() -> None:
    assert refusal(b"(component)") == ("unsupported", "a component is not supported: build for wasm32-wasip1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "not a WebAssembly module"),
        (b"\x7fELF....", "not a WebAssembly module"),
        (b"\0asm\1\0\0", "not a WebAssembly module"),
        (b"\0asm\7\0\0\0", "malformed module: unknown version"),
        (HEADER + b"\1\2", "malformed module: unexpected end-of-file (at byte 10)"),
        (
            HEADER + b"\1\xff\xff\xff\xff\xff\1",
            "malformed module: invalid var_u32: integer representation too long (at byte 13)",
        ),
        (b"(module\n (func", "malformed text: expected `)` (line 2, column 7)"),
    ],
)
def test_what_is_no_module(given: bytes, said: str) -> None:
    assert refusal(given) == ("malformed", said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '(import "a" "b" (func))',
            "import a.b is not provided: programs may import WASI preview 1 and Gate's functions",
        ),
        (
            '(import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32)))',
            "import wasi_unstable.sock_accept is not provided: programs may import WASI preview 1 and Gate's functions",
        ),
        ('(import "a" "b" (memory 1))', "import a.b is not a function: only functions are provided"),
        ('(import "a" "b" (global i32))', "import a.b is not a function: only functions are provided"),
        ('(import "a" "b" (table 1 funcref))', "import a.b is not a function: only functions are provided"),
        ('(import "a" "b" (tag))', "import a.b is not a function: only functions are provided"),
        (
            '(import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32)))',
            "import wasi_snapshot_preview1.fd_close has another signature than the one provided",
        ),
        (
            '(import "gate" "fd_1" (func (result i32)))',
            "import gate.fd_1 is not provided: programs may import WASI preview 1 and Gate's functions",
        ),
    ],
)
def test_imports_that_nobody_provides(text: str, said: str) -> None:
    assert refusal(wat(f"(module {text})")) == ("bad-import", said)


def test_the_personality_is_chosen_by_the_imports() -> None:
    wasi = '(import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))'
    gate = '(import "env" "__gate_fd_65536" (func (result i32)))'
    found = [admit_untrusted(wat(f"(module {text})")).personality for text in ("", wasi, gate, wasi + gate)]
    assert found == ["wasi", "wasi", "gate", "gate"]


def many(count: int, one: bytes, kind: int) -> bytes:
    return HEADER + section(kind, leb(count) + one * count)


FUNCTION_TYPE = b"\x60\0\0"


@pytest.mark.parametrize(
    ("wasm", "said"),
    [
        (many(bounds.TYPES + 1, FUNCTION_TYPE, 1), f"types: {bounds.TYPES + 1}, at most {bounds.TYPES}"),
        (
            HEADER + section(1, b"\1\x60" + leb(1001) + b"\x7f" * 1001 + b"\0"),
            "parameters or results: 1001, at most 1000",
        ),
        (many(bounds.FUNCTIONS + 1, b"\0", 3), "functions: 100001, at most 100000"),
        (many(bounds.TABLES + 1, b"\x70\0\0", 4), "tables: 101, at most 100"),
        (HEADER + section(4, b"\1\x70\0" + leb(10_000_001)), "table elements: 10000001, at most 10000000"),
        (many(bounds.MEMORIES + 1, b"\0\0", 5), "memories: 9, at most 8"),
        (many(bounds.GLOBALS + 1, b"\x7f\0\x41\0\x0b", 6), "globals: 20001, at most 20000"),
        (many(bounds.TAGS + 1, b"\0\0", 13), "tags: 1001, at most 1000"),
        (many(bounds.IMPORTS + 1, b"\1a\1b\0\0", 2), "imports: 1001, at most 1000"),
        (many(bounds.EXPORTS + 1, b"\1a\0\0", 7), "exports: 50001, at most 50000"),
        (HEADER + section(7, b"\1" + leb(10_001) + b"a" * 10_001 + b"\0\0"), "bytes in a name: 10001, at most 10000"),
        (many(bounds.ELEMENT_SEGMENTS + 1, b"\1\0\0", 9), "element segments: 10001, at most 10000"),
        (HEADER + section(9, b"\1\1\0" + leb(1_000_001)), "element segment items: 1000001, at most 1000000"),
        (HEADER + section(12, leb(500_001)), "data segments: 500001, at most 500000"),
        (
            HEADER + section(6, b"\1\x7f\0" + b"\x41\0" * 50 + b"\x6a" * 51 + b"\x0b"),
            "operators in a constant: 101, at most 100",
        ),
    ],
)
def test_counts_are_refused_before_anything_is_validated(wasm: bytes, said: str) -> None:
    assert refusal(wasm) == ("too-large", f"the module has too many or too large {said}")


def body_of(code: bytes, locals_: bytes = b"\0") -> bytes:
    one = locals_ + code + b"\x0b"
    return HEADER + section(1, b"\1" + FUNCTION_TYPE) + section(3, b"\1\0") + section(10, b"\1" + leb(len(one)) + one)


def blocks(depth: int) -> bytes:
    return b"\x02\x40" * depth + b"\x0b" * depth


@pytest.mark.parametrize(
    ("wasm", "said"),
    [
        (body_of(b"\x01" * (1 << 20)), "bytes in a function: 1048578, at most 1048576"),
        (body_of(b"", b"\1" + leb(20_001) + b"\x7f"), "locals in a function: 20001, at most 20000"),
        (body_of(blocks(10_000)), "nested blocks: 10001, at most 10000"),
        (
            body_of(blocks(1) * 2000, b"\1" + leb(15_000) + b"\x7f"),
            "locals times blocks in a function: 30000000, at most 20000000",
        ),
        (body_of(b"\x41\0\x0e" + leb(65_537) + b"\0" * 65_538), "targets in a br_table: 65537, at most 65536"),
        (
            body_of((b"\x41\0\x0e" + leb(50_001) + b"\0" * 50_002) * 4),
            "targets of all br_table in a function: 200004, at most 200000",
        ),
    ],
)
def test_functions_that_the_compiler_would_choke_on_are_refused(wasm: bytes, said: str) -> None:
    assert refusal(wasm) == ("too-large", f"the module has too many or too large {said}")


@pytest.mark.parametrize(
    "wasm",
    [body_of(b"", b"\1" + leb(20_000) + b"\x7f"), body_of(blocks(9_999)), body_of(b"\x01" * 100_000)],
    ids=["locals", "nesting", "length"],
)
def test_functions_at_their_bounds_are_admitted(wasm: bytes) -> None:
    assert admit_untrusted(wasm).scan.defined_functions == 1


def test_text_and_modules_have_a_largest_size() -> None:
    assert refusal(b"(" + b" " * bounds.TEXT)[1].startswith(
        "the module has too many or too large bytes of text: 4194305"
    )
    assert (
        refusal(bytes(bounds.MODULE + 1))[1] == "the module has too many or too large bytes: 33554433, at most 33554432"
    )


WHOLE = wat(
    """(module (type (func)) (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32))) (memory 1
    2) (memory 3) (table 2 funcref) (elem (i32.const 0) 1) (tag) (global (mut i32) (i32.const 5)) (data (i32.const
    3) "abc") (func (export "_start") (local i32) (block (br_table 0 0 (i32.const 1)))) (start 1) (export "memory"
    (memory 1)))"""
)


def test_the_facts_of_a_module() -> None:
    image, facts = compile_untrusted(WHOLE, ORDERS)
    head, _ = load_image(image)
    del facts["wasm_sha256"]
    assert facts == {
        "ok": True,
        "personality": "wasi",
        "functions": 1,
        "memory_pages": 4,
        "memory_max_pages": 2,
        "table_elements": 2,
        "exports": ["_start"],
        "has_start": True,
        "imports": 1,
    }
    assert (head.memory_bytes, head.table_elements, head.argument_memory) == ((65536, 3 * 65536), (2,), 1)
    assert head.memory_exports == ("gatebus memory 0", "gatebus memory 1")


def test_a_name_that_we_would_take_is_left_to_the_program() -> None:
    image, _ = compile_untrusted(wat('(module (memory 1) (func (export "gatebus memory 0")))'), ORDERS)
    assert load_image(image)[0].memory_exports == ("gatebus memory 0_",)


@pytest.mark.parametrize("end", range(len(WHOLE)))
def test_a_module_that_breaks_off_anywhere_is_refused_or_whole(end: int) -> None:
    _, facts = compile_untrusted(WHOLE[:end], ORDERS)
    if facts["ok"] is False:
        assert facts["code"] in ("malformed", "invalid")
        assert "\n" not in str(facts["text"])
    else:
        assert end in (8, 12) or end > 12


@pytest.mark.parametrize("at", range(8, len(WHOLE)))
def test_a_module_with_one_spoilt_byte_is_refused_or_admitted_but_never_a_crash(at: int) -> None:
    codes = {"malformed", "invalid", "unsupported", "too-large", "bad-import"}
    for flip in (0x01, 0x80, 0xFF):
        spoilt = WHOLE[:at] + bytes((WHOLE[at] ^ flip,)) + WHOLE[at + 1 :]
        assert code_of(spoilt) in codes | {"admitted"}


def code_of(wasm: bytes) -> str:
    try:
        admit_untrusted(wasm)
    except Refusal as refused:
        return refused.code
    return "admitted"


def test_code_that_is_too_large_is_refused() -> None:
    assert compile_untrusted(WHOLE, replace(ORDERS, max_code=100))[1]["code"] == "code-too-large"


@pytest.mark.parametrize("spoil", [b"", b"gatebus", b"gatebus portable image 1\0\xff\xff\xff\xff{}", b"x" * 100])
def test_what_is_no_image_is_not_loaded(spoil: bytes) -> None:
    with pytest.raises(BadImage):
        load_image(spoil)


def test_names_and_reasons_are_made_fit_for_a_terminal() -> None:
    assert shown_untrusted(b"a\x1b[31mb\x7f") == "a?[31mb?"
    assert len(shown_untrusted(b"x" * 1000)) == 64
    assert engine_reason_untrusted("failed\n\nCaused by:\n    it is so (at offset 0x1f)\n") == "it is so (at byte 31)"
    assert engine_reason_untrusted("") == ""
