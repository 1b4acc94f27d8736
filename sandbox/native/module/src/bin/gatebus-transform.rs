//! The executable of the portable back-end: standard input -> standard output, one module, then its end.
//!
//! `gatebus-transform transform | continue | show`, run by the portable compile worker under its limits. In: what PROTOCOL.md says that a compile worker reads of
//! jobs 1, 2 and 3; the module is binary and was admitted, but is anyone's all the same. Out: u32 length, facts (JSON, the part of the worker's facts that it
//! adds), a module (none of `show`). The native worker does the same in its own process (runner, `suspension.rs`), and its bounds are the same.

#![forbid(unsafe_code)]

use gatebus_module::{Reason, Refused, Suspendable, read_untrusted};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// Sites of a program; the facts hold four characters for each.
const SITES: usize = 900_000;
/// Frames that are shown from each end.
const SHOWN: usize = 100;
/// Values that are shown of a frame.
const SHOWN_VALUES: usize = 32;
/// Reasons that are told, and characters of one.
const REASONS: (usize, usize) = (16, 200);

/// What the worker adds to its facts, and the module that it compiles.
type Done = (Value, Vec<u8>);

fn main() -> std::process::ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    match work(&role) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "gatebus-transform: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn work(role: &str) -> std::io::Result<()> {
    let mut given = Vec::new();
    std::io::stdin().read_to_end(&mut given)?;
    let (facts, module) = match role {
        "transform" => transform_untrusted(&given),
        "continue" => continue_untrusted(&given).unwrap_or_else(|why| bad_state(&why)),
        "show" => show_untrusted(&given).unwrap_or_else(|why| bad_state(&why)),
        _ => return Err(std::io::Error::other("its role is transform, continue or show")),
    };
    let facts = facts.to_string();
    let length = u32::try_from(facts.len()).map_err(std::io::Error::other)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&length.to_le_bytes())?;
    out.write_all(facts.as_bytes())?;
    out.write_all(&module)?;
    out.flush()
}

fn transform_untrusted(wasm: &[u8]) -> Done {
    let unsuspendable = |reasons: Vec<String>| (json!({"unsuspendable": reasons}), Vec::new());
    let program = match Suspendable::new_untrusted(wasm) {
        Ok(program) => program,
        Err(refused) => return unsuspendable(reasons(&refused)),
    };
    match sites(&program) {
        Some(sites) => (json!({"suspendable": true, "sites": sites}), program.wasm().to_vec()),
        None => unsuspendable(vec!["it saves too much at one place, or has too many places".to_owned()]),
    }
}

/// Words of 4 bytes that the frame of each site takes, with the site's number.
fn sites(program: &Suspendable<'_>) -> Option<String> {
    let table = program.table();
    let words = table.sites.iter().map(|site| {
        let bytes = 4 + site.saved.iter().map(|ty| ty.size()).sum::<u32>();
        u16::try_from(bytes / 4).ok()
    });
    let words: Vec<u16> = words.collect::<Option<_>>()?;
    (words.len() <= SITES).then(|| hex(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>()))
}

fn continue_untrusted(given: &[u8]) -> Result<Done, String> {
    let (sites, wasm) = prefix_untrusted(given, 4)?;
    let sites: BTreeSet<u32> = sites.as_chunks().0.iter().map(|site| u32::from_le_bytes(*site)).collect();
    let program = again(wasm)?;
    let module = program.continuation_untrusted(&sites).map_err(|wrong| wrong.text)?;
    let guide = program.guide_untrusted(&sites).map_err(|wrong| wrong.text)?;
    Ok((json!({"guide": hex(&guide.encode())}), module))
}

fn show_untrusted(given: &[u8]) -> Result<Done, String> {
    let (frames, wasm) = prefix_untrusted(given, 1)?;
    let program = again(wasm)?;
    let frames = read_untrusted(program.table(), frames).map_err(|wrong| wrong.text)?;
    let is_shown = |place: &usize| *place < SHOWN || frames.len() - place <= SHOWN;
    let mut out = Vec::new();
    for place in (0..frames.len()).rev().filter(is_shown) {
        let shown = program.show_untrusted(&frames[place]).map_err(|wrong| wrong.text)?;
        let values = shown.values.iter().take(SHOWN_VALUES);
        out.push(json!({
            "depth": place,
            "function": shown.function,
            "name": shown.name.map(|name| printable(&name)),
            "place": printable(&shown.place),
            "values": values.map(|(ty, bits)| json!([format!("{ty:?}"), format!("{bits:x}")])).collect::<Vec<_>>(),
            "saved": shown.values.len(),
        }));
    }
    Ok((json!({"frames": out}), Vec::new()))
}

/// The same again, of a program that a state names: it was transformed before.
fn again(wasm: &[u8]) -> Result<Suspendable<'_>, String> {
    Suspendable::new_untrusted(wasm).map_err(|refused| reasons(&refused).join("; "))
}

/// `u32 count`, so many things of `size` bytes, and the program.
fn prefix_untrusted(given: &[u8], size: usize) -> Result<(&[u8], &[u8]), String> {
    let (count, rest) = given.split_first_chunk::<4>().ok_or("the order is cut off")?;
    let length = (u32::from_le_bytes(*count) as usize).checked_mul(size).ok_or("the order is cut off")?;
    rest.split_at_checked(length).ok_or_else(|| "the order is cut off".to_owned())
}

fn bad_state(why: &str) -> Done {
    let text = format!("the program cannot have left this state: {}", printable(why));
    (json!({"ok": false, "code": "bad-state", "text": text}), Vec::new())
}

fn reasons(refused: &Refused) -> Vec<String> {
    match refused {
        Refused::Invalid(text) => vec![printable(&format!("the module cannot be read for it: {text}"))],
        Refused::Suspension(reasons) => {
            reasons.iter().take(REASONS.0).map(Reason::to_string).map(|reason| printable(&reason)).collect()
        }
    }
}

/// Without control characters: it goes to people's terminals.
fn printable(text: &str) -> String {
    text.chars().take(REASONS.1).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
