//! The harness finds bugs: one instruction of the transformed program or of a continuation is another one, and the program does not do what it does undisturbed.
//! That all differential tests pass means something only because of this.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::plain::plain;
use common::running::Running;
use common::stopped::{Disturb, Stopped, always, block};
use common::{generate, quick_engines};
use gatebus_module::{Loops, Suspendable};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmparser::{Operator, Parser, Payload};
use wasmtime::Engine;

/// Sums up, with a call in the loop whose result counts, and a call of the host that must happen once.
const PROGRAM: &str = r#"(module (import "env" "host" (func $host (param i64) (result i64)))
  (func $inner (param $n i32) (param $k i32) (result i32) (local $i i32)
    (loop $l (local.set $i (i32.add (local.get $i) (local.get $k))) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $i) (i32.const 1)))
  (func (export "run") (result i32 i64) (local $a i32) (local $b i32) (local $c i64)
    (local.set $b (i32.const 3))
    (loop $l
      (local.set $a (i32.add (i32.mul (local.get $a) (i32.const 5)) (call $inner (local.get $b) (i32.const 7))))
      (local.set $c (i64.add (local.get $c) (call $host (i64.extend_i32_u (local.get $a)))))
      (br_if $l (i32.lt_u (local.tee $b (i32.add (local.get $b) (i32.const 1))) (i32.const 9))))
    (local.get $a) (local.get $c)))"#;

/// Stops of one run: ten times what the program above needs.
const MOST: usize = 800;

type Code<'a> = Vec<Vec<(Operator<'a>, usize)>>;

/// The operators of each body with their places.
fn code(wasm: &[u8]) -> Code<'_> {
    let bodies = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    bodies.map(operators).collect()
}

fn operators(body: wasmparser::FunctionBody<'_>) -> Vec<(Operator<'_>, usize)> {
    body.get_operators_reader().unwrap().into_iter_with_offsets().map(Result::unwrap).collect()
}

/// A frame holds its last two locals in each other's place.
fn swap_saved(wasm: Vec<u8>) -> Vec<u8> {
    let mut spoilt = wasm.clone();
    for body in code(&wasm) {
        for row in body.windows(8) {
            if let [
                (Operator::LocalGet { .. }, _),
                (Operator::LocalGet { .. }, a),
                (Operator::I32Store { .. }, _),
                (Operator::LocalGet { .. }, _),
                (Operator::LocalGet { .. }, b),
                (Operator::I32Store { .. }, _),
                (Operator::LocalGet { .. }, _),
                (Operator::I32Const { .. }, _),
            ] = row
                && both_are_i32(&body, *a, *b)
            {
                spoilt.swap(a + 1, b + 1);
                return spoilt;
            }
        }
    }
    panic!("no frame of two values");
}

