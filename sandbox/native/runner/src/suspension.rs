//! The second form of an image: the program as it can be stopped anywhere and continued (`gatebus-module` says how).
//!
//! Made by the compile worker after all its checks. A module that cannot be suspended runs all the same: its image is the plain program, and the facts
//! say why.

use crate::refusal::Refusal;
use gatebus_module::{Reason, Refused, Scalar, Suspendable, read_untrusted};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Sites of a program; the facts hold four characters for each. sqlite3 has 17,000.
const SITES: usize = 900_000;
/// Frames that are shown from each end: a recursion has thousands that say the same.
const SHOWN: usize = 100;
/// Values that are shown of a frame.
const SHOWN_VALUES: usize = 32;
/// Reasons that are told; a program with one cause for every function has thousands.
const REASONS: usize = 16;
/// Characters of one: a function's name in the module may have any length.
const REASON_CHARACTERS: usize = 200;

/// A program that can be suspended.
pub struct Transformed {
    /// The module.
    pub wasm: Vec<u8>,
    /// How the frames of a stopped program are cut, so that the host finds the sites in them.
    pub sizes: Sizes,
}

/// Words of 4 bytes that a frame takes, with its site's number.
pub struct Sizes {
    /// By site.
    pub sites: Vec<u16>,
}

/// The transformed module, or why there is none.
pub fn transform_untrusted(wasm: &[u8]) -> Result<Transformed, Vec<String>> {
    let done = Suspendable::new_untrusted(wasm).map_err(|refused| reasons(&refused))?;
    let sizes =
        sizes(&done).ok_or_else(|| vec!["it saves too much at one place, or has too many places".to_owned()])?;
    Ok(Transformed { wasm: done.wasm().to_vec(), sizes })
}

fn sizes(program: &Suspendable<'_>) -> Option<Sizes> {
    let words = |saved: &Vec<Scalar>| {
        let bytes = 4 + saved.iter().map(|ty| ty.size()).sum::<u32>();
        u16::try_from(bytes / 4).ok()
    };
    let table = program.table();
    let sites: Vec<u16> = table.sites.iter().map(|site| words(&site.saved)).collect::<Option<_>>()?;
    (sites.len() <= SITES).then_some(Sizes { sites })
}

/// The continuation for these sites, as a module, and its guide.
pub fn continue_untrusted(wasm: &[u8], sites: &BTreeSet<u32>) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let program = again(wasm)?;
    let continuation = program.continuation_untrusted(sites).map_err(|wrong| bad_state(wrong.text))?;
    let guide = program.guide_untrusted(sites).map_err(|wrong| bad_state(wrong.text))?;
    Ok((continuation, guide.encode()))
}

/// Who the frames of a state are, innermost first as they came; at most so many from each end.
pub fn show_untrusted(wasm: &[u8], frames: &[u8]) -> Result<Vec<Value>, Refusal> {
    let program = again(wasm)?;
    let frames = read_untrusted(program.table(), frames).map_err(|wrong| bad_state(wrong.text))?;
    let is_shown = |place: usize| place < SHOWN || frames.len() - place <= SHOWN;
    let shown = frames.iter().enumerate().rev().filter(|(place, _)| is_shown(*place));
    shown
        .map(|(place, frame)| {
            let shown = program.show_untrusted(frame).map_err(|wrong| bad_state(wrong.text))?;
            let values = shown
                .values
                .iter()
                .take(SHOWN_VALUES)
                .map(|(ty, bits)| json!([format!("{ty:?}"), format!("{bits:x}")]));
            Ok(json!({
                "depth": place,
                "function": shown.function,
                "name": shown.name.map(|name| self::shown(&name)),
                "place": self::shown(&shown.place),
                "values": values.collect::<Vec<_>>(),
                "saved": shown.values.len(),
            }))
        })
        .collect()
}

/// The same again, of a program that a state names: it was transformed before.
fn again(wasm: &[u8]) -> Result<Suspendable<'_>, Refusal> {
    Suspendable::new_untrusted(wasm).map_err(|refused| bad_state(&reasons(&refused).join("; ")))
}

fn bad_state(why: &str) -> Refusal {
    Refusal { code: "bad-state", text: format!("the program cannot have left this state: {}", shown(why)) }
}

/// For a person: each names a function, or the module as a whole.
fn reasons(refused: &Refused) -> Vec<String> {
    match refused {
        Refused::Invalid(text) => vec![shown(&format!("the module cannot be read for it: {text}"))],
        Refused::Suspension(reasons) => {
            reasons.iter().take(REASONS).map(Reason::to_string).map(|all| shown(&all)).collect()
        }
    }
}

/// Without control characters: it goes to people's terminals.
fn shown(text: &str) -> String {
    text.chars().take(REASON_CHARACTERS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_safe_to_print() {
        assert_eq!(shown("function 7 (a\u{1b}[2J): why"), "function 7 (a?[2J): why");
        assert_eq!(shown(&"x".repeat(1000)).len(), REASON_CHARACTERS);
    }
}
