//! Why a module is not run: a stable code and a public sentence.

use wasmparser::BinaryReaderError;

/// The program's fault; the worker writes it into the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One of the codes of PROTOCOL.md.
    pub code: &'static str,
    /// What, why, and what to do; at most 300 bytes.
    pub text: String,
}

impl Refusal {
    /// Not a module at all, or broken off.
    pub fn malformed(error: &BinaryReaderError) -> Refusal {
        Refusal { code: "malformed", text: format!("malformed module: {}", sentence(error)) }
    }

    /// A module that breaks a rule of WebAssembly.
    pub fn invalid(error: &BinaryReaderError) -> Refusal {
        Refusal { code: "invalid", text: format!("invalid module: {}", sentence(error)) }
    }

    /// A feature that is not offered, by its name and with advice.
    pub fn unsupported(feature: &str, advice: &str) -> Refusal {
        Refusal { code: "unsupported", text: format!("{feature} not supported: {advice}") }
    }

    /// A count beyond its limit.
    pub fn too_large(what: &str, found: u64, limit: u64) -> Refusal {
        Refusal {
            code: "too-large",
            text: format!("the module has too many or too large {what}: {found}, at most {limit}"),
        }
    }

    /// An import that nobody provides.
    pub fn bad_import(module: &str, name: &str, why: &str) -> Refusal {
        let text = format!("import {}.{} {why}", shown(module), shown(name));
        Refusal { code: "bad-import", text }
    }
}

fn sentence(error: &BinaryReaderError) -> String {
    let message: String = error.message().chars().take(200).collect();
    format!("{message} (at byte {})", error.offset())
}

/// A name of the module, cut and without control characters: it goes to people's terminals.
fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Checks a count against its limit.
pub fn at_most(what: &str, found: impl Into<u64>, limit: impl Into<u64>) -> Result<(), Refusal> {
    let (found, limit) = (found.into(), limit.into());
    if found <= limit { Ok(()) } else { Err(Refusal::too_large(what, found, limit)) }
}
