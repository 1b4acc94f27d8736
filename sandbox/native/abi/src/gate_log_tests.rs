//! Gate: what the guest may write, the log between its packets, and the report after them.

use gatebus_wire::control::{Begin, FLAG_DEBUG_LOG, Report};
use gatebus_wire::packets::packet;

use super::tests::{FOREVER, VIOLATION, discovery, io, logged, write};
use super::*;
use crate::testing::{Event, MS, World, ask, begin, ended, exit};

#[test]
fn headers_that_no_program_may_write_end_it() {
    let header = |size: u32, code: i16| [size.to_le_bytes().to_vec(), code.to_le_bytes().to_vec(), vec![0, 0]].concat();
    for (bytes, text) in [
        (header(8, -2), "packet code is reserved"),
        (header(16, i16::MIN), "packet code is reserved"),
        (header(7, 0), "packet size is outside 8..65536"),
        (header(0, -1), "packet size is outside 8..65536"),
        (header(65_537, 0), "packet size is outside 8..65536"),
        ([discovery(), header(8, -3)].concat(), "packet code is reserved"),
    ] {
        let mut world = World::fine();
        let (at, len) = (world.put(&bytes), u32::try_from(bytes.len()).expect("small"));
        let (iovs, count) = world.iovs(&[(at, len)]);
        let exit = exit(ask!(world, fd_write, 4, iovs, count, 64));
        assert_eq!((exit.status, &*exit.text), (VIOLATION, text));
        assert_eq!(world.channel.outgoing, b"");
        let ends = ask!(world, io, 0, 0, 0, iovs, count, 64, 0, 0);
        assert_eq!(ended(ends), VIOLATION);
    }
}

#[test]
fn a_forged_header_is_found_however_it_is_cut() {
    let forged = packet(-2, 0, 8, &[0; 24]).expect("small");
    for cut in 1..8 {
        let mut world = World::fine();
        assert_eq!(write(&mut world, 4, &[&forged[..cut]]).0, 0);
        let (at, len) = (world.put(&forged[cut..]), u32::try_from(forged.len() - cut).expect("small"));
        let (iovs, count) = world.iovs(&[(at, len)]);
        assert_eq!(ended(ask!(world, fd_write, 4, iovs, count, 64)), VIOLATION);
    }
}

#[test]
fn the_log_goes_out_before_the_packet_that_the_guest_has_not_finished() {
    let mut world = World::fine();
    let bytes = packet(0, 1, 0, b"0123456789").expect("small");
    for part in [&bytes[..3], &bytes[3..8], &bytes[8..12]] {
        assert_eq!(write(&mut world, 4, &[part]).0, 0);
        assert_eq!(write(&mut world, 1, &[b"note"]), (0, 4));
    }
    assert_eq!(write(&mut world, 4, &[&bytes[12..]]).0, 0);
    assert_eq!(write(&mut world, 2, &[b"last"]), (0, 4));
    let packets = world.channel.packets();
    let kinds: Vec<_> = packets.iter().map(|(header, content)| (header.code, content.len())).collect();
    assert_eq!(kinds, [(-2, 5), (-2, 5), (-2, 5), (0, 10), (-2, 5)]);
}

#[test]
fn the_log_never_makes_the_guest_wait() {
    let mut world = World::fine();
    world.channel.room = 5;
    assert_eq!(write(&mut world, 1, &[b"a line of the log\n"]), (0, 18));
    assert_eq!((world.channel.outgoing.len(), world.channel.waits), (5, 0));
    // Half a packet of ours is out: the guest's bytes have to wait for the other half.
    assert_eq!(write(&mut world, 4, &[&discovery()]), (6, 0));
    world.channel.room = 27;
    assert_eq!(write(&mut world, 4, &[&discovery()]), (6, 0));
    assert_eq!(world.channel.outgoing.len(), 32);
    world.channel.room = 100;
    assert_eq!(write(&mut world, 4, &[&discovery()]), (0, 16));
    let packets = world.channel.packets();
    assert_eq!(packets[0].1, b"\x01a line of the log\n");
    assert_eq!(packets[1].0.code, -1);
}

