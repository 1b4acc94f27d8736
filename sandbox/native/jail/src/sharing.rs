//! The keeper's third part: what it does so that nobody's programs take the processors from others (shares.rs decides).

use super::{Child, Keeper};
use crate::cgroups::Mode;
use crate::shares::{Competitor, Shift};
use crate::sys::now_ms;
use gatebus_wire::spawner::Order;
use std::os::fd::{AsRawFd, RawFd};

impl Keeper {
    pub(super) fn share(&mut self, token: u32, account: u32) {
        let Some(child) = self.children.get(&token).filter(|_| self.groups.can_share()) else { return };
        let one = Competitor { token, since_ms: child.since_ms, low: child.low };
        if let Some(shift) = self.shares.share(now_ms(), one, account) {
            self.shift(shift);
        }
    }

    pub(super) fn look_at_shares(&mut self) {
        let now = now_ms();
        let due = self.shares.due(now);
        if due.is_empty() {
            return;
        }
        for token in due {
            if let Some(spent) = self.children.get_mut(&token).and_then(cpu_us) {
                self.shares.looked(now, token, spent);
            }
        }
        for shift in self.shares.shifts() {
            self.shift(shift);
        }
    }

    /// What fails is tried no second time: the program goes on as it was.
    fn shift(&mut self, shift: Shift) {
        match self.groups.mode() {
            Mode::V1 => self.order_shift(shift),
            Mode::V2 => self.weigh(shift),
            Mode::None => {}
        }
    }

    fn order_shift(&mut self, shift: Shift) {
        let Some(child) = self.children.get(&shift.token) else { return };
        let Ok(entrance) = self.groups.entrance(shift.account) else { return };
        let number = child.container;
        if let Some(one) = self.containers.get_mut(&number) {
            one.unsent.push_back((Order::Shift { token: shift.token }.encode(), vec![entrance]));
        }
        self.flush_orders(number);
    }

    /// The account's weight is divided among those of its programs that compute for long.
    fn weigh(&mut self, shift: Shift) {
        let Some(account) = shift.account else {
            return self.weigh_one(shift.token, 0);
        };
        let programs = self.shares.low(account);
        // Only when the number has doubled are the others written anew: a thousand that come one by one cost 2,000 writes.
        let all = programs.is_power_of_two();
        let tokens: Vec<u32> = self.shares.low_tokens(account).filter(|token| all || *token == shift.token).collect();
        for token in tokens {
            self.weigh_one(token, programs);
        }
    }

    fn weigh_one(&mut self, token: u32, programs: usize) {
        if let Some(group) = self.children.get_mut(&token).and_then(|child| child.group.as_mut()) {
            let _ = self.groups.weigh(group, programs);
        }
    }
}

/// CPU time since the child was made, its preparation included.
fn cpu_us(child: &mut Child) -> Option<u64> {
    let clock = match child.clock {
        Some(clock) => clock,
        None => *child.clock.insert(clock_of(child.pidfd.as_ref()?.as_raw_fd())?),
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is where the kernel writes. Should the process be gone and its id another's, a time that means
    // nothing is read: the spawner knows that its child has ended, and moves nobody.
    let done = unsafe { libc::clock_gettime(clock, &mut time) };
    let us = u64::try_from(time.tv_sec).ok()?.checked_mul(1_000_000)? + u64::try_from(time.tv_nsec / 1000).ok()?;
    (done == 0).then_some(us)
}

/// The clock of a process, by its id in our namespace: `Pid:` in what the kernel tells of a pidfd.
fn clock_of(pidfd: RawFd) -> Option<libc::clockid_t> {
    let pid = pid_of(pidfd)?;
    let mut clock = 0;
    // SAFETY: `clock` is where the number goes.
    let found = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    (found == 0).then_some(clock)
}

/// By its descriptor, in our namespace; none of a process that is gone.
pub(super) fn pid_of(pidfd: RawFd) -> Option<libc::pid_t> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}")).ok()?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<libc::pid_t>().ok())?;
    (pid > 0).then_some(pid)
}
