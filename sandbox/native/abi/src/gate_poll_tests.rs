use gatebus_wire::packets::packet;

use super::*;
use crate::testing::{BOOT, EPOCH, Event, MEMORY, MS, SECOND, World, ask, begin, call, ended};

const DEFICIENCY: u32 = 47;
const TRAP: u32 = 25;

/// A subscription to a clock.
fn clock(userdata: u64, id: u32, timeout: u64, flags: u16) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[16..20].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
    bytes[40..42].copy_from_slice(&flags.to_le_bytes());
    bytes
}

/// A subscription to reading (1) or writing (2) or nonsense.
fn fd(userdata: u64, tag: u8, fd: u32) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[8] = tag;
    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
    bytes
}

/// Events: userdata, errno, type, bytes, flags.
fn poll(world: &mut World<Gate>, subscriptions: &[Vec<u8>]) -> Vec<(u64, u16, u8, u64, u16)> {
    let at = world.put(&subscriptions.concat());
    let count = u32::try_from(subscriptions.len()).expect("small");
    let (into, n) = (world.put(&vec![0xff; subscriptions.len() * 32]), world.room(4));
    assert_eq!(call!(world, poll_oneoff, at, into, count, n), 0);
    let one = |index: u32| {
        let at = into + 32 * index;
        (world.u64(at), world.u16(at + 8), world.memory[at as usize + 10], world.u64(at + 16), world.u16(at + 24))
    };
    (0..world.u32(n)).map(one).collect()
}

#[test]
fn test_poll_oneoff_timing() {
    let mut world = World::fine();
    let subscriptions = [clock(0, 0, 1, 1), clock(1, 0, 1 << 30, 0), clock(2, 1, 0, 0), clock(3, 1, 1 << 63, 1)];
    assert_eq!(poll(&mut world, &subscriptions), [(0, 0, 0, 0, 0), (2, 0, 0, 0, 0)]);
    assert_eq!(world.channel.now, BOOT);
}

#[test]
fn test_poll_oneoff_invalid_clock() {
    let mut world = World::fine();
    assert_eq!(
        poll(&mut world, &[clock(9, 4, 0, 0), clock(8, u32::MAX, SECOND, 0)]),
        [(9, 28, 0, 0, 0), (8, 28, 0, 0, 0)]
    );
}

#[test]
fn test_poll_oneoff_writable() {
    let mut world = World::fine();
    let subscriptions = [0, 1, 4, 2, 3, 5].map(|number| fd(u64::from(number), 2, number));
    let log = 0x7fff_ffff;
    let expected = [
        (0, 63, 2, 0, 0),
        (1, 0, 2, log, 0),
        (4, 0, 2, 65_536, 0),
        (2, 0, 2, log, 0),
        (3, 8, 2, 0, 0),
        (5, 8, 2, 0, 0),
    ];
    assert_eq!(poll(&mut world, &subscriptions), expected);
}

#[test]
fn test_poll_oneoff_readable_waits_for_the_reply() {
    let mut world = World::fine();
    world.channel.later(7 * MS, Event::Bring(packet(0, 1, 0, &[0; 8]).expect("small")));
    assert_eq!(poll(&mut world, &[fd(1, 1, 4)]), [(1, 0, 1, 65_536, 0)]);
    assert_eq!(world.channel.now - BOOT, 7 * MS);
    let subscriptions = [0, 1, 2, 3, 4, 5].map(|number| fd(u64::from(number), 1, number));
    let found: Vec<_> = poll(&mut world, &subscriptions).iter().map(|event| (event.0, event.1)).collect();
    assert_eq!(found, [(0, 63), (1, 63), (2, 63), (3, 8), (4, 0), (5, 8)]);
}

#[test]
fn testtrap_poll_oneoff_process_and_thread_cputime() {
    let mut world = World::fine();
    for id in [2, 3] {
        for timeout in [0, SECOND] {
            let at = world.put(&[clock(0, 0, 0, 0), clock(0, id, timeout, 0)].concat());
            assert_eq!(ended(ask!(world, poll_oneoff, at, 4096, 2, 64)), DEFICIENCY);
        }
    }
}

#[test]
fn a_relative_timer_that_has_elapsed_is_an_event() {
    for (ns, id) in [(MS, 0), (20 * MS, 1), (SECOND, 0), (1, 1)] {
        let mut world = World::gate(&begin());
        assert_eq!(poll(&mut world, &[clock(5, id, ns, 0), clock(6, 1, u64::MAX, 0)]), [(5, 0, 0, 0, 0)]);
        let waited = world.channel.now - BOOT;
        assert!(waited >= ns && waited <= ns + 16_777_216, "{ns}: {waited}");
    }
}

