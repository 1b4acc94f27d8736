use super::*;
use crate::testing::{BOOT, EPOCH, Event, MEMORY, MS, SECOND, World, ask, begin, call, data, ended, flow};
use gatebus_wire::control::Begin;

/// What a test subscribes to.
#[derive(Clone, Copy)]
enum Want {
    After(u64),
    At(u32, u64),
    Clock(u32),
    Read(u32),
    Write(u32),
    Tag(u8),
}

fn encode(want: Want, userdata: u64, layout: Layout) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(layout.size).expect("small")];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    let mut put = |at: u64, value: &[u8]| {
        let at = usize::try_from(at).expect("small");
        bytes[at..at + value.len()].copy_from_slice(value);
    };
    let mut clock = |id: u32, time: u64, flags: u16| {
        put(layout.clock, &id.to_le_bytes());
        put(layout.timeout, &time.to_le_bytes());
        put(layout.flags, &flags.to_le_bytes());
    };
    match want {
        Want::After(ns) => clock(1, ns, 0),
        Want::At(id, time) => clock(id, time, 1),
        Want::Clock(id) => clock(id, 5, 0),
        Want::Tag(tag) => put(TAG, &[tag]),
        Want::Read(fd) => {
            put(TAG, &[1]);
            put(DESCRIPTOR, &fd.to_le_bytes());
        }
        Want::Write(fd) => {
            put(TAG, &[2]);
            put(DESCRIPTOR, &fd.to_le_bytes());
        }
    }
    bytes
}

/// An event: userdata, errno, type, bytes, flags.
type Found = (u64, u16, u8, u64, u16);

fn events(world: &World<Wasi>, at: u32, count: u32) -> Vec<Found> {
    let one = |index: u32| {
        let at = at + index * 32;
        let kind = world.memory[at as usize + 10];
        (world.u64(at), world.u16(at + 8), kind, world.u64(at + 16), world.u16(at + 24))
    };
    (0..count).map(one).collect()
}

/// Polls; the userdata of a subscription is 100 + its place.
fn poll(world: &mut World<Wasi>, wants: &[Want]) -> Vec<Found> {
    let bytes: Vec<u8> =
        wants.iter().zip(100..).flat_map(|(want, userdata)| encode(*want, userdata, PREVIEW1)).collect();
    let count = u32::try_from(wants.len()).expect("small");
    let (subscriptions, into, n) = (world.put(&bytes), world.put(&vec![0xff; wants.len() * 32]), world.room(4));
    assert_eq!(call!(world, poll_oneoff, subscriptions, into, count, n), 0);
    events(world, into, world.u32(n))
}

fn elapsed(world: &World<Wasi>) -> u64 {
    world.channel.now - BOOT
}

#[test]
fn nothing_to_wait_for_is_invalid() {
    let mut world = World::ordinary();
    assert_eq!(call!(world, poll_oneoff, 64, 64, 0, 64), 28);
    assert_eq!(call!(world, unstable_poll_oneoff, 64, 64, 0, 64), 28);
}

#[test]
fn a_duration_is_over_when_the_guests_clock_shows_it() {
    for ns in [1, MS, 9_999_999, 10 * MS, 15 * MS, SECOND] {
        let mut world = World::ordinary();
        world.channel.now += 3 * MS;
        let at = world.room(8);
        call!(world, clock_time_get, 1, 0, at);
        let before = world.u64(at);
        assert_eq!(poll(&mut world, &[Want::After(ns)]), [(100, 0, 0, 0, 0)]);
        call!(world, clock_time_get, 1, 0, at);
        assert!(world.u64(at) - before >= ns, "{ns}: seen by the guest");
        assert!(elapsed(&world) - 3 * MS >= ns && elapsed(&world) - 3 * MS < ns + 10 * MS, "{ns}: in truth");
    }
}

#[test]
fn a_duration_of_nothing_is_over_at_once() {
    let mut world = World::ordinary();
    assert_eq!(poll(&mut world, &[Want::After(0)]), [(100, 0, 0, 0, 0)]);
    assert_eq!((elapsed(&world), world.channel.waits), (0, 0));
}

#[test]
fn the_earliest_of_several_clocks_ends_the_wait() {
    let mut world = World::ordinary();
    let found = poll(
        &mut world,
        &[Want::After(50 * MS), Want::After(20 * MS), Want::At(1, SECOND + 20 * MS), Want::After(u64::MAX)],
    );
    assert_eq!(found, [(101, 0, 0, 0, 0), (102, 0, 0, 0, 0)]);
    assert_eq!(elapsed(&world), 20 * MS);
}

