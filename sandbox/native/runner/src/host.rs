//! What a store holds: everything that a host function needs, reached without a look-up.

use crate::limiter::Limiter;
use crate::memory::Slots;
use gatebus_abi::{Channel, Exit, Gate, Personality, Setup, Wasi};
use std::sync::Arc;

/// The rules a program runs by, with its state.
pub enum Rules {
    /// WASI preview 1.
    Wasi(Box<Wasi>),
    /// Gate's.
    Gate(Box<Gate>),
}

/// The data of a store.
pub struct Host {
    /// The program's personality.
    pub rules: Rules,
    /// Socket, clocks, randomness.
    pub channel: Box<dyn Channel>,
    /// Where the guest's memories are.
    pub slots: Arc<Slots>,
    /// The memory that arguments point into: 0, unless the module exports another one as `memory`.
    pub slot: usize,
    /// The engine's limits.
    pub limiter: Limiter,
}

impl Rules {
    /// The world of a program at its start.
    pub fn new(personality: Personality, setup: Setup) -> Rules {
        match personality {
            Personality::Wasi => Rules::Wasi(Box::new(Wasi::new(setup))),
            Personality::Gate => Rules::Gate(Box::new(Gate::new(setup))),
        }
    }
}

impl Host {
    /// What the host gets after the guest: its files, the report.
    pub fn finish(&mut self, end: &Exit) -> Result<(), Exit> {
        let memory = self.slots.total_size() as u64;
        match &mut self.rules {
            Rules::Wasi(wasi) => wasi.finish(&mut *self.channel, end, memory),
            Rules::Gate(gate) => gate.finish(&mut *self.channel, end, memory),
        }
    }

    /// A call of a WASI function.
    pub fn wasi<R>(
        &mut self,
        function: impl FnOnce(&mut Wasi, &mut [u8], &mut dyn Channel) -> Result<R, Exit>,
    ) -> wasmtime::Result<R> {
        // SAFETY: host functions run on the guest's thread while it waits; the slice ends with this call.
        let memory = unsafe { self.slots.content(self.slot) };
        match &mut self.rules {
            Rules::Wasi(wasi) => function(wasi, memory, &mut *self.channel).map_err(wasmtime::Error::new),
            Rules::Gate(_) => Err(wasmtime::Error::msg("a WASI function in a Gate program")),
        }
    }

    /// A call of a Gate function.
    pub fn gate<R>(
        &mut self,
        function: impl FnOnce(&mut Gate, &mut [u8], &mut dyn Channel) -> Result<R, Exit>,
    ) -> wasmtime::Result<R> {
        // SAFETY: as above.
        let memory = unsafe { self.slots.content(self.slot) };
        match &mut self.rules {
            Rules::Gate(gate) => function(gate, memory, &mut *self.channel).map_err(wasmtime::Error::new),
            Rules::Wasi(_) => Err(wasmtime::Error::msg("a Gate function in a WASI program")),
        }
    }
}