#[test]
fn an_absolute_timer_is_an_event_when_its_clock_shows_it() {
    let mut world = World::fine();
    assert_eq!(poll(&mut world, &[clock(5, 1, SECOND + 20 * MS, 1)]).len(), 1);
    assert!(world.channel.now - BOOT >= 20 * MS);
    let at = world.room(8);
    assert_eq!(poll(&mut world, &[clock(5, 0, EPOCH + BOOT + SECOND, 1)]).len(), 1);
    call!(world, clock_time_get, 0, 0, at);
    assert!(world.u64(at) >= EPOCH + BOOT + SECOND);
}

#[test]
fn an_unknown_tag_is_an_event_at_once() {
    let mut world = World::fine();
    assert_eq!(poll(&mut world, &[fd(1, 3, 4), fd(2, 1, 4), clock(3, 1, SECOND, 0)]), [(1, 28, 3, 0, 0)]);
    assert_eq!(world.channel.now, BOOT);
}

#[test]
fn something_that_is_ready_does_not_wait_for_the_rest() {
    let mut world = World::fine();
    world.channel.room = 0;
    world.channel.bring(&packet(0, 1, 0, b"").expect("small"));
    assert_eq!(poll(&mut world, &[fd(1, 2, 4), fd(2, 1, 4), clock(3, 1, SECOND, 0)]), [(2, 0, 1, 65_536, 0)]);
    let mut into = [0; 8];
    assert_eq!(world.guest.inbox.read(&mut world.channel, &mut into), Ok(8));
    world.channel.later(MS, Event::Room(8));
    assert_eq!(poll(&mut world, &[fd(1, 2, 4), fd(2, 1, 4), clock(3, 1, SECOND, 0)]), [(1, 0, 2, 65_536, 0)]);
    assert_eq!(poll(&mut world, &[fd(2, 1, 4), clock(3, 1, SECOND, 0)]), [(3, 0, 0, 0, 0)]);
}

#[test]
fn input_that_came_with_the_setup_is_ready() {
    let mut channel = crate::testing::Fake::new();
    channel.bring(&[crate::testing::setup_bytes(&begin(), &[]), packet(0, 1, 0, b"").expect("small")].concat());
    let mut world = World::fine();
    world.guest = Gate::new(crate::Setup::receive_untrusted(&mut channel).expect("good"));
    assert_eq!(poll(&mut world, &[fd(1, 1, 4)]).len(), 1);
}

#[test]
fn a_waiting_log_goes_out_and_does_not_end_the_wait() {
    let mut world = World::fine();
    world.channel.room = 4;
    let (text, len) = world.text("note");
    let (iovs, count) = world.iovs(&[(text, len)]);
    assert_eq!(call!(world, fd_write, 1, iovs, count, 64), 0);
    world.channel.later(MS, Event::Room(1000));
    world.channel.later(9 * MS, Event::Bring(packet(0, 1, 0, b"").expect("small")));
    assert_eq!(poll(&mut world, &[fd(1, 1, 4)]).len(), 1);
    assert_eq!((world.channel.now - BOOT, world.channel.packets().len()), (9 * MS, 1));
}

#[test]
fn null_pointers_are_answered_and_other_bad_ones_trap() {
    let mut world = World::fine();
    for (subscriptions, events, count, n) in [(0, 64, 1, 64), (64, 0, 1, 64), (64, 64, 1, 0), (0, 0, 0, 0)] {
        assert_eq!(call!(world, poll_oneoff, subscriptions, events, count, n), 21);
    }
    for (subscriptions, events, count, n) in [
        (MEMORY - 47, 64, 1, 64),
        (64, MEMORY - 31, 1, 64),
        (64, 64, 1, MEMORY - 3),
        (64, 64, i32::MAX.cast_unsigned(), 64),
    ] {
        assert_eq!(ended(ask!(world, poll_oneoff, subscriptions, events, count, n)), TRAP, "{subscriptions} {events}");
    }
}

#[test]
fn waiting_for_nothing_ends_only_with_the_host() {
    let mut world = World::fine();
    world.channel.bring(&packet(0, 1, 0, b"").expect("small"));
    world.channel.later(SECOND, Event::Bring(packet(0, 1, 0, b"").expect("small")));
    world.channel.later(2 * SECOND, Event::Close);
    assert_eq!(ended(ask!(world, poll_oneoff, 0, 0, 0, 64)), 75);
    assert_eq!(world.channel.now - BOOT, 2 * SECOND);
}
