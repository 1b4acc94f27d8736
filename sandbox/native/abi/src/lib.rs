//! What a guest can call: WASI preview 1 and Gate's functions, without engine and without system calls.
//!
//! On the path of a program this stands between the guest and the packet socket. In come the guest's arguments and its
//! linear memory (hostile: every pointer, length and flag) and packets from the host (ours, but checked: a malformed one
//! ends the program with an internal status). Out go packets, an errno, or the end of the guest.
#![forbid(unsafe_code)]

mod channel;
mod descriptor;
mod errno;
mod exit;
mod gate;
mod gate_inbox;
mod gate_io;
mod gate_outbox;
mod gate_poll;
mod gate_state;
mod gate_stubs;
#[cfg(test)]
mod hostile_tests;
mod link;
mod log;
mod memory;
mod origin;
mod setup;
mod state;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod stop_tests;
pub mod table;
#[cfg(test)]
mod testing;
mod time;
#[cfg(test)]
mod twin_tests;
mod wasi;
mod wasi_end;
mod wasi_fd;
mod wasi_handle;
mod wasi_path;
mod wasi_poll;
mod wasi_stat;
mod wasi_state;

pub use channel::{Channel, Clock, Io, Ready};
pub use exit::{Answer, Exit, Stop};
pub use gate::Gate;
pub use setup::Setup;
pub use state::{BadState, check_world_untrusted};
pub use table::{Function, Kind, Personality};
pub use wasi::Wasi;

/// This very table, bound: every row has its method, with the parameters and the result that it says.
#[cfg(test)]
mod bound {
    macro_rules! check_wasi {
        ($($module:literal $name:literal => $method:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*) => {
            $(const _: fn(&mut crate::Wasi, &mut [u8], &mut dyn crate::Channel, $($kind),*) -> crate::Answer<$result> = crate::Wasi::$method;)*
        };
    }
    macro_rules! check_gate {
        ($($module:literal $name:literal => $method:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*) => {
            $(const _: fn(&mut crate::Gate, &mut [u8], &mut dyn crate::Channel, $($kind),*) -> crate::Answer<$result> = crate::Gate::$method;)*
        };
    }
    crate::wasi_table!(check_wasi);
    crate::gate_table!(check_gate);
}
