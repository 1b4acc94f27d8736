//! Memory, processes and compile workers: the kernel's limits, each from both sides.

mod common;
#[path = "common/rig.rs"]
mod rig;

use common::{MIB, compile, end, first_word, start, tell};
use gatebus_wire::Layers;
use gatebus_wire::keeper::{Answer, Request, Why};
use rig::{host, ordinary_host};

const HELLO: u32 = 0;
const WAIT: u32 = 1;
const SPIN: u32 = 2;
const TOUCH: u32 = 3;
const WRITE: u32 = 11;
const FORK: u32 = 100 + 3;
const TWO_GIBIBYTES: u32 = 100 + 26;

fn attack(host: &mut common::Host, flags: u32) -> (String, gatebus_wire::keeper::Ended) {
    let program = host.start(start(flags));
    tell(&program, &[0; 12]);
    let words = common::listen(&program);
    (words, host.end_of(&program))
}

#[test]
fn out_of_memory_ends_only_the_program_whose_group_it_is() {
    let mut host = host(&["--without", "seccomp,rlimits"]);
    if !rig::has(&host, Layers::CGROUP_MEMORY) {
        return;
    }
    let neighbour = host.start(start(WAIT));
    first_word(&neighbour);
    let (_, ended) = attack(&mut host, TWO_GIBIBYTES);
    assert_eq!((end(&ended), ended.why), (-libc::SIGKILL, Why::Memory));
    assert!(ended.max_rss < 400 * MIB, "{ended:?}");
    tell(&neighbour, b"x");
    let ended = host.end_of(&neighbour);
    assert_eq!((end(&ended), ended.why), (0, Why::Itself));
}

#[test]
fn a_group_that_is_charged_for_memory_that_the_host_keeps_is_not_used_again() {
    let mut host = host(&["--pool", "1"]);
    if !rig::has(&host, Layers::CGROUP_MEMORY) {
        return;
    }
    let small = gatebus_wire::Start { memory_limit: 64 * MIB, data_limit: 16 * MIB, ..start(TOUCH) };
    let mut kept = Vec::new();
    for _ in 0..6 {
        let program = host.start(small);
        assert_eq!(common::listen(&program), "touched, was zero");
        assert_eq!(end(&host.end_of(&program)), 0);
        kept.push(program);
    }
}

#[test]
fn without_a_group_the_data_limit_bounds_memory() {
    for mut host in [host(&["--without", "seccomp,cgroup"]), ordinary_host(&["--without", "seccomp"])] {
        let (words, ended) = attack(&mut host, TWO_GIBIBYTES);
        assert_eq!((words.as_str(), end(&ended)), ("refused 12", 0));
        assert!(ended.max_rss < 300 * MIB, "{ended:?}");
    }
}

#[test]
fn a_fork_is_refused_by_the_process_limit_and_without_it_by_the_group() {
    let mut host = host(&["--without", "seccomp,rlimits"]);
    if rig::has(&host, Layers::CGROUP_PIDS) {
        assert_eq!(attack(&mut host, FORK).0, "refused 11");
    }
    for mut host in [rig::host(&["--without", "seccomp,cgroup"]), ordinary_host(&["--without", "seccomp"])] {
        assert_eq!(attack(&mut host, FORK).0, "refused 11");
    }
}

#[test]
fn a_worker_compiles_and_its_files_are_kept() {
    for mut host in [host(&[]), ordinary_host(&[])] {
        let (answer, image, facts) = host.compile(compile(HELLO), b"source");
        assert!(matches!(answer, Answer::Ended(ended) if end(&ended) == 0), "{answer:?}");
        assert_eq!((image.as_slice(), facts.as_slice()), (&b"source"[..], &b"{\"ok\": true}"[..]));
    }
}

