//! Measures request -> first packet, and starts per second, through a keeper.
//! `start_rate EXECUTABLE [image file] [keeper's words]`: without an image the rehearsal's hello is run.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Host, first_word, start};
use std::process::Command;
use std::time::{Duration, Instant};

fn percentile(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort();
    samples[(samples.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

fn one(host: &mut Host) -> Duration {
    let begin = Instant::now();
    let program = host.start(start(0));
    first_word(&program);
    let first = begin.elapsed();
    host.end_of(&program);
    first
}

fn row(name: &str, samples: &mut [Duration]) {
    println!(
        "{name}: p50 {:.3} ms, p90 {:.3}, p99 {:.3}, max {:.3}",
        percentile(samples, 50),
        percentile(samples, 90),
        percentile(samples, 99),
        percentile(samples, 100)
    );
}

/// Holds this many idle programs at once, then kills them.
fn many(host: &mut Host, count: usize) {
    let begin = Instant::now();
    let programs: Vec<_> = (0..count).map(|_| host.start(gatebus_wire::Start { wall_ms: 0, ..start(1) })).collect();
    programs.iter().for_each(|program| drop(first_word(program)));
    let held = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    programs.iter().for_each(|program| host.kill(program));
    for program in &programs {
        host.end_of(program);
    }
    println!("{count} idle programs held after {held:.2} s, killed within {:.2} s", begin.elapsed().as_secs_f64());
}

/// CPU time of a process, in microseconds.
fn cpu_us(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) / 1000
}

/// What a start costs the processors, wherever the time goes: the figure that a busy machine does not blur.
fn cpu_row(host: &mut Host) {
    let pid = host.keeper.id();
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let spawners: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let all = |_: ()| (cpu_us(pid), spawners.iter().map(|pid| cpu_us(*pid)).sum::<u64>());
    let (count, before) = (500u64, all(()));
    let mut programs = 0;
    for _ in 0..count {
        let program = host.start(start(0));
        first_word(&program);
        let ended = host.end_of(&program);
        programs += ended.user_us + ended.system_us;
    }
    let after = all(());
    let each = |before: u64, after: u64| (after - before) / count;
    println!(
        "CPU per start: keeper {} us, spawner {} us, program {} us",
        each(before.0, after.0),
        each(before.1, after.1),
        programs / count
    );
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let executable = words.first().expect("an executable");
    let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let mut host = Host::with_image(Command::new(executable), &rest, b"no image");
    println!("layers on: {}; missing: {}; cgroups: {}", host.ready.on, host.ready.missing, host.ready.cgroup_mode);
    host.settle();
    cpu_row(&mut host);
    host.settle();
    let mut samples: Vec<Duration> = (0..1000).map(|_| one(&mut host)).collect();
    row("one after the other", &mut samples);
    let mut samples: Vec<Duration> = (0..300)
        .map(|_| {
            host.settle();
            one(&mut host)
        })
        .collect();
    row("from a full pool", &mut samples);
    let mut samples: Vec<Duration> = (0..150)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(30));
            one(&mut host)
        })
        .collect();
    row("with pauses of 30 ms", &mut samples);
    for flight in [1, 2, 4, 8] {
        let (count, begin) = (3000, Instant::now());
        let mut running = std::collections::VecDeque::new();
        for _ in 0..count {
            running.push_back(host.start(start(0)));
            if running.len() >= flight {
                let program = running.pop_front().expect("one");
                first_word(&program);
                host.end_of(&program);
            }
        }
        for program in running {
            host.end_of(&program);
        }
        println!(
            "{flight} in flight: {:.0} started and ended per second",
            f64::from(count) / begin.elapsed().as_secs_f64()
        );
    }
    many(&mut host, 3000);
    println!("keeper's exit: {:?}", host.close());
}
