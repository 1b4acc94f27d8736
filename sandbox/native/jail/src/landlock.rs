//! Landlock: no file, no port, no signal and no abstract socket outside the process's own domain.
//!
//! One ruleset without rules is made in the spawner; each child restricts itself, so that each is a domain of its
//! own. A single domain for all of them would let siblings signal each other.

use crate::descriptors::move_up;
use crate::sys::{Failure, check, syscall};
use ::landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, Scope};
use std::os::fd::{AsRawFd, OwnedFd};

/// Above every number that is handed out.
const NUMBER: i32 = 60;

/// The ruleset that denies everything this kernel can deny.
pub(crate) fn ruleset() -> Result<OwnedFd, Failure> {
    let newest = ABI::V10; // the crate leaves out what the kernel does not know
    let refused = |_| Failure { what: "Landlock ruleset", errno: libc::EINVAL };
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(newest)).map_err(refused)?;
    let ruleset = ruleset.handle_access(AccessNet::from_all(newest)).map_err(refused)?;
    let ruleset = ruleset.scope(Scope::from_all(newest)).map_err(refused)?;
    let descriptor: Option<OwnedFd> = ruleset.create().map_err(refused)?.into();
    move_up(descriptor.ok_or(Failure { what: "Landlock", errno: libc::EOPNOTSUPP })?, NUMBER)
}

/// Enters a domain of our own. no_new_privs is set already.
pub(crate) fn restrict(ruleset: &OwnedFd) -> Result<(), Failure> {
    // SAFETY: a call on a descriptor that we own.
    let result = unsafe { syscall!(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    check("Landlock", result).map(|_| ())
}

/// The version of the kernel's Landlock, 0 when there is none.
pub(crate) fn version() -> i64 {
    const CREATE_RULESET_VERSION: u64 = 1;
    // SAFETY: with this flag the call takes no ruleset and answers a number.
    unsafe { syscall!(libc::SYS_landlock_create_ruleset, 0, 0, CREATE_RULESET_VERSION) }.max(0)
}
