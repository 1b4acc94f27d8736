//! Programs come and go: through the whole chain, as root and as an ordinary user.

mod common;
#[path = "common/rig.rs"]
mod rig;

use common::{MIB, end, first_word, listen, start, tell};
use gatebus_wire::Layers;
use gatebus_wire::keeper::{Answer, Reason, Request, Why};
use rig::{host, ordinary_host};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const HELLO: u32 = 0;
const WAIT: u32 = 1;
const SPIN: u32 = 2;
const TOUCH: u32 = 3;
const CRASH: u32 = 4;
const RECURSE: u32 = 5;
const PANIC: u32 = 6;
const CLOCK: u32 = 7;
const LOOK: u32 = 8;
const EARLY_PANIC: u32 = 9;
const STUBBORN: u32 = 10;
const NOISY: u32 = 11;

#[test]
fn a_program_says_hello_and_ends() {
    for mut host in [host(&[]), ordinary_host(&[])] {
        let (words, ended) = host.run(start(HELLO));
        assert_eq!((words.as_str(), end(&ended), ended.why), ("hello\0\0\0", 0, Why::Itself));
        assert!(ended.max_rss > 0 && ended.user_us + ended.system_us > 0);
        assert_eq!(host.close(), Some(0));
    }
}

#[test]
fn every_layer_is_on_for_root_and_all_but_groups_for_an_ordinary_user() {
    let ours = host(&[]);
    assert!(rig::has(&ours, if rig::is_root() { Layers::ALL } else { Layers::ALL.without(Layers::CGROUPS) }));
    let theirs = ordinary_host(&[]);
    assert!(theirs.has(Layers::ALL.without(Layers::CGROUPS)), "{:?}", theirs.ready);
}

#[test]
fn a_program_has_one_descriptor_no_environment_and_is_not_dumpable() {
    for mut host in [host(&["--without", "seccomp"]), ordinary_host(&["--without", "seccomp"])] {
        let (words, _) = host.run(start(LOOK));
        assert_eq!(words, "fd 4\ndumpable 0\nsession 1\ntty -1\nuid 0\nnnp 1\n");
    }
}

#[test]
fn crashes_panics_and_deep_recursion_have_a_status_of_their_own() {
    let mut host = host(&[]);
    for (flags, status) in [(CRASH, 111), (RECURSE, 111), (PANIC, 70), (EARLY_PANIC, 70)] {
        let (_, ended) = host.run(start(flags));
        assert_eq!((end(&ended), ended.why), (status, Why::Itself), "act {flags}");
    }
}

#[test]
fn cpu_time_and_wall_time_end_a_program() {
    let mut host = host(&[]);
    let (_, ended) = host.run(gatebus_wire::Start { cpu_ms: 100, ..start(SPIN) });
    assert_eq!(end(&ended), 60);
    // What the kernel reports is sampled, with an error of some ticks; the timer itself is exact.
    assert!((70_000..900_000).contains(&(ended.user_us + ended.system_us)), "{ended:?}");
    let begin = Instant::now();
    let (_, ended) = host.run(gatebus_wire::Start { wall_ms: 100, ..start(WAIT) });
    assert_eq!((end(&ended), ended.why), (-libc::SIGKILL, Why::Wall));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    let (_, ended) = host.run(gatebus_wire::Start { wall_ms: 0, cpu_ms: 0, ..start(HELLO) });
    assert_eq!(end(&ended), 0, "zero is no limit");
}

#[test]
fn a_program_that_blocks_every_signal_ends_with_its_wall_time_all_the_same() {
    let mut host = host(&["--without", "seccomp"]);
    let (_, ended) = host.run(gatebus_wire::Start { wall_ms: 50, ..start(STUBBORN) });
    assert_eq!((end(&ended), ended.why), (-libc::SIGKILL, Why::Wall));
}

#[test]
fn the_coarse_clock_is_read_and_the_precise_one_is_not() {
    let mut host = host(&[]);
    if rig::has(&host, Layers::TSC) {
        let (words, ended) = host.run(start(CLOCK));
        assert_eq!((words.as_str(), end(&ended)), ("coarse", 111));
    }
}

#[test]
fn all_of_the_memory_can_be_touched_and_was_zero() {
    let mut host = host(&[]);
    for _ in 0..3 {
        let (words, ended) = host.run(gatebus_wire::Start { memory_limit: 64 * MIB, ..start(TOUCH) });
        assert_eq!((words.as_str(), end(&ended)), ("touched, was zero", 0));
        assert!(ended.max_rss >= 64 * MIB);
    }
}

#[test]
fn a_large_stack_class_is_prepared_when_it_is_first_wanted() {
    let mut host = host(&[]);
    for _ in 0..3 {
        let (words, _) = host.run(gatebus_wire::Start { stack_class: 1, ..start(HELLO) });
        assert_eq!(words, "hello\0\0\0");
    }
    let program = host.start(gatebus_wire::Start { stack_class: 2, ..start(HELLO) });
    assert_eq!(host.answer_for(program.id), Answer::Failed(Reason::NoStackClass, 0));
}

