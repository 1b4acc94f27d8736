//! The executable of the portable back-end: standard input -> standard output, one job, then its end.
//!
//! `gatebus-transform transform | continue | show | export`, run by the portable compile worker under its limits. In: what PROTOCOL.md says that a compile worker reads of
//! jobs 1 to 4; the module is binary and was admitted, but is anyone's all the same. Out: u32 length, facts (JSON, the part of the worker's facts that it
//! adds), a module (none of `show`). `gatebus-transform check`, run by the process in which a program goes on: in: what RESTORE packets bring; out: u32 length, JSON
//! (the export that goes on, or what is wrong), the frames as the continuation reads them. The native worker and runtime do the same in their own processes, by the
//! same functions (`jobs`).

#![forbid(unsafe_code)]

use gatebus_module::{
    Continued, Going, NotMade, PIECE, continue_untrusted, export_untrusted, go_on_untrusted, show_untrusted,
    transform_untrusted,
};
use serde_json::{Value, json};
use std::io::{Read, Write};

/// Bytes of data of an exported module: more than any limit of one.
const ROOM: usize = 1 << 30;

/// What it says, and bytes that go with it.
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
    let (facts, bytes) = match role {
        "transform" => transformed_untrusted(&given),
        "continue" => continued_untrusted(&given).unwrap_or_else(not_made),
        "show" => shown_untrusted(&given).unwrap_or_else(not_made),
        "export" => exported_untrusted(&given).unwrap_or_else(not_made),
        "check" => checked_untrusted(&given).unwrap_or_else(not_made),
        _ => return Err(std::io::Error::other("its role is transform, continue, show, export or check")),
    };
    let facts = facts.to_string();
    let length = u32::try_from(facts.len()).map_err(std::io::Error::other)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&length.to_le_bytes())?;
    out.write_all(facts.as_bytes())?;
    out.write_all(&bytes)?;
    out.flush()
}

fn transformed_untrusted(wasm: &[u8]) -> Done {
    match transform_untrusted(wasm) {
        Ok(done) => (json!({"suspendable": true, "sites": done.sites, "summary": done.summary}), done.wasm),
        Err(reasons) => (json!({"unsuspendable": reasons}), Vec::new()),
    }
}

fn continued_untrusted(given: &[u8]) -> Result<Done, NotMade> {
    let (sites, given) = prefix_untrusted(given, 4)?;
    let (summary, wasm) = prefix_untrusted(given, 1)?;
    let sites = sites.as_chunks().0.iter().map(|site| u32::from_le_bytes(*site)).collect();
    let Continued { wasm, guide, stack } = continue_untrusted(wasm, summary, &sites)?;
    let digits: String = guide.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((json!({"guide": digits, "stack": stack}), wasm))
}

fn shown_untrusted(given: &[u8]) -> Result<Done, NotMade> {
    let (state, wasm) = prefix_untrusted(given, 1)?;
    Ok((json!({"frames": show_untrusted(wasm, state)?}), Vec::new()))
}

/// Who called this measures the module.
fn exported_untrusted(given: &[u8]) -> Result<Done, NotMade> {
    let (state, rest) = prefix_untrusted(given, 1)?;
    let (pieces, wasm) = prefix_untrusted(rest, 4 + PIECE)?;
    Ok((json!({}), export_untrusted(wasm, state, pieces, ROOM)?))
}

fn checked_untrusted(given: &[u8]) -> Result<Done, NotMade> {
    let (guide, state) = prefix_untrusted(given, 1)?;
    let Going { export, frames, .. } = go_on_untrusted(guide, state).map_err(|wrong| bad_state(wrong.text))?;
    Ok((json!({"export": export}), frames))
}

/// `u32 count`, so many things of `size` bytes, and the rest.
fn prefix_untrusted(given: &[u8], size: usize) -> Result<(&[u8], &[u8]), NotMade> {
    let cut = || bad_state("the order is cut off");
    let (count, rest) = given.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = (u32::from_le_bytes(*count) as usize).checked_mul(size).ok_or_else(cut)?;
    rest.split_at_checked(length).ok_or_else(cut)
}

fn bad_state(why: &str) -> NotMade {
    NotMade { code: "bad-state", text: why.to_owned() }
}

fn not_made(NotMade { code, text }: NotMade) -> Done {
    (json!({"ok": false, "code": code, "text": text}), Vec::new())
}
