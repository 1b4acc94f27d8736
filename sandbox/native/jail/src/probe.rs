//! `gatebus-sandbox probe`: which layers this machine has, which not, why, and how to get them. JSON, for `gatebus doctor`.
//!
//! Nothing is guessed: a container is made as the keeper makes it, with every layer optional, and asked what stands.
//! Only when it cannot be made at all are its layers judged one by one.

use crate::cgroups::{Groups, Mode};
use crate::descriptors::receive;
use crate::namespaces::{self, Container};
use crate::options::{SpawnerOptions, Trade};
use crate::sys::{check, syscall};
use crate::{landlock, placement};
use gatebus_wire::Layers;
use gatebus_wire::layers::{self, Layer};
use gatebus_wire::spawner::{DATAGRAM_MAX, News};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

/// The engine is made within 0.1 s; an overloaded machine gets a hundred times that.
const PATIENCE_MS: i32 = 10_000;

/// Settings that take layers away, and what they must be.
const SYSCTLS: &[&str] = &[
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/kernel/seccomp/actions_avail",
];

#[derive(Default)]
struct Findings {
    on: Layers,
    why: BTreeMap<u32, String>,
    broken: Option<String>,
    fingerprint: Option<u64>,
}

/// Prints the findings. Exit status 0: programs can run; 78: a required layer is missing.
pub(crate) fn main() -> ! {
    let mut groups = Groups::open(Layers::CGROUPS);
    let mut found = container();
    found.on = found.on.with(groups.layers());
    for layer in layers::TABLE.iter().filter(|layer| !found.on.has(layer.bit)) {
        let why = found.why.remove(&layer.bit.0).or_else(|| found.broken.clone()).unwrap_or_else(|| unexplained(layer));
        found.why.insert(layer.bit.0, why);
    }
    println!("{:#}", report(&found, groups.mode()));
    groups.close();
    let can_run = found.on.has(Layers::REQUIRED) && found.fingerprint.is_some();
    std::process::exit(if can_run { 0 } else { 78 })
}

/// What a container says about itself.
fn container() -> Findings {
    let wanted = Layers::ALL.without(Layers::CGROUPS);
    match namespaces::start(&SpawnerOptions { trade: Trade::Programs, wanted, optional: wanted }) {
        Ok(container) => listen(&container),
        Err(failure) => Findings { broken: Some(failure.to_string()), on: alone(), ..Findings::default() },
    }
}

fn listen(container: &Container) -> Findings {
    let mut found = Findings::default();
    let mut datagram = [0u8; DATAGRAM_MAX];
    while readable(container) {
        let Ok(received) = receive(container.control.as_raw_fd(), &mut datagram, 0) else { break };
        match News::decode_untrusted(&datagram[..received.length]) {
            Ok(News::Lacking { layer, errno }) => {
                found.why.insert(layer.0, std::io::Error::from_raw_os_error(errno).to_string());
            }
            Ok(News::Ready { on, fingerprint, .. }) => {
                return Findings { on, fingerprint: Some(fingerprint), ..found };
            }
            Ok(News::Broken { text }) => found.broken = Some(text),
            _ => break,
        }
    }
    found.on = alone();
    found.broken.get_or_insert_with(|| "the container ended without a word".to_owned());
    found
}

fn readable(container: &Container) -> bool {
    let mut polled = libc::pollfd { fd: container.control.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut polled, 1, PATIENCE_MS) > 0 }
}

/// Layers that do not depend on a container.
fn alone() -> Layers {
    let mut on = Layers::RLIMITS.with(Layers::CAPABILITIES).with(Layers::DUMPABLE);
    if landlock::version() > 0 {
        on = on.with(Layers::LANDLOCK);
    }
    const GET_ACTION_AVAILABLE: u64 = 2;
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the call reads one number and changes nothing.
    if check("seccomp", unsafe { syscall!(libc::SYS_seccomp, GET_ACTION_AVAILABLE, 0, &raw const action) }).is_ok() {
        on = on.with(Layers::SECCOMP);
    }
    on
}

