use super::*;
use crate::descriptors::{memfd, seqpacket_pair};
use gatebus_wire::spawner::{Class, News, Usage};

/// A keeper whose first container has been asked for children, of which one is known; nothing is really started.
fn keeper_with_a_child() -> (Keeper, u32, OwnedFd) {
    let (host, theirs) = seqpacket_pair().expect("sockets");
    let options = KeeperOptions::parse(&["--without".to_owned(), "cgroup".to_owned()]).expect("options");
    let mut keeper = Keeper::new(theirs, options);
    keeper.pool.begin();
    let actions = keeper.pool.decide(0, Event::Standing(0));
    let asked = actions.iter().find_map(|action| match action {
        Action::Prepare(token, 0, Class::Small) => Some(*token),
        _ => None,
    });
    let token = asked.expect("a child is wanted");
    keeper.children.insert(
        token,
        Child {
            container: 0,
            pidfd: None,
            group: None,
            kill_when_born: false,
            parked: false,
            low: false,
            since_ms: 0,
            clock: None,
        },
    );
    (keeper, token, host)
}

fn hear(keeper: &mut Keeper, container: u32, news: &News) {
    keeper.news_untrusted(container, &news.encode(), vec![memfd().expect("a descriptor")]);
}

#[test]
fn a_spawner_is_not_believed_about_the_children_of_another_container() {
    let (mut keeper, token, _host) = keeper_with_a_child();
    for news in [
        News::Born { token },
        News::Unborn { token, errno: libc::EAGAIN },
        News::Gone { token, wait_status: 0, usage: Usage::default() },
    ] {
        hear(&mut keeper, 1, &news);
        assert!(keeper.children.get(&token).is_some_and(|child| child.pidfd.is_none()), "{news:?}");
    }
    keeper.decide(Event::Prepared(token));
    assert_eq!(keeper.pool.figures().ready, 1, "it was neither ended nor forgotten");
}

#[test]
fn a_spawner_is_believed_about_its_own_children() {
    let (mut keeper, token, _host) = keeper_with_a_child();
    hear(&mut keeper, 0, &News::Born { token });
    assert!(keeper.children[&token].pidfd.is_some());
    hear(&mut keeper, 0, &News::Gone { token, wait_status: 0, usage: Usage::default() });
    assert!(!keeper.children.contains_key(&token));
}

/// What a spawner that was taken over may write: nothing of it ends the keeper, and no descriptor stays.
#[test]
fn nonsense_of_a_spawner_is_survived() {
    let (mut keeper, token, _host) = keeper_with_a_child();
    let usage = Usage { user_us: u64::MAX, system_us: u64::MAX, max_rss: u64::MAX };
    let good = [
        News::Born { token },
        News::Unborn { token, errno: i32::MIN },
        News::Gone { token, wait_status: i32::MIN, usage },
        News::Lacking { layer: gatebus_wire::Layers::TSC, errno: i32::MAX },
        News::Broken { text: "\u{1b}[2J".repeat(40) },
    ];
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for round in 0..20_000usize {
        let mut datagram = good[round % good.len()].encode();
        for byte in &mut datagram {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            if seed.is_multiple_of(16) {
                *byte = seed.to_le_bytes()[4];
            }
        }
        let descriptors = (0..seed % 3).filter_map(|_| memfd().ok()).collect();
        keeper.news_untrusted(u32::try_from(seed % 2).unwrap_or(0), &datagram, descriptors);
    }
    assert!(keeper.end.is_none() || keeper.broken.is_some());
}
