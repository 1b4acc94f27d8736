//! Whose programs compute on a small share of the processors: decisions only, no I/O, no clock.
//!
//! In: which programs compete (the host says so, and on whose account, only while there is somebody else), how much CPU
//! time each has had. Out: who goes to the group of its account, and who comes back.
//!
//! A program has a bucket: CPU time fills it, time empties it slowly. When it is full, the program computes for long and
//! goes to the group of its account, which weighs little however many programs are in it; when it is empty again, the
//! program comes back. An account has a bucket, too: of one that is full, programs go as soon as they have
//! computed at all, or many short ones in a row would do what few long ones cannot.

use std::collections::{BTreeMap, HashMap};

/// Between two looks. Some of the kernel's slices (2.8 ms); as long as a person does not notice.
const LOOK_MS: u64 = 20;
/// Programs that are looked at each time, in turn: a look is a system call of 1 us.
const LOOKS: usize = 64;
/// Moves each time: every one makes the spawner wait for the kernel, and children are made in between.
const SHIFTS: usize = 4;

/// A program: a call of the interpreter takes 5 ms, so that 20 are no short one. 2 ms a second is what an idle one uses,
/// and the least that one of a thousand which compute gets.
const PROGRAM: Measure = Measure { full_us: 20_000, most_us: 40_000, drain_per_ms: 2 };
/// An account: a quarter of one processor, over a second.
const ACCOUNT: Measure = Measure { full_us: 250_000, most_us: 500_000, drain_per_ms: 250 };
/// Of an account whose bucket is full.
const SHORT_US: u64 = 2_000;

#[derive(Debug, Clone, Copy)]
struct Measure {
    full_us: u64,
    most_us: u64,
    drain_per_ms: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    level_us: u64,
    at_ms: u64,
}

impl Bucket {
    fn put(&mut self, measure: &Measure, now_ms: u64, us: u64) {
        let gone = now_ms.saturating_sub(self.at_ms).saturating_mul(measure.drain_per_ms);
        self.level_us = self.level_us.saturating_add(us).saturating_sub(gone).min(measure.most_us);
        self.at_ms = now_ms;
    }
}

/// A child with a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Competitor {
    pub(crate) token: u32,
    /// When it was started.
    pub(crate) since_ms: u64,
    /// It was started where those compute who have had more than their part.
    pub(crate) low: bool,
}

#[derive(Debug)]
struct Member {
    account: u32,
    /// Computed so long it goes when its account's bucket is full.
    short_us: u64,
    cpu_us: u64,
    bucket: Bucket,
    low: bool,
}

/// What is to be done with a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) token: u32,
    /// Whose group it goes to; `None`: it comes back.
    pub(crate) account: Option<u32>,
}

/// The programs that compete.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    members: BTreeMap<u32, Member>,
    accounts: HashMap<u32, Bucket>,
    last: u32,
    next_ms: Option<u64>,
}

impl Shares {
    /// It competes from now on, on this account; 0: no longer.
    pub(crate) fn share(&mut self, now_ms: u64, one: Competitor, account: u32) -> Option<Shift> {
        let token = one.token;
        if account == 0 {
            let member = self.members.remove(&token)?;
            return member.low.then_some(Shift { token, account: None });
        }
        let bucket = Bucket { level_us: 0, at_ms: one.since_ms };
        // A move costs more than a short program of those that are low already can take from others.
        let short_us = if one.low { PROGRAM.full_us } else { SHORT_US };
        self.members.entry(token).or_insert(Member { account, short_us, cpu_us: 0, bucket, low: false });
        self.accounts.entry(account).or_insert(Bucket { level_us: 0, at_ms: now_ms });
        self.next_ms.get_or_insert(now_ms + 1);
        None
    }

    /// Its process is gone, after this much CPU time in all.
    pub(crate) fn gone(&mut self, now_ms: u64, token: u32, cpu_us: u64) {
        let Some(member) = self.members.remove(&token) else { return };
        self.charge(now_ms, member.account, cpu_us.saturating_sub(member.cpu_us));
    }

    /// When the next look is due.
    pub(crate) fn next_look(&self) -> Option<u64> {
        self.next_ms
    }

    /// Whose CPU time is wanted now; nobody's before it is due.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<u32> {
        if self.next_ms.is_none_or(|due| due > now_ms) {
            return Vec::new();
        }
        self.next_ms = (!self.members.is_empty()).then_some(now_ms + LOOK_MS);
        let accounts: Vec<u32> = self.members.values().map(|member| member.account).collect();
        self.accounts.retain(|account, _| accounts.contains(account));
        let after = self.members.range(self.last.saturating_add(1)..);
        let tokens: Vec<u32> =
            after.chain(self.members.range(..=self.last)).map(|(token, _)| *token).take(LOOKS).collect();
        self.last = tokens.last().copied().unwrap_or(0);
        tokens
    }

    /// It has had this much CPU time since it was made.
    pub(crate) fn looked(&mut self, now_ms: u64, token: u32, cpu_us: u64) {
        let Some(member) = self.members.get_mut(&token) else { return };
        let more = cpu_us.saturating_sub(member.cpu_us);
        member.cpu_us = member.cpu_us.max(cpu_us);
        member.bucket.put(&PROGRAM, now_ms, more);
        let account = member.account;
        self.charge(now_ms, account, more);
    }

    fn charge(&mut self, now_ms: u64, account: u32, us: u64) {
        if let Some(bucket) = self.accounts.get_mut(&account) {
            bucket.put(&ACCOUNT, now_ms, us);
        }
    }

    /// Who must move now; each is told once.
    pub(crate) fn shifts(&mut self) -> Vec<Shift> {
        let mut shifts = Vec::new();
        for (token, member) in &mut self.members {
            let over = self.accounts.get(&member.account).is_some_and(|bucket| bucket.level_us >= ACCOUNT.full_us);
            let full = if over { member.short_us } else { PROGRAM.full_us };
            let low = member.bucket.level_us >= full || (member.low && member.bucket.level_us > 0);
            if low != member.low && shifts.len() < SHIFTS {
                member.low = low;
                shifts.push(Shift { token: *token, account: low.then_some(member.account) });
            }
        }
        shifts
    }

    /// How many programs of this account are low.
    pub(crate) fn low(&self, account: u32) -> usize {
        self.members.values().filter(|member| member.low && member.account == account).count()
    }

    /// Those of an account that are low.
    pub(crate) fn low_tokens(&self, account: u32) -> impl Iterator<Item = u32> {
        self.members.iter().filter(move |(_, one)| one.low && one.account == account).map(|(token, _)| *token)
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
