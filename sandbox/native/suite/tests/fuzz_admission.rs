//! Broken modules before admission: it answers each with a refusal whose code the protocol knows, or with facts of a module
//! that is valid, and never panics. The compiler itself runs in a jailed worker and is not a target here.

use gatebus_sandbox::admission::admit_untrusted;
use gatebus_sandbox::bounds;
use gatebus_sandbox::features::ACCEPTED;
use gatebus_suite::mutate::campaign;
use gatebus_suite::policy::valid_with;
use gatebus_suite::script::read;
use gatebus_suite::source::scripts;
use wast::QuoteWatTest;

const CODES: [&str; 6] = ["malformed", "invalid", "unsupported", "too-large", "bad-import", "code-too-large"];

/// Of each script of the suite a few modules, good and bad; large ones only slow the loop down.
fn modules() -> Vec<Vec<u8>> {
    let small = |wasm: &Vec<u8>| wasm.len() < 4096;
    let mut modules = Vec::new();
    for source in scripts() {
        let script = read(&source.text).expect("a script of the suite");
        modules.extend(script.instances.into_iter().map(|instance| instance.wasm).filter(small).take(4));
        let refused = script.refusals.into_iter().filter_map(|refusal| match refusal.module {
            QuoteWatTest::Binary(wasm) => Some(wasm),
            QuoteWatTest::Text(_) => None,
        });
        modules.extend(refused.filter(small).take(4));
    }
    modules
}

fn texts() -> Vec<Vec<u8>> {
    let kernels = [
        include_bytes!("../../../../bench/kernels/simd.wat").as_slice(),
        include_bytes!("../../../../bench/kernels/indirect.wat"),
        include_bytes!("../../../../bench/kernels/interpreter.wat"),
    ];
    let short =
        [&b"(module)"[..], b"(module (func (export \"_start\")))", b";; nothing\n(module (memory 1))", b"(component)"];
    kernels.into_iter().chain(short).map(<[u8]>::to_vec).collect()
}

fn judge(given: &[u8]) {
    match admit_untrusted(given) {
        Ok(admitted) => {
            assert_eq!(valid_with(&admitted.wasm, ACCEPTED), Ok(()));
            assert!(admitted.entries.len() <= bounds::ENTRIES);
            assert!(admitted.scan.imports.iter().all(|import| import.function.is_some()));
        }
        Err(refusal) => {
            assert!(CODES.contains(&refusal.code), "{refusal:?}");
            assert!(!refusal.text.is_empty() && refusal.text.len() <= 1200, "{refusal:?}");
            assert!(!refusal.text.chars().any(|c| c.is_control()), "{refusal:?}");
        }
    }
}

#[test]
fn modules_of_any_bytes() {
    campaign(&modules(), 30_000, judge);
}

#[test]
fn texts_of_any_bytes() {
    campaign(&texts(), 5_000, judge);
}

/// The policy by which the suite's expectations are made is the one that admission has.
#[test]
fn the_suite_expects_what_admission_accepts() {
    assert_eq!(gatebus_suite::policy::ACCEPTED.bits() | ACCEPTED.bits(), ACCEPTED.bits());
}
