//! The empty read-only root.

use crate::sys::{Failure, check, syscall};
use std::ffi::CStr;

const NOTHING: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// A page and three nodes: the root directory needs one.
const SIZE: &CStr = c"size=4k,nr_inodes=3,mode=0555";

fn mount(
    what: &'static str,
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    data: &CStr,
) -> Result<(), Failure> {
    // SAFETY: C strings that outlive the call.
    let result = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) };
    check(what, result).map(|_| ())
}

/// Puts a fresh empty tmpfs in the place of the root and lets go of everything else. The working directory is in it.
pub(crate) fn empty_root() -> Result<(), Failure> {
    // Nothing that is done here shall be seen outside, whatever the host's propagation is.
    mount("private mounts", c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    let stage = stage_directory();
    mount("mount tmpfs", c"none", stage, c"tmpfs", NOTHING, SIZE)?;
    // SAFETY: calls with C strings. pivot_root(".", ".") needs no directory for the old root: it lies on top of the
    // new one and is detached at once.
    unsafe {
        check("chdir", libc::chdir(stage.as_ptr()))?;
        check("pivot_root", syscall!(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        check("detach old root", libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        check("chdir /", libc::chdir(c"/".as_ptr()))?;
    }
    // The size must be named again: a remount without it takes the limits away.
    mount("read-only root", c"none", c"/", c"", libc::MS_REMOUNT | libc::MS_RDONLY | NOTHING, SIZE)
}

/// Any directory that exists: it is covered, never written.
fn stage_directory() -> &'static CStr {
    [c"/tmp", c"/proc", c"/dev"].into_iter().find(|path| is_directory(path)).unwrap_or(c"/tmp")
}

fn is_directory(path: &CStr) -> bool {
    path.to_str().is_ok_and(|path| std::path::Path::new(path).is_dir())
}
