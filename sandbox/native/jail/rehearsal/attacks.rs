//! Native attackers in the guest's place: what somebody tries who has escaped from the engine.
//!
//! Each says `works ...` or `refused ERRNO`; most are killed before they can say anything.

use crate::acts::Stage;
use crate::flips;
use gatebus_jail::sys;
use libc::{c_long, syscall};

/// What is tried, in the order of the table below.
pub(crate) const NAMES: &[&str] = &[
    "open /etc/passwd",
    "socket inet",
    "connect 127.0.0.1",
    "fork",
    "run /bin/sh",
    "ptrace spawner",
    "signal spawner",
    "mount tmpfs",
    "int 0x80 chmod",
    "read sibling's memory",
    "become dumpable",
    "run a memfd",
    "io_uring",
    "bpf",
    "userfaultfd",
    "user namespace and mount",
    "map writable code",
    "signal sibling",
    "connect abstract socket",
    "mkdir /x",
    "ptrace sibling",
    "open /proc/1/mem",
    "perf_event_open",
    "raise a limit",
    "socketpair",
    "read inherited keyring",
    "use 2 GiB",
    "take capabilities",
    "kill sibling",
    "make code writable",
    "make data executable",
    "write to descriptor 3",
    "read the precise clock",
    "set the host name",
];

/// An address that is there before the lock, to be read by siblings.
static SECRET: u64 = 0x1122_3344_5566_7788;
#[cfg(target_arch = "x86_64")]
const WORKS: &[u8] = include_bytes!("works.elf");

macro_rules! call {
    ($number:expr $(, $argument:expr)*) => { syscall($number as c_long $(, $argument as u64)*) };
}

fn verdict(result: i64) -> String {
    if result < 0 { refused() } else { format!("works ({result})") }
}

fn refused() -> String {
    format!("refused {}", sys::errno())
}

pub(crate) fn attack(number: u32, stage: &Stage) -> String {
    let sibling = i64::from(stage.sibling);
    let spawner = i64::from(stage.spawner);
    // SAFETY: this process is meant to do damage; every pointer that the kernel gets is a constant or a local.
    unsafe {
        match number {
            0 => verdict(call!(libc::SYS_openat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), 0)),
            1 => verdict(call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)),
            2 => connect_loopback(stage.port),
            3 => fork(),
            4 => run_shell(),
            5 => verdict(call!(libc::SYS_ptrace, libc::PTRACE_SEIZE, spawner, 0, 0)),
            6 => verdict(call!(libc::SYS_kill, spawner, 0)),
            7 => verdict(call!(libc::SYS_mount, c"t".as_ptr(), c"/".as_ptr(), c"tmpfs".as_ptr(), 0, 0)),
            8 => old_chmod(stage.low),
            9 => read_memory(sibling),
            10 => verdict(call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)),
            11 => run_memfd(),
            12 => verdict(call!(libc::SYS_io_uring_setup, 8, [0u64; 15].as_mut_ptr())),
            13 => verdict(call!(
                libc::SYS_bpf,
                0,
                [0x0000_0004_0000_0002u64, 0x0000_0001_0000_0004, 0, 0, 0, 0, 0, 0, 0].as_ptr(),
                72
            )),
            14 => verdict(call!(libc::SYS_userfaultfd, 1)),
            15 => nested_mount(),
            16 => verdict(call!(libc::SYS_mmap, 0, 4096, 7, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1i64, 0)),
            17 => verdict(call!(libc::SYS_kill, sibling, 0)),
            18 => connect_abstract(stage.port),
            19 => verdict(call!(libc::SYS_mkdirat, libc::AT_FDCWD, c"/x".as_ptr(), 0o700)),
            20 => verdict(call!(libc::SYS_ptrace, libc::PTRACE_SEIZE, sibling, 0, 0)),
            21 => verdict(call!(libc::SYS_openat, libc::AT_FDCWD, c"/proc/1/mem".as_ptr(), libc::O_RDWR)),
            22 => verdict(call!(
                libc::SYS_perf_event_open,
                [1u64 | 128 << 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].as_ptr(),
                0,
                -1i64,
                -1i64,
                0
            )),
            23 => raise_limit(),
            24 => verdict(call!(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, [0u64; 1].as_mut_ptr())),
            25 => read_keyring(),
            26 => use_two_gibibytes(),
            27 => verdict(call!(libc::SYS_capset, [0x2008_0522u32, 0].as_ptr(), [!0u32; 6].as_ptr())),
            28 => verdict(call!(libc::SYS_kill, sibling, libc::SIGKILL)),
            29 => verdict(call!(libc::SYS_mprotect, (libc::getaddrinfo as *const () as usize) & !4095, 4096, 3)),
            30 => verdict(call!(libc::SYS_mprotect, stage.low, 4096, 5)),
            31 => verdict(call!(libc::SYS_write, 3, c"x".as_ptr(), 1)),
            32 => precise_clock(),
            33 => verdict(call!(libc::SYS_sethostname, c"x".as_ptr(), 1)),
            _ => "none".to_owned(),
        }
    }
}

unsafe fn connect_loopback(port: u16) -> String {
    // SAFETY: as in `attack`.
    unsafe {
        let socket = call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0);
        let address = libc::sockaddr_in {
            sin_family: 2,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: 0x0100_007f },
            sin_zero: [0; 8],
        };
        verdict(call!(libc::SYS_connect, socket, &raw const address, 16))
    }
}

