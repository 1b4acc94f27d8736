//! What a module must be: every refusal by its code and its text, every count from both sides.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

use gatebus_sandbox::admission::admit_untrusted;
use gatebus_sandbox::bounds;
use gatebus_sandbox::facts;
use gatebus_sandbox::refusal::Refusal;
use wasm_encoder::{
    CodeSection, CustomSection, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction, MemorySection, MemoryType, Module, RefType,
    TableSection, TableType, TypeSection, ValType,
};

fn refused(module: &[u8]) -> Refusal {
    match admit_untrusted(module) {
        Ok(_) => panic!("admitted"),
        Err(refusal) => refusal,
    }
}

fn code(text: &str) -> (&'static str, String) {
    let refusal = refused(&wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}")));
    (refusal.code, refusal.text)
}

#[test]
fn features_that_are_not_offered_are_refused_by_name() {
    let rows = [
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "threads"),
        ("(module (memory i64 1))", "64-bit memory"),
        ("(module (table i64 1 funcref))", "64-bit memory"),
        ("(module (memory 1 (pagesize 1)))", "custom page sizes"),
        ("(module (type (struct (field i32))))", "garbage collection (GC)"),
        ("(module (func (param anyref)))", "garbage collection (GC)"),
        ("(module (func (drop (ref.i31 (i32.const 1)))))", "garbage collection (GC)"),
        ("(module (type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0))))", "typed function references"),
        ("(module (func try catch_all end))", "legacy form of exceptions"),
        ("(module (type $f (func)) (type $c (cont $f)))", "stack switching"),
        (
            "(module (func (param i64 i64 i64 i64) (result i64 i64) local.get 0 local.get 1 local.get 2 local.get 3 i64.add128))",
            "wide arithmetic",
        ),
        ("(component)", "component"),
    ];
    for (text, name) in rows {
        let (code, sentence) = code(text);
        assert_eq!(code, "unsupported", "{text}: {sentence}");
        assert!(sentence.contains(name) && sentence.contains("not supported: build"), "{text}: {sentence}");
    }
    assert!(code("(component)").1.contains("build for wasm32-wasip1"));
}

#[test]
fn what_toolchains_emit_is_accepted() {
    for text in [
        "(module (func (result i32 i64) i32.const 1 i64.const 2))",
        "(module (global (export \"g\") (mut i32) (i32.const 1)))",
        "(module (func (param i32) (result i64) (i64.extend_i32_s (i32.extend16_s (local.get 0)))))",
        "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))))",
        "(module (table 1 externref) (table 1 funcref) (table 1 exnref))",
        "(module (func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
        "(module (func $f return_call $f))",
        "(module (global i32 (i32.mul (i32.const 2) (i32.const 3))))",
        "(module (tag) (func (block (try_table (catch 0 0) (throw 0)))))",
        "(module (memory 1) (memory 1))",
        "(module (@custom \"name\" \"not a name section\"))",
    ] {
        let wasm = wat::parse_str(text).unwrap();
        assert!(admit_untrusted(&wasm).is_ok(), "{text}: {:?}", refused(&wasm));
    }
}

