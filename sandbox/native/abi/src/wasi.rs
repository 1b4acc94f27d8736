//! The WASI preview 1 personality: its state, and the functions that are not about files or waiting.
//!
//! Files: `wasi_fd.rs` (reading and writing), `wasi_handle.rs` (moving, closing, listing), `wasi_stat.rs` (what is known about it), `wasi_path.rs`,
//! `wasi_poll.rs`, `wasi_end.rs` (what leaves at the end).
//!
//! Every function is called with the guest's memory and the channel, answers an errno, and can end the guest. Pointers
//! outside the memory are EFAULT.

use gatebus_files::Files;
use gatebus_wire::control::{FLAG_DEBUG_LOG, FLAG_FILES, FLAG_PLAIN_OUTPUT};
use gatebus_wire::status;

use crate::descriptor::{Descriptor, Table, Target, right};
use crate::errno::{Errno, Fail, Outcome, answer};
use crate::log::Log;
use crate::memory::{self, Fault};
use crate::origin::Origin;
use crate::time::Clocks;
use crate::{Answer, Channel, Clock, Exit, Setup};

/// What every function of the ABI gets besides its own parameters.
pub(crate) type Memory<'a> = &'a mut [u8];

/// One program's world.
#[derive(Debug)]
pub struct Wasi {
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) environment: Vec<Vec<u8>>,
    pub(crate) clocks: Clocks,
    pub(crate) files: Files,
    pub(crate) table: Table,
    pub(crate) origin: Origin,
    pub(crate) log: Log,
    /// The host wants to have the tree back.
    pub(crate) files_wanted: bool,
    /// When the wait began that was stopped: on the guest's monotonic clock, which a stop does not move.
    pub(crate) waiting_since: Option<u64>,
}

impl From<Fault> for Fail {
    fn from(_: Fault) -> Fail {
        Errno::FAULT.into()
    }
}

impl Wasi {
    /// The world at the start.
    pub fn new(setup: Setup) -> Wasi {
        let clocks = Clocks::every(setup.resolution(), setup.started);
        let log = Log::new(setup.flag(FLAG_DEBUG_LOG), setup.words.begin.log_limit);
        let files_wanted = setup.flag(FLAG_FILES);
        let plain = setup.flag(FLAG_PLAIN_OUTPUT);
        let origin = Origin::new(setup.link, setup.words.begin.origin_credit);
        let mut files = setup.files;
        let table = standard(&mut files, plain);
        let (arguments, environment) = (setup.words.arguments, setup.words.environment);
        Wasi { arguments, environment, clocks, files, table, origin, log, files_wanted, waiting_since: None }
    }

    /// Time that changes of files carry.
    pub(crate) fn now(&self, channel: &mut dyn Channel) -> u64 {
        self.clocks.now(channel, Clock::Realtime)
    }
}

/// Names of the root.
pub(crate) const PREOPENS: [&str; 2] = ["/", "."];

/// Standard streams and the root, twice: absolute paths look for `/`, relative ones for `.`.
fn standard(files: &mut Files, plain: bool) -> Table {
    let mut table = Table::default();
    let streams = [(Target::Input, right::INPUT), (Target::Output, right::OUTPUT), (Target::Log, right::OUTPUT)];
    let streams = streams.map(|(target, rights)| Descriptor {
        plain: plain && target == Target::Output,
        ..Descriptor::new(target, rights, 0)
    });
    let roots = PREOPENS.map(|name| {
        let target = Target::Node(files.root(), gatebus_files::Kind::Directory);
        let root = Descriptor::new(target, right::DIRECTORY, right::DIRECTORY | right::FILE);
        Descriptor { preopen: Some(name), ..root }
    });
    for descriptor in streams.into_iter().chain(roots) {
        if let Target::Node(root, _) = descriptor.target {
            // Cannot fail: nothing else is open yet. The root has no end, so a failure would not matter either.
            files.hold(root).unwrap_or_default();
        }
        table.add(descriptor).unwrap_or_default();
    }
    table
}

/// `count` texts and `size` bytes with their terminating zeros.
fn sizes(texts: &[Vec<u8>], memory: Memory<'_>, count: u32, size: u32) -> Outcome<()> {
    let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
    memory::put_u32(memory, count, u32::try_from(texts.len()).map_err(|_| Errno::OVERFLOW)?)?;
    memory::put_u32(memory, size, u32::try_from(bytes).map_err(|_| Errno::OVERFLOW)?)?;
    Ok(())
}

