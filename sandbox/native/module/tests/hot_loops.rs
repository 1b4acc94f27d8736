//! A request from another thread is noticed in a loop that stores nothing, however deep it stands.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::quiet_engine;
use common::running::Running;
use common::world::World;
use gatebus_module::{Phase, Suspendable, ZONE, read_untrusted};
use std::sync::atomic::{AtomicU8, Ordering};
use wasmtime::{Func, Instance, Module, Store, Val};

/// Two loops, one in the other and one behind it, without stores. Undisturbed it would run for many seconds, so that the counters say when it was left.
const NESTED: &str = r#"(module (import "env" "ready" (func $ready)) (memory (export "memory") 1)
  (func (export "run") (result i64) (local $inner i64) (local $outer i64)
    (call $ready)
    (loop $o
      (local.set $inner (i64.const 0))
      (loop $i (br_if $i (i64.lt_u (local.tee $inner (i64.add (local.get $inner) (i64.const 1))) (i64.const 10000000000))))
      (br_if $o (i64.lt_u (local.tee $outer (i64.add (local.get $outer) (i64.const 1))) (i64.const 3))))
    (local.get $inner)))"#;

const SIBLINGS: &str = r#"(module (import "env" "ready" (func $ready)) (memory (export "memory") 1)
  (func (export "run") (result i64) (local $a i64)
    (loop $first (br_if $first (i64.lt_u (local.tee $a (i64.add (local.get $a) (i64.const 1))) (i64.const 100))))
    (call $ready)
    (loop $second (br_if $second (i64.lt_u (local.tee $a (i64.add (local.get $a) (i64.const 1))) (i64.const 10000000000))))
    (local.get $a)))"#;

/// Starts the writer when the program says that it is about to enter the loop, and returns the values of the frame in which it was left.
fn leave(wat: &str) -> Vec<u128> {
    let wasm = wat::parse_str(wat).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let engine = quiet_engine();
    let module = Module::new(&engine, program.wasm()).unwrap();
    let mut store = Store::new(&engine, World::default());
    let ready = Func::wrap(&mut store, |caller: wasmtime::Caller<'_, World>| {
        let address = caller.data().control.unwrap().data_ptr(&caller) as usize;
        std::thread::spawn(move || {
            for byte in 0..ZONE as usize {
                // SAFETY: the instance outlives the call, which ends only because of this write; its memory has a fixed size, so it does not move.
                unsafe { &*((address + byte) as *const AtomicU8) }.store(1, Ordering::Relaxed);
            }
        });
    });
    let instance = Instance::new(&mut store, &module, &[ready.into()]).unwrap();
    store.data_mut().control = instance.get_memory(&mut store, gatebus_module::CONTROL);
    let mut running = Running { store, instance };
    running.call("run", &[] as &[Val]).unwrap();
    assert!(running.was_left());
    let state = running.capture(Phase::Entry, "run");
    let frames = read_untrusted(program.table(), &state.frames).unwrap();
    let shown = program.show_untrusted(&frames[0]).unwrap();
    shown.values.into_iter().map(|(_, bits)| bits).collect()
}

#[test]
fn nested_loops_without_stores_are_left_in_the_inner_one() {
    let values = leave(NESTED);
    assert!(values.iter().all(|value| *value < 9_900_000_000), "{values:?}");
}

#[test]
fn a_loop_behind_another_one_is_left_as_well() {
    let values = leave(SIBLINGS);
    assert!(values.iter().all(|value| *value < 9_900_000_000), "{values:?}");
}

/// More sites than bytes in the zone: the inner loop reads the byte of the outer one, and nothing is stored between.
#[test]
fn a_loop_that_shares_its_byte_with_the_one_around_it_is_left() {
    let between = "(loop)".repeat(ZONE as usize - 1);
    let wat = NESTED.replace("(loop $i (br_if", &format!("{between} (loop $i (br_if"));
    let wasm = wat::parse_str(&wat).unwrap();
    let sites = Suspendable::new_untrusted(&wasm).unwrap().table().sites.len();
    assert!(sites > ZONE as usize, "{sites}");
    let values = leave(&wat);
    assert!(values.iter().all(|value| *value < 9_900_000_000), "{values:?}");
}
