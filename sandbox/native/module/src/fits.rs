//! Does a state fit its program? All but the frames, for which there is the guide.
//!
//! In: a state from outside and the program that it names. Out: nothing, or why not. The process that goes on asks the same of its instance; here nothing runs,
//! so the module's own description is asked: what cannot be checked here has no effect.

use crate::base::Base;
use crate::scalar::Scalar;
use crate::state::{BadState, Memory, Phase, State, sound};
use crate::uses::SegmentOp;
use wasmparser::{ExternalKind, ValType};

/// Pages of 64 KiB that a memory of 32 bits can have.
const MOST_PAGES: u64 = 65_536;

const fn bad<T>(text: &'static str) -> Result<T, BadState> {
    Err(BadState { text })
}

/// `first` is what memory 0 holds.
pub(crate) fn check_untrusted(base: &Base<'_>, state: &State, first: &Memory) -> Result<(), BadState> {
    entry(base, state)?;
    memories(base, state, first)?;
    globals(base, state)?;
    tables(base, state)?;
    references(base, state)?;
    dropped(base, state)
}

/// The function that was called and left.
pub(crate) fn called(base: &Base<'_>, state: &State) -> Option<u32> {
    if state.phase == Phase::Start {
        return base.program.start;
    }
    let mut exports = base.program.exports.iter().filter(|export| export.kind == ExternalKind::Func);
    exports.find(|export| export.name == state.call()).map(|export| export.index)
}

fn entry(base: &Base<'_>, state: &State) -> Result<(), BadState> {
    if called(base, state).is_some() { Ok(()) } else { bad("the program does not have the entry that was called") }
}

fn memories(base: &Base<'_>, state: &State, first: &Memory) -> Result<(), BadState> {
    let own = &base.program.memories;
    if first.pages != state.pages || !sound(first) {
        return bad("memory 0 is not as the state says");
    }
    if own.is_empty() {
        return if state.pages == 0 && state.memories.is_empty() {
            Ok(())
        } else {
            bad("it has more memories than the program")
        };
    }
    if state.memories.len() + 1 != own.len() {
        return bad("it has not as many memories as the program");
    }
    let sizes = std::iter::once(state.pages).chain(state.memories.iter().map(|memory| memory.pages)).map(u64::from);
    for (own, pages) in own.iter().zip(sizes) {
        if pages < own.initial || pages > own.maximum.unwrap_or(MOST_PAGES).min(MOST_PAGES) {
            return bad("a memory is too small or too large");
        }
    }
    Ok(())
}

fn globals(base: &Base<'_>, state: &State) -> Result<(), BadState> {
    for saved in &state.globals {
        let own = base.program.globals.get(saved.number as usize).filter(|own| own.ty.mutable);
        if own.and_then(|own| Scalar::of(own.ty.content_type)) != Some(saved.ty) {
            return bad("a global is not one of the program's");
        }
        let known = match saved.ty {
            Scalar::Function => saved.bits <= base.escaped.len() as u128,
            Scalar::Extern => saved.bits == 0,
            _ => true,
        };
        if !known {
            return bad("a reference is not to a function of the program");
        }
    }
    Ok(())
}

fn tables(base: &Base<'_>, state: &State) -> Result<(), BadState> {
    for saved in &state.tables {
        if !base.graph.uses.changed.contains(&saved.number) {
            return bad("a table is not one that the program can change");
        }
        let own = &base.program.tables[saved.number as usize].ty;
        let size = saved.entries.len() as u64;
        if size < own.initial || own.maximum.is_some_and(|most| size > most) {
            return bad("a table is too small or too large");
        }
        let functions = Scalar::of(ValType::Ref(own.element_type)) == Some(Scalar::Function);
        let most = if functions { base.escaped.len() } else { 0 };
        if saved.entries.iter().any(|entry| *entry as usize > most) {
            return bad("a reference is not to a function of the program");
        }
    }
    Ok(())
}

fn references(base: &Base<'_>, state: &State) -> Result<(), BadState> {
    let known = |reference: &u32| *reference != 0 && *reference as usize <= base.escaped.len();
    let held = !state.frames.is_empty() && base.added.references;
    if (state.references.is_empty() || held) && state.references.iter().all(known) {
        Ok(())
    } else {
        bad("a reference is not to a function of the program")
    }
}

fn dropped(base: &Base<'_>, state: &State) -> Result<(), BadState> {
    let segments = &base.graph.uses.segments;
    let data = state.dropped_data.iter().map(|number| SegmentOp::DataDrop(*number));
    let all = data.chain(state.dropped_elements.iter().map(|number| SegmentOp::ElementDrop(*number)));
    for op in all {
        if !segments.contains(&op) {
            return bad("a dropped segment is not one of the program's");
        }
    }
    Ok(())
}