#[test]
fn io_sends_the_waiting_log_on_its_way() {
    let mut world = World::fine();
    world.channel.room = 5;
    assert_eq!(write(&mut world, 1, &[b"note"]), (0, 4));
    world.channel.later(MS, Event::Room(1000));
    assert_eq!(io(&mut world, 0, &discovery(), FOREVER).1, 16);
    let codes: Vec<_> = world.channel.packets().iter().map(|(header, _)| header.code).collect();
    assert_eq!(codes, [-2, -1]);
}

#[test]
fn what_the_buffer_of_the_log_cannot_hold_is_dropped_and_counted() {
    let mut world = World::fine();
    world.channel.room = 0;
    let line = vec![b'x'; 10_000];
    for _ in 0..25 {
        assert_eq!(write(&mut world, 1, &[&line]), (0, 10_000));
    }
    assert_eq!(world.guest.log.dropped(), 50_000);
    assert!(world.guest.outbox.waiting() <= WAITING);
    world.channel.room = usize::MAX;
    let end = Exit::because(0, "");
    world.guest.finish(&mut world.channel, &end, 0).expect("the host is there");
    let packets = world.channel.packets();
    assert_eq!(packets.len(), 21);
    assert_eq!(Report::decode_untrusted(&packets[20].1).map(|report| report.log_dropped), Ok(50_000));
}

#[test]
fn the_limit_of_the_log_is_met_exactly() {
    let mut world = World::gate(&Begin { log_limit: 6, ..begin() });
    assert_eq!(write(&mut world, 1, &[b"abcd"]), (0, 4));
    assert_eq!(write(&mut world, 2, &[b"efgh"]), (0, 4));
    assert_eq!(write(&mut world, 1, &[b"i"]), (0, 1));
    assert_eq!(logged(&mut world), [(1, b"abcd".to_vec()), (2, b"ef".to_vec())]);
    assert_eq!(world.guest.log.dropped(), 3);
}

#[test]
fn without_the_debug_log_writing_to_it_still_succeeds() {
    let mut world = World::gate(&Begin { flags: begin().flags & !FLAG_DEBUG_LOG, ..begin() });
    assert_eq!(write(&mut world, 1, &[b"hello, world\n"]), (0, 13));
    assert_eq!((world.channel.outgoing.len(), world.guest.log.dropped()), (0, 0));
}

#[test]
fn the_report_comes_last_and_not_in_the_middle_of_a_packet() {
    let mut world = World::fine();
    assert_eq!(write(&mut world, 4, &[&discovery()]), (0, 16));
    let end = exit(ask!(world, proc_exit, 7));
    world.guest.finish(&mut world.channel, &end, 65_536).expect("the host is there");
    let packets = world.channel.packets();
    let expected = Report { status: 3, result: 7, memory: 65_536, log_dropped: 0, text: String::new() };
    assert_eq!(Report::decode_untrusted(&packets[1].1), Ok(expected));
    let mut world = World::fine();
    assert_eq!(write(&mut world, 4, &[&discovery()[..9]]), (0, 9));
    assert_eq!(write(&mut world, 1, &[b"note"]), (0, 4));
    assert_eq!(world.channel.packets().len(), 1, "only the note");
    world.guest.finish(&mut world.channel, &end, 65_536).expect("the host is there");
    assert_eq!(world.channel.outgoing, discovery()[..9]);
}

#[test]
fn at_the_end_a_slow_host_gets_everything_though_nobody_reads_its_packets() {
    let mut world = World::fine();
    world.channel.room = 3;
    assert_eq!(write(&mut world, 1, &[b"note"]), (0, 4));
    world.channel.bring(&vec![0; 200_000]);
    world.channel.later(MS, Event::Room(10));
    world.channel.later(2 * MS, Event::Room(1000));
    world.guest.finish(&mut world.channel, &Exit::because(0, ""), 0).expect("the host is there");
    assert_eq!(world.channel.packets().len(), 2);
}
