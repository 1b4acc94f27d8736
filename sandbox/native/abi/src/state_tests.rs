//! A world that is saved and restored at any moment is the world that was never stopped.

use gatebus_wire::control::Begin;
use gatebus_wire::packets::packet;

use crate::testing::{BOOT, EPOCH, Event, Fake, MS, SECOND, World, ask, begin, call, data, flow, receive, suspend};
use crate::{BadState, Gate, Personality, Setup, Stop, Wasi, check_world_untrusted};
use gatebus_wire::control::{FLAG_RESUMED, Kind, Report};

/// Both personalities, for what is asked of both.
pub(crate) trait Saved: Sized {
    const PERSONALITY: Personality;
    fn stop(&mut self, channel: &mut Fake) -> Vec<u8>;
    fn go(setup: Setup, state: &[u8]) -> Result<Self, BadState>;
}

impl Saved for Wasi {
    const PERSONALITY: Personality = Personality::Wasi;

    fn stop(&mut self, channel: &mut Fake) -> Vec<u8> {
        self.drain_until_suspend(channel).expect("the host is there");
        self.save(channel)
    }

    fn go(setup: Setup, state: &[u8]) -> Result<Wasi, BadState> {
        Wasi::restore_untrusted(setup, state)
    }
}

impl Saved for Gate {
    const PERSONALITY: Personality = Personality::Gate;

    fn stop(&mut self, channel: &mut Fake) -> Vec<u8> {
        self.drain_until_suspend(channel).expect("the host is there");
        self.save(channel)
    }

    fn go(setup: Setup, state: &[u8]) -> Result<Gate, BadState> {
        Gate::restore_untrusted(setup, state)
    }
}

/// The setup of a program that goes on, on a channel whose clock shows this.
pub(crate) fn setup_at(now: u64, begin: &Begin) -> Setup {
    let mut channel = Fake::new();
    channel.now = now;
    receive(&mut channel, &Begin { flags: begin.flags | FLAG_RESUMED, ..*begin }, &[(Kind::Restore, vec![])])
}

/// Stops a world and lets it go on where another clock shows `now`; checks that the bytes stay the same.
pub(crate) fn moved<P: Saved>(world: &mut World<P>, begin: &Begin, now: u64) -> Vec<u8> {
    world.channel.bring(&suspend());
    let state = world.guest.stop(&mut world.channel);
    let (setup, again) = (setup_at(now, begin), setup_at(now, begin));
    world.guest = P::go(setup, &state).expect("what was saved");
    let mut channel = Fake::new();
    channel.now = now;
    channel.bring(&suspend());
    assert!(P::go(again, &state).expect("what was saved").stop(&mut channel) == state, "canonical");
    world.channel.now = now;
    state
}

pub(crate) fn fine() -> Begin {
    Begin { clock_ms: 0, clock_ns: 1, ..begin() }
}

#[test]
fn the_monotonic_clock_goes_on_and_never_back() {
    for (before, after) in [(10, 10), (1, 16), (16, 1), (7, 1000)] {
        let at = |clock_ms| Begin { clock_ms, ..begin() };
        let mut world = World::wasi(&at(before), &[]);
        world.channel.now += 1_234_567_890;
        call!(world, clock_time_get, 1, 0, 64);
        let shown = world.u64(64);
        world.channel.bring(&suspend());
        let state = world.guest.stop(&mut world.channel);
        world.guest = Wasi::go(setup_at(BOOT * 3, &at(after)), &state).expect("what was saved");
        world.channel.now = BOOT * 3;
        call!(world, clock_time_get, 1, 0, 64);
        let tick = u64::from(before.max(after)) * 2 * MS;
        assert!((shown..=shown + tick).contains(&world.u64(64)), "{before} {after}");
        world.channel.now += SECOND;
        call!(world, clock_time_get, 1, 0, 64);
        assert!((shown + SECOND - tick..=shown + SECOND + tick).contains(&world.u64(64)));
        call!(world, clock_time_get, 0, 0, 64);
        assert!(world.u64(64) >= EPOCH + BOOT * 3, "the time of day is the one of the place");
    }
}

/// A relative sleep of the monotonic clock at 1024.
fn put_sleep<P>(world: &mut World<P>, ns: u64) {
    let bytes = [1u64.to_le_bytes(), [0; 8], 1u64.to_le_bytes(), ns.to_le_bytes(), [0; 8], [0; 8]].concat();
    world.memory[1024..1072].copy_from_slice(&bytes);
}

