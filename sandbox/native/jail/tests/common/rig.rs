//! The rehearsal executable as root or as an ordinary user, and what the tests look at from outside.
#![allow(dead_code, unreachable_pub, missing_docs)] // each user needs another part

use crate::common::{Host, Program};
use gatebus_wire::Layers;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

pub const REHEARSAL: &str = env!("CARGO_BIN_EXE_jail-rehearsal");
/// The user that owns nothing.
pub const NOBODY: u32 = 65_534;

pub fn host(words: &[&str]) -> Host {
    Host::new(REHEARSAL, words)
}

/// A copy that anybody may run: the build folder may be closed to others. One place for all tests of a build; each run replaces it.
pub fn public_copy() -> PathBuf {
    // Of this build alone: another tree's tests, which may run beside it, have another executable.
    let mut build = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(REHEARSAL, &mut build);
    let name = format!("gatebus-jail-test-{:016x}", std::hash::Hasher::finish(&build));
    let folder = std::env::temp_dir().join(name);
    let copy = folder.join("jail-rehearsal");
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let fresh = folder.join(format!("fresh-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        // Everybody may write beside it: root must not write through what somebody else has put there.
        let found = std::fs::symlink_metadata(&folder).expect("folder");
        // SAFETY: cannot fail.
        assert!(found.is_dir() && found.uid() == unsafe { libc::geteuid() }, "{} is not ours", folder.display());
        std::fs::copy(REHEARSAL, &fresh).expect("copy");
        for path in [&folder, &fresh] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        }
        std::fs::rename(&fresh, &copy).expect("rename");
    });
    copy
}

/// A keeper of an ordinary user: us, or `nobody` when we are root.
pub fn ordinary_host(words: &[&str]) -> Host {
    if !is_root() {
        return host(words);
    }
    let mut command = Command::new(public_copy());
    command.uid(NOBODY).gid(NOBODY);
    Host::heard(command, words)
}

pub fn is_root() -> bool {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether the test can go on. A missing layer is a skip, unless GATEBUS_REQUIRE_LAYERS names it.
pub fn has(host: &Host, layers: Layers) -> bool {
    let missing = layers.without(host.ready.on);
    let required = required_layers(&std::env::var("GATEBUS_REQUIRE_LAYERS").unwrap_or_default());
    assert!(missing.and(required).is_empty(), "required layers are missing: {}", missing.and(required));
    if !missing.is_empty() {
        eprintln!("SKIPPED: this machine lacks {missing}");
    }
    missing.is_empty()
}

/// The words of `.ci/run`: names of layers, and two that stand for several.
fn required_layers(words: &str) -> Layers {
    let namespaces = "user,pid,mount,network,ipc,uts,cgroup-namespace";
    let words = words.replace("namespaces", namespaces).replace("cgroup-v1", "cgroup");
    Layers::parse(&words).expect("GATEBUS_REQUIRE_LAYERS")
}

/// Processes whose parent this is.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A line of /proc/pid/status.
pub fn status(pid: u32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    line.unwrap_or_default().to_owned()
}

/// The last number of NSpid: what the process is called in its own namespace.
pub fn inner_pid(pid: u32) -> i32 {
    status(pid, "NSpid").split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or(0)
}

pub fn parent(pid: u32) -> u32 {
    status(pid, "PPid").parse().unwrap_or(0)
}

pub fn open_descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Folders of this keeper's control groups, and how many groups are in them.
pub fn group_folders(pid: u32) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = ["memory", "pids", "cpu", "unified", ""];
    let mut found = Vec::new();
    for line in text.lines() {
        let path = line.splitn(3, ':').nth(2).unwrap_or("/").trim_start_matches('/');
        for mount in mounts {
            let parent = PathBuf::from("/sys/fs/cgroup").join(mount).join(path);
            for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("gatebus-")
                    && name.split('-').nth(2) == Some(&pid.to_string())
                    && !found.contains(&entry.path())
                {
                    found.push(entry.path());
                }
            }
        }
    }
    found
}

/// The process behind a packet socket: who sent its first word (SO_PASSCRED, set before the start).
pub fn sender(program: &Program) -> u32 {
    use std::os::fd::AsRawFd;
    let mut byte = [0u8; 64];
    let mut control = [0u64; 8];
    // SAFETY: every pointer is to a local; the credentials are read where the kernel wrote them.
    unsafe {
        let socket = program.packets.as_raw_fd();
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = 64;
        let size = libc::recvmsg(socket, &mut message, 0);
        assert!(size > 0, "no first word of program {}: {size}, {}", program.id, std::io::Error::last_os_error());
        let header = libc::CMSG_FIRSTHDR(&message);
        assert!(!header.is_null() && (*header).cmsg_type == libc::SCM_CREDENTIALS);
        let pid = (*libc::CMSG_DATA(header).cast::<libc::ucred>()).pid;
        assert!(pid > 0, "the sender is known");
        pid as u32
    }
}
