//! A whole state, with files, input and memories, moves between engines and processors: each leg in a new process's place.
//!
//! By itself it goes between Cranelift's code for this processor and the interpreter Pulley. With GATEBUS_MOVES=FOLDER it is one leg of a journey: the state of
//! the last one is read there and the next is written, so that the same test, built for another processor, goes on with it (`../arm64.sh`). With GATEBUS_MOVES_BY=pulley64
//! that leg is Pulley's.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::output;
use gatebus_jail::descriptors::{memory_memfd, sealed_memfd};
use gatebus_module::{CONTROL_BYTES, State, Suspendable, ZONE, read_untrusted, sites_of};
use gatebus_sandbox::channel::Socket;
use gatebus_sandbox::client::{Packet, begin, packets_untrusted, report, setup};
use gatebus_sandbox::compile::compile_untrusted;
use gatebus_sandbox::engine::config;
use gatebus_sandbox::link::Linkers;
use gatebus_sandbox::memory::{Slots, control_offset};
use gatebus_sandbox::program::{Order, Stage, run};
use gatebus_wire::control::{Begin, FLAG_RESUMED, Kind, encode};
use gatebus_wire::keeper::Job;
use gatebus_wire::packets::{CODE_CONTROL, DOMAIN_DATA, packet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use wasmtime::Engine;

const LIMIT: u64 = 1 << 20;
const STACK: usize = 1 << 20;
/// What the program reads, a byte each leg that waits.
const WORD: &[u8] = b"journeys";

/// Reads a byte at the bottom of a recursion, mixes it into a float, a vector, a table's choice and a second memory, writes it into a file; eight times.
/// At the end it says what the file and the rest hold.
const PROGRAM: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1) (memory $other 1)
  (global $mix (mut f64) (f64.const 1.5)) (global $wide (mut v128) (v128.const i32x4 1 2 3 4))
  (type $change (func (param f64 i32) (result f64)))
  (table $t 2 funcref) (elem (i32.const 0) $root $third)
  (data (i32.const 512) "out")
  (func $root (type $change) (f64.sqrt (f64.add (local.get 0) (f64.convert_i32_u (local.get 1)))))
  (func $third (type $change) (f64.div (f64.add (local.get 0) (f64.convert_i32_u (local.get 1))) (f64.const 3)))
  (func $vector (param i32 i32) (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)))
  (func $deep (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))
      (else
        (call $vector (i32.const 64) (i32.const 1))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.load8_u (i32.const 64)))))
  (func $say (param $fd i32) (param $at i32) (param $size i32)
    (call $vector (local.get $at) (local.get $size))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (local $round i32) (local $byte i32) (local $file i32) (local $turn i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 3) (i32.const 1)
      (i64.const 0x46) (i64.const 0) (i32.const 0) (i32.const 16)))
    (local.set $file (i32.load (i32.const 16)))
    (loop $rounds
      (local.set $byte (call $deep (i32.const 60)))
      (local.set $turn (i32.const 0))
      (loop $turns
        (global.set $mix
          (call_indirect $t (type $change) (global.get $mix) (local.get $byte) (i32.and (local.get $turn) (i32.const 1))))
        (global.set $wide (i32x4.mul (global.get $wide) (i32x4.splat (i32.add (local.get $byte) (local.get $turn)))))
        (global.set $wide (v128.or (global.get $wide) (v128.const i32x4 1 1 1 1)))
        (i32.store8 $other (i32.add (i32.mul (local.get $round) (i32.const 5000)) (local.get $turn)) (local.get $byte))
        (br_if $turns (i32.lt_u (local.tee $turn (i32.add (local.get $turn) (i32.const 1))) (i32.const 501))))
      (i32.store8 (i32.const 96) (i32.sub (local.get $byte) (i32.const 60)))
      (call $say (local.get $file) (i32.const 96) (i32.const 1))
      (br_if $rounds (i32.lt_u (local.tee $round (i32.add (local.get $round) (i32.const 1))) (i32.const 8))))
    (drop (call $seek (local.get $file) (i64.const 0) (i32.const 0) (i32.const 24)))
    (call $vector (i32.const 128) (i32.const 8))
    (drop (call $read (local.get $file) (i32.const 0) (i32.const 1) (i32.const 8)))
    (f64.store (i32.const 136) (global.get $mix))
    (v128.store (i32.const 144) (global.get $wide))
    (i32.store8 (i32.const 160) (i32.load8_u $other (i32.const 35500)))
    (call $say (i32.const 1) (i32.const 128) (i32.const 33))))"#;

