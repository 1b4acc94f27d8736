//! The executable `gatebus-sandbox` as a library, so that its parts can be tested without a jail.
//!
//! Two of its roles are here: the compile worker ([`compile`]: bytes from anyone become an image) and the program's
//! process ([`program`]: an image runs as a guest). The other roles (keeper, spawner, probe) come from `gatebus-jail`.
//! This crate is the only one that links the engine.

pub mod admission;
mod blocks;
pub mod bounds;
pub mod compile;
pub mod engine;
pub mod facts;
pub mod features;
pub mod functions;
pub mod heap;
pub mod limiter;
pub mod memory;
pub mod refusal;
pub mod scan;
pub mod channel;
pub mod ending;
pub mod host;
pub mod link;
pub mod entry;
pub mod merge;
pub mod program;
pub mod rehearsal;
pub mod workload;
pub mod bench;
pub mod client;
pub mod clocks;
