//! What a compile worker does with a program and its states, besides compiling: the same for every back-end.
//!
//! In: a module and what is to be done with it, from anyone. Out: modules, and words for people, of bounded number and length. The native worker calls this in
//! its own process, the portable one through the executable `gatebus-transform`; it runs in the jail of either.

use crate::bytes::hex;
use crate::export::Unexported;
use crate::frames::{BadFrames, read_untrusted, sites_of};
use crate::guide::Guide;
use crate::refused::{Reason, Refused};
use crate::scalar::Scalar;
use crate::state::{BadState, Memory, State};
use crate::{Shown, Suspendable, fits};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Bytes of a guide: it stands in the worker's facts as hexadecimal digits, of which the host takes 4 MiB.
const GUIDE: usize = (2 << 20) - (64 << 10);
/// Sites of a program; the facts hold four characters for each. sqlite3 has 17,000.
const SITES: usize = 900_000;
/// Characters of sites and summary together: the host takes 4 MiB of facts.
const FACTS: usize = 4_000_000;
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
    /// Words of 4 bytes that the frame of each site takes, with its site's number, so that the host finds the sites in frames: u16 each, as hexadecimal digits.
    pub sites: String,
    /// What [`continue_untrusted`] may be told of it later (see `summary`), as hexadecimal digits; empty where there is no room for it.
    pub summary: String,
}

/// What goes on from a set of sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// The module.
    pub wasm: Vec<u8>,
    /// Its guide's bytes.
    pub guide: Vec<u8>,
    /// For each of the sites, ascending: bytes that a frame there takes of the native stack at least, while it goes on.
    pub stack: Vec<u32>,
}

/// A state that may go on: what is put where.
pub struct Going {
    /// All of it but memory 0.
    pub state: State,
    /// The frames as the continuation reads them.
    pub frames: Vec<u8>,
    /// The export of the continuation that goes on from them.
    pub export: String,
}

/// The transformed module, or for a person why there is none.
pub fn transform_untrusted(wasm: &[u8]) -> Result<Transformed, Vec<String>> {
    let done = Suspendable::new_untrusted(wasm).map_err(|refused| reasons(&refused))?;
    let sites =
        words(&done).ok_or_else(|| vec!["it saves too much at one place, or has too many places".to_owned()])?;
    let summary = Some(hex(done.summary().into_iter())).filter(|digits| sites.len() + digits.len() <= FACTS);
    Ok(Transformed { wasm: done.wasm().to_vec(), sites, summary: summary.unwrap_or_default() })
}

fn words(program: &Suspendable<'_>) -> Option<String> {
    let words = program.table().sites.values().map(|site| {
        let bytes = 4 + site.saved.iter().map(|ty| ty.size()).sum::<u32>();
        u16::try_from(bytes / 4).ok()
    });
    let words: Vec<u16> = words.collect::<Option<_>>()?;
    (words.len() <= SITES).then(|| hex(words.iter().flat_map(|word| word.to_le_bytes())))
}

/// The continuation for these sites. `summary`: of this module when it was transformed, or nothing; both come to the same.
pub fn continue_untrusted(wasm: &[u8], summary: &[u8], sites: &BTreeSet<u32>) -> Result<Continued, NotMade> {
    let program = match Suspendable::known_untrusted(wasm, summary, sites) {
        Some(program) => program,
        None => again(wasm)?,
    };
    let continuation = program.continuation_untrusted(sites).map_err(not_continued)?;
    let guide = program.guide_untrusted(sites).map_err(not_continued)?.encode();
    if guide.len() > GUIDE {
        return Err(NotMade::large(format!(
            "the program saves too much at the places where it stands, or too many kinds of calls can have led there: \
             checking its frames needs a list of {} bytes, at most {GUIDE}",
            guide.len()
        )));
    }
    let stack = sites.iter().map(|site| stack_of(program.table().saved_untrusted(*site).unwrap_or_default())).collect();
    Ok(Continued { wasm: continuation, guide, stack })
}

/// Two calls, its own and that of whoever finds out whose frame is the next; a place for each value, since it is alive across the calls: compilers give a float the place of a
/// vector. Cranelift takes 2 to 17 bytes more on x86-64 (measured at 20 to 200 values).
fn stack_of(saved: &[Scalar]) -> u32 {
    let place = |ty: &Scalar| match ty {
        Scalar::F32 | Scalar::F64 | Scalar::V128 => 16,
        Scalar::I32 | Scalar::I64 | Scalar::Function | Scalar::Extern => 8,
    };
    32 + saved.iter().map(place).sum::<u32>()
}

fn not_continued(wrong: BadFrames) -> NotMade {
    if wrong.is_bound() {
        return NotMade::large(format!("the program is too large to be continued: {}", wrong.text));
    }
    NotMade::state(impossible(wrong.text))
}

/// `guide`: as [`continue_untrusted`] made it. What the bytes of a state say, once everything is checked that can be without an instance.
pub fn go_on_untrusted(guide: &[u8], state: &[u8]) -> Result<Going, BadState> {
    let guide = Guide::decode_untrusted(guide).map_err(frames)?;
    let state = State::decode_untrusted(state)?;
    let (frames, export) = check_untrusted(&guide, &state)?;
    Ok(Going { state, frames, export })
}

