//! Makes a module suspendable: wasm in, wasm out, so that it holds on every engine and every processor.
//!
//! A transformed program can be left at any loop header and behind any call, at any moment, by a write into a memory that it cannot reach. What it was
//! doing then lies as frames in that memory. A *continuation module*, made from the same bytes and the set of sites in the frames, goes on from there in a fresh
//! instance, on any engine. The path of a module, one file each:
//!
//! 1. `parse` (with `features`): the bytes, untrusted -> one description, valid or refused
//! 2. `graph` (with `uses`): who calls whom, which calls need a check, and what the code changes besides memories and globals
//! 3. `normal` (with `stack`; the result is `form`): operands are where they can be saved
//! 4. `live`: what each site saves
//! 5. `table`: all sites, numbered; derived from the bytes alone
//! 6. `instrument` (with `base`, `print`, `entries`, `reenter`, `helpers`, `references`, `segments`, `sections`, `constants`; addresses and names in `layout`): the transformed program
//! 7. `frames`: what it wrote when it was left; `state` (with `bytes`): the same and the rest, as it travels; `show`: in words for a person
//! 8. `resume` (with `tail`, `target`): the continuation module for a set of sites; `guide`: what the resuming process must know of it; `summary`: what is kept of the program for it, so that not all is derived again
//! 9. `export` (with `fits`, `frozen`): the same and the whole state in one ordinary module, for any engine
//! 10. `jobs`: what the workers of both back-ends do with all that, and the one check of a state
//!
//! A library: nothing here runs a program. The module comes from outside, so all of this belongs into the jailed worker; only `state`, [`Guide`] and
//! [`go_on_untrusted`] are for the process that runs the program.
//! What cannot be captured is refused *for suspension*, by name ([`Refused::Suspension`]); such a program runs untransformed.
//!
//! # What a host does
//!
//! **Run**: make the instance; call [`LOAD`], then [`START`], where they are exported; call an entry.
//!
//! **Stop**: fill the first [`ZONE`] bytes of [`CONTROL`] with ones from anywhere. A host call that would block stores 1 at [`UNWINDING`] and returns anything: it is
//! made again later. When the call has returned and the word at [`UNWINDING`] is 1, [`WRITTEN`] bytes at [`FRAMES`] are the frames. Where it has trapped and the word is 1,
//! there was no room: out of bounds, for more than [`FRAME_BYTES`]; `unreachable`, for a reference ([`REFERENCES_MAX`]; the table must be allowed to grow to it). Part of
//! the stack has been taken apart by then, so such a program is over.
//! One instruction can take long: a `memory.fill` of 1 GiB, a `table.fill`, the loading of the data segments; the stop waits for its end.
//!
//! **Save** a [`State`]: the frames; of the table [`REFERENCES`] the first [`REFERENCES_WRITTEN`] entries; of each [`GLOBAL`] that is variable the value; each table that is
//! also exported under [`CHANGES`]; which globals [`DROPPED`] are 1; the memories. A reference is written as a number: its place in the table [`FUNCTIONS`], plus 1
//! (compare the engine's pointers; there is no other function that a program can have a reference to, unless the host gives it one: then the state
//! cannot be saved). References of type `externref` are null or cannot be saved.
//!
//! **Go on**: make an instance, without [`LOAD`] and [`START`]; grow and fill memories and tables, set globals, call `gatebus:data.drop:N` and `gatebus:elem.drop:N` for what was
//! dropped, grow [`REFERENCES`] and fill it; the control memory is all zeros but for [`Guide::write_frames`] at [`FRAMES`], after [`Guide::check_untrusted`]. Link
//! the continuation to the instance under the module name [`PROGRAM`], and call the export [`Guide::resume_name`]. Each such leg passes at least one site,
//! even where the request is never taken back.

#![forbid(unsafe_code)]

mod base;
mod bytes;
mod constants;
mod entries;
mod exits;
mod export;
mod features;
mod fits;
mod form;
mod frames;
mod frozen;
mod graph;
mod guide;
mod helpers;
mod instrument;
mod jobs;
mod layout;
mod live;
mod normal;
mod parse;
mod print;
mod reenter;
mod references;
mod refused;
mod resume;
mod scalar;
mod sections;
mod segments;
mod show;
mod stack;
mod state;
mod summary;
mod table;
mod tail;
mod target;
mod uses;

pub use entries::Loops;
pub use export::Unexported;
pub use features::ACCEPTED;
pub use form::Callee;
pub use frames::{BadFrames, Frame, read_untrusted, sites_of};
pub use guide::Guide;
pub use instrument::Suspendable;
pub use jobs::{
    Continued, Going, NotMade, Transformed, continue_untrusted, export_untrusted, go_on_untrusted, halted_untrusted,
    show_untrusted, transform_untrusted,
};
pub use layout::{
    CHANGES, CONTROL, CONTROL_BYTES, CONTROL_PAGES, DROPPED, FRAME_BYTES, FRAMES, FRAMES_MAX, FUNCTIONS, GLOBAL, LOAD,
    MEMORY, PREFIX, PROGRAM, READ, REFERENCES, REFERENCES_MAX, REFERENCES_WRITTEN, START, TABLE, UNWINDING, WRITTEN,
    ZONE,
};
pub use refused::{Reason, Refused};
pub use scalar::Scalar;
pub use show::Shown;
pub use state::{BadState, Global, Memory, PIECE, Phase, State, Table};
pub use table::{Place, Site, SiteTable};

/// A count of parts of a module, whose size has a limit far below.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a module has fewer than 2^32 parts")
}
