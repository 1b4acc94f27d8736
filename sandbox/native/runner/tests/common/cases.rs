//! One row for each way to end, and for what the engine must be able to do.

/// A program, what is entered, and how it must end.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) function: Option<&'static str>,
    pub(crate) status: u32,
    pub(crate) result: i32,
    pub(crate) says: &'static str,
}

const fn case(name: &'static str, text: &'static str, status: u32, says: &'static str) -> Case {
    Case { name, text, function: Some("run"), status, result: 0, says }
}

const fn returns(name: &'static str, text: &'static str, result: i32) -> Case {
    Case { name, text, function: Some("run"), status: if result == 0 { 0 } else { 1 }, result, says: "" }
}

pub(crate) const CASES: &[Case] = &[
    returns("nothing is returned", r#"(module (func (export "run")))"#, 0),
    returns("zero is returned", r#"(module (func (export "run") (result i32) i32.const 0))"#, 0),
    returns("a number is returned", r#"(module (func (export "run") (result i32) i32.const -7))"#, -7),
    Case { name: "an empty module", text: "(module)", function: None, status: 0, result: 0, says: "" },
    Case {
        name: "no such function",
        text: "(module)",
        function: Some("run"),
        status: 73,
        result: 0,
        says: "function not exported",
    },
    case(
        "a function with a parameter is no entry",
        r#"(module (func (export "run") (param i32)))"#,
        73,
        "cannot be used as entry",
    ),
    case(
        "a function with an i64 is no entry",
        r#"(module (func (export "run") (result i64) i64.const 1))"#,
        73,
        "cannot be used as entry",
    ),
    case(
        "a global is no entry",
        r#"(module (global (export "run") i32 (i32.const 1)))"#,
        73,
        "cannot be used as entry",
    ),
    Case {
        name: "_start is the default",
        function: None,
        status: 23,
        result: 0,
        says: "unreachable",
        text: r#"(module (func (export "_start") unreachable))"#,
    },
    Case {
        name: "proc_exit with all 32 bits",
        function: None,
        status: 3,
        result: -2_147_483_647,
        says: "",
        text: r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const 0x80000001))))"#,
    },
    Case {
        name: "proc_exit zero",
        function: None,
        status: 2,
        result: 0,
        says: "",
        text: r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (func (export "_start") (call $exit (i32.const 0)) unreachable))"#,
    },
    Case {
        name: "_initialize comes before a named function",
        function: Some("run"),
        status: 1,
        result: 5,
        says: "",
        text: r#"(module (global $g (mut i32) (i32.const 0)) (func (export "_initialize") (global.set $g (i32.const 5)))
            (func (export "run") (result i32) global.get $g))"#,
    },
    Case {
        name: "_initialize alone",
        function: None,
        status: 23,
        result: 0,
        says: "unreachable",
        text: r#"(module (func (export "_initialize") unreachable))"#,
    },
    // Traps
    case("unreachable", r#"(module (func (export "run") unreachable))"#, 23, "unreachable"),
    case("recursion without end", r#"(module (func $f (export "run") (call $f) (call $f)))"#, 24, "stack"),
    case(
        "a load right behind memory",
        r#"(module (memory 1) (func (export "run") (drop (i32.load (i32.const 65533)))))"#,
        25,
        "memory",
    ),
    case(
        "a load far behind memory",
        r#"(module (memory 1) (func (export "run") (drop (i32.load offset=0xffffffff (i32.const -1)))))"#,
        25,
        "memory",
    ),
    case(
        "a store at a negative address",
        r#"(module (memory 1) (func (export "run") (i64.store (i32.const -8) (i64.const 1))))"#,
        25,
        "memory",
    ),
    case(
        "a load without memory pages",
        r#"(module (memory 0) (func (export "run") (drop (i32.load8_u (i32.const 0)))))"#,
        25,
        "memory",
    ),
    case(
        "memory.fill beyond the end",
        r#"(module (memory 1) (func (export "run") (memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))))"#,
        25,
        "memory",
    ),
    case(
        "memory.copy beyond the end",
        r#"(module (memory 1) (func (export "run") (memory.copy (i32.const 0) (i32.const 1) (i32.const 65536))))"#,
        25,
        "memory",
    ),
    case(
        "an index behind a table",
        r#"(module (table 1 funcref) (func (export "run") (call_indirect (i32.const 1))))"#,
        26,
        "table",
    ),
    case(
        "an index far behind a table",
        r#"(module (table 1 funcref) (func (export "run") (call_indirect (i32.const -1))))"#,
        26,
        "table",
    ),
    case(
        "a null element",
        r#"(module (table 1 funcref) (func (export "run") (call_indirect (i32.const 0))))"#,
        26,
        "null",
    ),
    case(
        "another signature",
        r#"(module (table 1 funcref) (elem (i32.const 0) $g) (func $g (param i32)) (func (export "run") (call_indirect (i32.const 0))))"#,
        27,
        "signature",
    ),
    case(
        "division by zero",
        r#"(module (func (export "run") (result i32) (i32.div_s (i32.const 1) (i32.const 0))))"#,
        28,
        "zero",
    ),
    case(
        "remainder by zero",
        r#"(module (func (export "run") (drop (i64.rem_u (i64.const 1) (i64.const 0)))))"#,
        28,
        "zero",
    ),
    case(
        "overflow of a division",
        r#"(module (func (export "run") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))))"#,
        29,
        "overflow",
    ),
    case("a float too large", r#"(module (func (export "run") (drop (i32.trunc_f32_s (f32.const 1e30)))))"#, 29, ""),
    case(
        "not a number",
        r#"(module (func (export "run") (drop (i64.trunc_f64_s (f64.const nan)))))"#,
        29,
        "conversion",
    ),
    case(
        "an exception that nobody catches",
        r#"(module (tag $e) (func (export "run") (throw $e)))"#,
        30,
        "uncaught exception",
    ),
    case("throw_ref of null", r#"(module (func (export "run") (throw_ref (ref.null exn))))"#, 30, "null reference"),
    // Instantiation
    Case {
        name: "the start function runs before the entry",
        function: Some("run"),
        status: 1,
        result: 3,
        says: "",
        text: r#"(module (global $g (mut i32) (i32.const 1)) (func $s (global.set $g (i32.const 3))) (start $s)
            (func (export "run") (result i32) global.get $g))"#,
    },
    case(
        "the start function traps",
        r#"(module (func $s unreachable) (start $s) (func (export "run")))"#,
        23,
        "unreachable",
    ),
    case(
        "a data segment that does not fit",
        r#"(module (memory 1) (data (i32.const 65535) "ab") (func (export "run")))"#,
        76,
        "segment",
    ),
    case(
        "an element segment that does not fit",
        r#"(module (table 1 funcref) (elem (i32.const 1) $f) (func $f (export "run")))"#,
        76,
        "segment",
    ),
    case("memory larger than the limit", r#"(module (memory 1025) (func (export "run")))"#, 63, "limit"),
    case(
        "memories together larger than the limit",
        r#"(module (memory 1000) (memory 25) (func (export "run")))"#,
        63,
        "limit",
    ),
    case("a table larger than the limit", r#"(module (table 65537 funcref) (func (export "run")))"#, 63, "limit"),
    returns(
        "memory exactly at the limit",
        r#"(module (memory 1024) (func (export "run") (result i32) (i32.load (i32.const 67108860))))"#,
        0,
    ),
    // Growth: the limit is 1,024 pages
    returns(
        "memory grows to the limit and every page is there",
        r#"(module (memory 1) (func (export "run") (result i32)
            (if (i32.ne (memory.grow (i32.const 1023)) (i32.const 1)) (then (return (i32.const 1))))
            (i32.store (i32.const 67108860) (i32.const 9))
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (return (i32.const 2))))
            (i32.sub (i32.load (i32.const 67108860)) (i32.const 9))))"#,
        0,
    ),
    returns(
        "page by page",
        r#"(module (memory 0) (func (export "run") (result i32) (local $n i32)
            (loop $l (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then
                (i32.store (i32.mul (local.get $n) (i32.const 65536)) (local.get $n))
                (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l))))
            (local.get $n)))"#,
        1024,
    ),
    returns(
        "a table grows to the limit",
        r#"(module (table 1 funcref) (func (export "run") (result i32)
            (i32.add (table.grow (ref.null func) (i32.const 65535)) (table.grow (ref.null func) (i32.const 1)))))"#,
        0,
    ),
    // Features
    returns(
        "an exception is caught with its value",
        r#"(module (tag $e (param i32)) (func (export "run") (result i32)
            (block $c (result i32) (try_table (catch $e $c) (throw $e (i32.const 42))) (i32.const 0))))"#,
        42,
    ),
    returns(
        "a hundred thousand exceptions",
        r#"(module (tag $e (param i32)) (func (export "run") (result i32) (local $n i32)
            (loop $l (block $c (result i32) (try_table (catch $e $c) (throw $e (i32.const 1))) (i32.const 0))
                (local.set $n (i32.add (local.get $n)))
                (br_if $l (i32.lt_u (local.get $n) (i32.const 100000))))
            (local.get $n)))"#,
        100_000,
    ),
    returns(
        "ten thousand exceptions are kept at once",
        r#"(module (tag $e (param i32)) (table $t 10000 exnref) (func (export "run") (result i32) (local $n i32) (local $x exnref)
            (loop $l
                (block $c (result i32 exnref) (try_table (catch_ref $e $c) (throw $e (local.get $n))) (unreachable))
                (local.set $x) (drop)
                (table.set $t (local.get $n) (local.get $x))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $n) (i32.const 10000))))
            (block $c (result i32) (try_table (catch $e $c) (throw_ref (table.get $t (i32.const 9999)))) (i32.const 0))))"#,
        9999,
    ),
    returns(
        "two memories are two",
        r#"(module (memory $a 1) (memory $b 2) (func (export "run") (result i32)
            (i32.store $b (i32.const 100000) (i32.const 6)) (i32.store $a (i32.const 8) (i32.const 1))
            (memory.copy $b $a (i32.const 0) (i32.const 8) (i32.const 4))
            (i32.add (i32.mul (i32.load $b (i32.const 100000)) (i32.const 10)) (i32.add (i32.load $b (i32.const 0)) (memory.grow $b (i32.const 1))))))"#,
        63,
    ),
    returns(
        "a million tail calls",
        r#"(module (func $f (param i32) (result i32)
            (if (result i32) (local.get 0) (then (return_call $f (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 7))))
            (func (export "run") (result i32) (call $f (i32.const 1000000))))"#,
        7,
    ),
    returns(
        "vectors, also relaxed ones",
        r#"(module (func (export "run") (result i32)
            (i32x4.extract_lane 2 (i32x4.add (v128.const i32x4 1 2 3 4) (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const 2.5)))))))"#,
        5,
    ),
    returns(
        "several values, sign extension, conversions, bulk memory, extended constants",
        r#"(module (global $g i32 (i32.add (i32.const 1) (i32.const 2))) (memory 1) (data $d "\05\06")
            (func $two (result i32 i32) (i32.const 20) (i32.const 3))
            (func (export "run") (result i32)
            (memory.init $d (i32.const 0) (i32.const 0) (i32.const 2)) (data.drop $d)
            (i32.add (call $two)) (i32.add (i32.extend8_s (i32.const 0xff)))
            (i32.add (i32.trunc_sat_f64_s (f64.const 100.7))) (i32.add (i32.load8_u (i32.const 1))) (i32.add (global.get $g))))"#,
        131,
    ),
    returns(
        "references",
        r#"(module (table $t 2 externref) (table $f 2 funcref) (elem declare func $g) (func $g (result i32) (i32.const 11))
            (func (export "run") (result i32)
            (table.set $f (i32.const 1) (ref.func $g)) (table.set $t (i32.const 0) (ref.null extern))
            (i32.add (call_indirect $f (result i32) (i32.const 1)) (ref.is_null (table.get $t (i32.const 0))))))"#,
        12,
    ),
];
