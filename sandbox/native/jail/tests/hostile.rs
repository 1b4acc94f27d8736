//! A native attacker in the guest's place. Under all layers nothing works; with each layer off exactly the committed
//! list does (`hostile.json`; `BLESS=1` writes it, and a person reads what changed).

mod common;
#[path = "common/rig.rs"]
mod rig;

use common::{Host, end, first_word, start, tell};
use gatebus_wire::layers::TABLE;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

const WAIT: u32 = 1;
const ATTACK: u32 = 100;
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile.json");

/// What an attacker could reach, were it not for the layers.
struct Targets {
    port: u16,
    _tcp: std::net::TcpListener,
    _abstract: UnixListener,
}

impl Targets {
    /// One set for all tests of this process: a name can be bound once.
    fn shared() -> &'static Targets {
        static ONE: std::sync::OnceLock<Targets> = std::sync::OnceLock::new();
        ONE.get_or_init(Targets::open)
    }

    fn open() -> Targets {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("tcp");
        let port = tcp.local_addr().expect("address").port();
        // Named by the port: two runs on one machine do not meet, and the attacker can work it out.
        let name = SocketAddr::from_abstract_name(format!("gatebus-jail-test-{port:05}")).expect("name");
        // SAFETY: two C strings and five bytes; a key in the session that the keeper inherits.
        unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                c"gatebus-jail-test".as_ptr(),
                c"secret".as_ptr(),
                6u64,
                -3i64,
            )
        };
        Targets { port, _tcp: tcp, _abstract: UnixListener::bind_addr(&name).expect("abstract") }
    }
}

fn names() -> Vec<String> {
    let output = std::process::Command::new(rig::REHEARSAL).arg("attacks").output().expect("names");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// The attacks that work in a sandbox of these words.
fn what_works(host: &mut Host, targets: &Targets) -> Vec<String> {
    let mut works = Vec::new();
    for (number, name) in names().into_iter().enumerate() {
        let sibling = host.start(start(WAIT));
        let outer = rig::sender(&sibling);
        let spawner = rig::inner_pid(rig::parent(outer));
        let attacker = host.start(start(ATTACK + u32::try_from(number).expect("small")));
        let numbers = [rig::inner_pid(outer), spawner, i32::from(targets.port)];
        tell(&attacker, &numbers.map(i32::to_le_bytes).concat());
        let words = common::listen(&attacker);
        host.end_of(&attacker);
        let _ = std::io::Write::write_all(&mut &sibling.packets, b"x");
        let survived = end(&host.end_of(&sibling)) == 0;
        if words.starts_with("works") || !survived {
            works.push(name);
        }
    }
    works
}

/// Each layer off, and each off together with the filter, which would hide what the others do.
fn combinations() -> Vec<String> {
    let groups = ["cgroup-memory", "cgroup-pids", "cgroup-cpu"];
    let single = TABLE.iter().map(|layer| layer.name).filter(|name| !groups.contains(name)).chain(["cgroup"]);
    let single: Vec<&str> = single.collect();
    let pairs = single.iter().filter(|name| **name != "seccomp").map(|name| format!("seccomp,{name}"));
    let all = [String::new()].into_iter().chain(single.iter().map(|name| (*name).to_owned())).chain(pairs);
    // Two more off: here the attacks must work, or the lists above would say nothing.
    let controls = [
        "landlock,dumpable",
        "rlimits,cgroup",
        "landlock,network",
        "landlock,mount",
        "landlock,nested",
        "landlock,pid,dumpable",
    ];
    all.chain(controls.map(|name| format!("seccomp,{name}"))).collect()
}

fn measured(make: impl Fn(&[&str]) -> Host, skip: &[&str]) -> BTreeMap<String, Vec<String>> {
    let targets = Targets::shared();
    let mut table = BTreeMap::new();
    for words in combinations() {
        if words.split(',').any(|word| skip.contains(&word)) {
            continue;
        }
        let mut host = if words.is_empty() { make(&[]) } else { make(&["--without", &words]) };
        table.insert(words, what_works(&mut host, targets));
    }
    table
}

#[test]
fn with_each_layer_off_exactly_the_committed_list_works() {
    if !needs_root() {
        return;
    }
    let probe = rig::host(&[]);
    if !rig::has(&probe, gatebus_wire::Layers::ALL) {
        return;
    }
    let root = measured(rig::host, &[]);
    // Without a user namespace an ordinary user has no other; he has no control groups here.
    let user = measured(rig::ordinary_host, &["user", "cgroup"]);
    let made = serde_json::json!({"root": root, "user": user});
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(EXPECTED, format!("{made:#}\n")).expect("written");
    }
    assert!(root[""].is_empty() && user[""].is_empty(), "under all layers nothing works");
    let text = std::fs::read_to_string(EXPECTED).expect("hostile.json");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for who in ["root", "user"] {
        let rows = |table: &serde_json::Value| table[who].as_object().cloned().expect("a table");
        let (made, expected) = (rows(&made), rows(&expected));
        assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (without, works) in &made {
            assert_eq!(works, &expected[without], "what works for {who} without {without:?}");
        }
    }
}

/// What no layer of ours needs to stop, because whoever owns nothing on the machine cannot do it: these are tried all the
/// same, and the other attacks must be seen to work somewhere, or the empty lists would say nothing.
const NEVER: [&str; 8] = [
    "bpf",
    "int 0x80 chmod", // reaches the kernel and finds a file system that is read-only: the sweep shows the way itself
    "mkdir /x",
    "open /proc/1/mem",
    "perf_event_open",
    "raise a limit",
    "read inherited keyring", // always joined anew: no layer
    "write to descriptor 3",  // always closed: no layer
];

#[test]
fn every_attack_is_seen_to_work_where_the_layers_are_off() {
    if !needs_root() {
        return;
    }
    let targets = Targets::shared();
    let mut never: std::collections::BTreeSet<String> = names().into_iter().collect();
    for kept in [vec!["user"], vec!["user", "mount"]] {
        let off: Vec<&str> = TABLE.iter().map(|layer| layer.name).filter(|name| !kept.contains(name)).collect();
        let mut host = rig::host(&["--without", &off.join(",")]);
        let works = what_works(&mut host, targets);
        never.retain(|name| !works.contains(name));
    }
    never.remove("set the host name"); // hostile.json, with `capabilities` off and `uts` on
    assert_eq!(never.iter().map(String::as_str).collect::<Vec<_>>(), NEVER);
}

/// The lists are root's and `nobody`'s. Where layers are required, a skip would hide that nothing was tried.
fn needs_root() -> bool {
    let required = std::env::var_os("GATEBUS_REQUIRE_LAYERS").is_some_and(|words| !words.is_empty());
    assert!(rig::is_root() || !required, "GATEBUS_REQUIRE_LAYERS is set: the hostile tests must run, and need root");
    if !rig::is_root() {
        eprintln!("SKIPPED: the lists are root's and `nobody`'s");
    }
    rig::is_root()
}

#[test]
fn a_sibling_sends_no_bytes_into_anothers_socket() {
    let mut host = rig::host(&[]);
    let (one, other) = (host.start(start(WAIT)), host.start(start(ATTACK + 31)));
    first_word(&one);
    tell(&other, &[0; 12]);
    host.end_of(&other);
    one.packets.set_read_timeout(Some(std::time::Duration::from_millis(50))).expect("timeout");
    assert!((&one.packets).read(&mut [0u8; 8]).is_err(), "nothing came");
}
