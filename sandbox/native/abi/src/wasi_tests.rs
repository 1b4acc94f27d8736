use gatebus_wire::control::Kind as Control;

use super::*;
use crate::testing::{BOOT, EPOCH, MEMORY, MS, SECOND, World, ask, begin, call, ended, exit};

fn with_texts(kind: Control, texts: &[&str]) -> World<Wasi> {
    let parts: Vec<_> = texts.iter().map(|text| (kind, text.as_bytes().to_vec())).collect();
    World::wasi(&begin(), &parts)
}

/// The texts that a pair of calls gives.
fn told(world: &World<Wasi>, pointers: u32, count: u32) -> Vec<String> {
    let text = |index| {
        let start = world.u32(pointers + 4 * index);
        let bytes: Vec<u8> = (start..).map(|at| world.memory[at as usize]).take_while(|byte| *byte != 0).collect();
        String::from_utf8(bytes).expect("text")
    };
    (0..count).map(text).collect()
}

#[test]
fn arguments_are_told() {
    let mut world = with_texts(Control::Argument, &["prog", "", "žluť"]);
    let (count, size) = (world.room(4), world.room(4));
    assert_eq!(call!(world, args_sizes_get, count, size), 0);
    assert_eq!((world.u32(count), world.u32(size)), (3, 5 + 1 + 7));
    let (pointers, buffer) = (world.room(12), world.room(13));
    assert_eq!(call!(world, args_get, pointers, buffer), 0);
    assert_eq!(told(&world, pointers, 3), ["prog", "", "žluť"]);
    assert_eq!(world.u32(pointers), buffer);
}

#[test]
fn variables_are_told() {
    let mut world = with_texts(Control::Environment, &["LANG=C", "EMPTY=", "B=a=b"]);
    let (count, size) = (world.room(4), world.room(4));
    assert_eq!(call!(world, environ_sizes_get, count, size), 0);
    assert_eq!((world.u32(count), world.u32(size)), (3, 7 + 7 + 6));
    let (pointers, buffer) = (world.room(12), world.room(20));
    assert_eq!(call!(world, environ_get, pointers, buffer), 0);
    assert_eq!(told(&world, pointers, 3), ["LANG=C", "EMPTY=", "B=a=b"]);
}

#[test]
fn without_arguments_nothing_is_written() {
    let mut world = World::ordinary();
    let (count, size) = (world.put(&[9; 8]), world.put(&[9; 8]));
    assert_eq!(call!(world, args_sizes_get, count, size), 0);
    assert_eq!((world.u32(count), world.u32(size)), (0, 0));
    assert_eq!(call!(world, args_get, u32::MAX, u32::MAX), 0);
    assert_eq!(call!(world, environ_get, u32::MAX, u32::MAX), 0);
}

#[test]
fn texts_that_do_not_fit_into_memory_are_a_fault() {
    let mut world = with_texts(Control::Argument, &["prog", "argument"]);
    for (pointers, buffer) in [(MEMORY - 4, 64), (64, MEMORY - 8), (64, MEMORY - 4), (u32::MAX, 64), (64, u32::MAX)] {
        assert_eq!(call!(world, args_get, pointers, buffer), 21, "{pointers} {buffer}");
    }
    assert_eq!(call!(world, args_get, MEMORY - 8, 64), 0);
    assert_eq!(call!(world, args_sizes_get, MEMORY - 3, 64), 21);
    assert_eq!(call!(world, args_sizes_get, 64, MEMORY), 21);
}

#[test]
fn clocks_are_coarse_and_the_monotonic_one_starts_at_a_second() {
    let mut world = World::ordinary();
    let at = world.room(8);
    for precision in [0, 1, u64::MAX] {
        assert_eq!(call!(world, clock_time_get, 0, precision, at), 0);
        assert_eq!(world.u64(at), (EPOCH + BOOT) / (10 * MS) * (10 * MS));
        assert_eq!(call!(world, clock_time_get, 1, precision, at), 0);
        assert_eq!(world.u64(at), SECOND);
    }
    world.channel.now += 25 * MS;
    assert_eq!(call!(world, clock_time_get, 1, 0, at), 0);
    assert_eq!(world.u64(at), SECOND + 20 * MS);
    assert_eq!(call!(world, clock_res_get, 0, at), 0);
    assert_eq!(world.u64(at), 10 * MS);
}

