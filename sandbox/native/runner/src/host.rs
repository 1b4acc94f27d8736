//! What a store holds: everything that a host function needs, reached without a look-up.

use crate::ending::because;
use crate::limiter::Limiter;
use crate::memory::Slots;
use gatebus_abi::{Answer, BadState, Channel, Exit, Gate, Personality, Setup, Stop, Wasi};
use gatebus_wire::status;
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

    /// The world of a stopped program where it goes on.
    pub fn restore_untrusted(personality: Personality, setup: Setup, state: &[u8]) -> Result<Rules, BadState> {
        Ok(match personality {
            Personality::Wasi => Rules::Wasi(Box::new(Wasi::restore_untrusted(setup, state)?)),
            Personality::Gate => Rules::Gate(Box::new(Gate::restore_untrusted(setup, state)?)),
        })
    }
}

impl Host {
    /// Reads everything that the host says before its word to stop, and sends everything that is ready. Blocks.
    pub fn drain_until_suspend(&mut self) -> Result<(), Exit> {
        match &mut self.rules {
            Rules::Wasi(wasi) => wasi.drain_until_suspend(&mut *self.channel),
            Rules::Gate(gate) => gate.drain_until_suspend(&mut *self.channel),
        }
    }

    /// The world as bytes, after [`Host::drain_until_suspend`].
    pub fn save_rules(&mut self) -> Vec<u8> {
        match &self.rules {
            Rules::Wasi(wasi) => wasi.save(&mut *self.channel),
            Rules::Gate(gate) => gate.save(&mut *self.channel),
        }
    }

    /// What the host gets after the guest: its files, the report.
    pub fn finish(&mut self, end: &Exit) -> Result<(), Exit> {
        let memory = self.slots.total_size() as u64;
        match &mut self.rules {
            Rules::Wasi(wasi) => wasi.finish(&mut *self.channel, end, memory),
            Rules::Gate(gate) => gate.finish(&mut *self.channel, end, memory),
        }
    }

    /// A call of a WASI function.
    pub fn wasi<R: Default>(
        &mut self,
        function: impl FnOnce(&mut Wasi, &mut [u8], &mut dyn Channel) -> Answer<R>,
    ) -> wasmtime::Result<R> {
        // SAFETY: host functions run on the guest's thread while it waits; the slice ends with this call.
        let memory = unsafe { self.slots.content(self.slot) };
        let answer = match &mut self.rules {
            Rules::Wasi(wasi) => function(wasi, memory, &mut *self.channel),
            Rules::Gate(_) => return Err(wasmtime::Error::msg("a WASI function in a Gate program")),
        };
        self.unwind_or(answer)
    }

    /// A call of a Gate function.
    pub fn gate<R: Default>(
        &mut self,
        function: impl FnOnce(&mut Gate, &mut [u8], &mut dyn Channel) -> Answer<R>,
    ) -> wasmtime::Result<R> {
        // SAFETY: as above.
        let memory = unsafe { self.slots.content(self.slot) };
        let answer = match &mut self.rules {
            Rules::Gate(gate) => function(gate, memory, &mut *self.channel),
            Rules::Wasi(_) => return Err(wasmtime::Error::msg("a Gate function in a WASI program")),
        };
        self.unwind_or(answer)
    }

    /// A call that is to be made again answers with a value that nobody will look at: the guest unwinds.
    fn unwind_or<R: Default>(&mut self, answer: Answer<R>) -> wasmtime::Result<R> {
        match answer {
            Ok(value) => Ok(value),
            Err(Stop::Exit(exit)) => Err(wasmtime::Error::new(exit)),
            Err(Stop::Suspend) if self.slots.has_control() => {
                self.slots.unwind();
                Ok(R::default())
            }
            Err(Stop::Suspend) => Err(wasmtime::Error::new(because(status::PANIC, "the program cannot be suspended"))),
        }
    }
}
