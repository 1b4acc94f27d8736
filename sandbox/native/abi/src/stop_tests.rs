//! The host's word to stop, before and during every call that can wait: nothing is done twice and nothing is lost.

use gatebus_wire::packets::packet;

use crate::errno::Errno;
use crate::gate_inbox::Inbox;
use crate::link::Link;
use crate::testing::{
    BOOT, Event, Fake, MS, SECOND, World, ask, begin, call, data, exit, flow, receive, suspend, suspended,
};
use crate::{Answer, Gate, Setup, Wasi};
use gatebus_wire::control::Begin;

/// A relative wait of the monotonic clock, and whatever else, at address 1024.
fn subscribe(world: &mut World<Wasi>, reads: Option<u32>, timeout: Option<u64>) -> u32 {
    let mut bytes = Vec::new();
    if let Some(ns) = timeout {
        bytes.extend([1u64.to_le_bytes(), [0; 8], 1u64.to_le_bytes(), ns.to_le_bytes(), [0; 8], [0; 8]].concat());
    }
    if let Some(fd) = reads {
        bytes.extend(
            [2u64.to_le_bytes(), 1u64.to_le_bytes(), u64::from(fd).to_le_bytes(), [0; 8], [0; 8], [0; 8]].concat(),
        );
    }
    world.memory[1024..1024 + bytes.len()].copy_from_slice(&bytes);
    u32::from(reads.is_some()) + u32::from(timeout.is_some())
}

fn poll(world: &mut World<Wasi>, count: u32) -> Answer<i32> {
    ask!(world, poll_oneoff, 1024, 2048, count, 4096)
}

fn read(world: &mut World<Wasi>, len: u32) -> Answer<i32> {
    let (iovs, count) = (8, 1);
    world.memory[8..16].copy_from_slice(&[1024u32.to_le_bytes(), len.to_le_bytes()].concat());
    ask!(world, fd_read, 0, iovs, count, 4096)
}

fn write(world: &mut World<Wasi>, len: u32) -> Answer<i32> {
    world.memory[8..16].copy_from_slice(&[1024u32.to_le_bytes(), len.to_le_bytes()].concat());
    ask!(world, fd_write, 1, 8, 1, 4096)
}

#[test]
fn a_read_that_waits_is_made_again_and_has_consumed_nothing() {
    for before in [true, false] {
        let mut world = World::ordinary();
        let at = if before { 0 } else { 5 * MS };
        world.channel.later(at, Event::Bring(suspend()));
        assert!(suspended(read(&mut world, 10)));
        assert_eq!(world.channel.packets().len(), 1, "credit was given, once");
        assert!(suspended(read(&mut world, 10)));
        assert_eq!(world.channel.packets().len(), 0);
    }
}

#[test]
fn a_read_that_need_not_wait_is_answered_although_a_stop_is_asked() {
    let mut world = World::ordinary();
    assert!(suspended_after(&mut world, 0, |world| read(world, 10)));
    let mut world = World::ordinary();
    call!(world, fd_fdstat_set_flags, 0, 4);
    assert_eq!(read(&mut world, 3), Ok(Errno::AGAIN.0));
    world.channel.bring(&[data(b"abcd"), suspend()].concat());
    assert_eq!((read(&mut world, 3), world.u32(4096), world.bytes(1024, 3).to_vec()), (Ok(0), 3, b"abc".to_vec()));
    assert_eq!((read(&mut world, 3), world.u32(4096), world.bytes(1024, 1).to_vec()), (Ok(0), 1, b"d".to_vec()));
    assert_eq!(read(&mut world, 3), Ok(Errno::AGAIN.0), "a call that never waits is never stopped");
    call!(world, fd_fdstat_set_flags, 0, 0);
    assert!(suspended(read(&mut world, 3)));
}

fn suspended_after(world: &mut World<Wasi>, ns: u64, call: impl FnOnce(&mut World<Wasi>) -> Answer<i32>) -> bool {
    world.channel.later(ns, Event::Bring(suspend()));
    suspended(call(world))
}

#[test]
fn the_end_of_input_is_answered_although_a_stop_is_asked() {
    let mut world = World::ordinary();
    world.channel.later(MS, Event::Bring([data(b""), suspend()].concat()));
    assert_eq!((read(&mut world, 3), world.u32(4096)), (Ok(0), 0));
}

#[test]
fn a_write_without_credit_is_made_again_and_has_sent_nothing() {
    let mut world = World::wasi(&Begin { origin_credit: 0, ..begin() }, &[]);
    assert!(suspended_after(&mut world, 5 * MS, |world| write(world, 10)));
    assert_eq!(world.channel.outgoing.len(), 0);
    assert!(suspended(write(&mut world, 10)));
}

