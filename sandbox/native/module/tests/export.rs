//! A stopped program, exported as one ordinary module, ends as the program that was never stopped; so does one that is stopped and exported again.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::exported::{ROOM, all_finish, export, finish};
use common::plain::{Outcome, plain};
use common::running::Running;
use common::stopped::{Stopped, always, block};
use common::{Dice, engines, quick_engines};
use gatebus_module::{BadState, Memory, State, Suspendable, Unexported};
use wasmparser::{Parser, Payload};
use wasmtime::{Engine, Val};

/// Modules of one program that are run; each is compiled.
const MODULES: usize = 21;

fn assembled(wat: &str) -> &'static [u8] {
    Box::leak(wat::parse_str(wat).unwrap().into_boxed_slice())
}

/// Stopped at every visit and at every host call, each stop exported; then some of the modules are stopped in their turn.
fn assert_finishes(wat: &str, entry: &str, arguments: &[Val]) -> Vec<Vec<u8>> {
    let engines = quick_engines();
    let wasm = assembled(wat);
    let expected = plain(&engines[0], wasm, entry, arguments);
    let mut stopped = Stopped::new(wasm, &engines);
    stopped.keep = true;
    assert_eq!(stopped.run(entry, arguments, &mut always), expected);
    assert_eq!(stopped.run(entry, arguments, &mut block), expected);
    let call = (entry, arguments);
    let modules = all_finish(&stopped, &engines, call, &expected, (MODULES, &mut Dice(5)));
    for module in modules.iter().step_by(1 + modules.len() / 3) {
        again(module, &engines, call, &expected);
    }
    modules
}

/// The exported module is a program like any other: suspendable, and exported again.
fn again(module: &[u8], engines: &[Engine], (entry, arguments): (&str, &[Val]), first: &Outcome) {
    let expected = plain(&engines[0], module, entry, arguments);
    assert_eq!(expected.results, first.results);
    let mut stopped = Stopped::new(module, engines);
    stopped.keep = true;
    let mut outcome = stopped.run(entry, arguments, &mut always);
    if outcome.seen.memories.is_empty() {
        outcome.seen = expected.seen.clone(); // of a start function that trapped
    }
    assert_eq!((outcome.results, outcome.trace), (expected.results.clone(), expected.trace.clone()));
    all_finish(&stopped, engines, (entry, arguments), &expected, (3, &mut Dice(6)));
}

#[test]
fn a_simple_loop_is_finished_from_every_turn() {
    let wat = r#"(module (memory 1) (func (export "run") (param i32) (result i32) (local i32)
      (loop (local.set 1 (i32.add (local.get 1) (local.get 0)))
            (i32.store (local.get 1) (local.get 0))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get 1)))"#;
    assert!(assert_finishes(wat, "run", &[Val::I32(20)]).len() >= 20);
}

#[test]
fn every_construct_is_finished_from_inside() {
    assert_finishes(include_str!("programs/constructs.wat"), "run", &[Val::I32(7)]);
    assert_finishes(include_str!("programs/arms.wat"), "run", &[Val::I32(6)]);
    assert_finishes(include_str!("programs/tails.wat"), "run", &[Val::I32(9)]);
    assert_finishes(include_str!("programs/exceptions.wat"), "run", &[Val::I32(5)]);
    assert_finishes(include_str!("programs/exceptions.wat"), "out", &[Val::I32(1)]);
}

#[test]
fn segments_references_and_changed_tables_are_constants_of_the_module() {
    let wat = include_str!("programs/segments.wat");
    assert_finishes(wat, "run", &[Val::I32(6)]);
    assert_finishes(wat, "too late", &[Val::I32(0)]);
    assert_finishes(wat, "too late", &[Val::I32(1)]);
    assert_finishes(wat, "host again", &[Val::I32(1)]);
}

#[test]
fn a_start_function_that_was_left_is_finished_by_making_the_instance() {
    let wat = r#"(module (memory 1) (global $g (mut i32) (i32.const 0)) (start $init)
      (func $init (loop $l (global.set $g (i32.add (global.get $g) (i32.const 5))) (br_if $l (i32.lt_u (global.get $g) (i32.const 30)))))
      (func (export "run") (param i32) (result i32) (loop (global.set $g (i32.mul (global.get $g) (i32.const 3)))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (global.get $g)))"#;
    let modules = assert_finishes(wat, "run", &[Val::I32(4)]);
    let starts = |module: &&Vec<u8>| {
        let mut payloads = Parser::new(0).parse_all(module);
        payloads.any(|payload| matches!(payload.unwrap(), Payload::StartSection { .. }))
    };
    let count = modules.iter().filter(starts).count();
    assert!(count >= 5 && count < modules.len(), "{count} of {}", modules.len());
}

