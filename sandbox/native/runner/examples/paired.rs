//! `cargo run --release -p gatebus-sandbox --example paired -- OLD NEW [ROUNDS]`: two executables in turn, each behind a keeper
//! of its own, on a machine that may do other things. Prints JSON: of both, and NEW divided by OLD.
//!
//! A round is, for each of the two: starts one after the other from a full pool (request to first packet), and starts with
//! several in flight (how many a second, and what each costs the processors wherever the time goes).
#![allow(missing_docs)]

use gatebus_jail::descriptors::sealed_memfd;
use gatebus_sandbox::client::{Client, Program, Result, begin, compile, setup, start};
use gatebus_sandbox::rehearsal::MODULE;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 10;
const SINGLE: usize = 50;
const MANY: usize = 500;
const AT_ONCE: usize = 4;

struct Side {
    client: Client,
    image: OwnedFd,
    setup: Vec<u8>,
    first_us: Vec<f64>,
    rates: Vec<f64>,
    keeper_us: Vec<f64>,
    spawner_us: Vec<f64>,
    program_us: Vec<f64>,
}

impl Side {
    fn new(executable: &str) -> Result<Side> {
        let mut client = Client::new(Path::new(executable), &[])?;
        let (answer, image, facts) = client.compile(compile(), MODULE.as_bytes())?;
        if image.is_empty() {
            return Err(format!("not compiled: {answer:?} {facts}").into());
        }
        let (image, setup) = (sealed_memfd(&image)?, setup(&begin(), &["hello"], None));
        let [first_us, rates, keeper_us, spawner_us, program_us] = Default::default();
        Ok(Side { client, image, setup, first_us, rates, keeper_us, spawner_us, program_us })
    }

    fn start(&mut self) -> Result<Program> {
        self.client.start(start(), &self.image, &self.setup)
    }

    fn singles(&mut self) -> Result<()> {
        for _ in 0..SINGLE {
            self.client.settle()?;
            let clock = Instant::now();
            let mut program = self.start()?;
            self.client.first_bytes(&mut program, &mut [0u8; 8])?;
            self.first_us.push(clock.elapsed().as_secs_f64() * 1e6);
            self.client.end(&program)?;
        }
        self.client.settle()
    }

    fn many(&mut self) -> Result<()> {
        let keeper = self.client.keeper_pid();
        let spawners = children(keeper);
        let spent = || (cpu_us(keeper), spawners.iter().map(|pid| cpu_us(*pid)).sum::<f64>());
        let (before, clock) = (spent(), Instant::now());
        let mut programs = 0.0;
        let mut running = VecDeque::new();
        for _ in 0..MANY {
            running.push_back(self.start()?);
            if running.len() > AT_ONCE {
                programs += self.end(running.pop_front())?;
            }
        }
        while let Some(program) = running.pop_front() {
            programs += self.end(Some(program))?;
        }
        let after = spent();
        self.rates.push(MANY as f64 / clock.elapsed().as_secs_f64());
        self.keeper_us.push((after.0 - before.0) / MANY as f64);
        self.spawner_us.push((after.1 - before.1) / MANY as f64);
        self.program_us.push(programs / MANY as f64);
        Ok(())
    }

    fn end(&mut self, program: Option<Program>) -> Result<f64> {
        let ended = self.client.end(&program.ok_or("nothing runs")?)?;
        Ok((ended.user_us + ended.system_us) as f64)
    }

    fn figures(&mut self) -> Vec<(&'static str, f64)> {
        let first = &mut self.first_us;
        first.sort_by(f64::total_cmp);
        let figures = [("first_p10_us", first[first.len() / 10]), ("first_p50_us", first[first.len() / 2])];
        let rest =
            [&mut self.rates, &mut self.keeper_us, &mut self.spawner_us, &mut self.program_us].map(|row| median(row));
        let names = ["rate", "keeper_us", "spawner_us", "program_us"];
        figures.into_iter().chain(names.into_iter().zip(rest)).collect()
    }
}

fn median(row: &mut [f64]) -> f64 {
    row.sort_by(f64::total_cmp);
    row[row.len() / 2]
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn cpu_us(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [old, new, rest @ ..] = words.as_slice() else { return Err("OLD NEW [ROUNDS]".into()) };
    let rounds = rest.first().map_or(Ok(ROUNDS), |word| word.parse())?;
    let mut sides = [Side::new(old)?, Side::new(new)?];
    for _ in 0..rounds {
        for side in &mut sides {
            side.singles()?;
            side.many()?;
        }
    }
    let [old, new] = sides.each_mut().map(Side::figures);
    for ((name, old), (_, new)) in old.into_iter().zip(new) {
        let row: Value = json!({ "key": name, "old": old.round(), "new": new.round(), "ratio": (new / old * 1000.0).round() / 1000.0 });
        println!("{row}");
    }
    Ok(())
}