/// What it says, computed here.
fn expected() -> Vec<u8> {
    let (mut mix, mut wide) = (1.5_f64, [1_u32, 2, 3, 4]);
    for byte in WORD.iter().map(|byte| u32::from(*byte) + 60) {
        for turn in 0..501 {
            let sum = mix + f64::from(byte);
            mix = if turn % 2 == 0 { sum.sqrt() } else { sum / 3.0 };
            wide = wide.map(|lane| lane.wrapping_mul(byte + turn) | 1);
        }
    }
    let lanes = wide.iter().flat_map(|lane| lane.to_le_bytes());
    let last = WORD[7] + 60;
    WORD.iter().copied().chain(mix.to_le_bytes()).chain(lanes).chain([last]).collect()
}

/// Where the journey stands.
#[derive(Clone, Default)]
struct Halt {
    legs: usize,
    /// Of the word, how much the program was sent.
    sent: usize,
    state: Vec<u8>,
    memory: Vec<u8>,
}

fn stage(target: Option<&str>) -> Stage {
    let slots = Slots::reserve().unwrap();
    let mut config = config(STACK, &slots);
    if let Some(target) = target {
        config.target(target).unwrap().signals_based_traps(false);
    }
    let engine = Engine::new(&config).unwrap();
    let linkers = Linkers::new(&engine).unwrap();
    Stage { engine, linkers, slots }
}

fn compiled(stage: &Stage, given: &[u8], job: Job) -> (Vec<u8>, serde_json::Value) {
    let compiled = compile_untrusted(&stage.engine, given, 1 << 30, job);
    assert_eq!(compiled.facts["ok"], true, "{}", compiled.facts);
    (compiled.image, compiled.facts)
}

/// The image of the continuation, and what RESTORE packets bring.
fn continuation(stage: &Stage, wasm: &[u8], state: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let program = Suspendable::new_untrusted(wasm).unwrap();
    let standing = State::decode_untrusted(state).unwrap().frames;
    let frames = read_untrusted(program.table(), &standing).unwrap();
    let sites = sites_of(&frames);
    let mut order = u32::try_from(sites.len()).unwrap().to_le_bytes().to_vec();
    order.extend(sites.iter().flat_map(|site| site.to_le_bytes()));
    let summary = program.summary();
    order.extend(u32::try_from(summary.len()).unwrap().to_le_bytes());
    order.extend([summary, wasm.to_vec()].concat());
    let (image, facts) = compiled(stage, &order, Job::Continue);
    let guide = facts["guide"].as_str().unwrap().as_bytes();
    let digits = guide.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
    let guide: Vec<u8> = digits.collect();
    let length = u32::try_from(guide.len()).unwrap().to_le_bytes();
    (image, [&length[..], &guide, state].concat())
}

/// The setup of a first leg, or of a later one.
fn words(restore: Option<&[u8]>) -> Vec<u8> {
    let Some(restore) = restore else { return setup(&begin(), &["journey"], None) };
    let mut words = encode(Kind::Begin, &Begin { flags: begin().flags | FLAG_RESUMED, ..begin() }.encode()).unwrap();
    restore.chunks(60_000).for_each(|piece| words.extend(encode(Kind::Restore, piece).unwrap()));
    words.extend(encode(Kind::Go, &[]).unwrap());
    words
}

