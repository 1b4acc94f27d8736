//! The words of the sandbox's three conversations (`PROTOCOL.md`): bytes in, frozen values out, and back.
//!
//! Nothing here does I/O, reads a clock or allocates without a bound. Whatever another process wrote is parsed in a
//! function whose name ends in `_untrusted`, once; the one error that can come out of it is [`Malformed`] (or the
//! conversation's own, which says what to answer). The same examples, `vectors.json`, bind the Python side.
//!
//! - packets between host and program: [`packets`], [`boundary`], [`control`], [`setup`]
//! - host and keeper: [`keeper`]; keeper and spawner: [`spawner`]
//! - the numbers both sides must agree on: [`status`], [`layers`]
#![forbid(unsafe_code)]

pub mod boundary;
pub mod control;
pub mod fields;
pub mod keeper;
pub mod layers;
pub mod packets;
mod scan;
pub mod setup;
pub mod spawner;
pub mod status;

pub use boundary::{Boundary, Violation};
pub use fields::Malformed;
pub use keeper::{Compile, Start};
pub use layers::Layers;
pub use packets::Header;
pub use setup::{Setup, SetupReader};