#[test]
fn every_bit_of_a_not_a_number_and_of_a_vector_is_in_the_module() {
    let wat = r#"(module (global (mut f32) (f32.const nan:0x200001)) (global (mut v128) (v128.const i32x4 0 0 0 0)) (global (mut f64) (f64.const -0))
      (func $spin (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "run") (param f32) (result i32 i64) (local f64 v128)
        (local.set 0 (f32.const -nan:0x3)) (local.set 1 (f64.const nan:0x4000000000001)) (local.set 2 (v128.const i64x2 -2 0x123456789abcdef))
        (global.set 0 (local.get 0)) (global.set 1 (local.get 2)) (global.set 2 (local.get 1))
        (call $spin (i32.const 3))
        (i32.reinterpret_f32 (local.get 0)) (i64.reinterpret_f64 (local.get 1))))"#;
    assert_finishes(wat, "run", &[Val::F32(0)]);
}

#[test]
fn only_the_first_call_of_the_entry_goes_on() {
    let wat = r#"(module (func (export "run") (param i32) (result i32) (local i32)
      (loop (local.set 1 (i32.add (local.get 1) (local.get 0))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get 1)))"#;
    let module = assert_finishes(wat, "run", &[Val::I32(9)]).remove(0);
    let engine = Engine::default();
    let mut running = Running::new(&engine, &wasmtime::Module::new(&engine, module).unwrap()).unwrap();
    assert_eq!(running.call("run", &[Val::I32(1000)]), Ok(vec![45]), "what it was called with is in the frames");
    assert_eq!(running.call("run", &[Val::I32(4)]), Ok(vec![10]));
}

#[test]
fn what_goes_on_has_the_name_of_the_function_that_was_left() {
    let wat = r#"(module (func $worker (param i32) (result i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0))
      (func $main (export "run") (param i32) (result i32) (i32.add (i32.const 3) (call $worker (local.get 0)))))"#;
    let module = assert_finishes(wat, "run", &[Val::I32(9)]).remove(0);
    let program = Suspendable::new_untrusted(&module).unwrap();
    let mut names: Vec<&str> = (0..9).filter_map(|number| program.name(number)).collect();
    names.sort_unstable();
    assert_eq!(names, ["main", "main (goes on)", "worker", "worker (goes on)"]);
}

/// The module imports what the program imported and exports what it exported: nobody sees that it was stopped.
#[test]
fn the_world_sees_the_same_imports_and_exports() {
    let wasm = assembled(include_str!("programs/segments.wat"));
    let seen = |bytes: &[u8]| {
        let module = wasmtime::Module::new(&Engine::default(), bytes).unwrap();
        let imports: Vec<String> =
            module.imports().map(|i| format!("{} {} {:?}", i.module(), i.name(), i.ty())).collect();
        let exports: Vec<String> = module.exports().map(|e| format!("{} {:?}", e.name(), e.ty())).collect();
        (imports, exports)
    };
    for module in assert_finishes(include_str!("programs/segments.wat"), "run", &[Val::I32(3)]) {
        assert_eq!(seen(&module), seen(wasm));
    }
}

#[test]
fn a_recursion_ten_thousand_deep_is_one_module_that_any_engine_finishes() {
    let wasm = assembled(include_str!("programs/recursion.wat"));
    let [engine, _] = engines();
    let expected = plain(&engine, wasm, "run", &[Val::I32(10_000)]);
    let mut stopped = Stopped::new(wasm, std::slice::from_ref(&engine));
    stopped.keep = true;
    let mut first = |running: &mut Running, leg: usize| running.store.data_mut().block = (leg == 0).then_some(0);
    stopped.run("run", &[Val::I32(10_000)], &mut first);
    let module = export(&stopped.program, &stopped.kept[0], &[]).unwrap();
    assert_eq!(finish(&engine, &module, &stopped.kept[0], ("run", &[Val::I32(0)]), &expected), expected);
    assert!(module.len() < 200_000, "{} bytes: a function for each site, not for each frame", module.len());
}

/// What an exported module has besides the program: nothing for sites, a frame for each call.
#[test]
fn no_site_of_the_exported_module_asks_anything() {
    let wat = r#"(module (memory (export "memory") 1) (func (export "run") (result i32) (local i32)
      (loop (i32.store (i32.const 8) (local.get 0)) (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 9))))
      (local.get 0)))"#;
    let module = assert_finishes(wat, "run", &[]).pop().unwrap();
    let text = wasmprinter::print_bytes(&module).unwrap();
    assert!(!text.contains("load8_u") && !text.contains("memory.fill"), "{text}");
    assert_eq!(text.matches("  (memory (;").count(), 2, "its own, and the frames: {text}");
}