/// One leg: until the next stop, or to the end. In every second leg the program is stopped at its first loop or call; in the others it gets
/// a byte, and is stopped where it waits for the next one.
fn leg(target: Option<&str>, halt: &Halt) -> Result<Halt, Vec<u8>> {
    let mut stage = stage(target);
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let (image, _) = compiled(&stage, &wasm, Job::Suspendable);
    let memory = File::from(memory_memfd(control_offset(LIMIT) + u64::from(CONTROL_BYTES)).unwrap());
    memory.write_all_at(&halt.memory, 0).unwrap();
    let resumed = (halt.legs > 0).then(|| continuation(&stage, &wasm, &halt.state));
    let mut packets = words(resumed.as_ref().map(|(_, restore)| restore.as_slice()));
    let is_busy = halt.legs % 2 == 1;
    let mut next = Halt { legs: halt.legs + 1, ..halt.clone() };
    if is_busy {
        memory.write_all_at(&[1; ZONE as usize], control_offset(LIMIT)).unwrap();
    } else if halt.legs > 0 {
        let content = [&[0; 8][..], &[WORD[halt.sent]]].concat();
        packets.extend(packet(0, DOMAIN_DATA, 0, &content).unwrap());
        next.sent += 1;
    }
    packets.extend(encode(Kind::Suspend, &[]).unwrap());
    let order = Order {
        memory_limit: LIMIT,
        table_limit: 1000,
        memory: Some(memory.try_clone().unwrap().into()),
        control_bytes: CONTROL_BYTES as usize,
        continuation: resumed.map(|(image, _)| sealed_memfd(&image).unwrap()),
        ..Order::anonymous(sealed_memfd(&image).unwrap())
    };
    let (status, said) = play(&mut stage, order, &packets);
    if status == 0 {
        return Err(output(&said));
    }
    assert_eq!(status, 4, "{:?}", report(&said).map(|report| report.text));
    let is_state = |(header, _): &&Packet| header.code == CODE_CONTROL && header.index == Kind::State as u8;
    next.state = said.iter().filter(is_state).flat_map(|(_, content)| content.clone()).collect();
    let pages = State::decode_untrusted(&next.state).unwrap().pages;
    next.memory = vec![0; pages as usize * 65_536];
    memory.read_exact_at(&mut next.memory, 0).unwrap();
    Ok(next)
}

fn play(stage: &mut Stage, order: Order, packets: &[u8]) -> (u32, Vec<Packet>) {
    let (mut host, guest) = UnixStream::pair().unwrap();
    let mut writer = host.try_clone().unwrap();
    let packets = packets.to_vec();
    let writing = std::thread::spawn(move || writer.write_all(&packets).unwrap_or(()));
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        host.read_to_end(&mut bytes).unwrap_or(0);
        bytes
    });
    let socket = Socket::open(guest.as_raw_fd(), 0).unwrap();
    let status = run(stage, order, Box::new(socket), |_| ()).status;
    drop(guest);
    writing.join().unwrap();
    (status, packets_untrusted(&reading.join().unwrap()).unwrap())
}

/// As many legs as a journey has: the first one, then for each byte one that is stopped at once and one that reads it.
const LEGS: usize = 1 + 2 * WORD.len();

#[test]
fn a_whole_state_moves_between_cranelift_and_pulley() {
    let mut halt = Halt::default();
    let targets = [None, Some("pulley64")];
    let said = loop {
        // Two legs each, so that either engine makes and takes states of both kinds.
        match leg(targets[halt.legs / 2 % 2], &halt) {
            Ok(next) => halt = next,
            Err(said) => break said,
        }
    };
    assert_eq!((halt.legs + 1, halt.sent), (LEGS, WORD.len() - 1));
    assert_eq!(said, expected());
}

/// The next leg of the journey in the folder: files `N.state` and `N.memory`; at the end `said`.
#[test]
fn a_journey_comes_a_leg_further() {
    let Some(folder) = std::env::var_os("GATEBUS_MOVES") else { return };
    let folder = Path::new(&folder);
    let read = |legs: usize, part: &str| std::fs::read(folder.join(format!("{legs}.{part}"))).ok();
    let legs = (1..).take_while(|legs| read(*legs, "state").is_some()).last().unwrap_or(0);
    let part = |part| read(legs, part).unwrap_or_default();
    let halt = Halt { legs, sent: legs.saturating_sub(1) / 2, state: part("state"), memory: part("memory") };
    match leg(std::env::var("GATEBUS_MOVES_BY").ok().as_deref(), &halt) {
        Ok(next) => {
            std::fs::write(folder.join(format!("{}.memory", next.legs)), next.memory).unwrap();
            std::fs::write(folder.join(format!("{}.state", next.legs)), next.state).unwrap();
        }
        Err(said) => {
            assert_eq!(halt.legs + 1, LEGS);
            assert_eq!(said, expected());
            std::fs::write(folder.join("said"), said).unwrap();
        }
    }
}