#[test]
fn a_worker_ends_at_its_limit_of_cpu_time_wall_time_memory_and_code() {
    let mut host = host(&[]);
    let ended = |answer: Answer| match answer {
        Answer::Ended(ended) => (end(&ended), ended.why),
        other => panic!("{other:?}"),
    };
    let cpu = host.compile(gatebus_wire::Compile { cpu_ms: 100, ..compile(SPIN) }, b"").0;
    assert_eq!(ended(cpu), (60, Why::Itself));
    let wall = host.compile(gatebus_wire::Compile { wall_ms: 100, ..compile(WAIT) }, b"").0;
    assert_eq!(ended(wall), (-libc::SIGKILL, Why::Wall));
    let (code, image, _) = host.compile(gatebus_wire::Compile { max_code: 4 * MIB, ..compile(WRITE) }, b"");
    assert_eq!((ended(code), image.len()), ((-libc::SIGXFSZ, Why::Itself), 4 << 20));
    let memory = host.compile(gatebus_wire::Compile { memory_limit: 200 * MIB, ..compile(TOUCH) }, b"").0;
    let (status, why) = ended(memory);
    assert!(status != 0 && why == Why::Itself, "RLIMIT_AS: the allocator fails and the worker ends: {status}");
}

#[test]
fn a_worker_that_escapes_its_address_space_limit_ends_in_its_group() {
    let mut host = host(&["--without", "rlimits"]);
    if rig::has(&host, Layers::CGROUP_MEMORY) {
        let answer = host.compile(gatebus_wire::Compile { memory_limit: 100 * MIB, ..compile(TOUCH) }, b"").0;
        assert!(
            matches!(answer, Answer::Ended(ended) if end(&ended) == -libc::SIGKILL && ended.why == Why::Memory),
            "{answer:?}"
        );
    }
}

/// Programs of this keeper in the group of an account, as their own /proc/PID/cgroup tells.
fn in_group_of(keeper: u32, account: u32) -> usize {
    let inside = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        text.lines().any(|line| line.contains(&format!("-{keeper}-")) && line.ends_with(&format!("-{account}")))
    };
    rig::children(keeper).into_iter().flat_map(rig::children).filter(inside).count()
}

fn until(what: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !what() {
        assert!(begin.elapsed() < common::PATIENCE, "it did not happen");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn what_computes_beside_others_goes_to_its_accounts_group_and_comes_back_and_what_waits_stays() {
    let mut host = host(&["--pool", "3"]);
    if !rig::has(&host, Layers::CGROUP_CPU) || host.ready.cgroup_mode != 1 {
        return;
    }
    let keeper = host.keeper.id();
    let spinning = [7, 7, 9].map(|account| (host.start(start(SPIN)), account));
    let waiting = host.start(start(WAIT));
    first_word(&waiting);
    for (program, account) in &spinning {
        host.ask(program.id, Request::Share(*account), &[]);
    }
    host.ask(waiting.id, Request::Share(9), &[]);
    until(|| in_group_of(keeper, 7) == 2 && in_group_of(keeper, 9) == 1);
    host.ask(spinning[2].0.id, Request::Share(0), &[]);
    until(|| in_group_of(keeper, 9) == 0);
    for (program, _) in &spinning {
        host.kill(program);
        host.end_of(program);
    }
    tell(&waiting, b"x");
    assert_eq!(end(&host.end_of(&waiting)), 0);
    assert_eq!(host.close(), Some(0));
    assert_eq!(groups_of(keeper), 0);
}

/// Folders of a keeper's groups that are left.
fn groups_of(keeper: u32) -> usize {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.contains("cgroup"));
    let left = points.flat_map(|point| std::fs::read_dir(point).into_iter().flatten().flatten());
    left.filter(|one| one.file_name().to_string_lossy().contains(&format!("-{keeper}-"))).count()
}

/// The group in which programs start whose accounts have had more than their part.
const LOW: u32 = 64;

#[test]
fn who_starts_low_is_in_the_low_group_from_the_start_and_nobody_else_is() {
    let mut host = host(&["--pool", "2"]);
    if !rig::has(&host, Layers::CGROUP_CPU) || host.ready.cgroup_mode != 1 {
        return;
    }
    let keeper = host.keeper.id();
    let ordinary = host.start(start(WAIT));
    first_word(&ordinary);
    assert_eq!(in_group_of(keeper, LOW), 0);
    let low = [0, 1].map(|stack_class| host.start(gatebus_wire::Start { low: true, stack_class, ..start(WAIT) }));
    low.iter().for_each(first_word_of);
    until(|| in_group_of(keeper, LOW) == 3); // and a prepared one
    for program in low.iter().chain([&ordinary]) {
        tell(program, b"x");
        assert_eq!(end(&host.end_of(program)), 0);
    }
    assert_eq!(host.close(), Some(0));
    assert_eq!(groups_of(keeper), 0);
}

fn first_word_of(program: &common::Program) {
    first_word(program);
}
