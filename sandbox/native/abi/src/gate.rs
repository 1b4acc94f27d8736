//! Gate's personality: one packet descriptor that the program itself reads and writes, a debug log, coarse clocks.
//!
//! Files: `gate_io.rs` (reading, writing, `io`, the log), `gate_inbox.rs` and `gate_outbox.rs` (the two directions of the
//! packet stream), `gate_poll.rs`, `gate_stubs.rs` (the functions that only ever say no).
//!
//! The rules are Gate's, bit by bit (which null pointer is answered with EFAULT and which bad pointer traps; what is a
//! *deficiency*, which ends the program), because programs were built against it. Where Gate itself is wrong its intention
//! is followed instead: a relative timer that has elapsed is reported, `io` waits as long as it was told and not for input that
//! nobody wants, reading a clock leaves the flags of `io` alone, and the monotonic clock starts at one second.

use gatebus_wire::control::{FLAG_DEBUG_LOG, Report};
use gatebus_wire::status;

use crate::errno::{Errno, Fail, Outcome, answer};
use crate::gate_inbox::Inbox;
use crate::gate_outbox::Outbox;
use crate::log::Log;
use crate::memory::{self, Fault};
use crate::time::Clocks;
use crate::{Answer, Channel, Clock, Exit, Setup};

/// What every function of the ABI gets besides its own parameters.
pub(crate) type Memory<'a> = &'a mut [u8];

/// The descriptors that exist. 3 is free so that a C library that looks for directories stops at once.
pub(crate) const STDIN: u32 = 0;
pub(crate) const STDOUT: u32 = 1;
pub(crate) const STDERR: u32 = 2;
pub(crate) const GATE: u32 = 4;
/// Rights of the packet descriptor and of the log.
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 6;
/// Bytes of randomness in one run: a seed. More is a deficiency.
const SEED: usize = 16;
/// Clocks that have a number; only the first two can be read.
const CLOCKS: u32 = 4;

/// Three variables, each padded with zeros to 8-byte words: 24, 16 and 32 bytes.
const ENVIRONMENT: &[u8; 72] = b"GATE_ABI_VERSION=0\0\0\0\0\0\0\
    GATE_FD=4\0\0\0\0\0\0\0\
    GATE_MAX_SEND_SIZE=65536\0\0\0\0\0\0\0\0";
const VARIABLES: [u32; 3] = [0, 24, 40];

/// One program's world.
#[derive(Debug)]
pub struct Gate {
    pub(crate) clocks: Clocks,
    pub(crate) log: Log,
    /// Packets for the guest.
    pub(crate) inbox: Inbox,
    /// Packets of the guest's, and of its log.
    pub(crate) outbox: Outbox,
    /// When the wait began that was stopped: on the guest's monotonic clock, which a stop does not move.
    pub(crate) waiting_since: Option<u64>,
    /// Flags that `io` will tell.
    pub(crate) flags: u64,
    pub(crate) seed_used: usize,
}

/// Null is EFAULT where Gate looks for it.
pub(crate) fn not_null(pointers: &[u32]) -> Outcome<()> {
    if pointers.contains(&0) { Err(Errno::FAULT.into()) } else { Ok(()) }
}

/// Any other address outside the memory is a trap.
pub(crate) fn trap(_: Fault) -> Fail {
    let status = u32::from(status::MEMORY_ACCESS_OUT_OF_BOUNDS);
    Exit::because(status, "a pointer given to a host function is outside the memory").into()
}

/// A call that Gate's interface has only in name.
pub(crate) fn deficiency(text: &'static str) -> Exit {
    Exit::because(u32::from(status::ABI_DEFICIENCY), text)
}

/// The answer of a function for a descriptor that exists, and EBADF for others.
pub(crate) fn fd_error(fd: u32, errno: Errno) -> Errno {
    if matches!(fd, STDIN | STDOUT | STDERR | GATE) { errno } else { Errno::BADF }
}

impl Gate {
    /// The world at the start.
    pub fn new(setup: Setup) -> Gate {
        Gate {
            clocks: Clocks::masked(setup.resolution(), setup.started),
            log: Log::new(setup.flag(FLAG_DEBUG_LOG), setup.words.begin.log_limit),
            inbox: Inbox::new(setup.link),
            outbox: Outbox::default(),
            waiting_since: None,
            flags: crate::gate_io::FLAG_STARTED | u64::from(setup.words.begin.lifecycle()) << 1,
            seed_used: 0,
        }
    }

