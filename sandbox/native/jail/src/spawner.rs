//! The spawner: first process of the container, single-threaded. It forks children when the keeper asks, and says when
//! they end. It never sees a program: images and packets go past it on the children's own sockets.

use crate::child::{self, Inheritance};
use crate::descriptors::{Received, receive, send};
use crate::namespaces::CONTROL;
use crate::options::{SpawnerOptions, Trade};
use crate::sys::{Failure, errno, exit_group, syscall};
use crate::workload::Workload;
use crate::{container, landlock, signals};
use gatebus_wire::spawner::{DATAGRAM_MAX, News, Order, Prepare, Usage};
use gatebus_wire::{Layers, status};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The spawner's life. The words come from the keeper.
pub(crate) fn main<W: Workload>(words: &[String]) -> ! {
    let Some(options) = SpawnerOptions::parse(words) else { broken("the spawner is started by the keeper only") };
    let standing = container::contain(&options).unwrap_or_else(|failure| broken(&failure.to_string()));
    quiet_panics();
    let workload = W::initialise().unwrap_or_else(|text| broken(&text));
    let mut spawner = Spawner::new(workload, options, standing).unwrap_or_else(|failure| broken(&failure.to_string()));
    loop {
        spawner.turn();
    }
}

/// The only word of a spawner that cannot be: the keeper shows it to the operator.
fn broken(text: &str) -> ! {
    let _ = send(CONTROL, &News::Broken { text: text.to_owned() }.encode(), &[], 0);
    exit_group(status::jail_step(0))
}

/// A panic says where it was and ends the process; unwinding would run code that nobody has thought about.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if !child::is_locked() {
            child::say(&panic.to_string());
        }
        exit_group(status::PANIC)
    }));
}

/// Orders that are taken before ends are looked for. Not after each: the look costs time per living child.
const ORDERS_BEFORE_ENDS: u32 = 8;

struct Spawner<W> {
    orders: u32,
    workload: W,
    inheritance: Inheritance,
    tokens: BTreeMap<libc::pid_t, u32>,
}

impl<W: Workload> Spawner<W> {
    /// Loses every privilege and says that it stands.
    fn new(workload: W, options: SpawnerOptions, mut standing: container::Standing) -> Result<Self, Failure> {
        let ruleset = if options.wanted.has(Layers::LANDLOCK) {
            let made = landlock::ruleset();
            standing.tried(Layers::LANDLOCK, &options, made.as_ref().map(|_| ()).map_err(|failure| *failure))?;
            made.ok()
        } else {
            None
        };
        if options.wanted.has(Layers::TSC) && options.trade == Trade::Programs {
            standing.tried(Layers::TSC, &options, can_close_precise_clock())?;
        }
        standing.on = standing.on.with(options.wanted.and(Layers::RLIMITS));
        let filter = child::ProgramFilter::new(workload.reservations())?;
        container::lose_privileges(&options, &mut standing)?;
        let ready = News::Ready { on: standing.on, missing: standing.missing, fingerprint: workload.fingerprint() };
        tell(&ready, &[]);
        let inheritance = Inheritance { layers: standing.on, ruleset, filter };
        Ok(Spawner { orders: 0, workload, inheritance, tokens: BTreeMap::new() })
    }

    fn turn(&mut self) {
        if signals::wait_readable_or_child(CONTROL) {
            self.take_order();
            self.orders += 1;
        } else {
            self.orders = ORDERS_BEFORE_ENDS;
        }
        // A readable socket hides the signal: without this, ends would wait as long as orders come.
        if self.orders >= ORDERS_BEFORE_ENDS {
            self.orders = 0;
            self.report_ended();
        }
    }

    fn take_order(&mut self) {
        let mut datagram = [0u8; DATAGRAM_MAX];
        let Ok(Received { length, descriptors, .. }) = receive(CONTROL, &mut datagram, 0) else { return };
        if length == 0 {
            exit_group(0); // the keeper is gone; the kernel ends everything in this pid namespace with us
        }
        match Order::decode(&datagram[..length]) {
            Ok(Order::Prepare(order)) => self.fork(order, descriptors),
            Ok(Order::Shift { token }) => self.shift(token, &descriptors),
            Err(_) => {}
        }
    }

    fn fork(&mut self, order: Prepare, descriptors: Vec<OwnedFd>) {
        match fork_with_pidfd() {
            Ok(Fork::Child) => child::live(&mut self.workload, order.class, descriptors, &self.inheritance),
            Ok(Fork::Parent { pid, pidfd }) => {
                self.tokens.insert(pid, order.token);
                tell(&News::Born { token: order.token }, &[pidfd.as_raw_fd()]);
            }
            Err(errno) => tell(&News::Unborn { token: order.token, errno }, &[]),
        }
    }

    /// The kernel checks the rights of who opened the descriptor, and reads the id in our own namespace.
    fn shift(&self, token: u32, descriptors: &[OwnedFd]) {
        let found = self.tokens.iter().find(|(_, own)| **own == token);
        if let (Some((pid, _)), Some(procs)) = (found, descriptors.first()) {
            let text = pid.to_string();
            // SAFETY: the text lives until the call returns. A child that is ending cannot be moved, and need not be.
            unsafe { libc::write(procs.as_raw_fd(), text.as_ptr().cast(), text.len()) };
        }
    }

    fn report_ended(&mut self) {
        while let Some((pid, wait_status, usage)) = wait_for_any() {
            if let Some(token) = self.tokens.remove(&pid) {
                tell(&News::Gone { token, wait_status, usage }, &[]);
            }
        }
    }
}

/// Waits for the keeper if it must; the keeper never waits for us, so this ends.
fn tell(news: &News, descriptors: &[RawFd]) {
    if send(CONTROL, &news.encode(), descriptors, 0).is_err() {
        exit_group(0);
    }
}

enum Fork {
    Child,
    Parent { pid: libc::pid_t, pidfd: OwnedFd },
}

/// A plain fork that also gives a descriptor of the child. The old call, because a filter can see its flags.
fn fork_with_pidfd() -> Result<Fork, i32> {
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has its own copy of this single-threaded process and goes on here; `pidfd` is
    // where the kernel writes in the parent.
    match unsafe { syscall!(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) } {
        0 => Ok(Fork::Child),
        pid if pid > 0 => {
            let pid = libc::pid_t::try_from(pid).map_err(|_| libc::EINVAL)?;
            // SAFETY: the kernel made it for us.
            Ok(Fork::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
        }
        _ => Err(errno()),
    }
}

fn wait_for_any() -> Option<(libc::pid_t, i32, Usage)> {
    let mut wait_status = 0;
    // SAFETY: an all-zero rusage is valid; both places are for the results.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &mut wait_status, libc::WNOHANG, &mut usage), usage)
    };
    let us = |time: libc::timeval| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0);
    let max_rss = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    let usage = Usage { user_us: us(usage.ru_utime), system_us: us(usage.ru_stime), max_rss };
    (pid > 0).then_some((pid, wait_status, usage))
}

/// arm64 has it only since Linux 6.12, other processors never: asked without changing anything.
fn can_close_precise_clock() -> Result<(), Failure> {
    let mut mode = 0i32;
    // SAFETY: `mode` is where the answer goes.
    let result = unsafe { syscall!(libc::SYS_prctl, libc::PR_GET_TSC, &raw mut mode, 0, 0, 0) };
    crate::sys::check("PR_GET_TSC", result).map(|_| ())
}
