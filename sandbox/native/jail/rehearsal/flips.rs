//! Each row of the program's filter with right arguments, and with one of them wrong. Made from the rows themselves, by
//! the attacker and by the test, so that a new row is tested without anybody thinking of it.
#![allow(dead_code, unreachable_pub, missing_docs)] // each user needs another part

use gatebus_jail::filters::{Check, PROGRAM};

/// Exit status of a process that was let through.
pub const ALIVE: u8 = 55;

/// One call.
#[derive(Debug, Clone)]
pub struct Arguments {
    pub name: String,
    pub call: i64,
    pub values: [u64; 6],
    /// Whether the filter must let it through.
    pub good: bool,
}

/// All of them, for a guest memory at this address.
pub fn all(memory: u64, size: u64) -> Vec<Arguments> {
    let grow = [Check::AtLeast(0, memory), Check::AtMost(0, memory + size), Check::AtMost(1, size), Check::Is(2, 3)];
    let rows =
        PROGRAM.iter().filter(|rule| !rule.checks.is_empty()).map(|rule| (rule.name, rule.call, rule.checks.to_vec()));
    let rows = rows.chain([("mprotect", libc::SYS_mprotect, grow.to_vec())]);
    rows.flat_map(|(name, call, checks)| of_row(name, call, &checks)).collect()
}

fn of_row(name: &str, call: i64, checks: &[Check]) -> Vec<Arguments> {
    let mut good = [1u64; 6]; // no pointer: a call that follows one fails at once
    for check in checks {
        match *check {
            Check::Int(at, value) => good[usize::from(at)] = value.into(),
            Check::Is(at, value) | Check::AtLeast(at, value) => good[usize::from(at)] = value,
            Check::IntAtMost(at, _) | Check::AtMost(at, _) | Check::NoBits(at, _) if good[usize::from(at)] == 1 => {
                good[usize::from(at)] = 0
            }
            Check::IntAtMost(..) | Check::AtMost(..) | Check::NoBits(..) => {}
        }
    }
    let mut all = vec![Arguments { name: name.to_owned(), call, values: good, good: true }];
    for check in checks {
        for (at, value) in wrong(*check) {
            let mut values = good;
            values[usize::from(at)] = value;
            all.push(Arguments { name: format!("{name} with argument {at} = {value:#x}"), call, values, good: false });
        }
    }
    all
}

/// Values that break a condition: just outside, far outside, and outside only in the upper half.
fn wrong(check: Check) -> Vec<(u8, u64)> {
    match check {
        Check::Int(at, value) => {
            vec![(at, u64::from(value) + 1), (at, u64::from(value) + 1_000_000), (at, u64::from(!value))]
        }
        Check::IntAtMost(at, value) => vec![(at, u64::from(value) + 1), (at, 0xffff_ffff)],
        Check::Is(at, value) => vec![(at, value + 1), (at, value | 4), (at, value | 1 << 32), (at, 0)],
        Check::AtMost(at, value) => vec![(at, value + 1), (at, value | 1 << 63), (at, u64::MAX)],
        Check::AtLeast(at, value) => vec![(at, value - 1), (at, value & 0xffff_ffff), (at, 0)],
        Check::NoBits(at, bits) => vec![(at, bits), (at, u64::MAX)],
    }
}
