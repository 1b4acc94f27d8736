//! Small scripts through the whole generator, up to the words of what each instance must do.

use gatebus_suite::emit::{self, End};
use gatebus_suite::policy::{ACCEPTED, valid_with};
use gatebus_suite::script::{Script, read};
use gatebus_suite::splice::splice;

const COUNTER: &str = r#"(module $m
  (global $g (mut i32) (i32.const 0))
  (func (export "add") (param i32) (result i32)
    (global.set $g (i32.add (global.get $g) (local.get 0))) (global.get $g))
  (func (export "fail") unreachable)
  (func (export "host") (param externref))
  (func (export "two") (result i32 f64) (i32.const 1) (f64.const 2)))"#;

fn script(rest: &str) -> Script {
    read(&format!("{COUNTER}\n{rest}")).expect("a script")
}

fn reasons(script: &Script) -> Vec<(&str, &str)> {
    script.skipped.iter().map(|(kind, reason)| (*kind, reason.as_str())).collect()
}

#[test]
fn assertions_become_steps_in_order_with_their_lines() {
    let script = script(
        "(assert_return (invoke \"add\" (i32.const 1)) (i32.const 1))\n\
         (invoke $m \"add\" (i32.const 1))\n\
         (assert_trap (invoke \"fail\") \"unreachable\")",
    );
    let steps = &script.instances[0].steps;
    assert_eq!(steps.iter().map(|step| step.line - steps[0].line).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(matches!(steps[0].end, End::Returns(_)));
    assert!(matches!(steps[1].end, End::Any));
    assert!(matches!(steps[2].end, End::Killed { cause: "UNREACHABLE", .. }));
    assert!(reasons(&script).is_empty());
}

#[test]
fn added_functions_are_valid_whatever_the_results_are() {
    let script = script(
        "(assert_return (invoke \"two\") (i32.const 1) (f64.const nan:canonical))\n\
         (assert_return (invoke \"two\") (either (i32.const 1) (i32.const 2)) (f64.const 2))\n\
         (assert_trap (invoke \"fail\") \"unreachable\")\n\
         (assert_return (invoke \"host\" (ref.null extern)))",
    );
    let instance = &script.instances[0];
    let addition = emit::functions(&instance.shape, &instance.steps, &[2]).expect("functions");
    let wasm = splice(&instance.wasm, &addition).expect("a module");
    assert_eq!(valid_with(&wasm, ACCEPTED), Ok(()));
    let names: Vec<&str> = addition.exports.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [emit::CHECK, "gatebus-fail-3"]);
}

#[test]
fn what_follows_a_call_that_was_left_out_is_left_out() {
    let script = script(
        "(assert_return (invoke \"host\" (ref.extern 1)))\n\
         (assert_return (invoke \"add\" (i32.const 1)) (i32.const 1))",
    );
    assert_eq!(reasons(&script), [("return", "needs a host reference"), ("return", "after a call that was left out")]);
    assert!(script.instances[0].steps.is_empty());
}

#[test]
fn a_module_that_imports_is_for_refusal_and_its_assertions_are_counted() {
    let script = script(
        "(register \"m\" $m)\n\
         (module (import \"m\" \"add\" (func (param i32) (result i32))) (func (export \"f\")))\n\
         (assert_return (invoke \"f\"))\n\
         (assert_return (invoke $m \"add\" (i32.const 1)) (i32.const 1))",
    );
    assert_eq!((script.refusals[0].kind, script.refusals[0].reason.as_str()), ("policy", "imports"));
    assert_eq!(
        reasons(&script),
        [("return", "module refused by policy: imports"), ("return", "state shared with a module that imports it")]
    );
}

#[test]
fn a_module_that_traps_at_its_start_has_the_cause() {
    let script = script("(assert_trap (module (func unreachable) (start 0)) \"unreachable\")");
    assert_eq!(script.instances[1].trap, Some("UNREACHABLE"));
}

#[test]
fn an_instance_of_a_definition_starts_afresh() {
    let script = script(
        "(module definition $d (func (export \"f\") (result i32) (i32.const 1)))\n\
         (module instance $a $d) (module instance $b $d)\n\
         (assert_return (invoke $a \"f\") (i32.const 1))",
    );
    assert_eq!(script.instances.iter().map(|instance| instance.steps.len()).collect::<Vec<_>>(), [0, 1, 0]);
}

#[test]
fn invalid_and_malformed_modules_are_for_refusal() {
    let script = script(
        "(assert_invalid (module (func (result i32))) \"type mismatch\")\n\
         (assert_malformed (module quote \"(func\") \"unexpected token\")",
    );
    assert_eq!(script.refusals.iter().map(|refusal| refusal.kind).collect::<Vec<_>>(), ["invalid", "malformed"]);
}

#[test]
fn a_trap_message_that_nobody_knows_is_an_error_not_a_skip() {
    let text = format!("{COUNTER} (assert_trap (invoke \"fail\") \"something new\")");
    assert!(read(&text).expect_err("an error").contains("something new"));
}
