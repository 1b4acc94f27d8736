use super::*;
use crate::testing::{BOOT, EPOCH, Fake, MS};

#[test]
fn the_guest_sees_only_ticks() {
    let mut channel = Fake::new();
    let clocks = Clocks::every(10 * MS, BOOT);
    for step in 0..1000 {
        channel.now = BOOT + step * 777_777;
        let realtime = clocks.now(&mut channel, Clock::Realtime);
        assert_eq!(realtime % (10 * MS), 0);
        assert!(realtime <= EPOCH + channel.now && EPOCH + channel.now - realtime < 10 * MS);
        let monotonic = clocks.now(&mut channel, Clock::Monotonic);
        assert_eq!(monotonic, (SECOND + step * 777_777) / (10 * MS) * (10 * MS));
    }
}

#[test]
fn the_uptime_of_the_host_is_not_told() {
    let mut channel = Fake::new();
    assert_eq!(Clocks::every(1, BOOT).now(&mut channel, Clock::Monotonic), SECOND);
    assert_eq!(Clocks::masked(1, BOOT).now(&mut channel, Clock::Monotonic), SECOND);
}

#[test]
fn a_resolution_is_between_a_nanosecond_and_a_second() {
    assert_eq!(Clocks::every(0, 0).resolution(), 1);
    assert_eq!(Clocks::every(10 * MS, 0).resolution(), 10 * MS);
    assert_eq!(Clocks::every(u64::MAX, 0).resolution(), SECOND);
}

#[test]
fn gates_resolution_is_the_next_power_of_two_and_reported_as_at_most_a_second() {
    for (asked, answered) in
        [(0, 2), (1, 2), (1000, 1024), (1024, 2048), (10 * MS, 16_777_216), (SECOND, SECOND), (u64::MAX, SECOND)]
    {
        assert_eq!(Clocks::masked(asked, 0).resolution(), answered, "{asked}");
    }
}

#[test]
fn gates_mask_is_applied_to_the_nanoseconds_of_a_second() {
    let mut channel = Fake::new();
    channel.now = BOOT + 3 * SECOND + 999_999_999;
    let now = |resolution, channel: &mut Fake| Clocks::masked(resolution, BOOT).now(channel, Clock::Monotonic);
    assert_eq!(now(1000, &mut channel), 4 * SECOND + 999_999_488);
    assert_eq!(now(10 * MS, &mut channel), 4 * SECOND + 989_855_744);
    assert_eq!(now(SECOND, &mut channel), 4 * SECOND);
}

#[test]
fn a_wait_ends_at_the_first_tick_that_shows_the_time() {
    for clocks in [
        Clocks::every(10 * MS, 0),
        Clocks::every(7, 0),
        Clocks::masked(1000, 0),
        Clocks::masked(10 * MS, 0),
        Clocks::masked(SECOND, 0),
    ] {
        for time in (0..3000u64).map(|step| 2 * SECOND + step * 1_234_567) {
            let tick = clocks.tick_at(time);
            assert!(tick >= time, "{clocks:?} {time}");
            let shown = |at: u64| {
                let mut channel = Fake::new();
                channel.now = at - SECOND;
                clocks.now(&mut channel, Clock::Monotonic)
            };
            assert!(shown(tick) >= time, "{clocks:?} {time}");
            assert!(shown(tick - 1) < time, "{clocks:?} {time}: one nanosecond before");
        }
    }
}

#[test]
fn the_end_of_time_does_not_overflow() {
    for clocks in [Clocks::every(10 * MS, 5), Clocks::masked(10 * MS, 5)] {
        assert!(clocks.tick_at(u64::MAX) >= u64::MAX - SECOND);
        let mut channel = Fake::new();
        channel.now = 0;
        assert_eq!(clocks.precise(&mut channel, Clock::Monotonic), SECOND);
    }
}
