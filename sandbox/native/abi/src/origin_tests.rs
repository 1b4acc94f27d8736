use crate::Wasi;
use crate::testing::{Event, MS, World, ask, begin, call, data, ended, flow};
use gatebus_wire::control::Begin;
use gatebus_wire::packets::Header;

fn credit(bytes: u32) -> World<Wasi> {
    World::wasi(&Begin { origin_credit: bytes, ..begin() }, &[])
}

/// Writes to standard output: errno and how much.
fn write(world: &mut World<Wasi>, texts: &[&str]) -> (i32, u32) {
    let (iovs, count) = world.pieces(texts);
    let n = world.room(4);
    (call!(world, fd_write, 1, iovs, count, n), world.u32(n))
}

/// Reads from standard input: errno and what.
fn read(world: &mut World<Wasi>, len: u32) -> (i32, Vec<u8>) {
    let into = world.room(len);
    let (iovs, count) = world.iovs(&[(into, len)]);
    let n = world.room(4);
    let errno = call!(world, fd_read, 0, iovs, count, n);
    (errno, world.bytes(into, world.u32(n)).to_vec())
}

/// What went out: domain and content, of service 0 all of it.
fn sent(world: &mut World<Wasi>) -> Vec<(u8, Vec<u8>)> {
    let take = |(header, content): (Header, Vec<u8>)| {
        assert_eq!((header.code, header.index, &content[..4]), (0, 0, &[0; 4][..]));
        (header.domain, content[4..].to_vec())
    };
    world.channel.packets().into_iter().map(take).collect()
}

fn text(bytes: &str) -> (u8, Vec<u8>) {
    (3, [&[0; 4], bytes.as_bytes()].concat())
}

fn given(value: i32) -> (u8, Vec<u8>) {
    (2, value.to_le_bytes().to_vec())
}

#[test]
fn one_write_of_several_pieces_is_one_packet_in_one_write() {
    let mut world = World::ordinary();
    assert_eq!(write(&mut world, &["hello, ", "", "world", "\n"]), (0, 13));
    assert_eq!(world.channel.writes, [32]);
    assert_eq!(sent(&mut world), [text("hello, world\n")]);
    assert_eq!(world.channel.waits, 0);
}

#[test]
fn a_write_of_nothing_sends_nothing() {
    let mut world = credit(0);
    assert_eq!(write(&mut world, &[]), (0, 0));
    assert_eq!(write(&mut world, &["", ""]), (0, 0));
    assert_eq!(sent(&mut world), []);
}

#[test]
fn a_large_write_is_cut_into_full_packets() {
    let mut world = credit(1 << 20);
    let at = world.room(150_000);
    world.memory[at as usize..at as usize + 150_000].fill(b'x');
    let (iovs, count) = world.iovs(&[(at, 100_000), (at + 100_000, 50_000)]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_write, 1, iovs, count, n), 0);
    assert_eq!(world.u32(n), 150_000);
    assert_eq!(world.channel.writes, [65_536, 65_536, 18_976]);
    let lengths: Vec<usize> = sent(&mut world).iter().map(|(_, content)| content.len() - 4).collect();
    assert_eq!(lengths, [65_520, 65_520, 18_960]);
}

#[test]
fn a_write_waits_for_credit_and_uses_no_more_than_that() {
    let mut world = credit(4);
    world.channel.later(MS, Event::Bring(flow(3)));
    world.channel.later(2 * MS, Event::Bring([flow(1), flow(1)].concat()));
    world.channel.later(3 * MS, Event::Bring(flow(100)));
    assert_eq!(write(&mut world, &["0123456789ab"]), (0, 12));
    assert_eq!(sent(&mut world), [text("0123"), text("456"), text("78"), text("9ab")]);
    assert_eq!(world.channel.now - crate::testing::BOOT, 3 * MS);
}

#[test]
fn a_crumb_of_credit_waits_a_moment_for_more() {
    let mut world = credit(65_536);
    world.channel.later(50_000, Event::Bring(flow(65_520)));
    let at = world.room(131_040);
    let (iovs, count) = world.iovs(&[(at, 131_040)]);
    assert_eq!(call!(world, fd_write, 1, iovs, count, 64), 0);
    assert_eq!(world.channel.writes, [65_536, 65_536]);
    let mut world = credit(4);
    assert_eq!(call!(world, fd_fdstat_set_flags, 1, 4), 0);
    assert_eq!(write(&mut world, &["012345"]), (0, 4));
    assert_eq!(world.channel.waits, 0);
}

#[test]
fn credit_that_has_come_is_used_at_once() {
    let mut world = credit(2);
    world.channel.bring(&flow(100));
    assert_eq!(write(&mut world, &["abcdef"]), (0, 6));
    assert_eq!(sent(&mut world), [text("abcdef")]);
}

