//! `gatebus-sandbox bench-spawn`: what a start costs, measured by a native client of the keeper. Prints JSON.

use crate::client::{Client, Program, Result, begin, setup, start};
use crate::rehearsal::MODULE;
use crate::workload::Native;
use gatebus_jail::descriptors::sealed_memfd;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Starts and bare forks in turn, each asked for as soon as the one before has ended.
const TURNS: usize = 1000;
/// Starts with an idle pause between them, as in life: control groups are slow only then, and both processors sleep.
const PAUSED: usize = 300;
const PAUSE: Duration = Duration::from_millis(20);
/// Starts in a row, without forks between them, which give the pool time.
const ROW: usize = 1000;
/// Programs at once in the rate's measurement: one for each core, and one that waits.
const AT_ONCE: usize = 3;

/// A program that says a word and then waits for ever.
const IDLE: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\20\00\00\00\06\00\00\00")
  (data (i32.const 32) "hello\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)))))"#;

struct Bench {
    client: Client,
    image: OwnedFd,
    setup: Vec<u8>,
}

/// Runs the measurements.
pub fn main() -> Result<()> {
    let executable = std::env::current_exe()?;
    let mut bench = Bench {
        client: Client::new(&executable, &[])?,
        image: sealed_memfd(b"")?,
        setup: setup(&begin(), &["hello"], None),
    };
    bench.image = bench.compiled(IDLE)?;
    let idle = bench.idle_kib()?;
    bench.image = bench.compiled(MODULE)?;
    let mut forks = Forks::new()?;
    let (mut full, mut bare) = bench.in_turn(&mut forks, TURNS, None)?;
    let (mut paused, mut paused_bare) = bench.in_turn(&mut forks, PAUSED, Some(PAUSE))?;
    let mut row = bench.in_a_row()?;
    let rate = bench.rate()?;
    let result = json!({
        "spawn_ms": percentile(&mut full, 50),
        "spawn_p10_ms": percentile(&mut full, 10),
        "spawn_p90_ms": percentile(&mut full, 90),
        "fork_ms": percentile(&mut bare, 50),
        "fork_p10_ms": percentile(&mut bare, 10),
        "spawn_p99_ms": percentile(&mut paused, 99),
        "spawn_paused_ms": percentile(&mut paused, 50),
        "fork_paused_ms": percentile(&mut paused_bare, 50),
        "spawn_row_ms": percentile(&mut row, 50),
        "spawn_rate": rate,
        "idle_kib": idle,
        "layers": bench.client.ready.on.to_string(),
        "missing": bench.client.ready.missing.to_string(),
    });
    println!("{}", round(result));
    Ok(())
}

fn percentile(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort();
    samples.get(samples.len().saturating_sub(1) * percent / 100).map_or(0.0, |sample| sample.as_secs_f64() * 1000.0)
}

fn round(mut result: Value) -> Value {
    for (_, value) in result.as_object_mut().into_iter().flatten() {
        if let Some(number) = value.as_f64() {
            *value = json!((number * 10_000.0).round() / 10_000.0);
        }
    }
    result
}

impl Bench {
    fn compiled(&mut self, text: &str) -> Result<OwnedFd> {
        let (answer, image, facts) = self.client.compile(crate::client::compile(), text.as_bytes())?;
        if image.is_empty() {
            return Err(format!("not compiled: {answer:?} {facts}").into());
        }
        Ok(sealed_memfd(&image)?)
    }

    fn start(&mut self) -> Result<Program> {
        self.client.start(start(), &self.image, &self.setup)
    }

    /// Request to first packet.
    fn one(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        let mut program = self.start()?;
        self.client.first_bytes(&mut program, &mut [0u8; 8])?;
        let first = begin.elapsed();
        self.client.end(&program)?;
        Ok(first)
    }

    /// Starts and forks in turn, with the same pause before each, if any: both meet the same machine.
    fn in_turn(
        &mut self,
        forks: &mut Forks,
        count: usize,
        pause: Option<Duration>,
    ) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let (mut starts, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..count {
            self.pause(pause)?;
            starts.push(self.one()?);
            self.pause(pause)?;
            bare.push(forks.one()?);
        }
        Ok((starts, bare))
    }

    /// Both processors fall asleep, and the pool is full.
    fn pause(&mut self, pause: Option<Duration>) -> Result<()> {
        pause.map_or(Ok(()), |pause| {
            std::thread::sleep(pause);
            self.client.settle()
        })
    }

    fn in_a_row(&mut self) -> Result<Vec<Duration>> {
        (0..ROW).map(|_| self.one()).collect()
    }

    fn rate(&mut self) -> Result<f64> {
        let begin = Instant::now();
        let mut running = VecDeque::new();
        for _ in 0..ROW * 2 {
            running.push_back(self.start()?);
            if running.len() > AT_ONCE {
                let oldest = running.pop_front().ok_or("none")?;
                self.client.end(&oldest)?;
            }
        }
        for program in running {
            self.client.end(&program)?;
        }
        Ok((ROW * 2) as f64 / begin.elapsed().as_secs_f64())
    }

    /// Private pages and page tables of a program that waits for input.
    fn idle_kib(&mut self) -> Result<u64> {
        self.client.settle()?;
        let mut program = self.start()?;
        self.client.first_bytes(&mut program, &mut [0u8; 8])?;
        std::thread::sleep(PAUSE * 5);
        let spawners = children(self.client.keeper_pid());
        let programs = spawners.into_iter().flat_map(children);
        let held = programs.filter_map(held_by_a_waiting_program).max();
        self.client.kill(&program)?;
        self.client.end(&program)?;
        held.ok_or_else(|| "the idle program's process was not found".into())
    }
}

/// The processes that this one has made. Another keeper's programs on the same machine are nobody's business here.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// KiB, if this process is a program: it is the one with a shared guest memory.
fn held_by_a_waiting_program(pid: u32) -> Option<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    maps.lines().find(|line| line.contains("rw-s") && line.contains("memfd"))?;
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
    };
    Some(field(&smaps, "Private_Dirty:")? + field(&smaps, "Private_Clean:")? + field(&status, "VmPTE:")?)
}

/// What a process costs on this machine when asked for as the keeper asks its spawner: request, fork, exit, wait,
/// answer. The process that forks is as large as a spawner.
struct Forks(UnixStream);

impl Forks {
    fn new() -> Result<Forks> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: this process has one thread; the child never returns from `serve`.
        match unsafe { libc::fork() } {
            0 => {
                drop(ours); // our own copy of the other end would hide its closing for ever
                serve(&theirs)
            }
            -1 => Err(std::io::Error::last_os_error().into()),
            _ => {
                let mut forks = Forks(ours);
                forks.one()?;
                Ok(forks)
            }
        }
    }

    fn one(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        self.0.write_all(b"?")?;
        self.0.read_exact(&mut [0])?;
        Ok(begin.elapsed())
    }
}

fn serve(mut requests: &UnixStream) -> ! {
    // Without what makes a program's start cheap and a bare fork dearer: the yardstick stays what it was.
    let native = Native::stand();
    while native.is_ok() && requests.read_exact(&mut [0]).is_ok() {
        // SAFETY: one thread; the child only exits, the parent waits for it.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(0);
            }
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
        if requests.write_all(b"!").is_err() {
            break;
        }
    }
    crate::workload::exit(0)
}
