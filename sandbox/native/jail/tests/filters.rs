//! The final filter, from inside a program: every call number in three ways, and every row with wrong arguments.

mod common;
#[path = "../rehearsal/flips.rs"]
mod flips;
#[path = "common/rig.rs"]
mod rig;

use common::{Host, end, start};
use gatebus_wire::Layers;
use std::collections::BTreeSet;

const SWEEP: u32 = 1000;
const FLIP: u32 = 4000;
const NUMBERS: u32 = 600;
/// uretprobe and uprobe: the kernel lets them pass whatever a filter says (since 6.14 and 6.18). They do nothing
/// without a probe of the kernel's.
#[cfg(target_arch = "x86_64")]
const PAST_EVERY_FILTER: [u32; 2] = [335, 336];

/// How many run at once; each needs a fresh process.
const FLIGHT: usize = 8;

/// Runs a program per flag, and gives back how each ended.
fn ends(host: &mut Host, flags: impl Iterator<Item = u32>) -> Vec<(u32, i32)> {
    let mut running = std::collections::VecDeque::new();
    let mut all = Vec::new();
    let mut collect =
        |host: &mut Host, (flag, program): (u32, common::Program)| all.push((flag, end(&host.end_of(&program))));
    for flag in flags {
        let program = host.start(start(flag));
        running.push_back((flag, program));
        if running.len() > FLIGHT {
            let first = running.pop_front().expect("one");
            collect(host, first);
        }
    }
    running.into_iter().for_each(|one| collect(host, one));
    all
}

#[cfg(target_arch = "x86_64")]
#[test]
fn of_all_calls_only_the_allowed_ones_pass_in_any_of_three_ways() {
    let mut host = rig::host(&[]);
    if !rig::has(&host, Layers::SECCOMP) {
        return;
    }
    let passed = ends(&mut host, SWEEP..SWEEP + 3 * NUMBERS).into_iter().filter(|(_, end)| *end != -libc::SIGSYS);
    let passed: BTreeSet<u32> = passed.map(|(flag, _)| flag - SWEEP).collect();
    // write, read and mprotect are killed for their arguments: the flips show that they are allowed with others.
    let allowed: BTreeSet<u32> = [libc::SYS_rt_sigreturn, libc::SYS_exit_group, libc::SYS_ppoll, libc::SYS_sched_yield]
        .map(|call| u32::try_from(call).expect("small"))
        .into();
    let surplus: BTreeSet<u32> = passed.difference(&allowed).copied().collect();
    assert!(allowed.is_subset(&passed), "{passed:?}");
    assert!(surplus.is_subset(&PAST_EVERY_FILTER.into()), "{surplus:?}");
}

#[test]
fn every_row_passes_with_right_arguments_and_kills_with_a_wrong_one() {
    let mut host = rig::host(&[]);
    if !rig::has(&host, Layers::SECCOMP) {
        return;
    }
    let all = flips::all(0x7000_0000_0000, 16 << 20); // the attacker has other addresses, and as many
    let count = u32::try_from(all.len()).expect("small");
    for (flag, end) in ends(&mut host, FLIP..FLIP + count) {
        let case = &all[usize::try_from(flag - FLIP).expect("small")];
        let expected = if case.good { i32::from(flips::ALIVE) } else { -libc::SIGSYS };
        assert_eq!(end, expected, "{}", case.name);
    }
    assert_eq!(all.iter().filter(|case| case.good).count(), 4, "write, read, ppoll, mprotect");
}

#[test]
fn the_filters_compare_the_architecture_before_they_look_at_the_number() {
    let arch = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
    let program = gatebus_jail::seccomp::program(&[]);
    for filter in [
        gatebus_jail::seccomp::stage_0(),
        gatebus_jail::seccomp::stage_0_compile(),
        gatebus_jail::seccomp::compile(),
        program,
    ] {
        let filter = filter.expect("built");
        let first: Vec<_> = filter[..4].iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect();
        // load arch; equal: skip the kill; kill the process; load the number
        assert_eq!(first, [(0x20, 0, 0, 4), (0x15, 1, 0, arch), (0x06, 0, 0, 0x8000_0000), (0x20, 0, 0, 0)]);
        assert_eq!(
            filter.last().map(|one| (one.code, one.k)),
            Some((0x06, 0x8000_0000)),
            "what no row allows is killed"
        );
    }
}