/// In the program of this test the locals 0 to 2 are of the same type.
fn both_are_i32(body: &[(Operator<'_>, usize)], a: usize, b: usize) -> bool {
    let local = |at: usize| match body.iter().find(|(_, place)| *place == at).unwrap().0 {
        Operator::LocalGet { local_index } => local_index,
        _ => u32::MAX,
    };
    local(a) < 3 && local(b) < 3
}

/// The first bytes of the first operators in a row that are like these become others of the same length.
fn replace(wasm: Vec<u8>, like: &[fn(&Operator<'_>) -> bool], with: &[u8]) -> Vec<u8> {
    let mut spoilt = wasm.clone();
    for body in code(&wasm) {
        for row in body.windows(like.len()) {
            if row.iter().zip(like).all(|((operator, _), like)| like(operator)) {
                spoilt[row[0].1..][..with.len()].copy_from_slice(with);
                return spoilt;
            }
        }
    }
    panic!("no such operators");
}

/// A caller does not see that its callee was left.
fn forget_check(wasm: Vec<u8>) -> Vec<u8> {
    let like: [fn(&Operator<'_>) -> bool; 2] =
        [|op| matches!(op, Operator::GlobalGet { .. }), |op| matches!(op, Operator::If { .. })];
    replace(wasm, &like, &[0x41, 0])
}

/// A frame names another site.
fn name_other_site(wasm: Vec<u8>) -> Vec<u8> {
    let like: [fn(&Operator<'_>) -> bool; 3] = [
        |op| matches!(op, Operator::I32Const { value: 1 }),
        |op| matches!(op, Operator::LocalSet { .. }),
        |op| matches!(op, Operator::Br { .. }),
    ];
    replace(wasm, &like, &[0x41, 2])
}

/// A host call that was left is taken for one that was made.
fn lose_host_call(wasm: Vec<u8>) -> Vec<u8> {
    let like: [fn(&Operator<'_>) -> bool; 4] = [
        |op| matches!(op, Operator::Call { function_index: 0 }),
        |op| matches!(op, Operator::I32Const { .. }),
        |op| matches!(op, Operator::I32Load { .. }),
        |op| matches!(op, Operator::If { .. }),
    ];
    let at = code(&wasm).iter().find_map(|body| {
        let row = body.windows(4).find(|row| row.iter().zip(&like).all(|((op, _), like)| like(op)))?;
        Some((row[2].1, row[3].1))
    });
    let (load, branch) = at.unwrap();
    let mut spoilt = wasm;
    // The word's address is dropped, and nothing is asked: drop, zeros in front of it, the rest does nothing.
    let nothing = [&[0x1a, 0x41, 0][..], &vec![0x01; branch - load - 3]].concat();
    spoilt[load..branch].copy_from_slice(&nothing);
    spoilt
}

/// A continuation's first local gets the value of the second one.
fn load_wrong(wasm: Vec<u8>) -> Vec<u8> {
    let mut spoilt = wasm.clone();
    for body in code(&wasm) {
        let sets: Vec<usize> = body
            .windows(2)
            .filter(|two| matches!(two, [(Operator::I32Load { .. }, _), (Operator::LocalSet { .. }, _)]))
            .map(|two| two[1].1)
            .collect();
        if let [first, second, ..] = sets[..] {
            spoilt.swap(first + 1, second + 1);
        }
    }
    spoilt
}

/// A leading part runs again where the site is entered.
fn forget_entering(wasm: Vec<u8>) -> Vec<u8> {
    let like: [fn(&Operator<'_>) -> bool; 3] = [
        |op| matches!(op, Operator::I32Const { value: 1 }),
        |op| matches!(op, Operator::LocalSet { .. }),
        |op| matches!(op, Operator::Loop { .. }),
    ];
    let is_there =
        code(&wasm).iter().any(|body| body.windows(3).any(|row| row.iter().zip(&like).all(|((op, _), like)| like(op))));
    if is_there { replace(wasm, &like, &[0x41, 0]) } else { wasm }
}

fn same(wasm: Vec<u8>) -> Vec<u8> {
    wasm
}

/// Does the harness see a difference, or come to no end?
fn found(
    wasm: &[u8],
    engines: &[Engine],
    program: fn(Vec<u8>) -> Vec<u8>,
    continuation: fn(Vec<u8>) -> Vec<u8>,
) -> bool {
    let expected = plain(&engines[0], wasm, "run", &[]);
    // What is planted in a continuation must be run there: no loop is left to the program.
    let make = || Suspendable::entered_untrusted(wasm, Loops::Never).unwrap();
    let spoilt = program(make().wasm().to_vec());
    let run = |disturb: &mut dyn Disturb| {
        let suspendable = make();
        let mut stopped = Stopped::spoilt(suspendable, &spoilt, continuation, engines);
        stopped.most = MOST;
        stopped.run("run", &[], disturb)
    };
    let one = |byte: usize| {
        move |running: &mut Running, leg: usize| {
            running.withdraw();
            if leg == 0 {
                running.request_one(byte);
            }
        }
    };
    let mut all = || {
        let first = (0..4).all(|byte| run(&mut one(byte)) == expected);
        first && run(&mut always) == expected && run(&mut block) == expected
    };
    !catch_unwind(AssertUnwindSafe(&mut all)).unwrap_or(false)
}

#[test]
fn every_planted_bug_is_found() {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let engines = &quick_engines()[..1];
    assert!(!found(&wasm, engines, same, same), "without one");
    for (name, program) in [
        ("two saved locals in each other's place", swap_saved as fn(Vec<u8>) -> Vec<u8>),
        ("a check that is never true", forget_check),
        ("the number of another site", name_other_site),
        ("a host call that is not made again", lose_host_call),
    ] {
        assert!(found(&wasm, engines, program, same), "{name}");
    }
    for (name, continuation) in [
        ("two locals loaded in each other's place", load_wrong as fn(Vec<u8>) -> Vec<u8>),
        ("a site that is entered from the start", forget_entering),
    ] {
        assert!(found(&wasm, engines, same, continuation), "{name}");
    }
}

/// Generated programs find what is planted in their continuations, too, where they stop at such a place.
#[test]
fn generated_programs_find_wrong_values() {
    let engines = &quick_engines()[..1];
    let caught = (1..5).filter(|seed| {
        let wasm = wat::parse_str(generate::program(*seed)).unwrap();
        let sound = !found(&wasm, engines, same, same);
        sound && found(&wasm, engines, same, load_wrong)
    });
    let caught = caught.count();
    assert!(caught >= 2, "{caught}");
}