#[test]
fn a_write_that_has_sent_something_says_how_much() {
    let mut world = World::wasi(&Begin { origin_credit: 7, ..begin() }, &[]);
    world.channel.later(5 * MS, Event::Bring([flow(2), suspend()].concat()));
    assert_eq!((write(&mut world, 10), world.u32(4096)), (Ok(0), 9));
    assert!(suspended(write(&mut world, 1)));
    let sent: usize = world.channel.packets().iter().map(|(_, content)| content.len() - 8).sum();
    assert_eq!(sent, 9);
}

#[test]
fn a_packet_is_never_broken_off() {
    let mut world = World::ordinary();
    world.channel.room = 5;
    world.channel.later(MS, Event::Bring(suspend()));
    world.channel.later(2 * MS, Event::Room(6));
    world.channel.later(3 * MS, Event::Room(1000));
    assert_eq!((write(&mut world, 20), world.u32(4096)), (Ok(0), 20));
    assert_eq!(world.channel.packets().len(), 1);
}

#[test]
fn a_sleep_is_ended_by_a_stop_and_keeps_what_is_left_of_it() {
    let mut world = World::ordinary();
    let count = subscribe(&mut world, None, Some(SECOND));
    world.channel.later(300 * MS, Event::Bring(suspend()));
    assert!(suspended(poll(&mut world, count)));
    assert_eq!(world.channel.now - BOOT, 300 * MS);
    assert!(world.guest.waiting_since.is_some());
}

#[test]
fn a_word_to_stop_that_came_right_behind_the_setup_is_seen_by_the_first_wait() {
    let setup = crate::testing::setup_bytes(&begin(), &[]);
    let received = || {
        let mut channel = Fake::new();
        channel.bring(&[&setup[..], &suspend()].concat());
        Setup::receive_untrusted(&mut channel).expect("a good setup")
    };
    let mut world = World::ordinary();
    world.guest = Wasi::new(received());
    let count = subscribe(&mut world, None, Some(SECOND));
    assert!(suspended(poll(&mut world, count)));
    let mut world = World::fine();
    world.guest = Gate::new(received());
    assert!(suspended(io(&mut world, 0, 0, SECOND)));
    assert_eq!(world.channel.now, BOOT);
}

#[test]
fn a_poll_answers_what_has_happened_although_a_stop_is_asked() {
    let mut world = World::ordinary();
    let count = subscribe(&mut world, Some(0), Some(SECOND));
    world.channel.later(300 * MS, Event::Bring([data(b"x"), suspend()].concat()));
    assert_eq!((poll(&mut world, count), world.u32(4096), world.u64(2048)), (Ok(0), 1, 2));
    let count = subscribe(&mut world, None, Some(0));
    assert_eq!((poll(&mut world, count), world.u32(4096)), (Ok(0), 1), "nothing to wait for");
    let count = subscribe(&mut world, Some(0), None);
    assert_eq!(poll(&mut world, count), Ok(0), "the byte is still there");
}

#[test]
fn what_comes_before_the_stop_is_kept_however_busy_the_guest_is() {
    let mut world = World::ordinary();
    assert!(world.guest.origin.want_input(&mut world.channel).is_ok());
    world.channel.bring(&[flow(11), data(b"input")].concat());
    world.channel.later(MS, Event::Bring(data(b" and more")));
    world.channel.later(2 * MS, Event::Bring(suspend()));
    world.guest.drain_until_suspend(&mut world.channel).expect("the host is there");
    assert_eq!((world.guest.origin.available(), world.guest.origin.writable()), (14, 65_547));
    world.guest.drain_until_suspend(&mut world.channel).expect("once is enough");
}

#[test]
fn a_host_that_goes_instead_of_asking_is_gone() {
    let mut world = World::ordinary();
    world.channel.later(MS, Event::Close);
    let gone = world.guest.drain_until_suspend(&mut world.channel).map_err(|exit| exit.status);
    assert_eq!(gone, Err(75));
    let mut world = World::gate(&begin());
    world.channel.later(MS, Event::Close);
    let gone = world.guest.drain_until_suspend(&mut world.channel).map_err(|exit| exit.status);
    assert_eq!(gone, Err(75));
}

#[test]
fn a_host_that_goes_on_talking_after_the_word_to_stop_is_not_understood() {
    let mut world = World::ordinary();
    world.channel.bring(&[suspend(), flow(5)].concat());
    assert_eq!(exit(read(&mut world, 1)).status, 70);
}

// Gate.

fn info() -> Vec<u8> {
    packet(3, 1, 0, b"hello").expect("small")
}

fn io(world: &mut World<Gate>, receive: u32, send: u32, timeout: u64) -> Answer<()> {
    world.memory[8..24].copy_from_slice(
        &[1024u32.to_le_bytes(), receive.to_le_bytes(), 2048u32.to_le_bytes(), send.to_le_bytes()].concat(),
    );
    ask!(world, io, 8, 1, 4096, 16, 1, 4100, timeout, 4104)
}

