//! Rows of `filters.rs` as programs of the kernel. The crate `seccompiler` writes them; what we rely on is tested: the
//! architecture is compared before the number is looked at, and everything that no row allows kills the process.

use crate::filters::{COMPILE, Check, GROW, PROGRAM, Rule, STAGE_0};
use crate::sys::{Failure, check, syscall};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// More memories than a module may have (8): a bound for the filter's size.
const RESERVATIONS_MAX: usize = 32;

/// Spawner and prepared children of programs.
pub fn stage_0() -> Result<BpfProgram, Failure> {
    build(rows(STAGE_0))
}

/// Spawner and prepared children of compile workers.
pub fn stage_0_compile() -> Result<BpfProgram, Failure> {
    build(rows(STAGE_0).chain(rows(COMPILE)))
}

/// Compile workers.
pub fn compile() -> Result<BpfProgram, Failure> {
    build(rows(COMPILE))
}

/// Programs: `mprotect(READ|WRITE)` within the memories, and six calls.
pub fn program(reservations: &[Range<u64>]) -> Result<BpfProgram, Failure> {
    if reservations.len() > RESERVATIONS_MAX {
        return Err(Failure { what: "more memories than the filter takes", errno: libc::E2BIG });
    }
    let grow = reservations.iter().map(|range| {
        let inside = [
            Check::AtLeast(0, range.start),
            Check::AtMost(0, range.end),
            Check::AtMost(1, range.end - range.start),
            GROW,
        ];
        (libc::SYS_mprotect, inside.to_vec())
    });
    build(rows(PROGRAM).chain(grow))
}

fn rows(rules: &'static [Rule]) -> impl Iterator<Item = (libc::c_long, Vec<Check>)> {
    rules.iter().map(|rule| (rule.call, rule.checks.to_vec()))
}

fn build(rows: impl Iterator<Item = (libc::c_long, Vec<Check>)>) -> Result<BpfProgram, Failure> {
    let refused = |_| Failure { what: "build filter", errno: libc::EINVAL };
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut unconditional = Vec::new();
    for (call, checks) in rows {
        let chain = calls.entry(call).or_default();
        if checks.is_empty() {
            unconditional.push(call);
            continue;
        }
        let conditions: Result<Vec<_>, _> = checks.iter().map(condition).collect();
        chain.push(SeccompRule::new(conditions.map_err(refused)?).map_err(refused)?);
    }
    for call in unconditional {
        calls.insert(call, Vec::new()); // an empty chain allows the call whatever its arguments
    }
    let filter = SeccompFilter::new(calls, SeccompAction::KillProcess, SeccompAction::Allow, ARCH).map_err(refused)?;
    filter.try_into().map_err(refused)
}

fn condition(check: &Check) -> Result<SeccompCondition, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let (argument, width, operator, value) = match *check {
        Check::Int(argument, value) => (argument, Dword, SeccompCmpOp::Eq, value.into()),
        Check::IntAtMost(argument, value) => (argument, Dword, SeccompCmpOp::Le, value.into()),
        Check::Is(argument, value) => (argument, Qword, SeccompCmpOp::Eq, value),
        Check::AtMost(argument, value) => (argument, Qword, SeccompCmpOp::Le, value),
        Check::AtLeast(argument, value) => (argument, Qword, SeccompCmpOp::Ge, value),
        Check::NoBits(argument, bits) => (argument, Qword, SeccompCmpOp::MaskedEq(bits), 0),
    };
    SeccompCondition::new(argument, width, operator, value)
}

/// Installs a program in this process, and in everything it forks. no_new_privs is set already. Raw, because the
/// crate's own function would set it again, by a call that stage 0 forbids.
pub(crate) fn install(program: &BpfProgram) -> Result<(), Failure> {
    let length = u16::try_from(program.len()).map_err(|_| Failure { what: "filter length", errno: libc::E2BIG })?;
    let header = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the crate's sock_filter has the kernel's layout (repr(C), same fields), and `program` outlives the call.
    let result = unsafe { syscall!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const header) };
    check("seccomp", result).map(|_| ())
}