#[test]
fn kill_ends_a_program_that_runs_or_waits_its_turn_and_nothing_else() {
    let mut host = host(&["--pool", "1"]);
    let (one, other) = (host.start(start(WAIT)), host.start(start(WAIT)));
    first_word(&one);
    first_word(&other);
    host.kill(&one);
    host.kill(&one);
    let ended = host.end_of(&one);
    assert_eq!((end(&ended), ended.why), (-libc::SIGKILL, Why::Kill));
    host.ask(4_000_000, Request::Kill, &[]);
    tell(&other, b"x");
    assert_eq!(end(&host.end_of(&other)), 0);
    let many: Vec<_> = (0..40).map(|_| host.start(start(WAIT))).collect();
    many.iter().for_each(|program| host.kill(program));
    for program in &many {
        assert_eq!(host.end_of(program).why, Why::Kill);
    }
    assert_eq!(host.status().programs, 0);
}

#[test]
fn a_program_ends_when_the_host_closes_its_socket() {
    let mut host = host(&[]);
    let program = host.start(start(WAIT));
    first_word(&program);
    let id = program.id;
    drop(program);
    assert!(matches!(host.answer_for(id), Answer::Ended(ended) if end(&ended) == 0));
}

#[test]
fn fifty_programs_asked_at_once_all_run_from_a_pool_of_one() {
    let mut host = host(&["--pool", "1"]);
    let programs: Vec<_> = (0..50).map(|_| host.start(start(HELLO))).collect();
    for program in &programs {
        assert_eq!(listen(program), "hello\0\0\0");
        assert_eq!(end(&host.end_of(program)), 0);
    }
}

#[test]
fn a_thousand_programs_are_held_and_all_are_killed() {
    let mut host = host(&[]);
    let programs: Vec<_> = (0..1000).map(|_| host.start(start(WAIT))).collect();
    programs.iter().for_each(|program| drop(first_word(program)));
    assert_eq!(host.status().programs, 1000);
    let held = rig::open_descriptors(host.keeper.id());
    assert!(held <= 1000 + 3 * 64 + 128, "one descriptor per program and those of 64 groups, not {held}");
    let begin = Instant::now();
    programs.iter().for_each(|program| host.kill(program));
    programs.iter().for_each(|program| assert_eq!(host.end_of(program).why, Why::Kill));
    // The target is a second on an idle machine: `make bench`.
    eprintln!("1,000 programs killed in {:.2} s", begin.elapsed().as_secs_f64());
}

#[test]
fn after_ten_thousand_starts_nothing_is_left() {
    let mut host = host(&["--renew-after", "500"]);
    for _ in 0..50 {
        host.run(start(HELLO));
    }
    host.settle();
    let pid = host.keeper.id();
    let before = (rig::open_descriptors(pid), groups(pid));
    for _ in 0..1_250 {
        let programs: Vec<_> = (0..8).map(|_| host.start(start(HELLO))).collect();
        programs.iter().for_each(|program| assert_eq!(end(&host.end_of(program)), 0));
    }
    host.settle();
    let after = (rig::open_descriptors(pid), groups(pid));
    // Of each group, which is two folders, three files are kept open.
    let files = 3 * after.1.saturating_sub(before.1).div_ceil(2);
    assert!(after.0 <= before.0 + files + 8 && after.1 <= before.1 + 24, "before {before:?}, after {after:?}");
    for spawner in rig::children(pid) {
        let zombies = rig::children(spawner).into_iter().filter(|child| rig::status(*child, "State").starts_with('Z'));
        assert_eq!(zombies.count(), 0);
    }
    assert!(host.status().generation >= 4, "spawners were renewed");
    assert!(rig::children(pid).len() <= 4, "old containers have ended");
    let folders = rig::group_folders(pid);
    assert_eq!(host.close(), Some(0));
    assert!(folders.iter().all(|folder| !folder.exists()), "the keeper removes its groups");
}

fn groups(pid: u32) -> usize {
    let count = |folder: &std::path::PathBuf| {
        std::fs::read_dir(folder).map_or(0, |entries| entries.flatten().filter(|entry| entry.path().is_dir()).count())
    };
    rig::group_folders(pid).iter().map(count).sum()
}

#[test]
fn a_spawner_that_dies_is_replaced_and_its_programs_are_reported() {
    let mut host = host(&[]);
    let program = host.start(start(WAIT));
    let child = rig::sender(&program);
    let spawner = rig::parent(child);
    // SAFETY: a process that this test has started.
    unsafe { libc::kill(spawner as i32, libc::SIGKILL) };
    assert_eq!(host.answer_for(program.id), Answer::Failed(Reason::SpawnerLost, 0));
    let (words, _) = host.run(start(HELLO));
    assert_eq!(words, "hello\0\0\0");
    assert_eq!(host.status().generation, 2);
}

#[test]
fn a_keeper_that_dies_takes_everything_along_and_the_next_one_cleans_up() {
    let mut dead = host(&[]);
    let program = dead.start(start(WAIT));
    let child = rig::sender(&program);
    let folders = rig::group_folders(dead.keeper.id());
    dead.keeper.kill().expect("kill");
    dead.keeper.wait().expect("wait");
    wait_for_end_of(child);
    // The last task may leave its group a moment after its end.
    let left = |_: &i32| folders.iter().any(|folder| folder.exists());
    (0..20).take_while(left).for_each(|_| assert_eq!(host(&[]).close(), Some(0)));
    assert!(!left(&0), "{folders:?}");
}

