use gatebus_wire::packets::packet;

use super::*;
use crate::testing::{BOOT, Event, MEMORY, MS, SECOND, World, ask, begin, call, ended};

const TRAP: u32 = 25;
pub(crate) const VIOLATION: u32 = 48;
pub(crate) const FOREVER: u64 = u64::MAX;

/// Discovery of one service, 16 bytes.
pub(crate) fn discovery() -> Vec<u8> {
    packet(-1, 0, 0, b"\x01\0\x05bogus").expect("small")
}

/// Its answer: 11 bytes and padding.
pub(crate) fn reply() -> Vec<u8> {
    packet(-1, 0, 0, b"\x01\0\0").expect("small")
}

/// Writes pieces to a descriptor: errno and how much.
pub(crate) fn write(world: &mut World<Gate>, fd: u32, pieces: &[&[u8]]) -> (i32, u32) {
    let buffers: Vec<_> =
        pieces.iter().map(|piece| (world.put(piece), u32::try_from(piece.len()).expect("small"))).collect();
    let (iovs, count) = world.iovs(&buffers);
    let n = world.room(4);
    (call!(world, fd_write, fd, iovs, count, n), world.u32(n))
}

pub(crate) fn read(world: &mut World<Gate>, len: u32) -> (i32, Vec<u8>) {
    let into = world.room(len);
    let (iovs, count) = world.iovs(&[(into, len)]);
    let n = world.room(4);
    let errno = call!(world, fd_read, 4, iovs, count, n);
    (errno, world.bytes(into, world.u32(n)).to_vec())
}

/// Where io puts its answers.
struct Answers {
    received: u32,
    sent: u32,
    flags: u32,
}

/// io with room for so many bytes and something to send: received, sent, flags.
pub(crate) fn io(world: &mut World<Gate>, room: u32, sending: &[u8], timeout: u64) -> (Vec<u8>, u32, u64) {
    let into = world.room(room);
    let from = world.put(sending);
    let receive = world.iovs(&[(into, room)]);
    let send = world.iovs(&[(from, u32::try_from(sending.len()).expect("small"))]);
    let answers = Answers { received: world.room(4), sent: world.room(4), flags: world.room(8) };
    call!(world, io, receive.0, receive.1, answers.received, send.0, send.1, answers.sent, timeout, answers.flags);
    let received = world.bytes(into, world.u32(answers.received)).to_vec();
    (received, world.u32(answers.sent), world.u64(answers.flags))
}

pub(crate) fn logged(world: &mut World<Gate>) -> Vec<(u8, Vec<u8>)> {
    let packets = world.channel.packets().into_iter().filter(|(header, _)| (header.code, header.index) == (-2, 7));
    packets.map(|(_, content)| (content[0], content[1..].to_vec())).collect()
}

#[test]
fn test_fd_read() {
    let mut world = World::fine();
    let (iovs, count) = world.iovs(&[(64, 64), (128, 64)]);
    let found = [0, 1, 2, 3, 5, u32::MAX].map(|fd| call!(world, fd_read, fd, iovs, count, 64));
    assert_eq!(found, [63, 63, 63, 8, 8, 8]);
}

#[test]
fn test_fd_write() {
    let mut world = World::fine();
    let found = [0, 3, 5, u32::MAX].map(|fd| write(&mut world, fd, &[b"x"]).0);
    assert_eq!(found, [63, 8, 8, 8]);
}

#[test]
fn test_fd_write_stdout() {
    let mut world = World::fine();
    assert_eq!(write(&mut world, 1, &[b"PAS", b"", b"S\n"]), (0, 5));
    assert_eq!(logged(&mut world), [(1, b"PASS\n".to_vec())]);
}

#[test]
fn test_fd_write_stderr() {
    let mut world = World::fine();
    assert_eq!(write(&mut world, 2, &[b"PASS\n"]), (0, 5));
    assert_eq!(logged(&mut world), [(2, b"PASS\n".to_vec())]);
}

#[test]
fn test_fd_write_and_read_gate() {
    let mut world = World::fine();
    let bytes = discovery();
    let (header, rest) = bytes.split_at(8);
    assert_eq!(write(&mut world, 4, &[header, &rest[..3], &rest[3..]]), (0, 16));
    assert_eq!((world.channel.outgoing.clone(), world.channel.writes.clone()), (discovery(), vec![16]));
    assert_eq!(read(&mut world, 65_536), (6, vec![]));
    world.channel.bring(&reply());
    assert_eq!(read(&mut world, 65_536), (0, reply()));
    assert_eq!(reply().len(), 16);
}

