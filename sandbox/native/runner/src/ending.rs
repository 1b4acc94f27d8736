//! From what the engine says to how the process ends: the table of PROTOCOL.md.

use gatebus_abi::Exit;
use gatebus_wire::status;
use std::borrow::Cow;
use wasmtime::{ThrownException, Trap};

/// While what something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Segments, globals, the start function.
    Instantiation,
    /// A function that was entered.
    Call,
}

/// The end of a guest whose instantiation or call returned an error.
pub fn of_error(error: &wasmtime::Error, phase: Phase, refused_minimum: bool) -> Exit {
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return exit.clone();
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return of_trap(*trap, phase);
    }
    if error.downcast_ref::<ThrownException>().is_some() {
        return because(status::TRAP, "uncaught exception");
    }
    if refused_minimum && phase == Phase::Instantiation {
        return because(status::MEMORY_LIMIT, "the initial memory or table is larger than the limit");
    }
    let text: String = format!("engine: {error}").chars().take(200).collect();
    Exit { status: u32::from(status::PANIC), result: 0, text: Cow::Owned(text) }
}

/// The end of a guest that was being left: nothing but the writing of frames runs then, and it fails where there is no room
/// ([`gatebus_module::FRAME_BYTES`]). What has unwound by then cannot be put together again.
pub fn of_unsaved(error: &wasmtime::Error) -> Exit {
    match error.downcast_ref::<Trap>() {
        Some(Trap::MemoryOutOfBounds) => {
            because(status::STACK_NOT_SAVED, "what is on its stack takes more than 64 MiB when it is stopped")
        }
        Some(Trap::UnreachableCodeReached) => {
            because(status::STACK_NOT_SAVED, "what is on its stack holds more than 4,194,304 references to functions")
        }
        _ => of_error(error, Phase::Call, false),
    }
}

/// The row of a trap. During instantiation an access out of bounds is a segment that does not fit.
fn of_trap(trap: Trap, phase: Phase) -> Exit {
    use status::*;
    match (trap, phase) {
        (Trap::UnreachableCodeReached, _) => because(UNREACHABLE, "unreachable instruction"),
        (Trap::StackOverflow, _) => because(CALL_STACK_EXHAUSTED, "call stack exhausted"),
        (Trap::MemoryOutOfBounds | Trap::TableOutOfBounds, Phase::Instantiation) => {
            because(SEGMENT_OUT_OF_BOUNDS, "a segment or the start function goes out of bounds")
        }
        (Trap::MemoryOutOfBounds, _) => because(MEMORY_ACCESS_OUT_OF_BOUNDS, "memory access out of bounds"),
        (Trap::TableOutOfBounds, _) => because(INDIRECT_CALL_INDEX_OUT_OF_BOUNDS, "table index out of bounds"),
        (Trap::IndirectCallToNull, _) => because(INDIRECT_CALL_INDEX_OUT_OF_BOUNDS, "indirect call of a null element"),
        (Trap::BadSignature, _) => because(INDIRECT_CALL_SIGNATURE_MISMATCH, "indirect call of another signature"),
        (Trap::IntegerDivisionByZero, _) => because(INTEGER_DIVIDE_BY_ZERO, "integer division by zero"),
        (Trap::IntegerOverflow, _) => because(INTEGER_OVERFLOW, "integer overflow"),
        (Trap::BadConversionToInteger, _) => because(INTEGER_OVERFLOW, "invalid conversion to integer"),
        (other, _) => {
            let text = other.to_string();
            let text = text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned();
            Exit { status: u32::from(TRAP), result: 0, text: Cow::Owned(text) }
        }
    }
}

/// An end with its status and sentence.
pub const fn because(status: u8, text: &'static str) -> Exit {
    // `u32::from` is not const yet.
    Exit::because(status as u32, text)
}

/// The end of a guest whose entry function returned.
pub fn of_return(result: Option<i32>) -> Exit {
    let result = result.unwrap_or(0);
    let status = if result == 0 { status::HALTED } else { status::HALTED_NONZERO };
    Exit { status: u32::from(status), result, text: Cow::Borrowed("") }
}
