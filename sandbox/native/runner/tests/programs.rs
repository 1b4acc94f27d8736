//! The process of a program without a jail: the lock is a word in a list, the socket a pair.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::cases::{CASES, Case};
use common::output;
use gatebus_abi::{Channel, Clock, Io, Ready};
use gatebus_jail::descriptors::{memory_memfd, sealed_memfd};
use gatebus_module::CONTROL_BYTES;
use gatebus_sandbox::channel::Socket;
use gatebus_sandbox::client::{Packet, begin, packets_untrusted, report, setup};
use gatebus_sandbox::compile::compile_untrusted;
use gatebus_sandbox::engine::config;
use gatebus_sandbox::link::Linkers;
use gatebus_sandbox::memory::Slots;
use gatebus_sandbox::program::{Order, Stage, run};
use gatebus_wire::control::Report;
use gatebus_wire::keeper::Job;
use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wasmtime::Engine;

const LIMIT: u64 = 64 << 20;

/// A process of the sandbox has one for its life. Here are dozens in one, and an emulator keeps a record of every page.
struct Room(Option<Stage>);

impl Drop for Room {
    fn drop(&mut self) {
        let Some(Stage { engine, linkers, slots }) = self.0.take() else { return };
        drop((linkers, engine));
        let (range, length) = (slots.range(), usize::try_from(slots.range().end - slots.range().start).unwrap_or(0));
        if Arc::strong_count(&slots) == 1 {
            // SAFETY: whoever has a memory in this range holds its slots; nobody else does any more.
            unsafe { libc::munmap(range.start as *mut libc::c_void, length) };
        }
    }
}

impl Deref for Room {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Stage {
        self.0.as_mut().unwrap()
    }
}

fn stage() -> Room {
    let slots = Slots::reserve().unwrap();
    let engine = Engine::new(&config(256 << 10, &slots)).unwrap();
    let linkers = Linkers::new(&engine).unwrap();
    Room(Some(Stage { engine, linkers, slots }))
}

fn compiled(stage: &Stage, text: &str) -> Vec<u8> {
    compiled_for(stage, text, Job::Plain).0
}

/// The image, and the bytes of its control memory.
fn compiled_for(stage: &Stage, text: &str, job: Job) -> (Vec<u8>, u32) {
    let compiled = compile_untrusted(&stage.engine, text.as_bytes(), 1 << 30, job);
    assert_eq!(compiled.facts["ok"], true, "{}", compiled.facts);
    let suspendable = compiled.facts["suspendable"] == true;
    assert_eq!(job == Job::Suspendable, suspendable || compiled.facts["unsuspendable"].is_array());
    (compiled.image, if suspendable { CONTROL_BYTES } else { 0 })
}

fn order(image: &[u8]) -> Order {
    order_with(image, 0)
}

fn order_with(image: &[u8], control_bytes: u32) -> Order {
    let memory = memory_memfd(LIMIT + u64::from(control_bytes)).unwrap();
    let control_bytes = control_bytes as usize;
    let anonymous = Order::anonymous(sealed_memfd(image).unwrap());
    Order { memory_limit: LIMIT, table_limit: 65_536, memory: Some(memory), control_bytes, ..anonymous }
}

/// Compiles and runs; the status and the packets.
fn play(text: &str, words: &[u8]) -> (u32, Vec<Packet>) {
    play_as(text, words, Job::Plain)
}

fn play_as(text: &str, words: &[u8], job: Job) -> (u32, Vec<Packet>) {
    let mut stage = stage();
    let (image, control_bytes) = compiled_for(&stage, text, job);
    let (mut host, guest) = UnixStream::pair().unwrap();
    host.write_all(words).unwrap();
    let socket = Socket::open(guest.as_raw_fd(), 0).unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        host.read_to_end(&mut bytes).unwrap_or(0);
        bytes
    });
    let status = run(&mut stage, order_with(&image, control_bytes), Box::new(socket), |_| ()).status;
    drop(guest);
    (status, packets_untrusted(&reader.join().unwrap()).unwrap())
}

