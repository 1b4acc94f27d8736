//! What a module must be before the compiler sees it. In: bytes from anyone. Out: facts, or a refusal with its reason.
//!
//! Order, cheapest first: size; text becomes binary; a component is refused by name; one pass over the module counts
//! and measures everything without validating (a function is only read); imports are looked up; then validation, whose
//! work is linear in what the counts have bounded. Data segments are joined where nothing can tell the difference.
//! Only then the compiler runs.

use crate::bounds;
use crate::features;
use crate::merge::merge_segments;
use crate::refusal::{Refusal, at_most};
use crate::scan::{Scan, scan_untrusted};
use gatebus_abi::table::{Function, Kind, Personality, function_untrusted, personality};
use std::borrow::Cow;
use wasmparser::{FuncType, ValType};

/// What is known about an admitted module.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// The module as it will be compiled.
    pub wasm: Cow<'a, [u8]>,
    /// Chosen by the imports.
    pub personality: Personality,
    /// Names of the functions that can be entered.
    pub entries: Vec<String>,
    /// Counts.
    pub scan: Scan,
}

/// Admits a module or says why not.
pub fn admit_untrusted(given: &[u8]) -> Result<Admitted<'_>, Refusal> {
    let wasm = binary_untrusted(given)?;
    refuse_other_kinds(&wasm)?;
    let scan = scan_untrusted(&wasm)?;
    let personality = imports_untrusted(&scan)?;
    features::validate_untrusted(&wasm)?;
    let wasm = merge_segments(wasm)?;
    let entries = entries(&scan);
    Ok(Admitted { wasm, personality, entries, scan })
}

/// The same bytes once more: the module as it was compiled. Looking at all of it again took longer than compiling what goes on from one state.
pub fn again_untrusted(given: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    merge_segments(binary_untrusted(given)?)
}

/// Text is taken like the binary form; everything else is left as it is.
fn binary_untrusted(given: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    at_most("bytes", given.len() as u64, bounds::MODULE as u64)?;
    if given.starts_with(b"\0") || !looks_like_text(given) {
        return Ok(Cow::Borrowed(given));
    }
    at_most("bytes of text", given.len() as u64, bounds::TEXT as u64)?;
    let wasm = wat::parse_bytes(given).map_err(|error| Refusal {
        code: "malformed",
        text: format!("malformed text: {}", text_problem(&error.to_string())),
    })?;
    at_most("bytes", wasm.len() as u64, bounds::MODULE as u64)?;
    Ok(Cow::Owned(wasm.into_owned()))
}

/// What is wrong, and where: the parser says `what`, then `--> <anon>:line:column`, then shows the line itself.
fn text_problem(said: &str) -> String {
    let mut lines = said.lines();
    let what: String = lines.next().unwrap_or_default().chars().take(200).collect();
    let mut place = lines.next().unwrap_or_default().rsplit(':').map(|each| each.trim().parse::<u32>());
    match (place.next(), place.next()) {
        (Some(Ok(column)), Some(Ok(line))) => format!("{what} (line {line}, column {column})"),
        _ => what,
    }
}

fn looks_like_text(given: &[u8]) -> bool {
    let start = given.trim_ascii_start();
    start.starts_with(b"(") || start.starts_with(b";;")
}

/// Modules of another kind have the same first four bytes.
fn refuse_other_kinds(wasm: &[u8]) -> Result<(), Refusal> {
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Err(Refusal::unsupported("a component is", "build for wasm32-wasip1")),
        [0, b'a', b's', b'm', _, _, _, _, ..] => {
            Err(Refusal { code: "malformed", text: "malformed module: unknown version".to_owned() })
        }
        _ => Err(Refusal { code: "malformed", text: "not a WebAssembly module".to_owned() }),
    }
}

/// Every import must be a function that the chosen personality has.
fn imports_untrusted(scan: &Scan) -> Result<Personality, Refusal> {
    let personality = personality(scan.imports.iter().map(|import| import.module.as_str()));
    for import in &scan.imports {
        let Some(index) = import.function else {
            return Err(Refusal::bad_import(
                &import.module,
                &import.name,
                "is not a function: only functions are provided",
            ));
        };
        let Some(function) = function_untrusted(personality, &import.module, &import.name) else {
            let why = "is not provided: programs may import WASI preview 1 and Gate's functions";
            return Err(Refusal::bad_import(&import.module, &import.name, why));
        };
        if !scan.types.get(index as usize).is_some_and(|found| same(function, found)) {
            return Err(Refusal::bad_import(
                &import.module,
                &import.name,
                "has another signature than the one provided",
            ));
        }
    }
    Ok(personality)
}

fn same(function: &Function, found: &Option<FuncType>) -> bool {
    let Some(found) = found else { return false };
    let kind = |kind: &Kind| if *kind == Kind::I32 { ValType::I32 } else { ValType::I64 };
    found.params().iter().copied().eq(function.parameters.iter().map(kind))
        && found.results().iter().copied().eq(function.result.iter().map(kind))
}

/// Exported functions without parameters whose result is nothing or one i32.
fn entries(scan: &Scan) -> Vec<String> {
    let enterable = |index: u32| {
        let ty = scan.functions.get(index as usize).and_then(|ty| scan.types.get(*ty as usize)?.as_ref());
        ty.is_some_and(|ty| ty.params().is_empty() && matches!(ty.results(), [] | [ValType::I32]))
    };
    let names = scan.exported_functions.iter().filter(|(_, index)| enterable(*index));
    names.map(|(name, _)| name.clone()).take(bounds::ENTRIES).collect()
}
