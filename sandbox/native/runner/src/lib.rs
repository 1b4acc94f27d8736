//! The executable `gatebus-sandbox` as a library, so that its parts can be tested without a jail.
//!
//! Two of its roles are here: the compile worker ([`compile`]: bytes from anyone become an image) and the program's
//! process ([`program`]: an image runs as a guest). The other roles (keeper, spawner, probe) come from `gatebus-jail`.
//! This crate is the only one that links the engine.

pub mod admission;
pub mod bench;
mod blocks;
pub mod bounds;
pub mod channel;
pub mod client;
pub mod clocks;
pub mod compile;
pub mod ending;
pub mod engine;
pub mod entry;
pub mod facts;
pub mod features;
pub mod functions;
pub mod go;
pub mod heap;
pub mod host;
pub mod huge;
pub mod limiter;
pub mod link;
pub mod memory;
pub mod merge;
pub mod patience;
pub mod program;
pub mod references;
pub mod refusal;
pub mod rehearsal;
pub mod scan;
pub mod stop;
pub mod suspension;
pub mod text;
pub mod touched;
pub mod workload;