fn unexplained(layer: &Layer) -> String {
    if !Layers::CGROUPS.has(layer.bit) {
        return "not available here".to_owned();
    }
    match placement::read().parents.iter().find(|(own, _)| *own == layer.bit) {
        Some((_, folder)) => format!("no right to make groups below {}", folder.display()),
        None => "this controller is not handed to us".to_owned(),
    }
}

fn report(found: &Findings, mode: Mode) -> Value {
    let rows = layers::TABLE.iter().map(|layer| {
        let on = found.on.has(layer.bit);
        let mut row = json!({"name": layer.name, "on": on, "required": Layers::REQUIRED.has(layer.bit), "purpose": layer.purpose});
        if !on {
            row["why"] = found.why.get(&layer.bit.0).cloned().into();
            row["advice"] = advice(layer.bit).into();
        }
        row
    });
    json!({
        "layers": rows.collect::<Vec<_>>(),
        "cgroups": match mode { Mode::None => "none", Mode::V1 => "v1", Mode::V2 => "v2" },
        "broken": found.broken,
        "fingerprint": found.fingerprint.map(|number| format!("{number:016x}")),
        "landlock_version": landlock::version(),
        "outer_seccomp": field("/proc/self/status", "Seccomp:"),
        "apparmor": text("/proc/self/attr/apparmor/current").or_else(|| text("/proc/self/attr/current")),
        "kernel": text("/proc/sys/kernel/osrelease"),
        "cpu": field("/proc/cpuinfo", "model name\t:").or_else(|| field("/proc/cpuinfo", "CPU part\t:")),
        "sysctls": files(SYSCTLS.iter().map(|path| (*path).to_owned())),
        "vulnerabilities": vulnerabilities(),
    })
}

/// How to get a layer. Ordered: the first that applies.
fn advice(layer: Layers) -> &'static str {
    if Layers::CGROUPS.has(layer) {
        return "run as root, or in a group that is delegated with its controllers (systemd: a service with Delegate=yes \
                whose main process has been moved into a subgroup); in a container mount the cgroups writable";
    }
    if Layers::LANDLOCK.has(layer) {
        return "Linux 5.13 or newer with `landlock` in the list of security modules (boot option lsm=...)";
    }
    if Layers::TSC.has(layer) {
        return "x86, or arm64 with Linux 6.12 or newer";
    }
    if Layers::SECCOMP.has(layer) {
        return "a kernel with CONFIG_SECCOMP_FILTER";
    }
    let set = |path: &str, value: &str| text(path).as_deref() == Some(value);
    if set("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "Ubuntu restricts user namespaces: give the executable an AppArmor profile with the rule `userns,`, or run \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if set("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "run `sysctl kernel.unprivileged_userns_clone=1`"
    } else if set("/proc/sys/user/max_user_namespaces", "0") {
        "run `sysctl user.max_user_namespaces=10000`"
    } else if field("/proc/self/status", "Seccomp:").as_deref() == Some("2") {
        "the container that this runs in forbids namespaces: start it with a seccomp profile that allows them \
         (docker: --security-opt seccomp=unconfined, and --security-opt systempaths=unconfined for /proc)"
    } else {
        "a kernel with all namespaces (CONFIG_USER_NS and others)"
    }
}

/// Speculative execution: what the kernel says about this processor (it cannot be shown that nothing leaks).
fn vulnerabilities() -> Value {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files(names.map(|entry| entry.path().to_string_lossy().into_owned()))
}

/// The last part of each path that can be read, and its text.
fn files(paths: impl Iterator<Item = String>) -> Value {
    let read = paths.filter_map(|path| Some((path.rsplit('/').next()?.to_owned(), text(&path)?.into())));
    Value::Object(read.collect::<Map<_, _>>())
}

fn text(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim_end_matches(['\n', '\0']).to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    text(path)?.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}