#[test]
fn an_io_that_waits_is_made_again_and_nothing_is_moved() {
    for (receive, send) in [(0, 0), (100, 0), (0, 16), (100, 16)] {
        let mut world = World::fine();
        world.channel.room = 0;
        world.memory[2048..2064].copy_from_slice(&packet(-1, 0, 0, &[0; 8]).expect("small"));
        world.channel.later(300 * MS, Event::Bring(suspend()));
        assert!(suspended(io(&mut world, receive, send, SECOND)), "{receive} {send}");
        assert_eq!((world.u64(4096), world.u64(4104)), (0, 0), "nothing is answered");
        assert_eq!(world.channel.now - BOOT, 300 * MS);
        assert!(world.guest.waiting_since.is_some());
    }
}

#[test]
fn an_io_that_can_move_something_is_answered_although_a_stop_is_asked() {
    let mut world = World::fine();
    world.channel.later(MS, Event::Bring([info(), suspend()].concat()));
    assert_eq!(io(&mut world, 100, 0, u64::MAX), Ok(()));
    assert_eq!((world.u32(4096), world.bytes(1024, 16).to_vec()), (16, info()));
    assert!(suspended(io(&mut world, 100, 0, u64::MAX)));
    assert_eq!(io(&mut world, 100, 0, 0), Ok(()), "this one never waits");
}

#[test]
fn packets_that_nobody_waits_for_do_not_hide_the_word_to_stop() {
    let mut world = World::fine();
    for step in 1..100 {
        world.channel.later(step * MS, Event::Bring(packet(0, 3, 0, &[0; 20_000]).expect("fits")));
    }
    world.channel.later(100 * MS, Event::Bring(suspend()));
    assert!(suspended(io(&mut world, 0, 0, SECOND)));
    assert_eq!(world.channel.now - BOOT, 100 * MS);
    assert_eq!(world.guest.inbox.available(), Ok(99 * 20_008));
}

#[test]
fn a_poll_is_ended_by_a_stop_and_by_nothing_unwanted() {
    let mut world = World::fine();
    let clock = [1u64.to_le_bytes(), [0; 8], 1u64.to_le_bytes(), SECOND.to_le_bytes(), [0; 8], [0; 8]].concat();
    world.memory[1024..1072].copy_from_slice(&clock);
    world.channel.later(MS, Event::Bring(info()));
    world.channel.later(2 * MS, Event::Bring(suspend()));
    assert!(suspended(ask!(world, poll_oneoff, 1024, 2048, 1, 4096)));
    assert_eq!(world.channel.now - BOOT, 2 * MS);
}

#[test]
fn a_stop_sends_what_is_ready_and_keeps_what_is_not() {
    let mut world = World::fine();
    world.channel.room = 3;
    let bytes = [info(), info()].concat();
    world.memory[1024..1056].copy_from_slice(&bytes);
    world.memory[8..16].copy_from_slice(&[1024u32.to_le_bytes(), 21u32.to_le_bytes()].concat());
    assert_eq!(call!(world, fd_write, 4, 8, 1, 4096), 0);
    world.channel.later(MS, Event::Bring([info(), suspend()].concat()));
    world.channel.later(2 * MS, Event::Room(1000));
    world.guest.drain_until_suspend(&mut world.channel).expect("the host is there");
    assert_eq!(world.channel.packets().len(), 1);
    assert_eq!(world.guest.outbox.unfinished(), &info()[..5]);
    assert_eq!(world.guest.inbox.saved(), (0, &info()[..]));
}

#[test]
fn a_word_that_came_with_the_setup_is_found_when_the_guest_was_left_at_once() {
    let mut world = World::fine();
    world.guest.inbox = Inbox::new(Link::holding([info(), suspend()].concat()));
    world.guest.drain_until_suspend(&mut world.channel).expect("the word is there");
    assert_eq!((world.guest.inbox.saved(), world.channel.now), ((0, &info()[..]), BOOT));
}

#[test]
fn more_input_than_a_guest_may_leave_unread_is_taken_in_in_front_of_the_word() {
    let mut world = World::fine();
    let one = packet(0, 3, 0, &[0; 65_528]).expect("fits");
    let many = 100_u8;
    for step in 1..=u64::from(many) {
        world.channel.later(step * MS, Event::Bring(one.clone()));
    }
    world.channel.later((u64::from(many) + 1) * MS, Event::Bring(suspend()));
    world.guest.drain_until_suspend(&mut world.channel).expect("the host is there");
    let state = world.guest.save(&mut world.channel);
    let again = Gate::restore_untrusted(receive(&mut Fake::new(), &begin(), &[]), &state).map_err(|bad| bad.0);
    assert_eq!(again.map(|gate| gate.inbox.saved().1.len()), Ok(usize::from(many) * one.len()));
}
