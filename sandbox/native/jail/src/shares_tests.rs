use super::*;

fn one(token: u32, since_ms: u64) -> Competitor {
    Competitor { token, since_ms, low: false }
}

const ALICE: u32 = 1;
const BOB: u32 = 2;

/// Programs that want all they can get: each of these has had so much CPU time at each look.
fn looks(shares: &mut Shares, now: &mut u64, times: usize, spent: &mut [(u32, u64, u64)]) -> Vec<Shift> {
    let mut moved = Vec::new();
    for _ in 0..times {
        *now += LOOK_MS;
        for (_, cpu_us, each) in spent.iter_mut() {
            *cpu_us += *each;
        }
        for token in shares.due(*now) {
            let cpu_us = spent.iter().find(|(own, ..)| *own == token).map_or(0, |(_, cpu_us, _)| *cpu_us);
            shares.looked(*now, token, cpu_us);
        }
        moved.extend(shares.shifts());
    }
    moved
}

#[test]
fn a_program_that_computes_for_long_goes_to_its_accounts_group_once() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    assert_eq!(shares.share(now, one(5, now), ALICE), None);
    let moved = looks(&mut shares, &mut now, 50, &mut [(5, 0, 20_000)]);
    assert_eq!(moved, [Shift { token: 5, account: Some(ALICE) }]);
    assert_eq!(shares.low_tokens(ALICE).collect::<Vec<_>>(), [5]);
    assert_eq!((shares.low(ALICE), shares.low(BOB)), (1, 0));
}

#[test]
fn of_a_thousand_that_get_little_each_goes_in_time() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    let mut spent: Vec<(u32, u64, u64)> = (0..1000).map(|token| (token, 0, 80)).collect(); // 4 ms a second
    for (token, ..) in &spent {
        shares.share(now, one(*token, now), ALICE);
    }
    let moved = looks(&mut shares, &mut now, 1000, &mut spent);
    assert_eq!(moved.iter().filter(|shift| shift.account == Some(ALICE)).count(), 1000);
}

#[test]
fn whoever_has_long_done_little_stays_and_whoever_stops_computing_comes_back() {
    let (mut shares, mut now) = (Shares::default(), 3_600_000);
    shares.share(now, one(1, 0), ALICE); // an hour old, with half a second of CPU time in all
    shares.share(now, one(2, now - 30), ALICE);
    let mut spent = [(1, 500_000, 0), (2, 0, 20_000)];
    assert_eq!(looks(&mut shares, &mut now, 10, &mut spent), [Shift { token: 2, account: Some(ALICE) }]);
    spent[1].2 = 0;
    assert_eq!(looks(&mut shares, &mut now, 900, &mut spent), []);
    assert_eq!(looks(&mut shares, &mut now, 200, &mut spent), [Shift { token: 2, account: None }]);
}

#[test]
fn many_short_ones_of_an_account_make_its_next_ones_go_soon_and_nobody_elses() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    shares.share(now, one(900, now), BOB);
    let mut spent = [(900, 0, 30), (0, 0, 5_000)];
    let mut moved = Vec::new();
    for token in 0..60 {
        spent[1] = (token, 0, 5_000);
        shares.share(now, one(token, now), ALICE);
        moved.extend(looks(&mut shares, &mut now, 2, &mut spent));
        shares.gone(now, token, 15_000);
    }
    assert!(moved.iter().any(|shift| shift.account == Some(ALICE)), "15 ms are no long program, but 20 in a row are");
    assert!(moved.iter().all(|shift| shift.token != 900));
}

#[test]
fn who_no_longer_competes_comes_back_at_once_and_is_not_looked_at() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    shares.share(now, one(1, now), ALICE);
    shares.share(now, one(2, now), ALICE);
    looks(&mut shares, &mut now, 5, &mut [(1, 0, 20_000), (2, 0, 0)]);
    assert_eq!(shares.share(now, one(1, now), 0), Some(Shift { token: 1, account: None }));
    assert_eq!(shares.share(now, one(2, now), 0), None);
    assert_eq!(shares.share(now, one(3, now), 0), None, "one that was never told of");
    now += LOOK_MS;
    assert!(shares.due(now).is_empty());
    assert_eq!(shares.next_look(), None, "nothing wakes a keeper whose programs do not compete");
}

#[test]
fn a_look_and_its_moves_have_a_bound_and_everybody_has_a_turn() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    for token in 0..200 {
        shares.share(now, one(token, now - 1000), ALICE);
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        now += LOOK_MS;
        let due = shares.due(now);
        assert!(due.len() <= LOOKS);
        due.iter().for_each(|token| shares.looked(now, *token, 1_000_000));
        seen.extend(due);
        assert!(shares.shifts().len() <= SHIFTS);
    }
    assert_eq!(seen.len(), 200);
    assert!(shares.due(now).is_empty(), "not before it is due");
}

#[test]
fn what_is_gone_or_unknown_is_never_moved() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    shares.share(now, one(1, now), ALICE);
    now += LOOK_MS;
    shares.looked(now, 1, 1_000_000);
    shares.gone(now, 1, 1_000_000);
    shares.looked(now, 1, 2_000_000);
    shares.gone(now, 7, u64::MAX);
    assert_eq!(shares.shifts(), []);
}

#[test]
fn of_those_that_started_low_only_who_computes_for_long_goes() {
    let (mut shares, mut now) = (Shares::default(), 1000);
    let mut spent: Vec<(u32, u64, u64)> = (0..16).map(|token| (token, 0, 2_500)).collect();
    for (token, ..) in &spent {
        shares.share(now, Competitor { low: *token != 7, ..one(*token, now) }, ALICE);
    }
    let moved = looks(&mut shares, &mut now, 8, &mut spent);
    assert_eq!(
        moved,
        [Shift { token: 7, account: Some(ALICE) }],
        "its account has had much, and it began as others do"
    );
    let moved = looks(&mut shares, &mut now, 8, &mut spent);
    assert_eq!(moved.len(), 15, "20 ms each");
}
