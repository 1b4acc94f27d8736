//! What a personality needs from the world: one byte stream, clocks, randomness. The runner has the real one, tests a fake.
//!
//! Reads and writes never block; only `wait` does. Time and randomness come through here too, so that everything in this
//! crate can be driven by a test with simulated time.

/// Answer of a read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// This many bytes, at least one.
    Done(usize),
    /// Nothing can be moved now: `wait` says when.
    WouldBlock,
    /// The other end is gone, for good.
    Closed,
}

/// What `wait` found. All false: the time is over. When the other end is gone both are true, wanted or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read will not answer `WouldBlock`.
    pub readable: bool,
    /// A write will not answer `WouldBlock`.
    pub writable: bool,
}

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds since 1970.
    Realtime,
    /// Nanoseconds since some moment; never goes back, never zero.
    Monotonic,
}

/// The packet socket, the clocks and the source of randomness.
pub trait Channel {
    /// Reads what is there; `into` is not empty and at most 65,536 bytes are taken at once.
    fn read(&mut self, into: &mut [u8]) -> Io;
    /// Writes what fits; `from` is not empty and at most 65,536 bytes are taken at once.
    fn write(&mut self, from: &[u8]) -> Io;
    /// Waits until one of the wanted things holds, the other end is gone, or the time (None: no limit) is over. May come
    /// back early with nothing. Waiting for nothing is a sleep, which still ends when the other end is gone.
    fn wait(&mut self, readable: bool, writable: bool, timeout_ns: Option<u64>) -> Ready;
    /// The time now, as precise as the machine has it: the personalities make it coarse.
    fn clock(&mut self, clock: Clock) -> u64;
    /// Fills with bytes that nobody can guess.
    fn random(&mut self, into: &mut [u8]);
}