/// A state without frames, of a program that had come to its end: another function of it is called.
pub fn halted_untrusted(state: &[u8]) -> Result<Going, BadState> {
    let state = State::decode_untrusted(state)?;
    if !state.frames.is_empty() || !state.references.is_empty() {
        return Err(BadState { text: "a program that had come to its end has frames" });
    }
    Ok(Going { state, frames: Vec::new(), export: String::new() })
}

/// The one check that a state has to pass wherever it goes on, and before it is shown: its frames as the continuation reads them, and which export goes on.
fn check_untrusted(guide: &Guide, state: &State) -> Result<(Vec<u8>, String), BadState> {
    let list = guide.read_untrusted(&state.frames).map_err(frames)?;
    guide.check_untrusted(state.call(), &list, state.references.len()).map_err(frames)?;
    let frames = guide.write_frames(&list).map_err(frames)?;
    let export = guide.resume_name(&list).ok_or(BadState { text: "there are no frames" })?.to_owned();
    Ok((frames, export))
}

fn frames(wrong: BadFrames) -> BadState {
    BadState { text: wrong.text }
}

/// Who the frames of a state are, for a person, innermost first as they came; at most so many from each end. The state is checked as if it were to go on.
pub fn show_untrusted(wasm: &[u8], state: &[u8]) -> Result<Value, NotMade> {
    let program = again(wasm)?;
    let wrong = |text: &str| NotMade::state(impossible(text));
    let state = State::decode_untrusted(state).map_err(|bad| wrong(bad.text))?;
    let list = read_untrusted(program.table(), &state.frames).map_err(|bad| wrong(bad.text))?;
    let guide = program.guide_untrusted(&sites_of(&list)).map_err(not_continued)?;
    // Its contents stay with the host.
    let first = Memory { pages: state.pages, pieces: Vec::new() };
    fits::check_untrusted(&program.base, &state, &first).map_err(|bad| wrong(bad.text))?;
    if !list.is_empty() {
        check_untrusted(&guide, &state).map_err(|bad| wrong(bad.text))?;
    }
    let is_shown = |place: &usize| *place < SHOWN || list.len() - place <= SHOWN;
    let shown = (0..list.len()).rev().filter(is_shown);
    let shown = shown.map(|place| program.show_untrusted(&list[place]).map(|shown| in_words(place, &shown)));
    shown.collect::<Result<_, _>>().map(Value::Array).map_err(|bad| wrong(bad.text))
}

/// Why there is no continuation, or no exported module, or nothing to show: for whom it is, and for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMade {
    /// Of the protocol between host and worker.
    pub code: &'static str,
    /// One sentence.
    pub text: String,
}

impl NotMade {
    /// The state is not the program's.
    fn state(text: String) -> NotMade {
        NotMade { code: "bad-state", text }
    }

    /// It may be, and is more than we do.
    fn large(text: String) -> NotMade {
        NotMade { code: "code-too-large", text }
    }
}

/// The stopped program as one ordinary module, of about `room` bytes at most. `pieces` is memory 0 as a state file has it.
pub fn export_untrusted(wasm: &[u8], state: &[u8], pieces: &[u8], room: usize) -> Result<Vec<u8>, NotMade> {
    let wrong = |text: &str| NotMade::state(impossible(text));
    let program = again(wasm)?;
    let state = State::decode_untrusted(state).map_err(|bad| wrong(bad.text))?;
    let first = Memory::of_pieces_untrusted(state.pages, pieces);
    let first = first.ok_or_else(|| wrong("its memory is cut off"))?;
    program.export_untrusted(&state, &first, room).map_err(|why| match why {
        Unexported::State(bad) => wrong(bad.text),
        Unexported::Large(text) => NotMade::large(format!("the program cannot be exported: {text}")),
    })
}

fn in_words(depth: usize, frame: &Shown) -> Value {
    let values = frame.values.iter().take(SHOWN_VALUES);
    json!({
        "depth": depth,
        "function": frame.function,
        "name": frame.name.as_deref().map(printable),
        "place": printable(&frame.place),
        "values": values.map(|(ty, bits)| json!([format!("{ty:?}"), format!("{bits:x}")])).collect::<Vec<_>>(),
        "saved": frame.values.len(),
    })
}

/// The same again, of a program that a state names: it was transformed before.
fn again(wasm: &[u8]) -> Result<Suspendable<'_>, NotMade> {
    Suspendable::stopped_untrusted(wasm).map_err(|refused| NotMade::state(impossible(&reasons(&refused).join("; "))))
}

fn impossible(why: &str) -> String {
    format!("the program cannot have left this state: {}", printable(why))
}

/// For a person: each names a function, or the module as a whole.
fn reasons(refused: &Refused) -> Vec<String> {
    match refused {
        Refused::Invalid(text) => vec![printable(&format!("the module cannot be read for it: {text}"))],
        Refused::Suspension(reasons) => {
            reasons.iter().take(REASONS).map(Reason::to_string).map(|all| printable(&all)).collect()
        }
    }
}

/// Without control characters: it goes to people's terminals.
fn printable(text: &str) -> String {
    text.chars().take(REASON_CHARACTERS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_safe_to_print() {
        assert_eq!(printable("function 7 (a\u{1b}[2J): why"), "function 7 (a?[2J): why");
        assert_eq!(printable(&"x".repeat(1000)).len(), REASON_CHARACTERS);
    }
}
