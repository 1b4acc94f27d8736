//! The control memory: what the host, the program and the continuation agree on.
//!
//! ```text
//! 0 .. 4096   the request zone: site s reads byte s mod 4096. 0 = run, else = stop.
//!             The host fills all of it at any moment, from any thread; the first frame pushed fills it too, since the
//!             host's fill is not atomic and the callers' checks must see it
//! 4096  u32   unwinding: 1 from the first frame on, until the host has cleared it
//! 4100  u32   bytes of frames written
//! 4104  u32   where a continuation reads its next frame
//! 4112 ..     frames, each: site u32, then its values in the order of the site table, little-endian, without gaps
//! ```
//!
//! Each site has a byte of its own, because an engine may leave out a second load of one shared byte between which and the first
//! nothing was stored: a loop without stores would not be stopped at all.

use wasm_encoder::{Instruction, MemArg};

/// The size of the request zone.
pub const ZONE: u32 = 4096;
/// The address of the flag that says that frames are being written.
pub const UNWINDING: u32 = 4096;
/// The address of the number of bytes of frames.
pub const WRITTEN: u32 = 4100;
/// The address of the continuation's read position.
pub const READ: u32 = 4104;
/// The address of the first frame.
pub const FRAMES: u32 = 4112;
/// The bit of a site's number that marks a pseudo frame: "the call had already returned these values".
pub const RETURNED: u32 = 1 << 31;

/// All names of exports that begin so are ours; a module that has one is not transformed.
pub const PREFIX: &str = "gatebus:";
/// The exported control memory.
pub const CONTROL: &str = "gatebus:control";
/// What was the start function: the host calls it once after making the instance, and never after a resume.
pub const START: &str = "gatebus:start";
/// The module name of a continuation's imports: the hidden exports of the program.
pub const PROGRAM: &str = "program";

/// An address in the control memory, without an assumption on alignment.
pub(crate) fn at(memory: u32, offset: u32) -> MemArg {
    MemArg { offset: offset.into(), align: 0, memory_index: memory }
}

/// The value of one of the words above.
pub(crate) fn word(memory: u32, offset: u32) -> [Instruction<'static>; 2] {
    [Instruction::I32Const(0), Instruction::I32Load(at(memory, offset))]
}
