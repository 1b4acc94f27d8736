//! How a guest ends: the status of the process, the result, and a sentence for whoever asked. Or how it is stopped.

use std::borrow::Cow;
use std::fmt;

/// The end of a guest, decided inside a host function. Goes through the engine as an error, like a trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Status of the process (the table in PROTOCOL.md).
    pub status: u32,
    /// The guest's own exit code, all 32 bits; zero if it has none.
    pub result: i32,
    /// Public: what happened and why, at most 200 bytes.
    pub text: Cow<'static, str>,
}

impl Exit {
    /// An end with nothing but a reason.
    pub const fn because(status: u32, text: &'static str) -> Exit {
        Exit { status, result: 0, text: Cow::Borrowed(text) }
    }
}

/// Why a function of the ABI has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The guest ends.
    Exit(Exit),
    /// The host has asked for the program's state, and the function would have to wait: nothing of it is done, nothing is
    /// consumed. It is to be called again, with the same arguments, by whoever goes on from the state.
    Suspend,
}

/// What a function of the ABI answers.
pub type Answer<R> = Result<R, Stop>;

impl From<Exit> for Stop {
    fn from(exit: Exit) -> Stop {
        Stop::Exit(exit)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, result {}: {}", self.status, self.result, self.text)
    }
}

impl std::error::Error for Exit {}