/// Of one that had come to its end: what it has left is there, whatever is called next; nothing starts again.
#[test]
fn a_program_that_had_come_to_its_end_is_a_module_with_what_it_has_left() {
    let wasm = assembled(
        r#"(module (memory 1) (global $calls (mut i32) (i32.const 0)) (start $start) (data "gone") (data (i32.const 8) "once")
      (func $start (i32.store (i32.const 4) (i32.const 77)))
      (func (export "count") (result i32) (loop (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (br_if 0 (i32.lt_u (global.get $calls) (i32.const 5)))) (data.drop 0) (global.get $calls))
      (func (export "memory") (result i32) (i32.add (i32.load8_u (i32.const 8)) (i32.load (i32.const 4)))))"#,
    );
    let program = Suspendable::new_untrusted(wasm).unwrap();
    let calls = gatebus_module::Global { number: 0, ty: gatebus_module::Scalar::I32, bits: 6 };
    let state = State { globals: vec![calls], dropped_data: vec![0], ..ended("count", 1) };
    let mut first = vec![0; 1 << 16];
    first[8] = b'x';
    let module = program.export_untrusted(&state, &Memory::of(&first), ROOM).unwrap();
    let text = wasmprinter::print_bytes(&module).unwrap();
    assert_eq!((text.matches("(memory (;").count(), text.matches("(global ").count()), (1, 1), "{text}");
    let engine = Engine::default();
    let mut running = Running::new(&engine, &wasmtime::Module::new(&engine, module).unwrap()).unwrap();
    assert_eq!(running.call("memory", &[]), Ok(vec![u128::from(b'x')]));
    assert_eq!(running.call("count", &[]), Ok(vec![7]));
    assert_eq!(running.call("count", &[]), Ok(vec![8]));
}

fn ended(entry: &str, pages: u32) -> State {
    State {
        module: [7; 32],
        phase: gatebus_module::Phase::Entry,
        entry: entry.to_owned(),
        pages,
        frames: Vec::new(),
        references: Vec::new(),
        globals: Vec::new(),
        tables: Vec::new(),
        dropped_data: Vec::new(),
        dropped_elements: Vec::new(),
        memories: Vec::new(),
        world: Vec::new(),
    }
}

type Change<'x> = &'x dyn Fn(&mut State, &mut Memory);

#[test]
fn what_the_program_cannot_have_left_is_refused() {
    let wasm = assembled(include_str!("programs/segments.wat"));
    let engines = quick_engines();
    let mut stopped = Stopped::new(wasm, &engines[..1]);
    stopped.keep = true;
    stopped.run("run", &[Val::I32(4)], &mut always);
    let place =
        (0..stopped.kept.len()).find(|at| !State::decode_untrusted(&stopped.kept[*at]).unwrap().references.is_empty());
    let place = place.expect("a frame holds a reference");
    let (state, first) = (State::decode_untrusted(&stopped.kept[place]).unwrap(), Memory::of(&stopped.firsts[place]));
    let program = Suspendable::new_untrusted(wasm).unwrap();
    let refused = |change: Change<'_>| {
        let (mut state, mut first) = (state.clone(), first.clone());
        change(&mut state, &mut first);
        program.export_untrusted(&state, &first, ROOM).map(|_| ())
    };
    assert_eq!(refused(&|_, _| ()), Ok(()));
    let cases: [(&str, Change<'_>); 17] = [
        ("the entry cannot have left any of these frames", &|state, _| state.entry = "nothing".to_owned()),
        ("a reference is not to a function of the program", &|state, _| state.frames.clear()),
        ("memory 0 is not as the state says", &|state, _| state.pages += 1),
        ("memory 0 is not as the state says", &|_, first| first.pieces.extend_from_within(..)),
        ("memory 0 is not as the state says", &|_, first| first.pieces[0].0 = 16),
        ("it has not as many memories as the program", &|state, _| state.memories.clear()),
        ("a memory is too small or too large", &|state, _| state.memories[0].pages = 5),
        ("a memory is too small or too large", &|state, _| state.memories[0].pages = 0),
        ("a global is not one of the program's", &|state, _| state.globals[0].number = 9),
        ("a global is not one of the program's", &|state, _| state.globals[0].ty = gatebus_module::Scalar::I32),
        ("a reference is not to a function of the program", &|state, _| state.globals[0].bits = 99),
        ("a table is not one that the program can change", &|state, _| state.tables[0].number = 1),
        ("a table is too small or too large", &|state, _| state.tables[0].entries.truncate(5)),
        ("a table is too small or too large", &|state, _| state.tables[0].entries.resize(21, 0)),
        ("a reference is not to a function of the program", &|state, _| state.tables[1].entries[0] = 1),
        ("a reference is not to a function of the program", &|state, _| state.references[0] = 99),
        ("a dropped segment is not one of the program's", &|state, _| state.dropped_data = vec![1]),
    ];
    for (text, change) in cases {
        assert_eq!(refused(change), Err(Unexported::State(BadState { text })));
    }
}

#[test]
fn a_memory_that_is_too_large_for_a_module_is_refused() {
    let wasm = assembled(
        r#"(module (memory 40) (func (export "run") (loop $l (i32.store (i32.const 9) (i32.const 1)) (br $l))))"#,
    );
    let program = Suspendable::new_untrusted(wasm).unwrap();
    let state = State { frames: 0u32.to_le_bytes().to_vec(), ..ended("run", 40) };
    let full = Memory::of(&vec![1; 40 << 16]);
    assert!(program.export_untrusted(&state, &full, 40 << 16).is_ok());
    let refused = program.export_untrusted(&state, &full, (40 << 16) - 1).unwrap_err();
    assert_eq!(refused, Unexported::Large("its memory is too large for one module"));
}
