//! The whole chain: keeper, container, spawner, compile worker, program, as the host uses it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::cases::CASES;
use common::output;
use gatebus_jail::descriptors::sealed_memfd;
use gatebus_sandbox::client::{Client, begin, compile, report, setup, start};
use gatebus_wire::Start;
use gatebus_wire::control::Report;
use gatebus_wire::keeper::{Answer, Ended};
use std::os::fd::OwnedFd;
use std::path::Path;

fn client() -> Client {
    Client::new(Path::new(env!("CARGO_BIN_EXE_gatebus-sandbox")), &[]).unwrap()
}

fn image(client: &mut Client, source: &[u8]) -> OwnedFd {
    let (answer, image, facts) = client.compile(compile(), source).unwrap();
    assert!(matches!(&answer, Answer::Ended(ended) if ended.wait_status == 0), "{answer:?} {facts}");
    assert!(facts.contains("\"ok\":true"), "{answer:?} {facts}");
    sealed_memfd(&image).unwrap()
}

fn exit_code(ended: &Ended) -> Option<i32> {
    let status = ended.wait_status;
    (status & 0x7f == 0).then_some(status >> 8 & 0xff)
}

/// Runs a program; its exit code (None: a signal), output and report.
fn play(
    client: &mut Client,
    text: &str,
    start: Start,
    function: Option<&str>,
) -> (Option<i32>, Vec<u8>, Option<Report>) {
    let image = image(client, text.as_bytes());
    let mut program = client.start(start, &image, &setup(&begin(), &["test"], function)).unwrap();
    let packets = program.listen().unwrap();
    let ended = client.end(&program).unwrap();
    (exit_code(&ended), output(&packets), report(&packets))
}

#[test]
fn every_program_ends_in_the_jail_as_its_row_says() {
    let mut client = client();
    for case in CASES {
        let (code, _, report) = play(&mut client, case.text, start(), case.function);
        assert_eq!(code, Some(i32::try_from(case.status).unwrap()), "{}", case.name);
        let report = report.unwrap_or_else(|| panic!("{}: no report", case.name));
        assert_eq!((report.status, report.result), (case.status, case.result), "{}: {}", case.name, report.text);
        assert!(report.text.contains(case.says), "{}: {}", case.name, report.text);
    }
}

#[test]
fn a_large_stack_holds_what_a_small_one_does_not() {
    let text = r#"(module (func $f (param i32) (result i32)
        (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))
        (func (export "run") (result i32) (i32.sub (call $f (i32.const 50000)) (i32.const 50000))))"#;
    let mut client = client();
    assert_eq!(play(&mut client, text, start(), Some("run")).0, Some(24));
    assert_eq!(play(&mut client, text, Start { stack_class: 1, ..start() }, Some("run")).0, Some(0));
}

#[test]
fn a_busy_loop_ends_at_its_limit_of_cpu_time_and_a_waiting_one_at_its_limit_of_wall_time() {
    let mut client = client();
    let busy = r#"(module (func (export "run") (loop $l br $l)))"#;
    assert_eq!(play(&mut client, busy, Start { cpu_ms: 50, ..start() }, Some("run")).0, Some(60));
    let waiting = r#"(module (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\01\00\00\00")
        (func (export "run") (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    assert_eq!(play(&mut client, waiting, Start { wall_ms: 50, ..start() }, Some("run")).0, None, "killed");
}

#[test]
fn randomness_differs_between_programs() {
    let text = r#"(module (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\20\00\00\00")
        (func (export "run") (drop (call $random (i32.const 16) (i32.const 32)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let mut client = client();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..8 {
        let (_, bytes, _) = play(&mut client, text, start(), Some("run"));
        assert_eq!(bytes.len(), 32);
        assert!(seen.insert(bytes), "the same twice");
    }
}

#[test]
fn a_program_cannot_use_more_memory_than_all_its_memories_may_have() {
    let text = r#"(module (memory $a 1) (memory $b 1) (memory $c 1)
        (func (export "run") (result i32) (local $n i32)
        (loop $l (br_if $l (i32.or
            (i32.ne (memory.grow $b (i32.const 16)) (i32.const -1)) (i32.ne (memory.grow $c (i32.const 16)) (i32.const -1)))))
        (memory.fill $b (i32.const 0) (i32.const 7) (i32.mul (memory.size $b) (i32.const 65536)))
        (i32.gt_u (i32.add (memory.size $b) (memory.size $c)) (i32.const 1024))))"#;
    let (code, _, report) = play(&mut client(), text, start(), Some("run"));
    assert_eq!(code, Some(0), "{report:?}");
}

#[test]
fn a_compiler_without_memory_ends_with_its_status_and_no_facts() {
    let mut client = client();
    let body = "(i32.load (local.get 0)) (i32.mul) ".repeat(150_000);
    let wasm =
        wat::parse_str(format!("(module (memory 1) (func (param i32) (result i32) (local.get 0) {body}))")).unwrap();
    let job = gatebus_wire::Compile { memory_limit: 64 << 20, ..compile() };
    let (answer, image, facts) = client.compile(job, &wasm).unwrap();
    let Answer::Ended(ended) = answer else { panic!("{answer:?}") };
    assert_eq!((exit_code(&ended), image.len(), facts.as_str()), (Some(62), 0, ""));
    assert_eq!(play(&mut client, "(module)", start(), None).0, Some(0), "the next one is not affected");
}
