//! Stopped at every visit of every site and continued in a fresh instance, a program does what it does undisturbed.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::plain::plain;
use common::running::Running;
use common::stopped::{Stopped, always, block, never};
use common::{Dice, engine, engines};
use wasmtime::Val;

/// Stops at every site visit, on the engines in turn; then host calls block as well.
fn assert_undisturbed(wat: &str, entry: &str, arguments: &[Val]) -> Stopped<'static> {
    let wasm: &'static [u8] = Box::leak(wat::parse_str(wat).unwrap().into_boxed_slice());
    let engines = engines();
    let mut stopped = Stopped::new(wasm, &engines);
    let expected = plain(&engines[0], wasm, entry, arguments);
    assert_eq!(stopped.run(entry, arguments, &mut never), expected, "transformed, never stopped");
    assert_eq!(stopped.run(entry, arguments, &mut always), expected, "stopped at every visit");
    assert_eq!(stopped.run(entry, arguments, &mut block), expected, "every host call blocks");
    let most = stopped.program.table().sites.len();
    for byte in 0..most.min(64) {
        let mut one = |running: &mut Running, _leg: usize| {
            running.withdraw();
            running.request_one(byte);
        };
        assert_eq!(stopped.run(entry, arguments, &mut one), expected, "stopped at site {byte}");
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..4 {
        let mut random = |running: &mut Running, leg: usize| {
            running.withdraw();
            if leg > 200 {
                return;
            }
            running.store.data_mut().block = (dice.roll(2) == 0).then_some(1);
            running.request_one(dice.roll(8) as usize);
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

#[test]
fn operands_blocks_with_parameters_tables_and_results_by_twos_survive() {
    let stopped = assert_undisturbed(include_str!("programs/constructs.wat"), "run", &[Val::I32(7)]);
    assert_eq!(stopped.missed(), [""; 0], "stopped at every site");
    assert!(stopped.deepest >= 4, "{} frames", stopped.deepest);
}

#[test]
fn a_program_stopped_in_either_arm_of_an_if_in_a_loop_goes_on_there() {
    let stopped = assert_undisturbed(include_str!("programs/arms.wat"), "run", &[Val::I32(6)]);
    assert_eq!(stopped.missed(), [""; 0]);
}

#[test]
fn tail_calls_in_a_circle_are_stopped_at_the_entry_and_leave_no_frames() {
    let stopped = assert_undisturbed(include_str!("programs/tails.wat"), "run", &[Val::I32(9)]);
    assert_eq!(stopped.missed(), [""; 0]);
    assert!(stopped.deepest <= 3, "{} frames", stopped.deepest);
}

#[test]
fn segments_references_and_tables_that_change_survive() {
    let wat = include_str!("programs/segments.wat");
    let stopped = assert_undisturbed(wat, "run", &[Val::I32(6)]);
    assert_eq!(stopped.missed_but("too late"), [""; 0]);
    assert_undisturbed(wat, "too late", &[Val::I32(0)]);
    assert_undisturbed(wat, "too late", &[Val::I32(1)]);
    assert_undisturbed(wat, "host again", &[Val::I32(1)]);
}

#[test]
fn exceptions_pass_through_frames_that_were_stopped() {
    let wat = include_str!("programs/exceptions.wat");
    let stopped = assert_undisturbed(wat, "run", &[Val::I32(5)]);
    assert_eq!(stopped.missed_but("out"), [""; 0]);
    assert_undisturbed(wat, "out", &[Val::I32(1)]);
}

#[test]
fn every_bit_of_a_not_a_number_and_of_a_vector_survives() {
    let wat = r#"(module (global (mut f32) (f32.const nan:0x200001)) (global (mut v128) (v128.const i32x4 0 0 0 0))
      (func $spin (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "run") (param f32) (result i32 i64) (local f64 v128)
        (local.set 0 (f32.const -nan:0x3)) (local.set 1 (f64.const nan:0x4000000000001)) (local.set 2 (v128.const i64x2 -2 0x123456789abcdef))
        (call $spin (i32.const 3))
        (global.set 0 (local.get 0)) (global.set 1 (local.get 2))
        (i32.reinterpret_f32 (local.get 0)) (i64.reinterpret_f64 (local.get 1))))"#;
    assert_undisturbed(wat, "run", &[Val::F32(0)]);
}

#[test]
fn a_start_function_runs_once_however_often_the_program_moves() {
    let wat = r#"(module (memory 1) (global $g (mut i32) (i32.const 0)) (start $init)
      (func $init (global.set $g (i32.add (global.get $g) (i32.const 5))) (i32.store (i32.const 8) (i32.const 77)))
      (func (export "run") (param i32) (result i32)
        (loop (global.set $g (i32.mul (global.get $g) (i32.const 3))) (drop (memory.grow (i32.const 1)))
              (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.add (global.get $g) (i32.load (i32.const 8)))))"#;
    assert_undisturbed(wat, "run", &[Val::I32(4)]);
}

#[test]
fn a_trap_happens_once_and_in_the_same_state() {
    let wat = r#"(module (memory 1) (func (export "run") (param i32) (result i32)
        (loop (i32.store (i32.mul (local.get 0) (i32.const 4096)) (local.get 0)) (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br 0)) (unreachable)))"#;
    let stopped = assert_undisturbed(wat, "run", &[Val::I32(0)]);
    assert!(stopped.legs > 16);
}

