//! The compile worker: a module in a sealed memfd becomes an image and facts in two others.
//!
//! The worker runs in the jail with limits of memory and CPU time of its own. Everything it reads is from anyone; what
//! it writes is trusted by the host as far as "this program's image": a compiler taken over by a module can spoil
//! that program only, because the image first runs under the final filter.

use crate::admission::{admit_untrusted, again_untrusted};
use crate::facts::{self, Form};
use crate::refusal::Refusal;
use crate::suspension::{check_world_untrusted, continue_untrusted, export_untrusted, show_untrusted};
use gatebus_module::{PIECE, Transformed, transform_untrusted};
use gatebus_wire::keeper::Job;
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
pub fn compile_untrusted(engine: &Engine, given: &[u8], max_code: u64, job: Job) -> Compiled {
    let done = match job {
        Job::Plain | Job::Suspendable => image_untrusted(engine, given, max_code, job),
        Job::Continue => continuation_untrusted(engine, given, max_code),
        Job::Show => frames_untrusted(given),
        Job::Export => module_untrusted(given, max_code),
    };
    match done {
        Ok((image, facts)) => Compiled { image, facts },
        Err(refusal) => Compiled { image: Vec::new(), facts: facts::refused(&refusal) },
    }
}

fn image_untrusted(engine: &Engine, given: &[u8], max_code: u64, job: Job) -> Result<(Vec<u8>, Value), Refusal> {
    let admitted = admit_untrusted(given)?;
    let suspendable = (job == Job::Suspendable).then(|| suspendable_untrusted(engine, &admitted.wasm, max_code));
    let (image, form) = match suspendable {
        Some(Ok((image, transformed))) => (image, Form::Suspendable(transformed)),
        Some(Err(reasons)) => (precompile(engine, &admitted.wasm, max_code)?, Form::Unsuspendable(reasons)),
        None => (precompile(engine, &admitted.wasm, max_code)?, Form::Plain),
    };
    let facts = facts::admitted(&admitted, given, &form);
    Ok((image, facts))
}

fn suspendable_untrusted(engine: &Engine, wasm: &[u8], max_code: u64) -> Result<(Vec<u8>, Transformed), Vec<String>> {
    let transformed = transform_untrusted(wasm)?;
    let image = precompile(engine, &transformed.wasm, max_code);
    let image = image.map_err(|refusal| vec![format!("transformed for it, {}", refusal.text)])?;
    Ok((image, transformed))
}

fn continuation_untrusted(engine: &Engine, given: &[u8], max_code: u64) -> Result<(Vec<u8>, Value), Refusal> {
    let (sites, given) = prefix_untrusted(given, 4)?;
    let sites = sites.as_chunks().0.iter().map(|site| u32::from_le_bytes(*site)).collect();
    let (summary, given) = prefix_untrusted(given, 1)?;
    let continued = continue_untrusted(&again_untrusted(given)?, summary, &sites)?;
    let image = precompile(engine, &continued.wasm, max_code)?;
    Ok((image, facts::continuation(given, &continued)))
}

fn frames_untrusted(given: &[u8]) -> Result<(Vec<u8>, Value), Refusal> {
    let (state, given) = prefix_untrusted(given, 1)?;
    let admitted = admit_untrusted(given)?;
    let frames = show_untrusted(&admitted.wasm, admitted.personality, state)?;
    Ok((Vec::new(), facts::frames(given, &frames)))
}

/// Not compiled: the module itself is what is wanted.
fn module_untrusted(given: &[u8], max_code: u64) -> Result<(Vec<u8>, Value), Refusal> {
    let (state, given) = prefix_untrusted(given, 1)?;
    let (pieces, given) = prefix_untrusted(given, 4 + PIECE)?;
    let room = usize::try_from(max_code).unwrap_or(usize::MAX);
    let admitted = admit_untrusted(given)?;
    check_world_untrusted(admitted.personality, state)?;
    let module = export_untrusted(&admitted.wasm, state, pieces, room)?;
    Ok((bounded("module", module, max_code)?, facts::exported(given)))
}

/// `u32 count`, so many things of `size` bytes, and the program.
fn prefix_untrusted(given: &[u8], size: usize) -> Result<(&[u8], &[u8]), Refusal> {
    let cut = || Refusal { code: "malformed", text: "the order is cut off".to_owned() };
    let (count, rest) = given.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = (u32::from_le_bytes(*count) as usize).checked_mul(size).ok_or_else(cut)?;
    rest.split_at_checked(length).ok_or_else(cut)
}

fn precompile(engine: &Engine, wasm: &[u8], max_code: u64) -> Result<Vec<u8>, Refusal> {
    bounded("compiled program", engine.precompile_module(wasm).map_err(|error| not_compiled(&error))?, max_code)
}

fn bounded(what: &str, image: Vec<u8>, max_code: u64) -> Result<Vec<u8>, Refusal> {
    if image.len() as u64 > max_code {
        let text = format!("the {what} has {} bytes, at most {max_code}", image.len());
        return Err(Refusal { code: "code-too-large", text });
    }
    Ok(image)
}

/// The module was valid, so this is a limit of the compiler's own ("function too large").
fn not_compiled(error: &wasmtime::Error) -> Refusal {
    let reason = error.root_cause().to_string().chars().take(200).collect::<String>();
    Refusal { code: "too-large", text: format!("the module cannot be compiled: {reason}") }
}

/// The worker's whole life between its start and `exit_group(0)`. Facts last: they say that the image is complete.
pub fn work(engine: &Engine, [wasm, mut image, mut facts]: [&File; 3], max_code: u64, job: Job) -> std::io::Result<()> {
    let compiled = compile_untrusted(engine, &read_untrusted(wasm)?, max_code, job);
    image.write_all(&compiled.image)?;
    facts.write_all(compiled.facts.to_string().as_bytes())
}

/// What may stand before the program: sites, a whole state, or one with its memory 0.
const BEFORE_MODULE: usize = crate::bounds::STATE + 8;

/// The whole file, however long: admission refuses what is too long by name.
fn read_untrusted(file: &File) -> std::io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min((crate::bounds::MODULE + BEFORE_MODULE) as u64 + 1);
    let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}
