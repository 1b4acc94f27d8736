//! What programs of the rehearsal do.

use crate::{attacks, flips, say};
use gatebus_jail::{CompileDescriptors, PACKET, sys};
use gatebus_wire::{Compile, Start};

/// Says hello and ends.
pub(crate) const HELLO: u32 = 0;
/// Says hello and ends with the next byte, or with the end of the socket.
pub(crate) const WAIT: u32 = 1;
/// Uses the processor for ever.
pub(crate) const SPIN: u32 = 2;
/// Touches all of its memory, page by page.
pub(crate) const TOUCH: u32 = 3;
/// Crashes natively.
pub(crate) const CRASH: u32 = 4;
/// Recurses until the stack ends.
pub(crate) const RECURSE: u32 = 5;
/// Panics.
pub(crate) const PANIC: u32 = 6;
/// Reads the coarse clock, then the precise one.
pub(crate) const CLOCK: u32 = 7;
/// Lists its open descriptors (without seccomp), its layers and its environment.
pub(crate) const LOOK: u32 = 8;
/// Panics before the lock.
pub(crate) const EARLY_PANIC: u32 = 9;
/// Blocks its timers' signals (without seccomp).
pub(crate) const STUBBORN: u32 = 10;
/// Before the lock it talks on and on to the keeper, then it says hello.
pub(crate) const NOISY: u32 = 11;
/// From here: attack number flags - ATTACK.
pub(crate) const ATTACK: u32 = 100;
/// From here: x86-64 call number flags - SWEEP, then 600 of i386 and 600 of x32.
pub(crate) const SWEEP: u32 = 1000;
/// From here: rows of the filter with one argument changed.
pub(crate) const FLIP: u32 = 4000;

/// What was found out before the lock.
pub(crate) struct Stage {
    pub(crate) memory: u64,
    pub(crate) size: u64,
    pub(crate) sibling: i32,
    pub(crate) spawner: i32,
    pub(crate) port: u16,
    pub(crate) flip: Option<flips::Arguments>,
    pub(crate) low: *mut u8,
}

impl Stage {
    pub(crate) fn prepare(start: &Start, memory: u64) -> Stage {
        let mut stage = Stage {
            memory,
            size: start.memory_limit,
            sibling: 0,
            spawner: 0,
            port: 0,
            flip: None,
            low: std::ptr::null_mut(),
        };
        if start.flags == EARLY_PANIC {
            panic!("before the lock");
        }
        if start.flags == NOISY {
            // SAFETY: 2 is the private socket; a buffer that lives until the call returns.
            (0..2000).for_each(|_| unsafe {
                libc::write(2, [b'x'; 200].as_ptr().cast(), 200);
            });
        }
        if (ATTACK..SWEEP).contains(&start.flags) {
            let mut targets = [0i32; 3];
            // SAFETY: a buffer of twelve bytes; a page below 4 GiB for calls that take pointers of 32 bits.
            unsafe {
                libc::read(PACKET, targets.as_mut_ptr().cast(), 12);
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | low_address();
                stage.low = libc::mmap(std::ptr::null_mut(), 4096, 3, flags, -1, 0).cast();
            }
            [stage.sibling, stage.spawner, _] = targets;
            stage.port = u16::try_from(targets[2]).unwrap_or(0);
        }
        if start.flags >= FLIP {
            stage.flip = flips::all(memory, start.memory_limit).into_iter().nth((start.flags - FLIP) as usize);
        }
        stage
    }
}

#[cfg(target_arch = "x86_64")]
fn low_address() -> i32 {
    libc::MAP_32BIT
}

#[cfg(not(target_arch = "x86_64"))]
fn low_address() -> i32 {
    0
}

fn hello() {
    say("hello\0\0\0");
}