#[test]
fn a_sleep_goes_on_for_what_is_left_of_it_on_any_clock() {
    for now in [0, BOOT, BOOT * 5] {
        let mut world = World::wasi(&fine(), &[]);
        put_sleep(&mut world, SECOND);
        world.channel.later(300 * MS, Event::Bring(suspend()));
        assert_eq!(ask!(world, poll_oneoff, 1024, 2048, 1, 4096), Err(Stop::Suspend));
        moved_again(&mut world, now);
        world.channel.later(200 * MS, Event::Bring(suspend()));
        assert_eq!(ask!(world, poll_oneoff, 1024, 2048, 1, 4096), Err(Stop::Suspend), "stopped again");
        moved_again(&mut world, now + 77);
        assert_eq!(call!(world, poll_oneoff, 1024, 2048, 1, 4096), 0);
        assert_eq!(world.channel.now - now - 77, 500 * MS, "{now}");
        put_sleep(&mut world, SECOND);
        assert_eq!(call!(world, poll_oneoff, 1024, 2048, 1, 4096), 0);
        assert_eq!(world.channel.now - now - 77, 1500 * MS, "the next one is whole");
    }
}

/// After a call that has read the word to stop already.
fn moved_again<P: Saved>(world: &mut World<P>, now: u64) {
    let state = world.guest.stop(&mut world.channel);
    world.guest = P::go(setup_at(now, &fine()), &state).expect("what was saved");
    world.channel.now = now;
}

#[test]
fn an_io_waits_for_what_is_left_and_says_that_it_was_resumed() {
    let mut world = World::gate(&fine());
    call!(world, io, 0, 0, 0, 0, 0, 0, 0, 4104);
    assert_eq!(world.u64(4104), 1, "started");
    world.channel.later(300 * MS, Event::Bring(suspend()));
    assert_eq!(ask!(world, io, 0, 0, 0, 0, 0, 0, SECOND, 4104), Err(Stop::Suspend));
    assert_eq!(world.u64(4104), 1);
    moved_again(&mut world, 0);
    world.memory[4104] = 0;
    call!(world, io, 0, 0, 0, 0, 0, 0, SECOND, 4104);
    assert_eq!((world.u64(4104), world.channel.now), (1, 700 * MS), "resumed");
    call!(world, io, 0, 0, 0, 0, 0, 0, 0, 4104);
    assert_eq!(world.u64(4104), 0, "told once");
}

#[test]
fn a_resumed_gate_program_has_a_whole_seed_and_never_the_old_one() {
    let mut world = World::gate(&begin());
    call!(world, random_get, 64, 16);
    let before = world.bytes(64, 16).to_vec();
    moved(&mut world, &begin(), BOOT);
    call!(world, random_get, 64, 16);
    assert_ne!(world.bytes(64, 16), before);
}

#[test]
fn no_state_has_a_byte_of_randomness() {
    let mut channel = Fake::new();
    let mut twin = Fake::new();
    let mut one = Wasi::new(receive(&mut channel, &begin(), &[]));
    let mut other = Wasi::new(receive(&mut twin, &begin(), &[]));
    let mut memory = vec![0; 256];
    for _ in 0..3 {
        one.random_get(&mut memory, &mut channel, 0, 100).expect("randomness");
    }
    channel.bring(&suspend());
    twin.bring(&suspend());
    assert_eq!(one.stop(&mut channel), other.stop(&mut twin));
}

#[test]
fn input_credit_and_ends_are_kept() {
    let mut world = World::ordinary();
    assert!(world.guest.origin.want_input(&mut world.channel).is_ok());
    world.channel.bring(&[data(b"unread input"), flow(7)].concat());
    moved(&mut world, &begin(), BOOT);
    assert_eq!((world.guest.origin.available(), world.guest.origin.writable()), (12, 65_543));
    world.channel.bring(&[data(b" and more"), data(b""), flow(0)].concat());
    moved(&mut world, &begin(), BOOT);
    let (into, len) = (64, 100);
    let (iovs, count) = world.iovs(&[(4096, len)]);
    assert_eq!(call!(world, fd_read, 0, iovs, count, into), 0);
    assert_eq!(world.bytes(4096, world.u32(into)), b"unread input and more");
    assert_eq!((call!(world, fd_read, 0, iovs, count, into), world.u32(into)), (0, 0), "the end");
    assert_eq!(call!(world, fd_write, 1, iovs, count, into), 64, "EPIPE");
}