#[test]
fn null_pointers_are_answered_where_gate_looks_for_them() {
    let mut world = World::fine();
    for fd in [0, 1, 3, 4] {
        assert_eq!(call!(world, fd_read, fd, 0, 1, 64), 21, "{fd}");
        assert_eq!(call!(world, fd_read, fd, 64, 1, 0), 21, "{fd}");
        assert_eq!(call!(world, fd_write, fd, 0, 1, 64), 21, "{fd}");
        assert_eq!(call!(world, fd_write, fd, 64, 1, 0), 21, "{fd}");
    }
    assert_eq!((call!(world, fd_read, 4, 0, 0, 64), call!(world, fd_write, 4, 0, 0, 64)), (0, 0));
    assert_eq!((call!(world, fd_read, 4, 0, u32::MAX, 64), call!(world, fd_write, 1, 0, u32::MAX, 64)), (0, 0));
}

#[test]
fn other_bad_pointers_trap_before_anything_is_moved() {
    let mut world = World::fine();
    world.channel.bring(&reply());
    let (iovs, count) = world.iovs(&[(64, 8), (MEMORY - 3, 4)]);
    assert_eq!(ended(ask!(world, fd_read, 4, iovs, count, 64)), TRAP);
    assert_eq!(ended(ask!(world, fd_write, 4, iovs, count, 64)), TRAP);
    assert_eq!(ended(ask!(world, fd_write, 1, iovs, count, 64)), TRAP);
    assert_eq!(ended(ask!(world, fd_read, 4, MEMORY - 4, 1, 64)), TRAP);
    assert_eq!(ended(ask!(world, io, iovs, count, 64, 0, 0, 0, 0, 0)), TRAP);
    assert_eq!(ended(ask!(world, io, 0, 0, 0, iovs, count, 64, 0, 0)), TRAP);
    assert_eq!(ended(ask!(world, io, 0, 0, MEMORY - 3, 0, 0, 0, 0, 0)), TRAP);
    assert_eq!(ended(ask!(world, io, 0, 0, 0, 0, 0, 0, 0, MEMORY - 7)), TRAP);
    assert_eq!((read(&mut world, 100), world.channel.outgoing.len()), ((0, reply()), 0));
}

#[test]
fn nothing_can_be_read_or_written_anywhere() {
    let mut world = World::fine();
    let (iovs, count) = world.iovs(&[(u32::MAX, 0), (0, 0)]);
    let n = world.put(&[9; 4]);
    assert_eq!(call!(world, fd_read, 4, iovs, count, n), 0);
    assert_eq!(call!(world, fd_write, 4, iovs, count, n), 0);
    assert_eq!((world.u32(n), world.channel.writes.len()), (0, 0));
}

#[test]
fn reading_goes_on_in_the_next_buffer_and_partial_packets_are_normal() {
    let mut world = World::fine();
    world.channel.bring(&[reply(), reply()].concat());
    assert_eq!(read(&mut world, 5), (0, reply()[..5].to_vec()));
    let into = world.room(40);
    let (iovs, count) = world.iovs(&[(into, 3), (into + 3, 0), (into + 3, 30)]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_read, 4, iovs, count, n), 0);
    assert_eq!(world.u32(n), 27);
    assert_eq!(world.bytes(into, 27), &[reply(), reply()].concat()[5..]);
    assert_eq!(call!(world, fd_read, 4, iovs, count, n), 6);
}

#[test]
fn what_came_with_the_setup_is_read_first() {
    let mut channel = crate::testing::Fake::new();
    channel.bring(&[crate::testing::setup_bytes(&begin(), &[]), reply()].concat());
    let setup = crate::Setup::receive_untrusted(&mut channel).expect("good");
    let mut world = World::fine();
    world.guest = Gate::new(setup);
    let later = packet(0, 1, 0, b"later").expect("small");
    world.channel.bring(&later);
    assert_eq!(read(&mut world, 10), (0, reply()[..10].to_vec()));
    assert_eq!(io(&mut world, 6, b"", FOREVER).0, reply()[10..]);
    assert_eq!(read(&mut world, 100), (0, later));
}

#[test]
fn a_packet_is_taken_whole_or_not_at_all() {
    let mut world = World::fine();
    world.channel.room = 5;
    assert_eq!(write(&mut world, 4, &[&discovery()]), (0, 16));
    assert_eq!(world.channel.outgoing, discovery()[..5]);
    assert_eq!(write(&mut world, 4, &[&discovery()]), (6, 0));
    world.channel.room = 100;
    assert_eq!(write(&mut world, 4, &[&discovery()]), (0, 16));
    assert_eq!(world.channel.outgoing, [discovery(), discovery()].concat());
}

#[test]
fn a_packet_in_pieces_leaves_when_it_is_whole() {
    let mut world = World::fine();
    let bytes = [discovery(), discovery()].concat();
    for (from, to, out) in [(0, 3, 0), (3, 8, 0), (8, 15, 0), (15, 20, 16), (20, 32, 32)] {
        assert_eq!(write(&mut world, 4, &[&bytes[from..to]]), (0, u32::try_from(to - from).expect("small")));
        assert_eq!(world.channel.outgoing, bytes[..out]);
    }
    assert_eq!(world.channel.writes, [16, 16]);
}