fn check(case: &Case, job: Job) {
    let (status, packets) = play_as(case.text, &setup(&begin(), &["test"], case.function), job);
    let report: Report = report(&packets).unwrap_or_else(|| panic!("{}: no report, status {status}", case.name));
    assert_eq!(
        (status, report.status, report.result),
        (case.status, case.status, case.result),
        "{}: {}",
        case.name,
        report.text
    );
    assert!(report.text.contains(case.says), "{}: {}", case.name, report.text);
}

#[test]
fn every_program_ends_as_its_row_says() {
    CASES.iter().for_each(|case| check(case, Job::Plain));
}

#[test]
fn every_program_ends_as_its_row_says_when_it_can_be_suspended_too() {
    CASES.iter().for_each(|case| check(case, Job::Suspendable));
}

#[test]
fn the_hidden_exports_of_a_suspendable_program_are_no_entries() {
    let text = r#"(module (func $s) (start $s) (func (export "f") (loop $l (br_if $l (i32.const 0)))))"#;
    for hidden in ["gatebus:start", "gatebus:load", "gatebus:control"] {
        let (status, packets) = play_as(text, &setup(&begin(), &[], Some(hidden)), Job::Suspendable);
        assert_eq!(status, 73, "{hidden}");
        assert!(report(&packets).unwrap().text.contains("not exported"));
    }
}

#[test]
fn the_control_memory_is_beside_the_programs_own_eight_and_in_no_report() {
    let memories: String = (0..8).map(|_| "(memory 1)").collect();
    let text = format!(r#"(module {memories} (func (export "_start") (loop $l (br_if $l (i32.const 0)))))"#);
    for job in [Job::Plain, Job::Suspendable] {
        let (status, packets) = play_as(&text, &setup(&begin(), &[], None), job);
        assert_eq!((status, report(&packets).unwrap().memory), (0, 8 * 65_536));
    }
}

#[test]
fn the_report_says_how_large_all_memories_are() {
    let text = r#"(module (memory 3) (memory 2) (func (export "_start") (drop (memory.grow 1 (i32.const 4)))))"#;
    let (_, packets) = play(text, &setup(&begin(), &[], None));
    assert_eq!(report(&packets).unwrap().memory, 9 * 65_536);
}

#[test]
fn nothing_of_the_module_runs_before_the_lock() {
    /// Counts what the guest writes.
    struct Watched(Socket, Arc<AtomicU32>);
    impl Channel for Watched {
        fn read(&mut self, into: &mut [u8]) -> Io {
            assert_eq!(self.1.load(Ordering::SeqCst), 1, "the setup is read after the lock");
            self.0.read(into)
        }
        fn write(&mut self, from: &[u8]) -> Io {
            assert_eq!(self.1.load(Ordering::SeqCst), 1, "the start function writes after the lock");
            self.0.write(from)
        }
        fn wait(&mut self, readable: bool, writable: bool, timeout: Option<u64>) -> Ready {
            self.0.wait(readable, writable, timeout)
        }
        fn clock(&mut self, clock: Clock) -> u64 {
            self.0.clock(clock)
        }
        fn random(&mut self, into: &mut [u8]) {
            self.0.random(into);
        }
    }
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\02\00\00\00ok")
        (func $s (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))) (start $s))"#;
    let mut stage = stage();
    let image = compiled(&stage, text);
    let (mut host, guest) = UnixStream::pair().unwrap();
    host.write_all(&setup(&begin(), &[], None)).unwrap();
    let locked = Arc::new(AtomicU32::new(0));
    let channel = Watched(Socket::open(guest.as_raw_fd(), 0).unwrap(), locked.clone());
    let range = stage.slots.range();
    let end = run(&mut stage, order(&image), Box::new(channel), |ranges| {
        assert_eq!(ranges, std::slice::from_ref(&range));
        assert_eq!(locked.fetch_add(1, Ordering::SeqCst), 0, "locked once");
    });
    drop(guest);
    assert_eq!(end.status, 0);
    let mut bytes = Vec::new();
    host.read_to_end(&mut bytes).unwrap();
    assert_eq!(output(&packets_untrusted(&bytes).unwrap()), b"ok");
}

