//! The container's namespaces, seen from outside: the keeper makes a process in them and gives it its id.

use crate::capabilities::become_id;
use crate::descriptors::{place, seqpacket_pair};
use crate::options::SpawnerOptions;
use crate::sys::{Failure, check, exit_group, syscall};
use gatebus_wire::{Layers, status};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The spawner's socket to the keeper.
pub(crate) const CONTROL: RawFd = 3;

/// Ids that own nothing, tried in this order when we may choose: one far above what systems give to people and
/// services, then `nobody`.
const FOREIGN_IDS: [u32; 2] = [200_000, 65_534];

/// Half of all memory is added to what the kernel thinks a program uses; raising needs no right.
const OOM_SCORE: &str = "500";

const FLAGS: &[(Layers, i32)] = &[
    (Layers::USER, libc::CLONE_NEWUSER),
    (Layers::PID, libc::CLONE_NEWPID),
    (Layers::MOUNT, libc::CLONE_NEWNS),
    (Layers::NETWORK, libc::CLONE_NEWNET),
    (Layers::IPC, libc::CLONE_NEWIPC),
    (Layers::UTS, libc::CLONE_NEWUTS),
    (Layers::CGROUP_NAMESPACE, libc::CLONE_NEWCGROUP),
];

/// A process that will be the spawner, seen by the keeper.
#[derive(Debug)]
pub(crate) struct Container {
    /// Its process, for waiting.
    pub(crate) pid: libc::pid_t,
    /// Its process, for killing; ends with it.
    pub(crate) pidfd: OwnedFd,
    /// Its socket.
    pub(crate) control: OwnedFd,
}

#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

fn namespace_flags(layers: Layers) -> u64 {
    let wanted = FLAGS.iter().filter(|(layer, _)| layers.has(*layer));
    wanted.fold(0, |flags, (_, flag)| flags | u64::from(flag.cast_unsigned()))
}

/// Makes the namespaces and starts this executable in them as `spawner`.
pub(crate) fn start(options: &SpawnerOptions) -> Result<Container, Failure> {
    let (ours, theirs) = seqpacket_pair()?;
    let command = Command::new(options);
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArguments {
        flags: namespace_flags(options.wanted) | u64::from(libc::CLONE_PIDFD.cast_unsigned()),
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArguments::default()
    };
    // SAFETY: without CLONE_VM the child has its own copy of this single-threaded process; `arguments` is valid for
    // the size that is named.
    let pid = unsafe { syscall!(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArguments>()) };
    let pid = check("new namespaces", pid)?;
    if pid == 0 {
        // Our copy of the keeper's end would hide its closing: a keeper that fails now would leave us waiting for ever.
        drop(ours);
        become_spawner(options, theirs.as_raw_fd(), &command);
    }
    let pid = libc::pid_t::try_from(pid).map_err(|_| Failure::now("new namespaces"))?;
    // SAFETY: the kernel wrote the descriptor that it made for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let container = Container { pid, pidfd, control: ours };
    drop(theirs);
    if options.wanted.has(Layers::USER) {
        map_ids(pid)?;
    }
    crate::descriptors::send(container.control.as_raw_fd(), b"go", &[], 0)
        .map_err(|_| Failure::now("release spawner"))?;
    Ok(container)
}

/// One id in the new user namespace, which is 0 there. More would need a privileged helper, and nobody needs them.
fn map_ids(pid: libc::pid_t) -> Result<(), Failure> {
    let write = |name: &str, text: &str| -> std::io::Result<()> {
        OpenOptions::new().write(true).open(format!("/proc/{pid}/{name}"))?.write_all(text.as_bytes())
    };
    let failed = |what| move |error: std::io::Error| Failure { what, errno: error.raw_os_error().unwrap_or(0) };
    write("setgroups", "deny").map_err(failed("setgroups"))?;
    // SAFETY: these calls cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let foreign = FOREIGN_IDS.into_iter().map(|id| (id, id));
    let choices = foreign.filter(|_| uid == 0).chain([(uid, gid)]);
    let mut result = Err(Failure { what: "uid_map", errno: libc::EPERM });
    for (outer_uid, outer_gid) in choices {
        result = write("gid_map", &format!("0 {outer_gid} 1")).map_err(failed("gid_map"));
        if result.is_ok() {
            return write("uid_map", &format!("0 {outer_uid} 1")).map_err(failed("uid_map"));
        }
    }
    result
}

/// Argument strings, made before the fork.
struct Command {
    arguments: Vec<CString>,
}

impl Command {
    fn new(options: &SpawnerOptions) -> Command {
        let words = options.words();
        Command { arguments: words.into_iter().filter_map(|word| CString::new(word).ok()).collect() }
    }
}

/// In the new process: its id, its socket, and a clean image of the executable with an empty environment.
fn become_spawner(options: &SpawnerOptions, control: RawFd, command: &Command) -> ! {
    let _ = enter(options, control, command);
    exit_group(status::jail_step(0))
}

fn enter(options: &SpawnerOptions, control: RawFd, command: &Command) -> Result<(), Failure> {
    let mut word = [0u8; 8];
    // Wait until the keeper has written our ids. An end of the socket means that it is gone.
    let received = crate::descriptors::receive(control, &mut word, 0).map_err(|_| Failure::now("wait for keeper"))?;
    if received.length == 0 {
        exit_group(0);
    }
    // When the machine runs out of memory, programs go before the host and everything else that is important.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    if options.wanted.has(Layers::USER) {
        // Before any file is made (an unmapped id gets EOVERFLOW) and before exec (which would take the capabilities
        // from anyone but 0).
        become_id(0)?;
    }
    place(control, CONTROL)?;
    let mut arguments: Vec<*const libc::c_char> = command.arguments.iter().map(|word| word.as_ptr()).collect();
    arguments.push(std::ptr::null());
    let environment = [std::ptr::null()];
    // SAFETY: both lists end with null and their strings live until the call, which does not return when it works.
    unsafe { libc::execve(c"/proc/self/exe".as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    let failure = Failure::now("exec of /proc/self/exe");
    let news = gatebus_wire::spawner::News::Broken { text: failure.to_string() };
    let _ = crate::descriptors::send(CONTROL, &news.encode(), &[], 0);
    Err(failure)
}