#[test]
fn a_write_waits_for_room_in_the_socket_and_takes_in_packets_meanwhile() {
    let mut world = credit(100);
    world.channel.room = 5;
    world.channel.later(MS, Event::Bring(flow(50)));
    world.channel.later(2 * MS, Event::Room(usize::MAX));
    assert_eq!(write(&mut world, &["hello"]), (0, 5));
    assert_eq!(world.channel.incoming.len(), 0);
    assert_eq!(sent(&mut world), [text("hello")]);
}

#[test]
fn without_patience_a_write_takes_what_it_can_or_says_again() {
    let mut world = credit(4);
    assert_eq!(call!(world, fd_fdstat_set_flags, 1, 4), 0);
    assert_eq!(write(&mut world, &["012345"]), (0, 4));
    assert_eq!(write(&mut world, &["45"]), (6, 0));
    world.channel.bring(&flow(1));
    assert_eq!(write(&mut world, &["45"]), (0, 1));
    assert_eq!(sent(&mut world), [text("0123"), text("4")]);
}

#[test]
fn when_nobody_reads_any_more_a_write_is_a_broken_pipe() {
    let mut world = credit(3);
    world.channel.later(MS, Event::Bring(flow(0)));
    assert_eq!(write(&mut world, &["abcdef"]), (0, 3));
    assert_eq!(write(&mut world, &["def"]), (64, 0));
    assert_eq!(write(&mut world, &[]), (0, 0));
    assert_eq!(sent(&mut world), [text("abc")]);
}

#[test]
fn a_note_changes_nothing() {
    let mut world = credit(0);
    world.channel.bring(&flow(-5));
    world.channel.later(MS, Event::Bring(flow(2)));
    assert_eq!(write(&mut world, &["ab"]), (0, 2));
}

#[test]
fn input_is_wanted_only_when_it_is_read() {
    let mut world = World::ordinary();
    assert_eq!(write(&mut world, &["x"]), (0, 1));
    assert_eq!(sent(&mut world), [text("x")]);
    world.channel.later(MS, Event::Bring(data(b"line\n")));
    assert_eq!(read(&mut world, 100), (0, b"line\n".to_vec()));
    assert_eq!(sent(&mut world), [given(131_040)]);
}

#[test]
fn a_read_takes_what_is_there_and_keeps_the_rest() {
    let mut world = World::ordinary();
    assert_eq!(call!(world, fd_fdstat_set_flags, 0, 4), 0);
    assert_eq!(read(&mut world, 10), (6, vec![]));
    world.channel.bring(&[data(b"abc"), data(b"defgh")].concat());
    assert_eq!(read(&mut world, 2), (0, b"ab".to_vec()));
    assert_eq!(read(&mut world, 100), (0, b"cdefgh".to_vec()));
    assert_eq!(read(&mut world, 100), (6, vec![]));
    assert_eq!(read(&mut world, 0), (0, vec![]));
}

#[test]
fn a_read_fills_several_buffers() {
    let mut world = World::ordinary();
    world.channel.later(0, Event::Bring(data(b"0123456789")));
    let into = world.room(32);
    let (iovs, count) = world.iovs(&[(into, 3), (9999, 0), (into + 8, 4), (into + 16, 8)]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_read, 0, iovs, count, n), 0);
    assert_eq!(world.u32(n), 10);
    assert_eq!(world.bytes(into, 20), *b"012\x00\x00\x00\x00\x003456\x00\x00\x00\x00789\x00");
}

#[test]
fn the_end_of_input_is_told_again_and_again() {
    let mut world = World::ordinary();
    world.channel.later(MS, Event::Bring([data(b"last"), data(b"")].concat()));
    assert_eq!(read(&mut world, 100), (0, b"last".to_vec()));
    for _ in 0..3 {
        assert_eq!(read(&mut world, 100), (0, vec![]));
    }
    assert_eq!(sent(&mut world), [given(131_040)]);
}

#[test]
fn credit_is_given_back_in_large_steps_and_never_more_than_the_window() {
    let mut world = World::ordinary();
    let (mut granted, mut brought) = (0i64, 0i64);
    for round in 0..40 {
        world.tidy();
        world.channel.later(0, Event::Bring(data(&[b'x'; 10_000])));
        brought += 10_000;
        assert_eq!(read(&mut world, 10_000).1.len(), 10_000, "{round}");
        for (domain, content) in sent(&mut world) {
            assert_eq!(domain, 2);
            let value = i32::from_le_bytes(content.try_into().expect("four"));
            assert!(value >= 65_520);
            granted += i64::from(value);
        }
        assert!(granted >= brought && granted - brought <= 131_040);
    }
}

