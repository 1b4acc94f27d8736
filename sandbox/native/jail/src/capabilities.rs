//! Capabilities and what goes with them: gone, for this process and for everything it starts.

use crate::sys::{Failure, check, syscall};

/// keep_caps stays off, no capabilities for uid 0, no ambient set, all locked.
const SECUREBITS_ALL_LOCKED: u64 = 0xef;
/// _LINUX_CAPABILITY_VERSION_3.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// None can be gained by running a file or by changing ids.
pub(crate) fn lock() -> Result<(), Failure> {
    // SAFETY: prctl with numbers only.
    unsafe {
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 {
                break; // past the last one that this kernel knows
            }
        }
        check("securebits", libc::prctl(libc::PR_SET_SECUREBITS, SECUREBITS_ALL_LOCKED, 0, 0, 0))?;
        check("ambient capabilities", libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
            .map(|_| ())
    }
}

/// None in any set.
pub(crate) fn drop_all() -> Result<(), Failure> {
    // SAFETY: capset reads a header and two triples of the version that is named.
    unsafe {
        let header = [CAPABILITY_VERSION, 0];
        let none = [0u32; 6];
        check("capset", syscall!(libc::SYS_capset, header.as_ptr(), none.as_ptr())).map(|_| ())
    }
}

/// In root's keeper: what it needs to name ids in a new user namespace, to end processes that have them, and to remove
/// its folders from the roots of version 1's control groups, which nobody may write (mode 555). Everything else that root can do goes, also for what it starts outside of a new user namespace.
pub(crate) fn keep_what_a_keeper_needs() -> Result<(), Failure> {
    const DAC_OVERRIDE: u32 = 1;
    const KILL: u32 = 5;
    const SETGID: u32 = 6;
    const SETUID: u32 = 7;
    let kept = 1 << DAC_OVERRIDE | 1 << KILL | 1 << SETGID | 1 << SETUID;
    // SAFETY: as in `drop_all`.
    unsafe {
        for capability in (0..64).filter(|capability| kept >> capability & 1 == 0) {
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        let header = [CAPABILITY_VERSION, 0];
        let few = [kept, kept, 0, 0, 0, 0]; // effective, permitted, inheritable; then their upper halves
        check("capset", syscall!(libc::SYS_capset, header.as_ptr(), few.as_ptr())).map(|_| ())
    }
}

/// Needed by seccomp and Landlock too, so it is set whatever layers are wanted.
pub(crate) fn no_new_privileges() -> Result<(), Failure> {
    // SAFETY: prctl with numbers only.
    check("no_new_privs", unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(|_| ())
}

/// Siblings cannot trace or read us. Last of all: exec and changes of ids set it back.
pub(crate) fn non_dumpable() -> Result<(), Failure> {
    // SAFETY: prctl with numbers only.
    check("dumpable", unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(|_| ())
}

/// Without a user namespace: an id that owns nothing, and no groups.
pub(crate) fn become_nobody(id: u32) -> Result<(), Failure> {
    // SAFETY: calls with numbers only; raw, because libc's versions signal threads, of which there are none.
    unsafe {
        check("setgroups", syscall!(libc::SYS_setgroups, 0, 0))?;
        become_id(id)
    }
}

/// Real, effective and saved ids.
pub(crate) fn become_id(id: u32) -> Result<(), Failure> {
    // SAFETY: calls with numbers only.
    unsafe {
        check("setresgid", syscall!(libc::SYS_setresgid, id, id, id))?;
        check("setresuid", syscall!(libc::SYS_setresuid, id, id, id))?;
    }
    Ok(())
}

/// A session keyring of our own: the inherited one belongs to whoever started the host.
pub(crate) fn new_keyring() -> Result<(), Failure> {
    const JOIN_SESSION_KEYRING: u64 = 1;
    // SAFETY: a null name makes an anonymous keyring.
    let result = unsafe { syscall!(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0) };
    match check("keyring", result) {
        Err(Failure { errno: libc::ENOSYS, .. }) => Ok(()), // a kernel without keyrings has none to leak
        other => other.map(|_| ()),
    }
}
