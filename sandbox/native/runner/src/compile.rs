//! The compile worker: a module in a sealed memfd becomes an image and facts in two others.
//!
//! The worker runs in the jail with limits of memory and CPU time of its own. Everything it reads is from anyone; what
//! it writes is trusted by the host as far as "this program's image": a compiler taken over by a module can spoil
//! that program only, because the image first runs under the final filter.

use crate::admission::admit_untrusted;
use crate::facts;
use crate::refusal::Refusal;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use wasmtime::Engine;

/// What comes out: an image when the module was admitted, facts always.
pub struct Compiled {
    /// For `Module::deserialize`; empty when refused.
    pub image: Vec<u8>,
    /// For the host.
    pub facts: Value,
}

/// Admission and compilation of one module.
pub fn compile_untrusted(engine: &Engine, given: &[u8], max_code: u64) -> Compiled {
    match image_untrusted(engine, given, max_code) {
        Ok((image, facts)) => Compiled { image, facts },
        Err(refusal) => Compiled { image: Vec::new(), facts: facts::refused(&refusal) },
    }
}

fn image_untrusted(engine: &Engine, given: &[u8], max_code: u64) -> Result<(Vec<u8>, Value), Refusal> {
    let admitted = admit_untrusted(given)?;
    let image = engine.precompile_module(&admitted.wasm).map_err(|error| not_compiled(&error))?;
    if image.len() as u64 > max_code {
        let text = format!("the compiled program has {} bytes, at most {max_code}", image.len());
        return Err(Refusal { code: "code-too-large", text });
    }
    let facts = facts::admitted(&admitted, given);
    Ok((image, facts))
}

/// The module was valid, so this is a limit of the compiler's own ("function too large").
fn not_compiled(error: &wasmtime::Error) -> Refusal {
    let reason = error.root_cause().to_string().chars().take(200).collect::<String>();
    Refusal { code: "too-large", text: format!("the module cannot be compiled: {reason}") }
}

/// The worker's whole life between its start and `exit_group(0)`. Facts last: they say that the image is complete.
pub fn work(engine: &Engine, [wasm, mut image, mut facts]: [&File; 3], max_code: u64) -> std::io::Result<()> {
    let compiled = compile_untrusted(engine, &read_untrusted(wasm)?, max_code);
    image.write_all(&compiled.image)?;
    facts.write_all(compiled.facts.to_string().as_bytes())
}

/// The whole file, however long: admission refuses what is too long by name.
fn read_untrusted(file: &File) -> std::io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min(crate::bounds::MODULE as u64 + 1);
    let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}