/// An array of pointers, and the texts that they point to.
fn texts(texts: &[Vec<u8>], memory: Memory<'_>, pointers: u32, buffer: u32) -> Outcome<()> {
    let (mut pointer, mut place) = (u64::from(pointers), u64::from(buffer));
    for text in texts {
        let start = memory::offset(0, place)?;
        memory::put_u32(memory, memory::offset(0, pointer)?, start)?;
        memory::put(memory, start, text)?;
        place += text.len() as u64;
        memory::put(memory, memory::offset(0, place)?, &[0])?;
        place += 1;
        pointer += 4;
    }
    Ok(())
}

/// The clocks there are: CPU clocks would tell time more finely than the others, and need calls that the jail forbids.
pub(crate) fn clock_untrusted(id: u32) -> Result<Clock, Errno> {
    match id {
        0 => Ok(Clock::Realtime),
        1 => Ok(Clock::Monotonic),
        _ => Err(Errno::INVAL),
    }
}

/// Arguments, environment, clocks, randomness, the end, sockets. The signatures are WASI's.
#[allow(clippy::too_many_arguments)]
impl Wasi {
    /// Pointers to the arguments, and the arguments.
    pub fn args_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, argv: u32, buffer: u32) -> Answer<i32> {
        answer(texts(&self.arguments, memory, argv, buffer))
    }

    /// How much `args_get` will write.
    pub fn args_sizes_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, count: u32, size: u32) -> Answer<i32> {
        answer(sizes(&self.arguments, memory, count, size))
    }

    /// Pointers to the variables, and the variables.
    pub fn environ_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, environ: u32, buffer: u32) -> Answer<i32> {
        answer(texts(&self.environment, memory, environ, buffer))
    }

    /// How much `environ_get` will write.
    pub fn environ_sizes_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, count: u32, size: u32) -> Answer<i32> {
        answer(sizes(&self.environment, memory, count, size))
    }

    /// Resolution of a clock.
    pub fn clock_res_get(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        clock: u32,
        resolution: u32,
    ) -> Answer<i32> {
        answer((|| {
            clock_untrusted(clock)?;
            Ok(memory::put_u64(memory, resolution, self.clocks.resolution())?)
        })())
    }

    /// Time of a clock, at its last tick whatever precision is asked for.
    pub fn clock_time_get(
        &mut self,
        memory: Memory<'_>,
        channel: &mut dyn Channel,
        clock: u32,
        _precision: u64,
        time: u32,
    ) -> Answer<i32> {
        answer((|| {
            let now = self.clocks.now(channel, clock_untrusted(clock)?);
            Ok(memory::put_u64(memory, time, now)?)
        })())
    }

    /// Fresh random bytes.
    pub fn random_get(&mut self, memory: Memory<'_>, channel: &mut dyn Channel, buffer: u32, len: u32) -> Answer<i32> {
        answer((|| {
            channel.random(memory::bytes_mut(memory, buffer, len)?);
            Ok(())
        })())
    }

    /// The end, with all 32 bits of the code.
    pub fn proc_exit(&mut self, _: Memory<'_>, _: &mut dyn Channel, code: u32) -> Answer<()> {
        let status = if code == 0 { status::TERMINATED } else { status::TERMINATED_NONZERO };
        Err(Exit { status: u32::from(status), result: code.cast_signed(), text: "".into() }.into())
    }

    /// There are no signals.
    pub fn proc_raise(&mut self, _: Memory<'_>, _: &mut dyn Channel, _signal: u32) -> Answer<i32> {
        Ok(Errno::NOTSUP.0)
    }

    /// Nobody to yield to.
    pub fn sched_yield(&mut self, _: Memory<'_>, _: &mut dyn Channel) -> Answer<i32> {
        Ok(0)
    }

    /// There are no sockets to accept from.
    pub fn sock_accept(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        _flags: u32,
        _opened: u32,
    ) -> Answer<i32> {
        self.socket(fd, Errno::NOTSUP)
    }

    /// There are no sockets.
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
        self.socket(fd, Errno::NOTSOCK)
    }

    /// There are no sockets.
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
        self.socket(fd, Errno::NOTSOCK)
    }

    /// There are no sockets.
    pub fn sock_shutdown(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32, _how: u32) -> Answer<i32> {
        self.socket(fd, Errno::NOTSOCK)
    }

    fn socket(&self, fd: u32, errno: Errno) -> Answer<i32> {
        answer(self.table.get(fd).and(Err(errno)).map_err(Fail::from))
    }
}

#[cfg(test)]
#[path = "wasi_tests.rs"]
mod tests;