unsafe fn fork() -> String {
    // SAFETY: as in `attack`.
    let child = unsafe { call!(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        sys::exit_group(0);
    }
    verdict(child)
}

unsafe fn run_shell() -> String {
    let words = [c"sh".as_ptr(), c"-c".as_ptr(), c"printf works >&4".as_ptr(), std::ptr::null()];
    // SAFETY: as in `attack`.
    unsafe { verdict(call!(libc::SYS_execve, c"/bin/sh".as_ptr(), words.as_ptr(), 0)) }
}

#[cfg(target_arch = "x86_64")]
unsafe fn run_memfd() -> String {
    // SAFETY: as in `attack`.
    unsafe {
        let memfd = call!(libc::SYS_memfd_create, c"x".as_ptr(), 0x10);
        if memfd < 0 || call!(libc::SYS_write, memfd, WORKS.as_ptr(), WORKS.len()) < 0 {
            return refused();
        }
        let words = [c"x".as_ptr(), std::ptr::null()];
        verdict(call!(libc::SYS_execveat, memfd, c"".as_ptr(), words.as_ptr(), 0, libc::AT_EMPTY_PATH))
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn run_memfd() -> String {
    "none".to_owned()
}

/// i386's number 15 is chmod; x86-64's is rt_sigreturn, which every filter here allows.
#[cfg(target_arch = "x86_64")]
unsafe fn old_chmod(low: *mut u8) -> String {
    // SAFETY: as in `attack`; `low` is a page of ours below 4 GiB.
    unsafe {
        std::ptr::copy_nonoverlapping(c"/".as_ptr().cast(), low, 2);
        let result: i64;
        std::arch::asm!("push rbx", "mov rbx, {path}", "int 0x80", "pop rbx", path = in(reg) low, inlateout("rax") 15i64 => result,
            in("rcx") 0o777i64, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        let [a, b, c, d, ..] = result.to_le_bytes(); // the upper half says nothing
        let result = i32::from_le_bytes([a, b, c, d]);
        if (-4095..0).contains(&result) { format!("refused {}", -result) } else { "works".to_owned() }
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn old_chmod(_: *mut u8) -> String {
    "none".to_owned()
}

unsafe fn read_memory(process: i64) -> String {
    let mut found = 0u64;
    let local = libc::iovec { iov_base: (&raw mut found).cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: (&raw const SECRET).cast_mut().cast(), iov_len: 8 };
    // SAFETY: as in `attack`.
    unsafe { verdict(call!(libc::SYS_process_vm_readv, process, &raw const local, 1, &raw const remote, 1, 0)) }
}

unsafe fn nested_mount() -> String {
    // SAFETY: as in `attack`.
    unsafe {
        if call!(libc::SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS) < 0 {
            return refused();
        }
        verdict(call!(libc::SYS_mount, c"t".as_ptr(), c"/".as_ptr(), c"tmpfs".as_ptr(), 0, 0))
    }
}

unsafe fn connect_abstract(port: u16) -> String {
    let name = format!("gatebus-jail-test-{port:05}");
    // SAFETY: as in `attack`; an all-zero address is valid.
    unsafe {
        let socket = call!(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = 1;
        for (place, byte) in address.sun_path.iter_mut().skip(1).zip(name.bytes()) {
            *place = byte as libc::c_char;
        }
        verdict(call!(libc::SYS_connect, socket, &raw const address, 3 + name.len()))
    }
}

unsafe fn raise_limit() -> String {
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: as in `attack`.
    unsafe { verdict(call!(libc::SYS_prlimit64, 0, libc::RLIMIT_NPROC, &raw const limit, 0)) }
}

/// The session keyring that whoever started the host has; the spawner joined one of its own.
unsafe fn read_keyring() -> String {
    let kind = c"user".as_ptr();
    // SAFETY: as in `attack`. 10 is KEYCTL_SEARCH, -3 the session keyring.
    unsafe { verdict(call!(libc::SYS_keyctl, 10, -3i64, kind, c"gatebus-jail-test".as_ptr(), 0)) }
}

unsafe fn use_two_gibibytes() -> String {
    for _ in 0..128 {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: as in `attack`.
        if unsafe { call!(libc::SYS_mmap, 0, 16 << 20, 3, flags, -1i64, 0) } < 0 {
            return refused();
        }
    }
    "works".to_owned()
}

#[cfg(target_arch = "x86_64")]
unsafe fn precise_clock() -> String {
    // SAFETY: reads a counter.
    format!("works ({})", i32::from(unsafe { std::arch::x86_64::_rdtsc() } > 0))
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn precise_clock() -> String {
    "none".to_owned()
}

/// One system call with harmless arguments; the process lives on if the filter lets it pass.
pub(crate) fn sweep(number: u32) {
    let (way, number) = (number / 600, i64::from(number % 600));
    // SAFETY: arguments that no call can do anything with.
    unsafe {
        match way {
            0 => syscall(number, -1i64, 0i64, 0i64, 0i64, 0i64, 0i64),
            1 => old_call(number),
            _ => syscall(0x4000_0000 | number, -1i64, 0i64, 0i64, 0i64, 0i64, 0i64),
        }
    };
    sys::exit_group(flips::ALIVE)
}

#[cfg(target_arch = "x86_64")]
unsafe fn old_call(number: i64) -> i64 {
    let result: i64;
    // SAFETY: as in `sweep`.
    unsafe {
        std::arch::asm!("push rbx", "mov rbx, -1", "int 0x80", "pop rbx", inlateout("rax") number => result, in("rcx") 0i64, in("rdx") 0i64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn old_call(_: i64) -> i64 {
    sys::exit_group(0)
}

/// One call of the final filter, with its arguments right or one of them wrong.
pub(crate) fn flip(arguments: &flips::Arguments) {
    let [a, b, c, d, e, f] = arguments.values;
    // SAFETY: arguments that do nothing: no bytes, no descriptors, memory of ours.
    unsafe { syscall(arguments.call, a, b, c, d, e, f) };
    sys::exit_group(flips::ALIVE)
}
