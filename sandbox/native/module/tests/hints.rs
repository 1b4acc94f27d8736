//! Branch hints of the source stay on the branches that they were on, in the program, in a continuation and in an exported module.

#![allow(missing_docs, clippy::unwrap_used)]

use gatebus_module::{Loops, Memory, Phase, State, Suspendable};
use wasmparser::{KnownCustom, Operator, Parser, Payload};

/// `$leaf` is copied as it is, `$run` has sites. A likely branch is nothing that we write ourselves.
const SOURCE: &str = r#"(module
  (func $leaf (param i32) (result i32)
    local.get 0
    (@metadata.code.branch_hint "\01") if (result i32) i32.const 5 else i32.const 7 end)
  (func $run (export "run") (param i32) (result i32) (local i32)
    block $out
      loop $next
        (local.set 1 (i32.add (local.get 1) (i32.const 3)))
        (i32.eq (local.get 1) (i32.const 300))
        (@metadata.code.branch_hint "\00") if (local.set 1 (i32.const 1000)) end
        (i32.lt_u (local.get 1) (i32.mul (local.get 0) (call $leaf (local.get 0))))
        (@metadata.code.branch_hint "\01") br_if $next
        i32.const 0
        (@metadata.code.branch_hint "\00") br_if $out
        (i32.gt_u (local.get 1) (i32.const 2000))
        (@metadata.code.branch_hint "\01") if br $next end
      end
    end
    local.get 1))"#;

/// Of each function: kind of operator and advice, in their order. A hint that stands on anything but a branch is a failure.
fn hints(wasm: &[u8]) -> Vec<(u32, Vec<(&'static str, bool)>)> {
    let (mut bodies, mut found, mut imported) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::ImportSection(imports) => {
                let functions = imports
                    .into_imports()
                    .filter(|import| matches!(import.as_ref().unwrap().ty, wasmparser::TypeRef::Func(_)));
                imported = functions.count();
            }
            Payload::CodeSectionEntry(body) => bodies.push(body),
            Payload::CustomSection(custom) => {
                if let KnownCustom::BranchHints(functions) = custom.as_known() {
                    for function in functions {
                        let function = function.unwrap();
                        let all: Vec<_> = function.hints.into_iter().map(Result::unwrap).collect();
                        found.push((function.func, all));
                    }
                }
            }
            _ => {}
        }
    }
    let named = found.into_iter().map(|(function, hints)| {
        let body = &bodies[function as usize - imported];
        let hints = hints.into_iter().map(|hint| {
            let at = body.range().start + hint.func_offset as usize;
            let mut operators = body.get_operators_reader().unwrap().into_iter_with_offsets();
            let operator = operators.find_map(|item| item.ok().filter(|(_, offset)| *offset == at));
            match operator.expect("an operator stands there").0 {
                Operator::If { .. } => ("if", hint.taken),
                Operator::BrIf { .. } => ("br_if", hint.taken),
                other => panic!("a hint on {other:?}"),
            }
        });
        (function, hints.collect())
    });
    named.collect()
}

fn likely(hints: &[(&'static str, bool)]) -> Vec<&'static str> {
    hints.iter().filter(|(_, taken)| *taken).map(|(kind, _)| *kind).collect()
}

#[test]
fn the_transformed_program_keeps_them_beside_our_own() {
    let wasm = wat::parse_str(SOURCE).unwrap();
    let given = hints(&wasm);
    assert_eq!(given.len(), 2, "the text has them: {given:?}");
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let made = hints(program.wasm());
    assert_eq!(made[0], (0, vec![("if", true)]), "the leaf is as it was");
    assert_eq!((made[1].0, likely(&made[1].1)), (1, vec!["br_if", "if"]));
    let unlikely = made[1].1.iter().filter(|(_, taken)| !taken).count();
    assert!(unlikely > 2, "two of the source and those of the cold blocks: {:?}", made[1].1);
}

#[test]
fn a_continuation_and_an_exported_module_have_those_of_the_code_that_they_repeat() {
    let wasm = wat::parse_str(SOURCE).unwrap();
    // A continuation that leaves no loop to the program.
    let program = Suspendable::entered_untrusted(&wasm, Loops::Never).unwrap();
    let continuation = hints(&program.continuation_untrusted(&[0].into()).unwrap());
    assert_eq!(continuation.len(), 1);
    assert_eq!(likely(&continuation[0].1), ["br_if", "if"]);
    let (module, phase, entry) = ([7; 32], Phase::Entry, "run".to_owned());
    let frames = [0u32, 4, 6].iter().flat_map(|word| word.to_le_bytes()).collect();
    let state = State {
        module,
        phase,
        entry,
        pages: 0,
        frames,
        references: Vec::new(),
        globals: Vec::new(),
        tables: Vec::new(),
        dropped_data: Vec::new(),
        dropped_elements: Vec::new(),
        memories: Vec::new(),
        world: Vec::new(),
    };
    let exported = program.export_untrusted(&state, &Memory { pages: 0, pieces: Vec::new() }, 0).unwrap();
    let exported = hints(&exported);
    assert_eq!(exported[..2], hints(&wasm)[..], "the program's own functions are as they came");
    let source = [("if", false), ("br_if", true), ("br_if", false), ("if", true)];
    assert_eq!(exported[2].1, source, "no cold block of ours is in it");
}