#[test]
fn the_end_of_a_packet_is_not_taken_while_the_socket_is_full() {
    let mut world = World::fine();
    world.channel.room = 0;
    assert_eq!(write(&mut world, 4, &[&discovery()[..9]]), (0, 9));
    assert_eq!(write(&mut world, 4, &[&discovery()[9..]]), (6, 0));
    world.channel.room = 100;
    assert_eq!(write(&mut world, 4, &[&discovery()[9..]]), (0, 7));
    assert_eq!(world.channel.outgoing, discovery());
}

#[test]
fn test_io() {
    let mut world = World::fine();
    let (received, sent, flags) = io(&mut world, 65_536, &discovery(), FOREVER);
    assert_eq!((received, sent, flags), (vec![], 16, 1));
    world.tidy();
    world.channel.later(MS, Event::Bring(reply()));
    let (received, sent, flags) = io(&mut world, 65_536, b"", FOREVER);
    assert_eq!((received, sent, flags), (reply(), 0, 0));
}

#[test]
fn io_tells_that_the_program_was_started_once_and_only_to_who_asks() {
    let mut world = World::fine();
    let at = world.room(8);
    call!(world, clock_time_get, 0, 0, at);
    call!(world, io, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_eq!(io(&mut world, 0, b"", 0).2, 1);
    assert_eq!(io(&mut world, 0, b"", 0).2, 0);
}

#[test]
fn io_skips_stores_to_null() {
    let mut world = World::fine();
    world.channel.bring(&reply());
    let into = world.room(16);
    let (receive, count) = world.iovs(&[(into, 16)]);
    call!(world, io, receive, count, 0, 0, 0, 0, FOREVER, 0);
    assert_eq!(world.bytes(into, 16), reply());
    assert_eq!(world.u64(0), 0);
}

#[test]
fn io_writes_before_it_reads() {
    let mut world = World::fine();
    world.channel.bring(&reply());
    assert_eq!(io(&mut world, 100, &discovery(), FOREVER), (reply(), 16, 1));
}

#[test]
fn a_short_io_does_not_wait_at_all() {
    for timeout in [0, 1, 999] {
        let mut world = World::fine();
        world.channel.room = 0;
        assert_eq!(io(&mut world, 10, &discovery(), timeout), (vec![], 0, 1));
        assert_eq!((world.channel.waits, world.channel.now), (0, BOOT));
    }
}

#[test]
fn a_longer_io_waits_as_long_as_it_was_told() {
    for timeout in [1_000, MS, 15 * MS, SECOND] {
        let mut world = World::gate(&begin());
        world.channel.room = 0;
        assert_eq!(io(&mut world, 10, &discovery(), timeout), (vec![], 0, 1));
        let waited = world.channel.now - BOOT;
        assert!(waited >= timeout && waited <= timeout + 16_777_216, "{timeout}: {waited}");
    }
}

#[test]
fn io_without_buffers_is_a_sleep_that_input_does_not_end() {
    let mut world = World::fine();
    world.channel.bring(&reply());
    assert_eq!(io(&mut world, 0, b"", 10 * MS), (vec![], 0, 1));
    assert!(world.channel.now - BOOT >= 10 * MS);
    assert_eq!(io(&mut world, 0, b"", 0), (vec![], 0, 0));
    assert_eq!(read(&mut world, 100), (0, reply()), "it is still there");
}

#[test]
fn io_waits_for_the_direction_that_has_buffers() {
    let mut world = World::fine();
    world.channel.room = 0;
    world.channel.bring(&reply());
    world.channel.later(5 * MS, Event::Room(1000));
    assert_eq!(io(&mut world, 0, &discovery(), FOREVER), (vec![], 16, 1));
    assert_eq!(world.channel.now - BOOT, 5 * MS);
    assert_eq!(io(&mut world, 100, b"", FOREVER), (reply(), 0, 0));
}

#[test]
fn an_orphan_ends() {
    for event in [0, 1, 2, 3] {
        let mut world = World::fine();
        world.channel.closed = true;
        let (iovs, count) = world.iovs(&[(4096, 16)]);
        world.memory[4096..4112].copy_from_slice(&discovery());
        let result = match event {
            0 => ask!(world, fd_read, 4, iovs, count, 64).map(|_| ()),
            1 => ask!(world, fd_write, 4, iovs, count, 64).map(|_| ()),
            2 => ask!(world, fd_write, 1, iovs, count, 64).map(|_| ()),
            _ => ask!(world, io, iovs, count, 64, 0, 0, 0, FOREVER, 0),
        };
        assert_eq!(ended(result), 75, "{event}");
    }
}
