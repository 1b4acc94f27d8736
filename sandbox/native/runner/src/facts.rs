//! The compile worker's answer: what the host must know about a module, as JSON of at most 4 MiB.

use crate::admission::Admitted;
use crate::refusal::Refusal;
use gatebus_abi::table::Personality;
use gatebus_module::{Continued, Transformed};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// In which form the program is in the image.
pub enum Form {
    /// As it is, because nothing else was wanted.
    Plain,
    /// As it can be suspended; how its frames are cut, and what its continuations are told.
    Suspendable(Transformed),
    /// As it is, for these reasons.
    Unsuspendable(Vec<String>),
}

/// The facts of an admitted module. `given` are the bytes that came in, text or binary.
pub fn admitted(admitted: &Admitted<'_>, given: &[u8], form: &Form) -> Value {
    let scan = &admitted.scan;
    let mut facts = json!({
        "ok": true,
        "personality": match admitted.personality { Personality::Wasi => "wasi", Personality::Gate => "gate" },
        "functions": scan.defined_functions(),
        "memory_pages": scan.memory_pages,
        "memory_max_pages": scan.memory_max_pages,
        "table_elements": scan.table_elements,
        "exports": short(&admitted.entries),
        "has_start": scan.has_start,
        "imports": scan.imports.len(),
        "wasm_sha256": sha256(given),
    });
    match form {
        Form::Plain => {}
        Form::Suspendable(Transformed { sites, summary, .. }) => {
            facts["suspendable"] = json!(true);
            facts["sites"] = json!(sites);
            facts["summary"] = json!(summary);
        }
        Form::Unsuspendable(reasons) => facts["unsuspendable"] = json!(reasons),
    }
    facts
}

/// The facts of a continuation of the program with these bytes.
pub fn continuation(given: &[u8], continued: &Continued) -> Value {
    json!({"ok": true, "wasm_sha256": sha256(given), "guide": hex(&continued.guide), "stack": continued.stack})
}

/// The facts of a job that made a module of the program with these bytes.
pub fn exported(given: &[u8]) -> Value {
    json!({"ok": true, "wasm_sha256": sha256(given)})
}

/// The facts of frames of the program with these bytes.
pub fn frames(given: &[u8], frames: &Value) -> Value {
    json!({"ok": true, "wasm_sha256": sha256(given), "frames": frames})
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As the host writes it.
fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The facts of a refused one.
pub fn refused(refusal: &Refusal) -> Value {
    json!({"ok": false, "code": refusal.code, "text": refusal.text.chars().take(300).collect::<String>()})
}

/// Names up to 500 bytes: 64 of them stay below the limit of the facts, even when every byte must be escaped.
fn short(names: &[String]) -> Vec<&String> {
    names.iter().filter(|name| name.len() <= 150).collect()
}