pub(crate) fn play(start: &Start, stage: &Stage) -> ! {
    match start.flags {
        HELLO | NOISY => hello(),
        WAIT => {
            hello();
            let mut byte = 0u8;
            // SAFETY: one byte.
            unsafe { libc::read(PACKET, (&raw mut byte).cast(), 1) };
        }
        SPIN => loop {
            std::hint::spin_loop();
        },
        TOUCH => touch(stage),
        // SAFETY: it is meant to crash.
        CRASH => unsafe { std::ptr::null_mut::<u8>().write_volatile(1) },
        RECURSE => recurse(0),
        PANIC => panic!("after the lock"),
        CLOCK => clocks(),
        LOOK => look(),
        STUBBORN => loop {
            let every = u64::MAX;
            // SAFETY: blocks every signal (without seccomp), then waits.
            unsafe {
                libc::syscall(libc::SYS_rt_sigprocmask, 0u64, &raw const every, 0u64, 8u64);
                libc::poll(std::ptr::null_mut(), 0, 1000);
            }
        },
        number @ ATTACK..SWEEP => {
            let words = attacks::attack(number - ATTACK, stage);
            say(&words);
        }
        number @ SWEEP..FLIP => attacks::sweep(number - SWEEP),
        _ => stage.flip.iter().for_each(attacks::flip),
    }
    sys::exit_group(0)
}

fn touch(stage: &Stage) {
    // SAFETY: the mapping that was made for this, made accessible as a guest's memory is.
    unsafe {
        let size = usize::try_from(stage.size).unwrap_or(0);
        if libc::mprotect(stage.memory as *mut _, size, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            say("refused");
            return;
        }
        let mut sum = 0u64;
        for page in (0..size).step_by(4096) {
            let byte = (stage.memory as *mut u8).add(page);
            sum += u64::from(byte.read_volatile());
            byte.write_volatile(1);
        }
        say(if sum == 0 { "touched, was zero" } else { "touched, was not zero" });
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) {
    let room = [depth; 512];
    recurse(std::hint::black_box(room)[0] + 1);
}

fn clocks() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the results.
    unsafe {
        let coarse = libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time)
            + libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time);
        say(if coarse == 0 && time.tv_sec > 0 { "coarse" } else { "no coarse" });
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
    }
    say("precise");
}

fn look() {
    let mut words = String::new();
    for number in 0..1024 {
        // SAFETY: only asks.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0 {
            words += &format!("fd {number}\n");
        }
    }
    for (name, _) in std::env::vars_os() {
        words += &format!("env {}\n", name.to_string_lossy());
    }
    // SAFETY: only asks.
    unsafe {
        words += &format!("dumpable {}\n", libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0));
        words += &format!("session {}\n", i32::from(libc::getsid(0) == 1));
        words += &format!("tty {}\n", libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()));
        words += &format!("uid {}\n", libc::getuid());
        words += &format!("nnp {}\n", libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    }
    say(&words);
}

/// What a compile worker works in: taken before the lock, as the runtime's heap is. As much as its limit gives.
pub(crate) fn memory_of_a_worker(job: &Compile) -> &'static mut [u8] {
    let mut size = if job.flags == TOUCH { 512 << 20 } else { 4 << 20 };
    loop {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
        if memory != libc::MAP_FAILED {
            // SAFETY: it was just made, of this size, and is never given back.
            return unsafe { std::slice::from_raw_parts_mut(memory.cast(), size) };
        }
        size -= size / 8;
    }
}

/// COMPILE's flags say what the worker does.
pub(crate) fn compile(job: &Compile, fds: CompileDescriptors, memory: &mut [u8]) -> ! {
    let write = |fd: i32, bytes: &[u8]| {
        // SAFETY: a buffer that lives until the call returns.
        unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }
    };
    match job.flags {
        HELLO => {
            let mut source = [0u8; 64];
            // SAFETY: a buffer of this length.
            let count = unsafe { libc::pread(fds.wasm, source.as_mut_ptr().cast(), source.len(), 0) };
            memory.fill(1);
            write(fds.image, &source[..usize::try_from(count).unwrap_or(0)]);
            write(fds.facts, if memory[2 << 20] == 1 { b"{\"ok\": true}" } else { b"{\"ok\": false}" });
        }
        SPIN | WAIT => loop {
            std::hint::spin_loop();
        },
        TOUCH => {
            memory.fill(1);
            sys::exit_group(62) // all that its limit gave was not enough
        }
        // A file that is larger than allowed.
        _ => while write(fds.image, memory) > 0 {},
    }
    sys::exit_group(0)
}