#[test]
fn the_memory_is_the_file_of_the_host() {
    let mut stage = stage();
    let image = compiled(
        &stage,
        r#"(module (memory 1) (data (i32.const 5) "seen") (func (export "_start") (i32.store8 (i32.const 4) (i32.const 33))))"#,
    );
    let (mut host, guest) = UnixStream::pair().unwrap();
    host.write_all(&setup(&begin(), &[], None)).unwrap();
    let order = order(&image);
    let file = std::fs::File::from(order.memory.as_ref().unwrap().try_clone().unwrap());
    let status = run(&mut stage, order, Box::new(Socket::open(guest.as_raw_fd(), 0).unwrap()), |_| ()).status;
    assert_eq!(status, 0);
    let mut seen = [0u8; 5];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut seen, 4).unwrap();
    assert_eq!(&seen, b"!seen");
    assert_eq!(file.metadata().unwrap().len(), LIMIT);
}

#[test]
fn an_image_that_is_none_is_said_to_be_unusable() {
    let good = compiled(&stage(), "(module)");
    let cut = &good[..good.len() / 2];
    let mut other = good.clone();
    let version = good.windows(2).position(|word| word == b"48").unwrap();
    other[version] = b'9';
    for image in [&b""[..], b"\x7fELF", cut, &other] {
        let (_host, guest) = UnixStream::pair().unwrap();
        let socket = Box::new(Socket::open(guest.as_raw_fd(), 0).unwrap());
        assert_eq!(run(&mut stage(), order(image), socket, |_| panic!("never locked")).status, 71);
    }
}

#[test]
fn a_setup_that_is_none_ends_with_its_status_and_a_host_that_left_with_another() {
    assert_eq!(play("(module)", b"not a control packet at all").0, 74);
    let mut stage = stage();
    let image = compiled(&stage, "(module)");
    let (host, guest) = UnixStream::pair().unwrap();
    drop(host);
    assert_eq!(
        run(&mut stage, order(&image), Box::new(Socket::open(guest.as_raw_fd(), 0).unwrap()), |_| ()).status,
        75
    );
}

/// Gate's rules of entry (gate.md 1.4). Any import from Gate makes a Gate program.
#[test]
fn gate_programs_are_entered_by_gates_rules() {
    let import = r#"(import "gate" "fd_65536" (func (result i32)))"#;
    let module = |rest: &str| format!("(module {import} {rest})");
    let rows = [
        ("", None, 0, ""),
        (r#"(func (export "_start") unreachable)"#, None, 23, ""),
        (r#"(func (export "_start") unreachable)"#, Some("_start"), 73, "may not be specified"),
        (r#"(func (export "_start")) (func (export "f"))"#, Some("f"), 73, "may not be specified"),
        (r#"(func (export "f") (result i32) i32.const 2)"#, Some("f"), 1, ""),
        (r#"(func (export "f") (result i32) i32.const 2)"#, None, 0, ""),
        ("", Some("_start"), 0, ""),
        ("", Some("f"), 73, "not exported"),
        (r#"(func (export "f") (param i32))"#, Some("f"), 73, "cannot be used"),
        (r#"(func (export "_start") (param i32)) (func (export "f"))"#, Some("f"), 0, ""),
    ];
    for (rest, function, status, says) in rows {
        let (ended, packets) = play(&module(rest), &setup(&begin(), &[], function));
        assert_eq!(ended, status, "{rest} {function:?}");
        assert!(report(&packets).unwrap().text.contains(says), "{rest}");
    }
}

#[test]
fn gates_functions_have_numbers_and_three_ways_to_be_imported() {
    let text = r#"(module
        (import "gate" "fd_65536" (func $a (result i32))) (import "env" "__gate_fd_99999" (func $b (result i32)))
        (import "env" "__wasi_sched_yield" (func $c (result i32))) (import "wasi_unstable" "sched_yield" (func $d (result i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $e (result i32))) (import "gate" "io_65536" (func (param i32 i32 i32 i32 i32 i32 i64 i32)))
        (func (export "f") (result i32) (i32.add (i32.mul (call $a) (i32.const 10)) (i32.add (call $b) (i32.add (call $c) (i32.add (call $d) (call $e)))))))"#;
    let (_, packets) = play(text, &setup(&begin(), &[], Some("f")));
    assert_eq!(report(&packets).unwrap().result, 44);
}