#[test]
fn a_recursion_ten_thousand_deep_is_left_and_entered_again() {
    let wasm = wat::parse_str(include_str!("programs/recursion.wat")).unwrap();
    let engine = engine(false);
    let expected = plain(&engine, &wasm, "run", &[Val::I32(10_000)]);
    let mut stopped = Stopped::new(&wasm, &[engine]);
    let mut first = |running: &mut Running, leg: usize| running.store.data_mut().block = (leg == 0).then_some(0);
    assert_eq!(stopped.run("run", &[Val::I32(10_000)], &mut first), expected);
    assert_eq!((stopped.legs, stopped.deepest), (1, 10_003));
}

/// The benchmark's kernels with fewer rounds: what is written there -> what is written here.
const KERNELS: [(&str, &[(&str, &str)]); 12] = [
    ("copy", &[("(i32.const 4))) (i32.const 16777216)", "(i32.const 4))) (i32.const 400)"), ("20000", "30")]),
    ("fib", &[("const 37", "const 12")]),
    ("indirect", &[("60000000", "300")]),
    ("interpreter", &[("80000000", "600")]),
    ("mandelbrot", &[("const 400)", "const 12)"), ("const 4000)", "const 40)")]),
    ("matmul", &[("(i32.const 1))) (i32.const 512)", "(i32.const 1))) (i32.const 5)")]),
    ("mix", &[("60000000", "300")]),
    ("nbody", &[("3000000", "60")]),
    ("quicksort", &[("2000000", "150")]),
    ("sieve", &[("8000000", "900")]),
    (
        "simd",
        &[
            ("1048576", "400"),
            ("(i32.const 16))) (i32.const 2097152)", "(i32.const 16))) (i32.const 800)"),
            ("1000)", "3)"),
        ],
    ),
    ("trees", &[("const 20) (i32.const 1)", "const 6) (i32.const 1)"), ("const 6))))", "const 3))))")]),
];

#[test]
fn the_kernels_of_the_benchmark_are_undisturbed() {
    let engines = engines();
    for (name, changes) in KERNELS {
        let wat = std::fs::read_to_string(format!("{}/../../../bench/kernels/{name}.wat", env!("CARGO_MANIFEST_DIR")))
            .unwrap();
        let wat = changes.iter().fold(wat, |wat, (from, to)| {
            assert!(wat.contains(from), "{name} has changed: {from}");
            wat.replace(from, to)
        });
        let wasm = wat::parse_str(wat).unwrap();
        let expected = plain(&engines[0], &wasm, "run", &[]);
        let mut stopped = Stopped::new(&wasm, &engines);
        assert_eq!(stopped.run("run", &[], &mut never), expected, "{name}, never stopped");
        let mut dice = Dice(7);
        let mut often = |running: &mut Running, leg: usize| match leg {
            0..20 => running.request(),
            20..60 => running.request_one(dice.roll(6) as usize),
            _ => {}
        };
        assert_eq!(stopped.run("run", &[], &mut often), expected, "{name}, stopped often");
        assert!(stopped.legs >= 20, "{name}: {} stops", stopped.legs);
    }
}

/// Two sites for each of the first bytes of the zone: a request for one stops at both, and each goes on where it was.
#[test]
fn more_sites_than_the_zone_has_bytes_are_told_apart() {
    let sites = gatebus_module::ZONE + 8;
    let body: String = (0..sites)
        .map(|site| format!("(loop (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 3)) (i32.const {site}))))"))
        .collect();
    let wat = format!("(module (func (export \"run\") (param i32) (result i32) (local i32) {body} (local.get 1)))");
    let wasm = wat::parse_str(wat).unwrap();
    let engines = common::quick_engines();
    let expected = plain(&engines[0], &wasm, "run", &[Val::I32(0)]);
    let mut stopped = Stopped::new(&wasm, &engines[..1]);
    let mut third = |running: &mut Running, _leg: usize| {
        running.withdraw();
        running.request_one(3);
    };
    assert_eq!(stopped.run("run", &[Val::I32(0)], &mut third), expected);
    assert_eq!(stopped.hit, [3, 3 + gatebus_module::ZONE].into());
}