#[test]
fn closing_input_and_output_is_told_to_the_host() {
    let mut world = World::ordinary();
    assert_eq!(call!(world, fd_close, 0), 0);
    assert_eq!(call!(world, fd_close, 1), 0);
    assert_eq!(sent(&mut world), [given(0), text("")]);
    assert_eq!((write(&mut world, &["x"]).0, read(&mut world, 1).0), (8, 8));
}

#[test]
fn what_was_on_its_way_when_input_was_closed_is_nobodys() {
    let mut world = World::ordinary();
    world.channel.later(0, Event::Bring(data(b"a")));
    assert_eq!(read(&mut world, 1), (0, b"a".to_vec()));
    assert_eq!(call!(world, fd_close, 0), 0);
    world.channel.bring(&[data(b"late"), data(b""), flow(1)].concat());
    assert_eq!(write(&mut world, &[&"y".repeat(65_537)]), (0, 65_537));
}

#[test]
fn a_host_that_breaks_the_rules_ends_the_program_with_70() {
    let stream1 = |domain: u8| {
        let content = [1i32.to_le_bytes(), 5i32.to_le_bytes()].concat();
        gatebus_wire::packets::packet(0, domain, 0, &content).expect("small")
    };
    let other = |code: i16, domain: u8| gatebus_wire::packets::packet(code, domain, 0, &[0; 8]).expect("small");
    let cases = [
        [data(&[0; 60_000]), data(&[0; 60_000]), data(&[0; 12_000])].concat(),
        [data(b""), data(b"more")].concat(),
        [data(b""), data(b"")].concat(),
        stream1(2),
        stream1(3),
        other(0, 0),
        other(0, 1),
        other(0, 7),
        other(1, 3),
        other(-1, 0),
        other(-2, 0),
        gatebus_wire::packets::packet(0, 3, 0, &[0; 7]).expect("small"),
        vec![7, 0, 0, 0, 0, 0, 3, 0],
    ];
    for (case, bytes) in cases.into_iter().enumerate() {
        let mut world = World::ordinary();
        assert_eq!(call!(world, fd_fdstat_set_flags, 0, 4), 0);
        assert_eq!(read(&mut world, 1).0, 6);
        world.channel.bring(&bytes);
        // Looking whether there is input takes in what has come; the second one never waits.
        let subscriptions = world.put(&[[0; 8], [1, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8], [0; 8], [0; 8]].concat());
        let clock = world.room(48);
        assert_eq!(clock, subscriptions + 48);
        let events = world.room(64);
        let look = |world: &mut World<Wasi>| ask!(world, poll_oneoff, subscriptions, events, 2, 64);
        let last = (0..40).map(|_| look(&mut world)).find(Result::is_err).unwrap_or(Ok(0));
        assert_eq!(ended(last), 70, "case {case}");
    }
}

#[test]
fn a_host_that_goes_away_makes_an_orphan() {
    let mut world = credit(0);
    world.channel.later(MS, Event::Close);
    let (iovs, count) = world.pieces(&["x"]);
    assert_eq!(ended(ask!(world, fd_write, 1, iovs, count, 64)), 75);
    let mut world = World::ordinary();
    world.channel.later(MS, Event::Close);
    let (iovs, count) = world.pieces(&["x"]);
    assert_eq!(ended(ask!(world, fd_read, 0, iovs, count, 64)), 75);
    let mut world = World::ordinary();
    world.channel.closed = true;
    let (iovs, count) = world.pieces(&["x"]);
    assert_eq!(ended(ask!(world, fd_write, 1, iovs, count, 64)), 75);
}

#[test]
fn the_log_goes_out_as_log_packets_up_to_its_limit() {
    let mut world = World::wasi(&Begin { log_limit: 8, origin_credit: 0, ..begin() }, &[]);
    let n = world.room(4);
    for (texts, expected) in [(&["ab", "c"][..], &b"\x02abc"[..]), (&["defghij"], b"\x02defgh"), (&["more"], b"")] {
        let (iovs, count) = world.pieces(texts);
        assert_eq!(call!(world, fd_write, 2, iovs, count, n), 0);
        assert_eq!(world.u32(n) as usize, texts.concat().len());
        let packets = world.channel.packets();
        assert_eq!(packets.iter().map(|(_, content)| content.as_slice()).collect::<Vec<_>>().concat(), expected);
        assert!(packets.iter().all(|(header, _)| (header.code, header.domain, header.index) == (-2, 0, 7)));
    }
    assert_eq!(world.guest.log.dropped(), 2 + 4);
}

#[test]
fn a_large_log_write_is_cut_into_pieces() {
    let mut world = World::ordinary();
    let at = world.room(70_000);
    let (iovs, count) = world.iovs(&[(at, 70_000)]);
    assert_eq!(call!(world, fd_write, 2, iovs, count, 64), 0);
    let lengths: Vec<usize> = world.channel.packets().iter().map(|(_, content)| content.len() - 1).collect();
    assert_eq!(lengths, [32_768, 32_768, 4_464]);
}
