//! The jail's tests without an engine: a workload whose programs do what START's flags say.

use gatebus_jail::{CompileDescriptors, CompileLock, PACKET, ProgramDescriptors, ProgramLock, Workload, sys};
use gatebus_wire::{Compile, Start};
use std::os::fd::AsRawFd;

mod acts;
mod attacks;
mod flips;

struct Rehearsal;

impl Workload for Rehearsal {
    fn initialise() -> Result<Self, String> {
        Ok(Rehearsal)
    }

    fn fingerprint(&self) -> u64 {
        0x7265_6865_6172_7361
    }

    fn warm(&mut self) {}

    fn run_program(&mut self, start: &Start, fds: ProgramDescriptors, lock: ProgramLock) -> ! {
        let length = usize::try_from(start.memory_limit).unwrap_or(0);
        // SAFETY: a new mapping of a memfd of this size.
        let memory = unsafe {
            let shared = libc::MAP_SHARED | libc::MAP_NORESERVE;
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, shared, fds.memory.as_raw_fd(), 0)
        } as u64;
        let stage = acts::Stage::prepare(start, memory);
        lock.enter(std::slice::from_ref(&(memory..memory + start.memory_limit)));
        acts::play(start, &stage)
    }

    fn run_compile(&mut self, job: &Compile, fds: CompileDescriptors, lock: CompileLock) -> ! {
        let memory = acts::memory_of_a_worker(job);
        lock.enter();
        acts::compile(job, fds, memory)
    }
}

/// Writes the text to the packet socket.
fn say(text: &str) {
    // SAFETY: a buffer that lives until the call returns.
    unsafe { libc::write(PACKET, text.as_ptr().cast(), text.len()) };
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("keeper") => gatebus_jail::keeper_main::<Rehearsal>(&words[1..]),
        Some("spawner") => gatebus_jail::spawner_main::<Rehearsal>(&words[1..]),
        Some("attacks") => attacks::NAMES.iter().for_each(|name| println!("{name}")),
        Some("probe") => gatebus_jail::probe_main(),
        _ => sys::exit_group(2),
    }
}
