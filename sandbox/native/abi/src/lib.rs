//! What a guest can call: WASI preview 1 and Gate's functions, without engine and without system calls.
//!
//! On the path of a program this stands between the guest and the packet socket. In come the guest's arguments and its
//! linear memory (hostile: every pointer, length and flag) and packets from the host (ours, but checked: a malformed one
//! ends the program with an internal status). Out go packets, an errno, or the end of the guest.
#![forbid(unsafe_code)]

mod channel;
mod exit;
mod signatures;
pub mod table;

pub use channel::{Channel, Clock, Io, Ready};
pub use exit::Exit;
pub use signatures::{Gate, Wasi};
pub use table::{Function, Kind, Personality};