/// The flips are made from the rows, so they cannot miss a condition that somebody has taken out. This can.
#[test]
fn the_programs_rows_have_exactly_these_conditions() {
    use gatebus_jail::filters::{Check::AtMost, Check::Int, Check::IntAtMost, PROGRAM};
    let rows: Vec<_> = PROGRAM.iter().map(|rule| (rule.call, rule.checks.to_vec())).collect();
    let expected = vec![
        (libc::SYS_write, vec![Int(0, 4), AtMost(2, 65_536)]),
        (libc::SYS_read, vec![Int(0, 4), AtMost(2, 65_536)]),
        (libc::SYS_ppoll, vec![IntAtMost(1, 1), AtMost(4, 8)]),
        (libc::SYS_sched_yield, vec![]),
        (libc::SYS_rt_sigreturn, vec![]),
        (libc::SYS_exit_group, vec![]),
    ];
    assert_eq!(rows, expected);
}

/// The same for mprotect, whose conditions are made from addresses: what each of them stops, written out.
#[test]
fn memory_is_grown_only_inside_and_only_readable_and_writable() {
    let (start, length) = (0x7000_0000_0000u64, 16u64 << 20);
    let filter = gatebus_jail::seccomp::program(std::slice::from_ref(&(start..start + length))).expect("built");
    let allowed = |address, size, access| run(&filter, libc::SYS_mprotect, [address, size, access, 0, 0, 0]);
    assert!(allowed(start, length, 3) && allowed(start + 4096, 4096, 3));
    for (address, size, access) in [
        (start - 4096, 4096, 3),
        (start + length + 4096, 4096, 3),
        (start & 0xffff_ffff, 4096, 3),
        (start, length + 4096, 3),
        (start, 4096 | 1 << 40, 3),
        (start, 4096, 7),
        (start, 4096, 5),
        (start, 4096, 1),
        (start, 4096, 3 | 1 << 32),
    ] {
        assert!(!allowed(address, size, access), "mprotect({address:#x}, {size:#x}, {access:#x})");
    }
}

/// What the kernel does with a filter: a machine with one register, the words of a call, and jumps forward.
fn run(filter: &[seccompiler::sock_filter], call: i64, arguments: [u64; 6]) -> bool {
    let arch = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
    let mut words = vec![u32::try_from(call).expect("small"), arch, 0, 0];
    words.extend(
        arguments
            .iter()
            .flat_map(|value| [*value, value >> 32].map(|half| u32::try_from(half & 0xffff_ffff).expect("a half"))),
    );
    let (mut at, mut register) = (0usize, 0u32);
    loop {
        let one = &filter[at];
        let jump = |taken: bool| usize::from(if taken { one.jt } else { one.jf });
        at += 1;
        match one.code {
            0x20 => register = words[(one.k / 4) as usize],
            0x54 => register &= one.k,
            0x05 => at += one.k as usize,
            0x15 => at += jump(register == one.k),
            0x25 => at += jump(register > one.k),
            0x35 => at += jump(register >= one.k),
            0x06 => return one.k == 0x7fff_0000,
            code => panic!("an instruction that nobody expects: {code:#x}"),
        }
    }
}

#[test]
fn every_row_has_a_reason_and_the_forbidden_calls_are_in_none() {
    use gatebus_jail::filters::{COMPILE, PROGRAM, STAGE_0};
    let forbidden = [
        libc::SYS_openat,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_kill,
        libc::SYS_tgkill,
        libc::SYS_memfd_create,
        libc::SYS_clone3,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_process_vm_readv,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_shmat,
    ];
    for rule in PROGRAM.iter().chain(STAGE_0).chain(COMPILE) {
        assert!(!rule.reason.is_empty(), "{}", rule.name);
        assert!(!forbidden.contains(&rule.call), "{}", rule.name);
    }
    assert_eq!(PROGRAM.len() + 1, 7, "seven calls with mprotect");
}