#[test]
fn a_time_can_be_said_on_either_clock() {
    let mut world = World::ordinary();
    assert_eq!(poll(&mut world, &[Want::At(0, 1), Want::At(1, 1), Want::At(0, u64::MAX)]).len(), 2);
    assert_eq!(elapsed(&world), 0);
    let time = EPOCH + BOOT + 30 * MS;
    assert_eq!(poll(&mut world, &[Want::At(0, time)]), [(100, 0, 0, 0, 0)]);
    assert!(elapsed(&world) >= 30 * MS && elapsed(&world) < 40 * MS);
    assert_eq!(poll(&mut world, &[Want::At(1, SECOND + 70 * MS)]), [(100, 0, 0, 0, 0)]);
    assert_eq!(elapsed(&world), 70 * MS);
}

#[test]
fn clocks_and_tags_that_do_not_exist_are_events_with_errno() {
    let mut world = World::ordinary();
    let found = poll(&mut world, &[Want::Clock(2), Want::Clock(4), Want::Tag(3), Want::After(SECOND), Want::Tag(255)]);
    assert_eq!(found, [(100, 28, 0, 0, 0), (101, 28, 0, 0, 0), (102, 28, 3, 0, 0), (104, 28, 255, 0, 0)]);
    assert_eq!(elapsed(&world), 0);
}

#[test]
fn waiting_for_input_lets_the_host_send_it() {
    let mut world = World::ordinary();
    world.channel.later(5 * MS, Event::Bring(data(b"hello")));
    assert_eq!(poll(&mut world, &[Want::Read(0)]), [(100, 0, 1, 5, 0)]);
    let packets = world.channel.packets();
    assert_eq!((packets.len(), packets[0].0.domain), (1, 2));
    assert_eq!(poll(&mut world, &[Want::After(SECOND), Want::Read(0)]), [(101, 0, 1, 5, 0)]);
    assert_eq!((elapsed(&world), world.channel.packets()), (5 * MS, vec![]));
}

#[test]
fn waiting_for_input_ends_with_the_time_or_with_the_end_of_input() {
    let mut world = World::ordinary();
    world.channel.later(50 * MS, Event::Bring(data(b"")));
    assert_eq!(poll(&mut world, &[Want::Read(0), Want::After(20 * MS)]), [(101, 0, 0, 0, 0)]);
    assert_eq!(poll(&mut world, &[Want::Read(0), Want::After(SECOND)]), [(100, 0, 1, 0, 1)]);
    assert_eq!(elapsed(&world), 50 * MS);
}

#[test]
fn waiting_for_output_is_waiting_for_credit() {
    let mut world = World::wasi(&Begin { origin_credit: 0, ..begin() }, &[]);
    world.channel.later(5 * MS, Event::Bring(flow(7)));
    world.channel.later(9 * MS, Event::Bring(flow(0)));
    assert_eq!(poll(&mut world, &[Want::Write(1)]), [(100, 0, 2, 7, 0)]);
    let (iovs, count) = world.pieces(&["1234567"]);
    assert_eq!(call!(world, fd_write, 1, iovs, count, 64), 0);
    assert_eq!(poll(&mut world, &[Want::Write(1)]), [(100, 0, 2, 0, 1)]);
    assert_eq!(elapsed(&world), 9 * MS);
}

#[test]
fn both_directions_and_a_clock_are_waited_for_at_once() {
    let mut world = World::wasi(&Begin { origin_credit: 0, ..begin() }, &[]);
    world.channel.later(5 * MS, Event::Bring([data(b"in"), flow(3)].concat()));
    let wants = [Want::Write(1), Want::After(SECOND), Want::Read(0), Want::Write(2)];
    assert_eq!(poll(&mut world, &wants), [(103, 0, 2, 65_536, 0)]);
    assert_eq!(poll(&mut world, &wants[..3]), [(100, 0, 2, 3, 0), (102, 0, 1, 2, 0)]);
}

