//! The second form of an image: the program as it can be stopped anywhere and continued (`gatebus-module` says how, and does it: `jobs`).
//!
//! Made by the compile worker after all its checks. A module that cannot be suspended runs all the same: its image is the plain program, and the facts
//! say why.

use crate::refusal::Refusal;
use gatebus_abi::{BadState, Personality};
use gatebus_module::{Continued, NotMade, State};
use serde_json::Value;
use std::collections::BTreeSet;

/// What goes on from these sites. `summary`: what is kept of the program beside its image, or nothing.
pub fn continue_untrusted(wasm: &[u8], summary: &[u8], sites: &BTreeSet<u32>) -> Result<Continued, Refusal> {
    gatebus_module::continue_untrusted(wasm, summary, sites).map_err(not_made)
}

/// Who the frames of a state are, once everything is checked that is checked where it goes on.
pub fn show_untrusted(wasm: &[u8], personality: Personality, state: &[u8]) -> Result<Value, Refusal> {
    let frames = gatebus_module::show_untrusted(wasm, state).map_err(not_made)?;
    check_world_untrusted(personality, state)?;
    Ok(frames)
}

/// What stands behind the host calls of a state.
pub fn check_world_untrusted(personality: Personality, state: &[u8]) -> Result<(), Refusal> {
    let state = State::decode_untrusted(state).map_err(|wrong| impossible(wrong.text))?;
    gatebus_abi::check_world_untrusted(personality, &state.world).map_err(|BadState(text)| impossible(text))
}

fn impossible(why: &str) -> Refusal {
    Refusal { code: "bad-state", text: format!("the program cannot have left this state: {why}") }
}

fn not_made(NotMade { code, text }: NotMade) -> Refusal {
    Refusal { code, text }
}

/// The stopped program as one module.
pub fn export_untrusted(wasm: &[u8], state: &[u8], pieces: &[u8], room: usize) -> Result<Vec<u8>, Refusal> {
    gatebus_module::export_untrusted(wasm, state, pieces, room).map_err(not_made)
}
