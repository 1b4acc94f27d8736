//! The warm-up: a trusted program that goes the whole way in the spawner, before anybody's request.
//!
//! The module is a constant of the executable. Its world is a channel in memory: setup packets come out, what the
//! guest writes is thrown away; its clocks are the real ones, for the pages that they are read from.

use crate::channel::{coarse, generator};
use crate::touched::Before;
use gatebus_abi::{Channel, Clock, Io, Ready};
use gatebus_wire::control::{Begin, Kind, encode};

/// Writes a line to standard output and returns.
pub const MODULE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\20\00\00\00\06\00\00\00")
  (data (i32.const 32) "hello\n")
  (table 4 funcref) (elem (i32.const 1) $write)
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#;

/// A host that says BEGIN, one argument and GO.
pub struct Rehearsal {
    setup: Vec<u8>,
    said: usize,
    before: Option<Before>,
}

impl Rehearsal {
    /// At the start of the conversation.
    pub fn new() -> Rehearsal {
        let _ = generator(); // nothing random is needed here, but the program will ask for its seed
        let begin = Begin { origin_credit: 65_536, clock_ms: 10, ..Begin::default() };
        let packets = [(Kind::Begin, begin.encode()), (Kind::Argument, b"warm".to_vec()), (Kind::Go, Vec::new())];
        let setup = packets.iter().filter_map(|(kind, content)| encode(*kind, content)).flatten().collect();
        Rehearsal { setup, said: 0, before: None }
    }

    /// The same; what the heap has become is looked at when the guest writes.
    pub fn observed(before: Option<Before>) -> Rehearsal {
        Rehearsal { before, ..Rehearsal::new() }
    }
}

impl Default for Rehearsal {
    fn default() -> Rehearsal {
        Rehearsal::new()
    }
}

impl Channel for Rehearsal {
    fn read(&mut self, into: &mut [u8]) -> Io {
        let rest = &self.setup[self.said..];
        let count = rest.len().min(into.len());
        if count == 0 {
            return Io::Closed;
        }
        into[..count].copy_from_slice(&rest[..count]);
        self.said += count;
        Io::Done(count)
    }

    fn write(&mut self, from: &[u8]) -> Io {
        if let Some(before) = self.before.take() {
            before.compare();
        }
        Io::Done(from.len())
    }

    fn wait(&mut self, readable: bool, writable: bool, _: Option<u64>) -> Ready {
        Ready { readable, writable }
    }

    fn clock(&mut self, clock: Clock) -> u64 {
        coarse(clock)
    }

    fn random(&mut self, into: &mut [u8]) {
        into.fill(4);
    }
}
