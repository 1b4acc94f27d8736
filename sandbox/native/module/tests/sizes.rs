//! How large a continuation is beside the program: what can be compiled and stopped must also be able to go on.

#![allow(missing_docs, clippy::unwrap_used)]

use gatebus_module::{Loops, Suspendable};

const SPIN: &str = "(func $spin (param $n i32) (result i32)
    (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 1))";

fn repeated(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// Calls, one after the other, across which all of the locals are alive.
fn same_locals_at_each_call(calls: usize, live: usize) -> String {
    let locals = repeated(live, |at| format!("(local $l{at} i32)"));
    let set = repeated(live, |at| format!("(local.set $l{at} (i32.mul (local.get $n) (i32.const {at})))"));
    let call = repeated(calls, |_| "(drop (call $spin (local.get $n)))".to_owned());
    let sum = repeated(live, |at| format!("(local.get $l{at}) i32.add "));
    format!(
        "(module {SPIN} (func (export \"run\") (param $n i32) (result i32) {locals} {set} {call} (i32.const 0) {sum}))"
    )
}

/// Each call's result is kept until the end, so no two of them save the same values.
fn other_locals_at_each_call(calls: usize) -> String {
    let call = repeated(calls, |_| "(call $spin (local.get $n))".to_owned());
    let sum = repeated(calls - 1, |_| " i32.add".to_owned());
    format!("(module {SPIN} (func (export \"run\") (param $n i32) (result i32) {call} {sum}))")
}

fn check_size(wat: &str) {
    let wasm = wat::parse_str(wat).unwrap();
    for loops in [Loops::Usual, Loops::Never] {
        let program = Suspendable::entered_untrusted(&wasm, loops).unwrap();
        let sites = u32::try_from(program.table().sites.len()).unwrap();
        for site in [0, 1, sites / 2, sites - 1] {
            let continuation = program.continuation_untrusted(&[site].into()).unwrap();
            let (size, whole) = (continuation.len(), program.wasm().len());
            // Beside the copy of its function it has the values of one frame to read, and its imports.
            assert!(size < whole + whole / 4, "at site {site}: {size} bytes, the program has {whole}");
        }
    }
}

#[test]
fn a_continuation_is_about_as_large_as_the_program_where_many_calls_save_the_same_values() {
    check_size(&same_locals_at_each_call(1000, 200));
}

#[test]
fn and_where_each_saves_others() {
    check_size(&other_locals_at_each_call(300));
}

/// What cannot be reached from the site takes no room: the ways out of it are left out, too.
#[test]
fn near_the_end_of_a_function_little_is_left_of_it() {
    let wasm = wat::parse_str(other_locals_at_each_call(300)).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let last = u32::try_from(program.table().sites.len()).unwrap() - 1;
    let continuation = program.continuation_untrusted(&[last].into()).unwrap();
    assert!(continuation.len() < program.wasm().len() / 20, "{} bytes", continuation.len());
}

/// Each different type costs code and time wherever the program goes on.
#[test]
fn a_continuation_has_no_types_but_those_that_it_names() {
    let others = (1..100).map(|count| format!("(func (param{}))", " i64".repeat(count)));
    let others: String = others.collect();
    let wasm = wat::parse_str(format!("(module {others} {}", &same_locals_at_each_call(10, 2)[7..])).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let continuation = program.continuation_untrusted(&[0].into()).unwrap();
    let text = wasmprinter::print_bytes(&continuation).unwrap();
    assert!(text.contains("(type (;98;) (func))"), "numbers stay: {text}");
    assert!(!text.contains("(param i64"), "{text}");
}