#[test]
fn limits_are_those_of_whoever_goes_on() {
    let mut world = World::ordinary();
    let (path, len) = world.text("file");
    assert_eq!(call!(world, path_open, 3, 0, path, len, 1, 66, 0, 0, 8), 0);
    assert_eq!((world.u32(8), call!(world, fd_filestat_set_size, 5, 1000)), (5, 0));
    let (iovs, count) = world.pieces(&["twelve bytes"]);
    assert_eq!(call!(world, fd_write, 2, iovs, count, 8), 0);
    let state = moved(&mut world, &begin(), BOOT);
    let go = |begin: Begin| Wasi::go(setup_at(BOOT, &begin), &state).map(|_| ()).map_err(|bad| bad.0);
    assert_eq!(go(Begin { files_limit: 999, ..begin() }), Err("more bytes in files than the limit"));
    assert_eq!(go(Begin { nodes_limit: 0, ..begin() }), Err("more files and directories than the limit"));
    assert_eq!(go(Begin { files_limit: 1000, nodes_limit: 1, ..begin() }), Ok(()));
    let mut small = Wasi::go(setup_at(BOOT, &Begin { log_limit: 5, ..begin() }), &state).expect("good");
    assert_eq!((small.log.admit(1), small.log.dropped()), (0, 1), "more was used than is allowed now");
    let mut exact = Wasi::go(setup_at(BOOT, &Begin { log_limit: 14, ..begin() }), &state).expect("good");
    assert_eq!((exact.log.admit(5), exact.log.dropped()), (2, 3));
}

#[test]
fn a_state_is_of_one_personality() {
    let wasi = moved(&mut World::ordinary(), &begin(), BOOT);
    let gate = moved(&mut World::gate(&begin()), &begin(), BOOT);
    let text = Err(BadState("the state of a program with another interface"));
    assert_eq!(Wasi::go(setup_at(0, &begin()), &gate).map(|_| ()), text);
    assert_eq!(check_world_untrusted(Personality::Wasi, &gate), text);
    assert_eq!(Gate::go(setup_at(0, &begin()), &wasi).map(|_| ()), text);
    let exit: crate::Exit = BadState("why").into();
    assert_eq!((exit.status, &*exit.text), (77, "why"));
}

/// A world with something in every field.
pub(crate) fn furnished_wasi() -> Vec<u8> {
    let parts = [(Kind::Argument, b"prog".to_vec()), (Kind::Environment, b"A=1".to_vec())];
    let mut world = World::wasi(&fine(), &parts);
    let (path, len) = world.text("d/file");
    assert_eq!(call!(world, path_create_directory, 3, path, 1), 0);
    for _ in 0..3 {
        assert_eq!(call!(world, path_open, 3, 0, path, len, 1, 66, 0, 1, 8), 0);
    }
    let (iovs, count) = world.pieces(&["some text"]);
    assert_eq!(call!(world, fd_write, 6, iovs, count, 8), 0);
    assert_eq!(call!(world, fd_write, 2, iovs, count, 8), 0);
    assert_eq!(call!(world, fd_close, 5), 0);
    assert_eq!(call!(world, path_unlink_file, 3, path, len), 0);
    // A file with holes and two names, and a symbolic link.
    let (sparse, link, twin) = (world.put(b"s"), world.put(b"l"), world.put(b"d/twin"));
    assert_eq!(call!(world, path_open, 3, 0, sparse, 1, 1, 66, 0, 0, 8), 0);
    assert_eq!(call!(world, fd_seek, 5, 65_540, 0, 16), 0);
    assert_eq!(call!(world, fd_write, 5, iovs, count, 8), 0);
    assert_eq!(call!(world, fd_allocate, 5, 0, 65_649), 0);
    assert_eq!(call!(world, path_link, 3, 0, sparse, 1, 3, twin, 6), 0);
    assert_eq!(call!(world, path_symlink, twin, 6, 3, link, 1), 0);
    put_sleep(&mut world, SECOND);
    assert!(world.guest.origin.want_input(&mut world.channel).is_ok());
    world.channel.later(MS, Event::Bring([data(b"in"), suspend()].concat()));
    assert_eq!(ask!(world, poll_oneoff, 1024, 2048, 1, 4096), Err(Stop::Suspend));
    world.guest.stop(&mut world.channel)
}

pub(crate) fn furnished_gate() -> Vec<u8> {
    let mut world = World::gate(&fine());
    let whole = packet(3, 1, 0, b"0123456789").expect("small");
    world.memory[1024..1048].copy_from_slice(&whole);
    let (iovs, count) = world.iovs(&[(1024, 13)]);
    assert_eq!(call!(world, fd_write, 4, iovs, count, 8), 0);
    assert_eq!(call!(world, fd_write, 1, iovs, count, 8), 0);
    world.channel.bring(&[&whole[..], &whole, &suspend()].concat());
    assert_eq!(call!(world, fd_read, 4, iovs, count, 8), 0);
    world.guest.stop(&mut world.channel)
}

