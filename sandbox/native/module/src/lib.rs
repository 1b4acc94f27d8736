//! Makes a module suspendable: wasm in, wasm out, so that it holds on every engine and every processor.
//!
//! A transformed program can be left at any loop header and behind any call, at any moment, by a write into a memory that it cannot reach. What it was
//! doing then lies as frames in that memory. A *continuation module*, made from the same bytes and the set of sites in the frames, goes on from there in a fresh
//! instance, on any engine. The path of a module, one file each:
//!
//! 1. `parse`: the bytes, untrusted -> one description, valid or refused
//! 2. `graph`: who calls whom, and which calls need a check
//! 3. `normal` (with `stack`; the result is `form`): operands are where they can be saved
//! 4. `live`: what each site saves
//! 5. `table`: all sites, numbered; derived from the bytes alone
//! 6. `instrument` (with `base`, `print`, `helpers`; addresses and names in `layout`): the transformed program
//! 7. `frames`: what it wrote when it was left, checked against the table
//! 8. `resume`: the continuation module for a set of sites
//!
//! A library: nothing here runs a program, and admission does not use it yet. The module comes from outside, so all of this belongs into the jailed worker.
//! What cannot be captured is refused *for suspension*, by name ([`Refused::Suspension`]); such a program runs untransformed.
//!
//! What a host does: make the instance; call [`START`] if it is exported; call an export. To stop it, fill the first [`ZONE`] bytes of [`CONTROL`]
//! with ones from anywhere. A host call that would block stores 1 at [`UNWINDING`] and returns anything: it is made again later. When the call has returned and
//! the word at [`UNWINDING`] is 1, [`WRITTEN`] bytes at [`FRAMES`] are the frames; memories and variable globals (hidden exports) are the rest of the state.
//! To go on: make an instance, put back the state, clear the control memory below [`FRAMES`], put [`Suspendable::write_frames`] at [`FRAMES`],
//! link the continuation to the instance under the module name [`PROGRAM`], and call the export [`Suspendable::resume_name`]. Each such leg
//! passes at least one site, even where the request is never taken back.

#![forbid(unsafe_code)]

mod base;
mod form;
mod frames;
mod graph;
mod helpers;
mod instrument;
mod layout;
mod live;
mod normal;
mod parse;
mod print;
mod refused;
mod resume;
mod scalar;
mod stack;
mod table;

pub use form::Callee;
pub use frames::{BadFrames, Frame, read_untrusted};
pub use instrument::Suspendable;
pub use layout::{CONTROL, FRAMES, PREFIX, PROGRAM, READ, RETURNED, START, UNWINDING, WRITTEN, ZONE};
pub use refused::{Reason, Refused};
pub use scalar::Scalar;
pub use table::{Place, Site, SiteTable};

/// A count of parts of a module, whose size has a limit far below.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a module has fewer than 2^32 parts")
}