fn wait_for_end_of(pid: u32) {
    let begin = Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(begin.elapsed() < common::PATIENCE, "{pid} still lives");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_host_that_does_not_read_is_made_to_wait_and_loses_no_answer() {
    let mut host = host(&[]);
    let status = |id| Request::Status.encode(id);
    let socket = host.socket.as_raw_fd();
    let mut asked = 0;
    let mut full = 0;
    while full < 50 && asked < 50_000 {
        match gatebus_jail::descriptors::send(socket, &status(asked + 10), &[], libc::MSG_DONTWAIT) {
            Ok(()) => (asked, full) = (asked + 1, 0),
            Err(_) => {
                full += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
    assert!(asked < 50_000, "the keeper stops reading");
    for id in 0..asked {
        assert!(matches!(host.next_answer(), Some((other, Answer::Ready(_))) if other == id + 10));
    }
    assert_eq!(host.run(start(HELLO)).0, "hello\0\0\0");
}

#[test]
fn the_keeper_of_root_keeps_four_capabilities_and_spawners_none() {
    let mut host = host(&[]);
    host.compile(common::compile(HELLO), b""); // the second container stands too
    let expected = if rig::is_root() { "00000000000000e2" } else { "0000000000000000" };
    assert_eq!(rig::status(host.keeper.id(), "CapEff"), expected);
    for spawner in rig::children(host.keeper.id()) {
        for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(rig::status(spawner, name), "0000000000000000", "{name}");
        }
        assert_eq!(rig::status(spawner, "Threads"), "1");
    }
}

#[test]
fn nonsense_is_answered_and_ends_nothing() {
    let mut host = host(&[]);
    host.settle();
    let held = rig::open_descriptors(host.keeper.id());
    let kept = host.start(start(WAIT));
    first_word(&kept);
    let mut seed = 88_172_645_463_325_252u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let good = Request::Start(start(HELLO)).encode(0);
    for round in 0..3000u32 {
        let id = 1_000_000 + round;
        let length = usize::try_from(random() % 130).expect("small");
        let mut datagram: Vec<u8> = (0..length.max(1))
            .map(|at| if random() % 4 == 0 { random().to_le_bytes()[3] } else { good.get(at).copied().unwrap_or(0) })
            .collect();
        if datagram.len() >= 8 {
            datagram[4..8].copy_from_slice(&id.to_le_bytes());
        }
        let socket = host.socket.as_raw_fd();
        let descriptors = vec![socket; usize::try_from(random() % 5).expect("small")];
        gatebus_jail::descriptors::send(socket, &datagram, &descriptors, 0).expect("the keeper reads");
        if round % 64 == 0 {
            host.status();
        }
    }
    tell(&kept, b"x");
    assert_eq!(end(&host.end_of(&kept)), 0);
    assert_eq!(host.run(start(HELLO)).0, "hello\0\0\0");
    host.settle();
    let now = rig::open_descriptors(host.keeper.id());
    assert!(now <= held + 8, "no descriptor is kept: {held} before, {now} after");
}

#[test]
fn an_id_that_is_taken_is_refused_and_its_owner_lives_on() {
    let mut host = host(&[]);
    let program = host.start(start(WAIT));
    first_word(&program);
    let spare = std::os::unix::net::UnixStream::pair().expect("pair");
    let numbers = [spare.0.as_raw_fd(), host.image.as_raw_fd(), program.memory.as_raw_fd()];
    host.ask(program.id, Request::Start(start(HELLO)), &numbers);
    assert_eq!(host.answer_for(program.id), Answer::Failed(Reason::BadRequest, 0));
    tell(&program, b"x");
    assert_eq!(end(&host.end_of(&program)), 0);
}

#[test]
fn a_required_layer_that_is_missing_ends_the_keeper_after_ready() {
    if !rig::is_root() {
        return; // the layer that an ordinary user lacks is known only for root's machine
    }
    let theirs = ordinary_host(&["--require", "cgroup-memory"]);
    assert!(theirs.ready.missing.has(Layers::CGROUP_MEMORY));
    assert_eq!(theirs.close(), Some(78));
}

/// The pipe of standard error holds 64 KiB and the host reads it only when the keeper does not start: 400 KB of words
/// of a child that is not locked yet stopped the keeper for ever, and with it every kill and every limit of wall time.
#[test]
fn words_that_nobody_reads_do_not_stop_the_keeper() {
    let mut command = std::process::Command::new(rig::REHEARSAL);
    command.stderr(std::process::Stdio::piped());
    let mut host = common::Host::with_image(command, &[], b"no image");
    for _ in 0..2 {
        assert_eq!(host.run(start(NOISY)).0, "hello\0\0\0");
    }
    assert_eq!(host.run(start(HELLO)).0, "hello\0\0\0");
    assert_eq!(host.close(), Some(0));
}
