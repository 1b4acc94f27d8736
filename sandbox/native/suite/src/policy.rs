//! Which proposals admission accepts, and by which name it refuses the rest.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};

/// What today's toolchains emit by default; the same list as admission's.
pub const ACCEPTED: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXCEPTIONS);

/// In the order of asking: the first that makes a module valid, alone, is the reason of its refusal.
const REFUSED: [(&str, WasmFeatures); 7] = [
    ("function references", WasmFeatures::FUNCTION_REFERENCES),
    ("gc", WasmFeatures::FUNCTION_REFERENCES.union(WasmFeatures::GC)),
    ("memory64", WasmFeatures::MEMORY64),
    ("threads", WasmFeatures::THREADS),
    ("custom page sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("wide arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("custom descriptors", WasmFeatures::CUSTOM_DESCRIPTORS.union(WasmFeatures::GC)),
];

/// Modules are refused for what they import, whatever it is: only `gate` and `wasi` have a host behind them.
pub const IMPORTS: &str = "imports";

/// Admission's bound: each memory has 4 GiB of addresses set aside.
const MEMORIES: u32 = 8;

/// What admission is expected to say of a module that the suite calls valid.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is compiled and can be started.
    Accepted,
    /// It is refused for this proposal, or for its imports.
    Refused(&'static str),
    /// Not valid with any set of proposals this program knows.
    Unknown(String),
}

/// Judges the encoded module.
pub fn judge(wasm: &[u8]) -> Verdict {
    let Err(error) = valid_with(wasm, ACCEPTED) else {
        return match () {
            () if has_imports(wasm) => Verdict::Refused(IMPORTS),
            () if memories(wasm) > MEMORIES => Verdict::Refused("more than 8 memories"),
            () => Verdict::Accepted,
        };
    };
    let named = REFUSED.iter().find(|(_, features)| valid_with(wasm, ACCEPTED.union(*features)).is_ok());
    match named {
        Some((name, _)) => Verdict::Refused(name),
        None if valid_with(wasm, WasmFeatures::all()).is_ok() => Verdict::Refused("several proposals"),
        None => Verdict::Unknown(error),
    }
}

/// Whether the bytes are a valid module under these features.
pub fn valid_with(wasm: &[u8], features: WasmFeatures) -> Result<(), String> {
    match Validator::new_with_features(features).validate_all(wasm) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// The names of the modules it imports from, in order.
pub fn import_modules(wasm: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        if let Payload::ImportSection(section) = payload {
            names.extend(section.into_imports().map_while(Result::ok).map(|import| import.module.to_owned()));
        }
    }
    names
}

fn memories(wasm: &[u8]) -> u32 {
    let count = |payload| {
        if let Payload::MemorySection(section) = payload { section.count() } else { 0 }
    };
    Parser::new(0).parse_all(wasm).map_while(Result::ok).map(count).sum()
}

fn has_imports(wasm: &[u8]) -> bool {
    !import_modules(wasm).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Verdict {
        judge(&wat::parse_str(text).expect("text"))
    }

    #[test]
    fn a_module_of_today_is_accepted() {
        assert_eq!(
            verdict("(module (memory 1) (memory 1) (func (result v128) (v128.const i64x2 0 0)))"),
            Verdict::Accepted
        );
    }

    #[test]
    fn imports_are_refused_by_that_name() {
        assert_eq!(verdict(r#"(module (import "spectest" "print" (func)))"#), Verdict::Refused(IMPORTS));
    }

    #[test]
    fn too_many_memories_are_refused() {
        let module = |count: usize| format!("(module {})", "(memory 0)".repeat(count));
        assert_eq!(verdict(&module(8)), Verdict::Accepted);
        assert_eq!(verdict(&module(9)), Verdict::Refused("more than 8 memories"));
    }

    #[test]
    fn each_refused_proposal_has_its_name() {
        for (text, name) in [
            ("(module (memory i64 1))", "memory64"),
            ("(module (memory 1 1 shared))", "threads"),
            ("(module (type (struct)))", "gc"),
            ("(module (type $t (func)) (func (param (ref $t))))", "function references"),
        ] {
            assert_eq!(verdict(text), Verdict::Refused(name), "{text}");
        }
    }

    #[test]
    fn an_invalid_module_is_unknown_with_its_error() {
        let Verdict::Unknown(error) = verdict("(module (func (result i32)))") else { panic!("judged valid") };
        assert!(error.contains("type mismatch"), "{error}");
    }
}
