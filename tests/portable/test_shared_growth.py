"""What makes several memories grow up to one limit together changes nothing else of a module."""

from __future__ import annotations

import pytest
import wasmtime

from sandbox.portable.portable_engine import make_engine
from sandbox.portable.shared_growth import Growing, share_growth
from sandbox.portable.wasm_sections import Sections

# One of each operator whose immediates have a form of their own, and the bytes of memory.grow where they mean others.
OPERATORS = """(module
  (type $two (func (param i32 i32) (result i32 i32)))
  (memory (export "a") 1) (memory (export "b") 1) (table $t (export "t") 2 funcref) (table $u (export "u") 2 externref)
  (tag $thrown (param i32)) (global $g (mut i32) (i32.const 64)) (data $d "abc") (elem $e func $nothing)
  (func $nothing) (func $tail (param i32) (result i32) (local.get 0))
  (func (export "memory") (param i32) (result i32)
    (local $wide v128) (local $long i64) (local $f f32) (local $d f64) (local $r externref)
    (local.set $long (i64.const -0x4000000000000000))
    (local.set $f (f32.const 64.5)) (local.set $d (f64.const 3e300))
    (local.set $wide (v128.const i32x4 64 0x40404040 -1 0xfc0f))
    (local.set $wide (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $wide) (local.get $wide)))
    (local.set $wide (v128.load8_lane offset=64 2 (i32.const 0) (local.get $wide)))
    (drop (i8x16.extract_lane_s 15 (local.get $wide)))
    (memory.init 1 $d (i32.const 64) (i32.const 0) (i32.const 0)) (data.drop $d)
    (memory.copy 1 0 (i32.const 64) (i32.const 0) (i32.const 1))
    (memory.fill 1 (i32.const 0) (i32.const 0) (i32.const 0))
    (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop $e)
    (table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 1))
    (table.fill $t (i32.const 0) (ref.null func) (i32.const 1))
    (table.set $t (i32.const 1) (ref.func $nothing)) (drop (ref.is_null (table.get $t (i32.const 1))))
    (drop (i32.trunc_sat_f64_s (local.get $d))) (drop (i64.load32_u 1 offset=64 align=2 (i32.const 64)))
    (drop (select (result externref) (ref.null extern) (local.get $r) (i32.const 1)))
    (call_indirect $t (i32.const 1))
    (block $out (block $in (br_table $in $out $in (i32.const 64))))
    (block $all (drop (block $caught (result i32)
      (try_table (catch $thrown $caught) (catch_all $all) (throw $thrown (i32.const 1))) (i32.const 2))))
    (block $done (result i32 i32) (br $done (i32.const 1) (i32.const 2))) (drop) (drop)
    (if (memory.grow 1 (i32.const 0)) (then (return_call $tail (memory.grow 1 (local.get 0)))))
    (i32.const 64))
  (func (export "table") (param i32) (result i32) (table.grow $u (ref.null extern) (local.get 0)))
  (func (export "first") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "functions") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0))))"""


@pytest.fixture
def store() -> wasmtime.Store:
    return wasmtime.Store(make_engine())


def made(store: wasmtime.Store, most: tuple[int, int]) -> dict[str, object]:
    sections = Sections(bytes(wasmtime.wat2wasm(OPERATORS)))
    share_growth(sections, Growing(2, "re"))
    exports = dict(
        wasmtime.Instance(store, wasmtime.Module(store.engine, sections.joined()), []).exports(store).items()
    )
    for name, value in zip(("gatebus most pages", "gatebus most elements"), most, strict=True):
        limit = exports[name]
        assert isinstance(limit, wasmtime.Global)
        limit.set_value(store, wasmtime.Val.i64(value))
    return dict(exports)


def call(store: wasmtime.Store, exports: dict[str, object], name: str, wanted: int) -> object:
    function = exports[name]
    assert isinstance(function, wasmtime.Func)
    return function(store, wanted)


def test_each_operator_is_read_past_and_what_grows_is_counted(store: wasmtime.Store) -> None:
    exports = made(store, (6, 10))
    assert call(store, exports, "first", 2) == 1
    assert call(store, exports, "memory", 2) == 1
    assert [call(store, exports, name, 1) for name in ("first", "memory")] == [-1, -1]
    assert [call(store, exports, name, 0) for name in ("first", "memory")] == [3, 3]


def test_tables_of_two_types_are_counted_together(store: wasmtime.Store) -> None:
    exports = made(store, (5, 10))
    assert call(store, exports, "table", 5) == 2
    assert call(store, exports, "functions", 2) == -1
    assert call(store, exports, "functions", 1) == 2
    assert [call(store, exports, name, 1) for name in ("table", "functions")] == [-1, -1]


def test_sections_that_are_not_touched_are_as_they_were() -> None:
    wasm = bytes(wasmtime.wat2wasm(OPERATORS))
    assert Sections(wasm).joined() == wasm
