//! Stopped at every visit of every site and continued in a fresh instance, a program does what it does undisturbed.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Dice, Running, Stopped, always, engine, never, plain};
use wasmtime::Val;

/// Stops at every site visit, on the engines in turn; then host calls block as well.
fn assert_undisturbed(wat: &str, entry: &str, arguments: &[Val]) -> Stopped<'static> {
    let wasm: &'static [u8] = Box::leak(wat::parse_str(wat).unwrap().into_boxed_slice());
    let engines = [engine(false), engine(true)];
    let mut stopped = Stopped::new(wasm, &engines);
    let expected = plain(&engines[0], wasm, &stopped.program, entry, arguments);
    assert_eq!(stopped.run(entry, arguments, &mut never), expected, "transformed, never stopped");
    assert_eq!(stopped.run(entry, arguments, &mut always), expected, "stopped at every visit");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..4 {
        let mut random = |running: &mut Running, leg: usize| {
            if leg > 200 {
                return;
            }
            running.store.data_mut().block = dice.roll(2) == 0;
            let zone = running.control();
            let byte = dice.roll(8) as usize;
            zone.data_mut(&mut running.store)[byte] = 1;
        };
        assert_eq!(stopped.run(entry, arguments, &mut random), expected, "stopped at random");
    }
    stopped
}

#[test]
fn a_simple_loop_is_stopped_at_every_turn() {
    let wat = r#"(module (memory 1) (func (export "run") (param i32) (result i32) (local i32)
      (loop (local.set 1 (i32.add (local.get 1) (local.get 0)))
            (i32.store (local.get 1) (local.get 0))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get 1)))"#;
    let stopped = assert_undisturbed(wat, "run", &[Val::I32(20)]);
    assert!(stopped.legs >= 20, "{} stops", stopped.legs);
}