#[test]
fn other_clocks_do_not_exist() {
    let mut world = World::ordinary();
    for clock in [2, 3, 4, u32::MAX] {
        assert_eq!(call!(world, clock_res_get, clock, 64), 28, "{clock}");
        assert_eq!(call!(world, clock_time_get, clock, 0, 64), 28, "{clock}");
    }
    assert_eq!(call!(world, clock_res_get, 0, MEMORY - 7), 21);
    assert_eq!(call!(world, clock_time_get, 0, 0, u32::MAX), 21);
}

#[test]
fn randomness_fills_exactly_the_buffer() {
    let mut world = World::ordinary();
    let at = world.put(&[0xee; 40]);
    assert_eq!(call!(world, random_get, at, 32), 0);
    assert_eq!(world.bytes(at, 40), [(1..=32).collect::<Vec<u8>>(), vec![0xee; 8]].concat());
    assert_eq!(call!(world, random_get, at, 0), 0);
    assert_eq!(call!(world, random_get, u32::MAX, 0), 0);
    assert_eq!(call!(world, random_get, 0, MEMORY), 0);
    assert_eq!(call!(world, random_get, 1, MEMORY), 21);
    assert_eq!(call!(world, random_get, u32::MAX, u32::MAX), 21);
}

#[test]
fn an_exit_code_keeps_all_32_bits() {
    for (code, status, result) in [(0, 2, 0), (1, 3, 1), (256, 3, 256), (u32::MAX, 3, -1), (0x8000_0000, 3, i32::MIN)] {
        let mut world = World::ordinary();
        let exit = exit(ask!(world, proc_exit, code));
        assert_eq!((exit.status, exit.result, &*exit.text), (status, result, ""));
    }
}

#[test]
fn there_are_no_signals_and_nobody_to_yield_to() {
    let mut world = World::ordinary();
    for signal in [0, 6, 255, u32::MAX] {
        assert_eq!(call!(world, proc_raise, signal), 58);
    }
    assert_eq!(call!(world, sched_yield), 0);
}

#[test]
fn there_are_no_sockets() {
    let mut world = World::ordinary();
    for fd in 0..5 {
        assert_eq!(call!(world, sock_accept, fd, 0, 64), 58, "{fd}");
        assert_eq!(call!(world, sock_recv, fd, 64, 1, 0, 64, 64), 57, "{fd}");
        assert_eq!(call!(world, sock_send, fd, 64, 1, 0, 64), 57, "{fd}");
        assert_eq!(call!(world, sock_shutdown, fd, 1), 57, "{fd}");
    }
    for fd in [5, u32::MAX] {
        assert_eq!(call!(world, sock_accept, fd, 0, 64), 8);
        assert_eq!(call!(world, sock_recv, fd, 64, 1, 0, 64, 64), 8);
        assert_eq!(call!(world, sock_send, fd, 64, 1, 0, 64), 8);
        assert_eq!(call!(world, sock_shutdown, fd, 1), 8);
    }
}

#[test]
fn a_guest_without_memory_gets_faults() {
    let mut world = with_texts(Control::Argument, &["prog"]);
    world.memory = Vec::new();
    assert_eq!(call!(world, args_sizes_get, 0, 0), 21);
    assert_eq!(call!(world, args_get, 0, 0), 21);
    assert_eq!(call!(world, clock_time_get, 0, 0, 0), 21);
    assert_eq!(call!(world, fd_write, 1, 0, 1, 0), 21);
    assert_eq!(call!(world, poll_oneoff, 0, 0, 1, 0), 21);
    assert_eq!(ended(ask!(world, proc_exit, 0)), 2);
}
