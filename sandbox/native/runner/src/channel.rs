//! The program's world in system calls: one socket, `ppoll`, clocks that need no call, and a generator of randomness.

use crate::patience::Patience;
use gatebus_abi::{Channel, Clock, Io, Ready};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::os::fd::RawFd;

/// The final filter refuses longer reads and writes.
const AT_ONCE: usize = 65_536;

/// The packet socket and what else a personality asks for.
pub struct Socket {
    descriptor: RawFd,
    random: ChaCha20Rng,
    patience: Patience,
}

impl Socket {
    /// Takes the socket and a seed while the calls for both are still allowed. `cpu_ms`: the program's limit, 0 is none.
    pub fn open(descriptor: RawFd, cpu_ms: u32) -> Result<Socket, String> {
        // SAFETY: changes a flag of a descriptor that this process owns.
        if unsafe { libc::fcntl(descriptor, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK) } != 0 {
            return Err("the packet socket cannot be made non-blocking".to_owned());
        }
        Ok(Socket { descriptor, random: generator()?, patience: Patience::new(cpu_ms) })
    }
}

/// A generator of randomness with a fresh seed.
pub fn generator() -> Result<ChaCha20Rng, String> {
    let mut seed = [0u8; 32];
    // SAFETY: `seed` is 32 bytes long.
    if unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) } != 32 {
        return Err("no randomness".to_owned());
    }
    Ok(ChaCha20Rng::from_seed(seed))
}

/// Nanoseconds of a coarse clock.
pub fn coarse(clock: Clock) -> u64 {
    let which = match clock {
        Clock::Realtime => libc::CLOCK_REALTIME_COARSE,
        Clock::Monotonic => libc::CLOCK_MONOTONIC_COARSE,
    };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid; these two clocks always exist.
    unsafe { libc::clock_gettime(which, &mut now) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn moved(count: isize) -> Io {
    match usize::try_from(count) {
        Ok(0) => Io::Closed,
        Ok(count) => Io::Done(count),
        Err(_) => match errno() {
            libc::EAGAIN | libc::EINTR => Io::WouldBlock,
            _ => Io::Closed,
        },
    }
}

impl Socket {
    /// Whether something is there, without sleeping; between two looks whoever needs this processor has it.
    fn look(&mut self, poll: &mut libc::pollfd) -> bool {
        let most = self.patience.looks();
        if most == 0 {
            return false;
        }
        let began = coarse(Clock::Monotonic);
        let (mut looks, mut found, mut ticked) = (0, false, false);
        while looks < most && !found && !ticked {
            // SAFETY: no arguments, and nothing of ours changes.
            unsafe { libc::sched_yield() };
            found = ask(poll, Some(0));
            ticked = coarse(Clock::Monotonic) != began;
            looks += 1;
        }
        self.patience.looked(looks, found, ticked);
        found
    }

    fn sleep(&mut self, poll: &mut libc::pollfd, timeout_ns: Option<u64>) {
        let began = coarse(Clock::Monotonic);
        ask(poll, timeout_ns);
        self.patience.slept(coarse(Clock::Monotonic) != began);
    }
}

/// One `ppoll`; whether something was found.
fn ask(poll: &mut libc::pollfd, timeout_ns: Option<u64>) -> bool {
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ns % 1_000_000_000).unwrap_or(0),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: one entry, a timespec or null, no mask: the C library passes the kernel's own size of it.
    unsafe { libc::ppoll(poll, 1, timeout, std::ptr::null()) > 0 }
}

impl Channel for Socket {
    fn read(&mut self, into: &mut [u8]) -> Io {
        let length = into.len().min(AT_ONCE);
        // SAFETY: `into` is writable for `length` bytes.
        let mut read = || unsafe { libc::read(self.descriptor, into.as_mut_ptr().cast(), length) };
        let first = read();
        // A peer that closed with unread input makes the next read fail although its own packets are still queued.
        let again = first < 0 && errno() == libc::ECONNRESET;
        moved(if again { read() } else { first })
    }

    fn write(&mut self, from: &[u8]) -> Io {
        let length = from.len().min(AT_ONCE);
        // SAFETY: `from` is readable for `length` bytes.
        moved(unsafe { libc::write(self.descriptor, from.as_ptr().cast(), length) })
    }

    fn wait(&mut self, readable: bool, writable: bool, timeout_ns: Option<u64>) -> Ready {
        let events = if readable { libc::POLLIN } else { 0 } | if writable { libc::POLLOUT } else { 0 };
        let mut poll = libc::pollfd { fd: self.descriptor, events, revents: 0 };
        if timeout_ns == Some(0) || !self.look(&mut poll) {
            self.sleep(&mut poll, timeout_ns);
        }
        let over = poll.revents & (libc::POLLHUP | libc::POLLERR) != 0;
        Ready {
            readable: over || poll.revents & libc::POLLIN != 0,
            writable: over || poll.revents & libc::POLLOUT != 0,
        }
    }

    /// The kernel's coarse clocks: read from a shared page without a call and without the processor's own counter,
    /// which may be closed (layer "tsc"). Steps of 1 to 10 ms; guests see 10 ms by default.
    fn clock(&mut self, clock: Clock) -> u64 {
        coarse(clock)
    }

    fn random(&mut self, into: &mut [u8]) {
        self.random.fill_bytes(into);
    }
}
