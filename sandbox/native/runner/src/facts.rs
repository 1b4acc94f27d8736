//! The compile worker's answer: what the host must know about a module, as JSON of at most 64 KiB.

use crate::admission::Admitted;
use crate::refusal::Refusal;
use gatebus_abi::table::Personality;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The facts of an admitted module. `given` are the bytes that came in, text or binary.
pub fn admitted(admitted: &Admitted<'_>, given: &[u8]) -> Value {
    let scan = &admitted.scan;
    json!({
        "ok": true,
        "personality": match admitted.personality { Personality::Wasi => "wasi", Personality::Gate => "gate" },
        "functions": scan.defined_functions(),
        "memory_pages": scan.memory_pages,
        "memory_max_pages": scan.memory_max_pages,
        "table_elements": scan.table_elements,
        "exports": short(&admitted.entries),
        "has_start": scan.has_start,
        "imports": scan.imports.len(),
        "wasm_sha256": Sha256::digest(given).iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

/// The facts of a refused one.
pub fn refused(refusal: &Refusal) -> Value {
    json!({"ok": false, "code": refusal.code, "text": refusal.text.chars().take(300).collect::<String>()})
}

/// Names up to 500 bytes: 64 of them stay below the limit of the facts, even when every byte must be escaped.
fn short(names: &[String]) -> Vec<&String> {
    names.iter().filter(|name| name.len() <= 150).collect()
}
