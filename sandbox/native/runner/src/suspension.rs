//! The second form of an image: the program as it can be stopped anywhere and continued (`gatebus-module` says how, and does it: `jobs`).
//!
//! Made by the compile worker after all its checks. A module that cannot be suspended runs all the same: its image is the plain program, and the facts
//! say why.

use crate::refusal::Refusal;
use gatebus_abi::{BadState, Personality};
use gatebus_module::{NotExported, State};
use serde_json::Value;
use std::collections::BTreeSet;

/// The continuation for these sites, as a module, and its guide.
pub fn continue_untrusted(wasm: &[u8], sites: &BTreeSet<u32>) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    gatebus_module::continue_untrusted(wasm, sites).map_err(bad_state)
}

/// Who the frames of a state are, once everything is checked that is checked where it goes on.
pub fn show_untrusted(wasm: &[u8], personality: Personality, state: &[u8]) -> Result<Value, Refusal> {
    let frames = gatebus_module::show_untrusted(wasm, state).map_err(bad_state)?;
    check_world_untrusted(personality, state)?;
    Ok(frames)
}

/// What stands behind the host calls of a state.
pub fn check_world_untrusted(personality: Personality, state: &[u8]) -> Result<(), Refusal> {
    let state = State::decode_untrusted(state).map_err(|wrong| impossible(wrong.text))?;
    gatebus_abi::check_world_untrusted(personality, &state.world).map_err(|BadState(text)| impossible(text))
}

fn impossible(why: &str) -> Refusal {
    bad_state(format!("the program cannot have left this state: {why}"))
}

fn bad_state(text: String) -> Refusal {
    Refusal { code: "bad-state", text }
}

/// The stopped program as one module.
pub fn export_untrusted(wasm: &[u8], state: &[u8], pieces: &[u8], room: usize) -> Result<Vec<u8>, Refusal> {
    let made = gatebus_module::export_untrusted(wasm, state, pieces, room);
    made.map_err(|NotExported { code, text }| Refusal { code, text })
}