fn every_corrupt_byte<P: Saved>(good: &[u8]) {
    let go = |bytes: &[u8]| P::go(setup_at(BOOT, &fine()), bytes);
    let again = |mut world: P| {
        let mut channel = Fake::new();
        channel.bring(&suspend());
        world.stop(&mut channel)
    };
    let check = |bytes: &[u8]| check_world_untrusted(P::PERSONALITY, bytes);
    assert!(again(go(good).expect("good")) == good);
    assert_eq!(check(good), Ok(()));
    for length in 0..good.len() {
        assert_eq!(go(&good[..length]).err(), check(&good[..length]).err(), "cut at {length}");
        assert!(check(&good[..length]).is_err(), "cut at {length}");
    }
    assert!(go(&[good, b"\0"].concat()).is_err());
    for at in 0..good.len() {
        for flip in [1, 2, 0x40, 0x80, 0xff] {
            let mut corrupt = good.to_vec();
            corrupt[at] ^= flip;
            let (world, checked) = (go(&corrupt), check(&corrupt));
            // Only limits refuse more.
            assert!(world.is_err() || checked.is_ok(), "byte {at} ^ {flip}");
            if let Ok(world) = world {
                let found = again(world);
                // The clock is rounded up to a tick.
                let same = found[12..] == corrupt[12..] && (4..12).contains(&at) || found == corrupt;
                assert!(same, "byte {at} ^ {flip}");
            }
        }
    }
}

#[test]
fn every_corrupt_byte_of_a_wasi_world_is_refused_or_means_what_it_says() {
    every_corrupt_byte::<Wasi>(&furnished_wasi());
}

#[test]
fn every_corrupt_byte_of_a_gate_world_is_refused_or_means_what_it_says() {
    every_corrupt_byte::<Gate>(&furnished_gate());
}

#[test]
fn an_input_behind_the_go_is_the_resumed_programs() {
    let state = furnished_gate();
    let mut channel = Fake::new();
    let begin = Begin { flags: begin().flags | FLAG_RESUMED, ..fine() };
    let late = packet(5, 0, 0, b"late").expect("small");
    channel.bring(&crate::testing::setup_bytes(&begin, &[(Kind::Restore, vec![])]));
    channel.bring(&late);
    let setup = Setup::receive_untrusted(&mut channel).expect("good");
    let mut gate = Gate::go(setup, &state).expect("good");
    let mut into = vec![0; 100];
    let mut count = gate.inbox.read(&mut channel, &mut into).expect("good");
    count += gate.inbox.read(&mut channel, &mut into[count..]).expect("good");
    assert!(into[..count].ends_with(&late));
}

#[test]
fn the_state_leaves_in_packets_before_the_report_of_the_stop() {
    let state: Vec<u8> = (0..200_000u32).map(|number| number.to_le_bytes()[0]).collect();
    let mut wasi = World::ordinary();
    wasi.channel.room = 10;
    wasi.channel.later(MS, Event::Room(usize::MAX));
    wasi.guest.finish_suspended(&mut wasi.channel, &state, 65_536).expect("the host is there");
    let mut gate = World::gate(&begin());
    gate.memory[..12].copy_from_slice(&[8u32.to_le_bytes(), 4u32.to_le_bytes(), 99u32.to_le_bytes()].concat());
    assert_eq!(call!(gate, fd_write, 4, 0, 1, 64), 21, "null");
    gate.memory.copy_within(0..12, 16);
    gate.memory[8..12].copy_from_slice(&99u32.to_le_bytes());
    assert_eq!(call!(gate, fd_write, 4, 16, 1, 64), 0, "half a header");
    gate.guest.finish_suspended(&mut gate.channel, &state, 65_536).expect("the host is there");
    for packets in [wasi.channel.packets(), gate.channel.packets()] {
        let (report, pieces) = packets.split_last().expect("the report");
        assert!(pieces.iter().all(|(header, _)| (header.code, header.index) == (-2, Kind::State as u8)));
        assert!(pieces.iter().flat_map(|(_, content)| content).eq(&state));
        let expected = Report { status: 4, memory: 65_536, ..Report::default() };
        assert_eq!(Report::decode_untrusted(&report.1), Ok(expected));
    }
}