    /// Sends what waits, and the report; of a guest that ended in the middle of a packet what there is of it instead.
    /// `memory` is the size of all linear memories. Fails only if the host is gone.
    pub fn finish(&mut self, channel: &mut dyn Channel, end: &Exit, memory: u64) -> Result<(), Exit> {
        if self.outbox.break_off() {
            return self.outbox.drain(channel);
        }
        let (status, result, log_dropped) = (end.status, end.result, self.log.dropped());
        let report = Report { status, result, memory, log_dropped, text: end.text.to_string() };
        self.outbox.add(&report.packet());
        self.outbox.drain(channel)
    }
}

fn supported_clock(id: u32) -> Outcome<Clock> {
    match id {
        0 => Ok(Clock::Realtime),
        1 => Ok(Clock::Monotonic),
        _ if id < CLOCKS => Err(deficiency("a clock of CPU time was read").into()),
        _ => Err(Errno::INVAL.into()),
    }
}

/// The signatures are Gate's.
#[allow(clippy::too_many_arguments)]
impl Gate {
    /// The packet descriptor.
    pub fn fd(&mut self, _: Memory<'_>, _: &mut dyn Channel) -> Answer<i32> {
        Ok(GATE.cast_signed())
    }

    /// There are no arguments: nothing is touched.
    pub fn args_get(&mut self, _: Memory<'_>, _: &mut dyn Channel, _argv: u32, _buffer: u32) -> Answer<i32> {
        Ok(0)
    }