#[test]
fn imports_are_looked_up_in_the_table_of_the_personality_they_choose() {
    let rows = [
        (r#"(module (import "wasi_snapshot_preview1" "fd_wrote" (func)))"#, "is not provided"),
        (r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#, "another signature"),
        (r#"(module (import "wasi_snapshot_preview1" "fd_write" (memory 1)))"#, "is not a function"),
        (r#"(module (import "env" "memory" (memory 1)))"#, "is not a function"),
        (r#"(module (import "env" "printf" (func)))"#, "is not provided"),
        (r#"(module (import "gate" "fd_1" (func (result i32))))"#, "is not provided"),
        (r#"(module (import "wasi:cli/run" "run" (func)))"#, "is not provided"),
        (
            r#"(module (import "gate" "fd_65536" (func (result i32))) (import "wasi_snapshot_preview1" "sock_accept" (func (param i32 i32 i32) (result i32))))"#,
            "sock_accept is not provided",
        ),
    ];
    for (text, why) in rows {
        let (code, sentence) = code(text);
        assert_eq!(code, "bad-import", "{text}");
        assert!(sentence.contains(why), "{text}: {sentence}");
    }
}

#[test]
fn a_name_of_an_import_is_cut_and_cannot_write_to_a_terminal() {
    let text = format!(r#"(module (import "\1b[31m{}" "f" (func)))"#, "x".repeat(500));
    let (_, sentence) = code(&text);
    assert!(sentence.starts_with("import ?[31mxxx") && sentence.len() < 250, "{sentence}");
}

#[test]
fn what_is_no_module_is_malformed_and_what_breaks_a_rule_is_invalid() {
    for bytes in [
        &b""[..],
        b"\0",
        b"\0asm",
        b"\0asm\x02\0\0\0",
        b"#!/bin/sh",
        b"\x7fELF\x02\x01\x01\0",
        b"\0asm\x01\0\0\0\x7f",
        b"   ",
    ] {
        assert_eq!(refused(bytes).code, "malformed", "{bytes:?}");
    }
    assert_eq!(refused(b"(module (func unknown.instruction))").code, "malformed");
    assert_eq!(code("(module (func (result i32)))").0, "invalid");
    assert_eq!(code("(module (export \"f\" (func 7)))").0, "invalid");
    assert_eq!(refused(b"(module\n (func").text, "malformed text: expected `)` (line 2, column 7)");
}

#[test]
fn text_is_taken_like_the_binary_form() {
    let admitted = admit_untrusted(b"\n ;; a comment\n(module (func (export \"f\")))").unwrap();
    assert_eq!(admitted.entries, ["f"]);
    assert_eq!(&admitted.wasm[..4], b"\0asm");
}

const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1 9) (table 3 funcref) (elem (i32.const 0) $write) (global i32 (i32.const 1))
    (data (i32.const 16) "\20\00\00\00\06\00\00\00hello\n")
    (func (export "_start") (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
    (func (export "other") (result i32) i32.const 1) (func (export "none") (param i32)))"#;

#[test]
fn a_module_cut_at_any_byte_is_refused_or_still_whole() {
    let wasm = wat::parse_str(HELLO).unwrap();
    for length in 0..wasm.len() {
        // A cut between sections can leave a module; everything else is malformed or no longer fits together.
        if let Err(refusal) = admit_untrusted(&wasm[..length]) {
            assert!(matches!(refusal.code, "malformed" | "invalid"), "{length}: {refusal:?}");
        }
    }
}

#[test]
fn a_module_with_any_byte_changed_is_admitted_or_refused_with_a_reason() {
    let wasm = wat::parse_str(HELLO).unwrap();
    for position in 0..wasm.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = wasm.clone();
            changed[position] ^= change;
            if let Err(refusal) = admit_untrusted(&changed) {
                assert!(!refusal.text.is_empty() && refusal.text.chars().count() <= 300, "{position}: {refusal:?}");
            }
        }
    }
}

#[test]
fn the_facts_say_what_the_host_must_know() {
    let wasm = wat::parse_str(HELLO).unwrap();
    let facts = facts::admitted(&admit_untrusted(&wasm).unwrap(), b"", &facts::Form::Plain);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let expected = serde_json::json!({"ok": true, "personality": "wasi", "functions": 3, "memory_pages": 1, "memory_max_pages": 9,
        "table_elements": 3, "exports": ["_start", "other"], "has_start": false, "imports": 1, "wasm_sha256": empty});
    assert_eq!(facts, expected);
    let gate =
        admit_untrusted(br#"(module (import "env" "__gate_fd_65536" (func (result i32))) (func) (start 1))"#).unwrap();
    let facts = facts::admitted(&gate, b"", &facts::Form::Plain);
    assert_eq!((&facts["personality"], &facts["has_start"]), (&"gate".into(), &true.into()));
}

#[test]
fn facts_fit_their_limit_however_names_are_chosen() {
    let mut exports = String::new();
    for number in 0..200 {
        exports += &format!("(export \"{}{number}\" (func 0))", r"\01".repeat(147));
    }
    let wasm = wat::parse_str(format!("(module (func) {exports})")).unwrap();
    let facts = facts::admitted(&admit_untrusted(&wasm).unwrap(), b"", &facts::Form::Plain).to_string();
    assert!(facts.len() <= 64 << 10, "{}", facts.len());
}

// Counts, from both sides.

fn functions(count: u32, body: &Function) -> Module {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..count {
        functions.function(0);
        code.function(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module
}

fn body(locals: u32, instructions: impl IntoIterator<Item = Instruction<'static>>) -> Function {
    let mut function = Function::new([(locals, ValType::I32)]);
    for instruction in instructions {
        function.instruction(&instruction);
    }
    function.instruction(&Instruction::End);
    function
}

/// The count at its limit is admitted, one more is refused with its name.
fn both_sides(what: &str, limit: u64, module: impl Fn(u64) -> Module) {
    let at = module(limit).finish();
    if let Err(refusal) = admit_untrusted(&at) {
        panic!("{what} at the limit: {refusal:?}");
    }
    let refusal = refused(&module(limit + 1).finish());
    assert_eq!(refusal.code, "too-large", "{what}");
    assert!(
        refusal.text.contains(what) && refusal.text.contains(&format!("at most {limit}")),
        "{what}: {}",
        refusal.text
    );
}

fn n(count: u64) -> u32 {
    u32::try_from(count).unwrap()
}

#[test]
fn functions_and_their_insides_are_counted() {
    both_sides("functions", bounds::FUNCTIONS.into(), |count| functions(n(count), &body(0, [])));
    both_sides("locals in a function", bounds::LOCALS.into(), |count| functions(1, &body(n(count), [])));
    both_sides("nested blocks", bounds::NESTING.into(), |count| {
        let depth = usize::try_from(count).unwrap() - 1;
        let blocks = std::iter::repeat_n(Instruction::Block(wasm_encoder::BlockType::Empty), depth);
        functions(1, &body(0, blocks.chain(std::iter::repeat_n(Instruction::End, depth))))
    });
    both_sides("targets in a br_table", bounds::BRANCH_TARGETS.into(), |count| {
        let targets = vec![0; usize::try_from(count).unwrap()];
        functions(1, &body(0, [Instruction::I32Const(0), Instruction::BrTable(targets.into(), 0)]))
    });
    both_sides("bytes in a function", bounds::FUNCTION_BYTES as u64, |count| {
        let nops = usize::try_from(count).unwrap() - 4;
        functions(1, &body(1, std::iter::repeat_n(Instruction::Nop, nops)))
    });
}

#[test]
fn locals_times_blocks_are_counted() {
    let module = |locals: u32, blocks: usize| {
        let pairs = (0..blocks).flat_map(|_| [Instruction::Loop(wasm_encoder::BlockType::Empty), Instruction::End]);
        functions(1, &body(locals, pairs)).finish()
    };
    assert!(admit_untrusted(&module(1000, 20_000)).is_ok());
    let refusal = refused(&module(1001, 20_000));
    assert_eq!(refusal.code, "too-large");
    assert!(refusal.text.contains("locals times blocks in a function: 20020000, at most 20000000"), "{}", refusal.text);
}

#[test]
fn sections_are_counted() {
    both_sides("types", bounds::TYPES.into(), |count| {
        let mut types = TypeSection::new();
        (0..count).for_each(|_| types.ty().function([], []));
        let mut module = Module::new();
        module.section(&types);
        module
    });
    both_sides("globals", bounds::GLOBALS.into(), |count| {
        let mut globals = GlobalSection::new();
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        (0..count).for_each(|_| {
            globals.global(ty, &wasm_encoder::ConstExpr::i32_const(1));
        });
        let mut module = Module::new();
        module.section(&globals);
        module
    });
    both_sides("memories", bounds::MEMORIES.into(), |count| {
        let mut memories = MemorySection::new();
        let ty = MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
        (0..count).for_each(|_| {
            memories.memory(ty);
        });
        let mut module = Module::new();
        module.section(&memories);
        module
    });
    both_sides("table elements", bounds::TABLE_ELEMENTS, |count| {
        let mut tables = TableSection::new();
        let ty =
            TableType { element_type: RefType::FUNCREF, minimum: count, maximum: None, table64: false, shared: false };
        tables.table(ty);
        let mut module = Module::new();
        module.section(&tables);
        module
    });
    both_sides("tables", bounds::TABLES.into(), |count| {
        let mut tables = TableSection::new();
        let ty = TableType { element_type: RefType::FUNCREF, minimum: 0, maximum: None, table64: false, shared: false };
        (0..count).for_each(|_| {
            tables.table(ty);
        });
        let mut module = Module::new();
        module.section(&tables);
        module
    });
}

#[test]
fn imports_exports_and_segments_are_counted() {
    both_sides("imports", bounds::IMPORTS.into(), |count| {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        types.ty().function([], [ValType::I32]);
        (0..count).for_each(|_| {
            imports.import("wasi_snapshot_preview1", "sched_yield", EntityType::Function(0));
        });
        let mut module = Module::new();
        module.section(&types).section(&imports);
        module
    });
    both_sides("exports", bounds::EXPORTS.into(), |count| {
        let mut exports = ExportSection::new();
        (0..count).for_each(|number| {
            exports.export(&number.to_string(), ExportKind::Memory, 0);
        });
        let mut memories = MemorySection::new();
        memories.memory(MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut module = Module::new();
        module.section(&memories).section(&exports);
        module
    });
    both_sides("element segments", bounds::ELEMENT_SEGMENTS.into(), |count| {
        let mut elements = ElementSection::new();
        (0..count).for_each(|_| {
            elements.passive(Elements::Functions((&[]).into()));
        });
        let mut module = Module::new();
        module.section(&elements);
        module
    });
    let data = |count: u64| {
        let mut data = wasm_encoder::DataSection::new();
        (0..count).for_each(|_| {
            data.passive([]);
        });
        let mut module = Module::new();
        module.section(&data);
        module
    };
    // Passive ones lie nowhere, so the smaller limit is theirs.
    both_sides("data segments that lie apart", bounds::DATA_SEGMENTS_APART.into(), data);
    let refusal = refused(&data(u64::from(bounds::DATA_SEGMENTS) + 1).finish());
    assert!(refusal.text.contains("data segments: 500001"), "{}", refusal.text);
}

#[test]
fn a_module_as_large_as_allowed_is_admitted_and_one_byte_more_is_not() {
    let padding = vec![0; bounds::MODULE];
    let module = |size: usize| {
        let mut module = Module::new();
        // Section id, five bytes of size (wasm-encoder's own is shorter: the rest is in the name), name.
        let overhead = 8 + 1 + 4 + 1 + 1;
        module.section(&CustomSection { name: "p".into(), data: padding[..size - overhead].into() });
        module.finish()
    };
    let at = module(bounds::MODULE);
    assert_eq!(at.len(), bounds::MODULE);
    assert!(admit_untrusted(&at).is_ok());
    let refusal = refused(&module(bounds::MODULE + 1));
    assert_eq!((refusal.code, refusal.text.contains("bytes")), ("too-large", true));
    let text = format!("(module {})", " ".repeat(bounds::TEXT));
    assert!(refused(text.as_bytes()).text.contains("bytes of text"));
}
