//! The seam: what the jail asks of whoever runs programs in it, and what it hands over.
//!
//! One value of the workload is made in the spawner and inherited by every child through fork. Methods are called in
//! this order: `initialise` (spawner, still privileged, nobody's bytes are near), `fingerprint`, then in each child
//! `warm` and one of the two `run`s, which end the process themselves.

use crate::child::{CompileLock, ProgramLock};
use gatebus_wire::{Compile, Start};
use std::ops::Range;
use std::os::fd::{OwnedFd, RawFd};

/// The packet socket's number in every program; the final filter knows no other.
pub const PACKET: RawFd = 4;
/// The compile worker's source.
pub const WASM: RawFd = 4;
/// The compile worker's result.
pub const IMAGE: RawFd = 5;
/// What the compile worker found out, written last.
pub const FACTS: RawFd = 6;

/// How much stack the guest of a child may have; the engine's limit is engine-wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StackClass {
    /// 256 KiB.
    Small,
    /// 8 MiB.
    Large,
}

impl StackClass {
    /// What the guest may use.
    pub const fn guest_bytes(self) -> u64 {
        match self {
            StackClass::Small => 256 << 10,
            StackClass::Large => 8 << 20,
        }
    }

    /// What a guest that can be suspended may use: its frames are larger, and what fits without that must fit with it.
    /// Measured: 2.6 times in QuickJS, whose own bound of its recursion is made for the large class.
    pub const fn bytes_suspendable(self) -> u64 {
        match self {
            StackClass::Small => self.guest_bytes(),
            StackClass::Large => 3 * self.guest_bytes(),
        }
    }

    /// What a guest that goes on may use: who was stopped with his stack nearly full must fit again, and the frames in
    /// which he goes on are larger once more (measured: up to half as large again; where constants were saved, which took
    /// nothing before, as large as all that was saved: 64 MiB at most, gatebus-module). Only what is used is there.
    pub const fn bytes_again(self) -> u64 {
        match self {
            StackClass::Small => 16 * self.guest_bytes(),
            StackClass::Large => 12 * self.guest_bytes(),
        }
    }
}

/// What a program is made of. `packet` is always [`PACKET`]; it is blocking.
#[derive(Debug)]
pub struct ProgramDescriptors {
    /// The stream socket of the packets.
    pub packet: RawFd,
    /// The sealed image.
    pub image: OwnedFd,
    /// The memory: a memfd of exactly `memory_limit` + `control_bytes` bytes, sealed against shrinking and growing.
    pub memory: OwnedFd,
    /// The sealed image of the continuation, of a program that goes on.
    pub continuation: Option<OwnedFd>,
    /// The sealed files of the memory that it goes on from without a copy: the memory, and what was changed in it.
    pub base: Vec<OwnedFd>,
}

/// What a compile worker reads and writes: [`WASM`], [`IMAGE`], [`FACTS`].
#[derive(Debug, Clone, Copy)]
pub struct CompileDescriptors {
    /// Sealed source.
    pub wasm: RawFd,
    /// Empty memfd for the image.
    pub image: RawFd,
    /// Empty memfd for the facts.
    pub facts: RawFd,
}

/// Runs programs and compiles them.
pub trait Workload: Sized {
    /// In the spawner, before privileges are dropped and before stage 0: engines, linkers, one trusted module run
    /// (a constant that is built into the executable). No thread may be left behind. Descriptors that stay open get
    /// numbers from 10 up by themselves (the jail holds the ones below).
    fn initialise() -> Result<Self, String>;
    /// Engine, its settings and the CPU's features.
    fn fingerprint(&self) -> u64;
    /// Where the memories of every program will be, if that is known: the final filter, which names them, is then
    /// written once for all children.
    fn reservations(&self) -> Vec<Range<u64>> {
        Vec::new()
    }
    /// In a prepared child: page faults of its way are paid before the request. Not called in compile workers.
    fn warm(&mut self);
    /// Runs one program and ends the process. Time limits run already. `lock.enter` closes every descriptor but the
    /// packet socket and leaves seven system calls; nothing of the guest may run before it.
    fn run_program(&mut self, start: &Start, fds: ProgramDescriptors, lock: ProgramLock) -> !;
    /// Compiles one module and ends the process. `lock.enter` comes before the first byte of it is read.
    fn run_compile(&mut self, job: &Compile, fds: CompileDescriptors, lock: CompileLock) -> !;
}