    /// There are no arguments.
    pub fn args_sizes_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, count: u32, size: u32) -> Answer<i32> {
        answer(put_pair(memory, (count, 0), (size, 0)))
    }

    /// Three variables that say how to reach Gate.
    pub fn environ_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, environ: u32, buffer: u32) -> Answer<i32> {
        answer((|| {
            not_null(&[environ, buffer])?;
            memory::put(memory, buffer, ENVIRONMENT).map_err(trap)?;
            for (index, offset) in VARIABLES.into_iter().enumerate() {
                let place = memory::offset(environ, index as u64 * 4).map_err(trap)?;
                memory::put_u32(memory, place, buffer.wrapping_add(offset)).map_err(trap)?;
            }
            Ok(())
        })())
    }

    /// Three variables, 72 bytes.
    pub fn environ_sizes_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, count: u32, size: u32) -> Answer<i32> {
        answer(put_pair(memory, (count, 3), (size, 72)))
    }

    /// All four clocks have the same resolution, also the two that cannot be read.
    pub fn clock_res_get(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        clock: u32,
        resolution: u32,
    ) -> Answer<i32> {
        answer((|| {
            not_null(&[resolution])?;
            if clock >= CLOCKS {
                return Err(Errno::INVAL.into());
            }
            memory::put_u64(memory, resolution, self.clocks.resolution()).map_err(trap)
        })())
    }

    /// Time of a clock at its last tick.
    pub fn clock_time_get(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        clock: u32,
        _precision: u64,
        time: u32,
    ) -> Answer<i32> {
        answer((|| {
            not_null(&[time])?;
            let now = self.clocks.now(channel, supported_clock(clock)?);
            memory::put_u64(memory, time, now).map_err(trap)
        })())
    }

    /// No descriptor that exists can be closed.
    pub fn fd_close(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32) -> Answer<i32> {
        match fd_error(fd, Errno::PERM) {
            Errno::BADF => Ok(Errno::BADF.0),
            _ => Err(deficiency("a descriptor was closed").into()),
        }
    }

    /// No descriptor can be moved, but for onto itself.
    pub fn fd_renumber(&mut self, _: Memory<'_>, _: &mut dyn Channel, from: u32, to: u32) -> Answer<i32> {
        let known = |fd| fd_error(fd, Errno::PERM) == Errno::PERM;
        match known(from) && known(to) {
            false => Ok(Errno::BADF.0),
            true if from == to => Ok(0),
            true => Err(deficiency("a descriptor was moved").into()),
        }
    }

    /// Of no type; only the packet descriptor is non-blocking.
    pub fn fd_fdstat_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, fd: u32, stat: u32) -> Answer<i32> {
        answer((|| {
            not_null(&[stat])?;
            let (flags, rights) = match fd {
                GATE => (4u16, READ | WRITE),
                STDOUT | STDERR => (0, WRITE),
                STDIN => (0, 0),
                _ => return Err(Errno::BADF.into()),
            };
            let mut bytes = vec![0, 0];
            bytes.extend(flags.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(rights.to_le_bytes());
            bytes.extend([0; 8]);
            memory::put(memory, stat, &bytes).map_err(trap)
        })())
    }

    /// The rights that a descriptor has can be confirmed; giving them up is a deficiency.
    pub fn fd_fdstat_set_rights(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        base: u64,
        inheriting: u64,
    ) -> Answer<i32> {
        let rights = match fd {
            GATE => READ | WRITE,
            STDOUT | STDERR => WRITE,
            STDIN => 0,
            _ => return Ok(Errno::BADF.0),
        };
        match base {
            _ if inheriting != 0 || base & !rights != 0 => Ok(Errno::NOTCAPABLE.0),
            _ if base == rights => Ok(0),
            _ => Err(deficiency("rights of a descriptor were given up").into()),
        }
    }

    /// There are no directories: a C library stops looking for them at 3.
    pub fn fd_prestat_dir_name(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Answer<i32> {
        answer((|| {
            if len > 0 {
                not_null(&[path])?;
            }
            Err(fd_error(fd, Errno::INVAL).into())
        })())
    }

    /// The end. Only zero or not zero matters to Gate; the report has all of it.
    pub fn proc_exit(&mut self, _: Memory<'_>, _: &mut dyn Channel, code: u32) -> Answer<()> {
        let status = if code == 0 { status::TERMINATED } else { status::TERMINATED_NONZERO };
        Err(Exit { status: u32::from(status), result: code.cast_signed(), text: "".into() }.into())
    }

    /// There are no signals.
    pub fn proc_raise(&mut self, _: Memory<'_>, _: &mut dyn Channel, _signal: u32) -> Answer<i32> {
        Err(deficiency("a signal was raised").into())
    }

    /// A seed of 16 bytes in one run.
    pub fn random_get(&mut self, memory: Memory<'_>, channel: &mut dyn Channel, buffer: u32, len: u32) -> Answer<i32> {
        answer((|| {
            if len > 0 {
                not_null(&[buffer])?;
            }
            let left = SEED - self.seed_used;
            let given = (len as usize).min(left);
            let into = memory::bytes_mut(memory, buffer, u32::try_from(given).unwrap_or(0)).map_err(trap)?;
            channel.random(into);
            self.seed_used += given;
            if given < len as usize {
                return Err(deficiency("more than 16 random bytes were wanted; use the service random").into());
            }
            Ok(())
        })())
    }

    /// Nobody to yield to.
    pub fn sched_yield(&mut self, _: Memory<'_>, _: &mut dyn Channel) -> Answer<i32> {
        Ok(0)
    }

    /// Not a socket, says the packet descriptor.
    pub fn sock_recv(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        _iovs: u32,
        _count: u32,
        _flags: u32,
        _nread: u32,
        _out_flags: u32,
    ) -> Answer<i32> {
        let errno = if fd == GATE { Errno::NOTSOCK } else { Errno::PERM };
        Ok(fd_error(fd, errno).0)
    }

    /// Not a socket, says everything that can be written.
    pub fn sock_send(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        _iovs: u32,
        _count: u32,
        _flags: u32,
        _nwritten: u32,
    ) -> Answer<i32> {
        let errno = if fd == STDIN { Errno::PERM } else { Errno::NOTSOCK };
        Ok(fd_error(fd, errno).0)
    }
}

fn put_pair(memory: Memory<'_>, first: (u32, u32), second: (u32, u32)) -> Outcome<()> {
    not_null(&[first.0, second.0])?;
    memory::put_u32(memory, first.0, first.1).map_err(trap)?;
    memory::put_u32(memory, second.0, second.1).map_err(trap)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