#[test]
fn files_are_always_ready() {
    let mut world = World::ordinary();
    let (at, len) = world.text("file");
    assert_eq!(call!(world, path_open, 3, 0, at, len, 1, right::FD_READ | right::FD_WRITE, 0, 0, 80), 0);
    let fd = world.u32(80);
    let (iovs, count) = world.pieces(&["12345"]);
    assert_eq!(call!(world, fd_pwrite, fd, iovs, count, 0, 80), 0);
    assert_eq!(poll(&mut world, &[Want::Read(fd), Want::Write(fd)]), [(100, 0, 1, 5, 0), (101, 0, 2, 65_536, 0)]);
    assert_eq!(call!(world, fd_seek, fd, 9, 0, 80), 0);
    assert_eq!(poll(&mut world, &[Want::Read(fd), Want::Read(3)]), [(100, 0, 1, 0, 0), (101, 0, 1, 0, 0)]);
}

#[test]
fn what_cannot_be_read_or_written_is_an_event_with_errno() {
    let mut world = World::ordinary();
    let found = poll(&mut world, &[Want::Read(1), Want::Read(2), Want::Write(0), Want::Read(9), Want::Write(u32::MAX)]);
    assert_eq!(found.iter().map(|event| event.1).collect::<Vec<_>>(), [8; 5]);
}

#[test]
fn the_old_layout_is_read_where_it_is() {
    let mut world = World::ordinary();
    world.channel.later(5 * MS, Event::Bring(data(b"x")));
    let wants = [Want::At(1, SECOND + 20 * MS), Want::Read(0), Want::After(40 * MS)];
    let bytes: Vec<u8> = wants.iter().zip(7..).flat_map(|(want, userdata)| encode(*want, userdata, UNSTABLE)).collect();
    let (subscriptions, into, n) = (world.put(&bytes), world.room(96), world.room(4));
    assert_eq!(call!(world, unstable_poll_oneoff, subscriptions, into, 3, n), 0);
    assert_eq!(events(&world, into, world.u32(n)), [(8, 0, 1, 1, 0)]);
    assert_eq!(call!(world, unstable_poll_oneoff, subscriptions, into, 1, n), 0);
    assert_eq!((events(&world, into, world.u32(n)), elapsed(&world)), (vec![(7, 0, 0, 0, 0)], 20 * MS));
    assert_eq!(call!(world, unstable_poll_oneoff, subscriptions + 112, into, 1, n), 0);
    assert_eq!((events(&world, into, world.u32(n)), elapsed(&world)), (vec![(9, 0, 0, 0, 0)], 60 * MS));
}

#[test]
fn events_may_overwrite_the_subscriptions() {
    let mut world = World::ordinary();
    let wants: Vec<u8> = (0..5).flat_map(|userdata| encode(Want::After(0), userdata, PREVIEW1)).collect();
    let at = world.put(&wants);
    let n = world.room(4);
    assert_eq!(call!(world, poll_oneoff, at, at, 5, n), 0);
    let found: Vec<u64> = events(&world, at, world.u32(n)).iter().map(|event| event.0).collect();
    assert_eq!(found, [0, 1, 2, 3, 4]);
}

#[test]
fn lists_outside_the_memory_are_faults() {
    let mut world = World::ordinary();
    for (subscriptions, into, count, n) in [
        (MEMORY - 47, 64, 1, 64),
        (64, MEMORY - 31, 1, 64),
        (64, 64, 1, MEMORY - 3),
        (64, 64, u32::MAX, 64),
        (u32::MAX, 64, 1, 64),
        (64, u32::MAX, 1, 64),
        (MEMORY - 48, 64, 2, 64),
    ] {
        assert_eq!(call!(world, poll_oneoff, subscriptions, into, count, n), 21, "{subscriptions} {into} {count}");
    }
    assert_eq!(call!(world, unstable_poll_oneoff, MEMORY - 48, 64, 1, 64), 21);
}

#[test]
fn an_orphan_does_not_wait_for_ever() {
    let mut world = World::ordinary();
    world.channel.later(MS, Event::Close);
    let bytes = encode(Want::Read(0), 1, PREVIEW1);
    let at = world.put(&bytes);
    assert_eq!(ended(ask!(world, poll_oneoff, at, 4096, 1, 64)), 75);
}

#[test]
fn an_orphan_does_not_sleep_to_the_end() {
    let mut world = World::ordinary();
    world.channel.later(MS, Event::Close);
    let at = world.put(&encode(Want::After(1 << 60), 1, PREVIEW1));
    assert_eq!(ended(ask!(world, poll_oneoff, at, 4096, 1, 64)), 75);
    assert_eq!(elapsed(&world), MS);
}
