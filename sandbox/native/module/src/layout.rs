//! The control memory: what the host, the program and the continuation agree on.
//!
//! ```text
//! 0 .. 4096   the request zone: site s reads byte s mod 4096. 0 = run, else = stop.
//!             The host fills all of it at any moment, from any thread; the first frame pushed fills it too, since the
//!             host's fill is not atomic and the callers' checks must see it
//! 4096  u32   unwinding: 1 from the first frame on, until the host has cleared it
//! 4100  u32   bytes of frames written
//! 4104  u32   where a continuation reads its next frame
//! 4108  u32   references to functions written: so many entries of the table `gatebus:references`
//! 4112  u32   written by polls beyond the first 4096 of a function, read by nobody
//! 4116  u32   which function a continuation calls through a dispatcher: written right before the call
//! 4128 ..     frames, each: site u32, then its values in the order of the site table, little-endian, without gaps
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
/// The address of the number of references that the frames hold.
pub const REFERENCES_WRITTEN: u32 = 4108;
/// Where a store goes that only keeps the engine from leaving out the load behind it.
pub(crate) const SCRATCH: u32 = 4112;
/// The address of the number of the function that a dispatcher is to call.
pub(crate) const CALLED: u32 = 4116;
/// The address of the first frame.
pub const FRAMES: u32 = 4128;
/// The control memory's pages of 64 KiB; its size is the same for all programs and never changes. No page of it is there before it is written.
pub const CONTROL_PAGES: u32 = 1024;
/// The same in bytes.
pub const CONTROL_BYTES: u32 = CONTROL_PAGES << 16;
/// Room for frames: more than twice the stack that a program gets (24 MiB), since a frame is about as large as the native one; and no more than the stack of one that goes on
/// (96 MiB) has room for. It can be larger without a bound: a constant takes nothing of the native stack, and is saved. What goes beyond ends the program, by an access
/// out of bounds while [`UNWINDING`] is 1.
pub const FRAME_BYTES: u32 = CONTROL_BYTES - FRAMES;
/// Frames: the smallest native one has 32 bytes, so no stack holds more than a third of these.
pub const FRAMES_MAX: usize = 1 << 22;
/// References to functions that frames may hold, one for each 16 bytes of them: 8 bytes each in the table. More end the program, by `unreachable` while [`UNWINDING`] is 1.
pub const REFERENCES_MAX: u32 = 1 << 22;

/// All names of exports that begin so are ours; a module that has one is not transformed.
pub const PREFIX: &str = "gatebus:";
/// The exported control memory.
pub const CONTROL: &str = "gatebus:control";
/// The variable global that the checks behind calls read. The first frame sets it, so it is 0 in a new instance, and no part of the state.
pub(crate) const LEFT: &str = "gatebus:left";
/// Writes the active data segments, which no longer are: the host calls it once after making the instance, before [`START`], and never on a resume.
pub const LOAD: &str = "gatebus:load";
/// The table of the functions that a reference can mean. The place in it is the function's number in a state.
pub const FUNCTIONS: &str = "gatebus:functions";
/// The table of the references in frames. No table of the program has the same maximum, so a host can tell its growth from theirs: it is not what the program asked for.
pub const REFERENCES: &str = "gatebus:references";
/// `gatebus:memory:0` and so on: all memories, globals and tables under their own numbers.
pub const MEMORY: &str = "gatebus:memory:";
/// See [`MEMORY`].
pub const GLOBAL: &str = "gatebus:global:";
/// See [`MEMORY`].
pub const TABLE: &str = "gatebus:table:";
/// Once more those tables that the program can change: they belong to the state.
pub const CHANGES: &str = "gatebus:changes:";
/// `gatebus:dropped:data.drop:3`: a global that is 1 once the segment was dropped; the function `gatebus:data.drop:3` drops it. The same for `elem.drop`.
pub const DROPPED: &str = "gatebus:dropped:";
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
