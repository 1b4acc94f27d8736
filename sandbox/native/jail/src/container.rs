//! The container, seen from inside: the list of steps that the spawner takes, in the order the kernel sees them.

use crate::capabilities;
use crate::descriptors::{close_range, place, send};
use crate::namespaces::CONTROL;
use crate::options::{SpawnerOptions, Trade};
use crate::sys::{Failure, check};
use crate::{mounts, seccomp, signals};
use gatebus_wire::Layers;
use gatebus_wire::spawner::News;
use std::os::fd::RawFd;

/// Numbers up to this one are the jail's: handed out in children, held in the spawner so that nobody else gets them.
pub(crate) const RESERVED_LAST: RawFd = 9;
/// Without a user namespace: the id that everything inside has.
const FOREIGN_ID: u32 = 200_000;

struct Step {
    /// The layer it makes; NONE: always taken.
    layer: Layers,
    run: fn(&SpawnerOptions) -> Result<(), Failure>,
}

const fn step(layer: Layers, run: fn(&SpawnerOptions) -> Result<(), Failure>) -> Step {
    Step { layer, run }
}

/// While we have all capabilities inside the container, and none outside of it.
const BEFORE_THE_ENGINE: &[Step] = &[
    // /proc is still the host's: the only moment to reach the limits. NPROC 0 does not stop new namespaces, this does.
    step(Layers::NO_NESTED, forbid_namespaces),
    // No terminal, no process group that somebody else signals.
    step(Layers::NONE, |_| new_session()),
    step(Layers::NONE, |_| own_name()),
    step(Layers::NONE, |_| capabilities::new_keyring()),
    step(Layers::MOUNT, |_| mounts::empty_root()),
    step(Layers::UTS, |_| empty_host_name()),
    // Whatever was inherited is closed; low numbers are taken so that the engine's descriptors get others.
    step(Layers::NONE, |_| reserve_descriptors()),
    // Before the engine, which keeps the handlers that it finds.
    step(Layers::NONE, |_| signals::install_crash_handlers()),
];

/// The engine stands. From here on we only lose.
const AFTER_THE_ENGINE: &[Step] = &[
    step(Layers::NONE, |_| signals::see_children_only_while_waiting()),
    // What could be gained goes before what we have: afterwards nothing could be locked.
    step(Layers::CAPABILITIES, |_| capabilities::lock()),
    step(
        Layers::NONE,
        |options| if options.wanted.has(Layers::USER) { Ok(()) } else { capabilities::become_nobody(FOREIGN_ID) },
    ),
    // Capabilities inside the user namespace could still change mounts and ids.
    step(Layers::CAPABILITIES, |_| capabilities::drop_all()),
    step(Layers::NONE, |_| capabilities::no_new_privileges()),
    // After exec and after every change of ids: both set it back. Children inherit it.
    step(Layers::DUMPABLE, |_| capabilities::non_dumpable()),
    step(Layers::SECCOMP, stage_0),
];

/// Layers that the keeper made by making this process.
const BY_BIRTH: Layers =
    Layers(Layers::USER.0 | Layers::PID.0 | Layers::NETWORK.0 | Layers::IPC.0 | Layers::CGROUP_NAMESPACE.0);

/// What stands, and what does not though it was wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    pub(crate) on: Layers,
    pub(crate) missing: Layers,
}

impl Standing {
    /// A layer that was tried.
    pub(crate) fn tried(
        &mut self,
        layer: Layers,
        options: &SpawnerOptions,
        result: Result<(), Failure>,
    ) -> Result<(), Failure> {
        match result {
            Ok(()) => self.on = self.on.with(layer),
            Err(failure) if !layer.is_empty() && options.optional.has(layer) => {
                self.missing = self.missing.with(layer);
                let _ = send(CONTROL, &News::Lacking { layer, errno: failure.errno }.encode(), &[], 0);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}

/// Before the engine is made.
pub(crate) fn contain(options: &SpawnerOptions) -> Result<Standing, Failure> {
    let mut standing = Standing { on: options.wanted.and(BY_BIRTH), missing: Layers::NONE };
    take(BEFORE_THE_ENGINE, options, &mut standing)?;
    Ok(standing)
}

/// After the engine is made and before anybody's request is read.
pub(crate) fn lose_privileges(options: &SpawnerOptions, standing: &mut Standing) -> Result<(), Failure> {
    take(AFTER_THE_ENGINE, options, standing)
}

fn take(steps: &[Step], options: &SpawnerOptions, standing: &mut Standing) -> Result<(), Failure> {
    for step in steps.iter().filter(|step| options.wanted.has(step.layer)) {
        standing.tried(step.layer, options, (step.run)(options))?;
    }
    Ok(())
}

fn forbid_namespaces(options: &SpawnerOptions) -> Result<(), Failure> {
    if !options.wanted.has(Layers::USER) {
        // The limits are those of a user namespace. In the host's own they would stop the whole machine.
        return Err(Failure { what: "forbid nested namespaces without a user namespace", errno: libc::EPERM });
    }
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let failed = |error: std::io::Error| Failure {
            what: "forbid nested namespaces",
            errno: error.raw_os_error().unwrap_or(0),
        };
        std::fs::write(format!("/proc/sys/user/max_{kind}_namespaces"), "0").map_err(failed)?;
    }
    Ok(())
}

/// exec of /proc/self/exe names the process `exe`, which tells an operator nothing.
fn own_name() -> Result<(), Failure> {
    // SAFETY: a C string.
    check("process name", unsafe { libc::prctl(libc::PR_SET_NAME, c"gatebus-spawner".as_ptr(), 0, 0, 0) }).map(|_| ())
}

fn new_session() -> Result<(), Failure> {
    // SAFETY: a call without arguments.
    check("setsid", unsafe { libc::setsid() }).map(|_| ())
}

fn empty_host_name() -> Result<(), Failure> {
    // SAFETY: an empty name is not read.
    unsafe {
        check("host name", libc::sethostname(c"".as_ptr(), 0))?;
        check("domain name", libc::setdomainname(c"".as_ptr(), 0)).map(|_| ())
    }
}

fn reserve_descriptors() -> Result<(), Failure> {
    close_range(CONTROL.unsigned_abs() + 1, u32::MAX)?;
    (0..=RESERVED_LAST).try_for_each(|number| place(CONTROL, number))
}

fn stage_0(options: &SpawnerOptions) -> Result<(), Failure> {
    let filter = match options.trade {
        Trade::Programs | Trade::Low => seccomp::stage_0()?,
        Trade::Compiles => seccomp::stage_0_compile()?,
    };
    seccomp::install(&filter)
}
