use gatebus_files::{At, Follow, Open};
use gatebus_wire::control::{Begin, FLAG_DEBUG_LOG};
use gatebus_wire::packets::Header;

use super::*;
use crate::testing::{Event, Fake, MS, World, ask, begin, call, exit, receive};

const HALTED: Exit = Exit::because(0, "");

fn finish(world: &mut World<Wasi>, end: &Exit) -> Vec<(Header, Vec<u8>)> {
    world.guest.finish(&mut world.channel, end, 3 << 16).expect("the host is there");
    world.channel.packets()
}

fn report(packets: &[(Header, Vec<u8>)]) -> Report {
    let (header, content) = packets.last().expect("a report");
    assert_eq!((header.code, header.domain, header.index), (-2, 0, 8));
    Report::decode_untrusted(content).expect("a good report")
}

/// Puts a file into the guest's tree from below.
fn put(world: &mut World<Wasi>, path: &str, bytes: &[u8]) {
    let files = &mut world.guest.files;
    let at = At { base: files.root(), path };
    let id = files.open(at, Open { create: true, ..Open::existing(Follow::Links) }, 5).expect(path);
    assert_eq!(files.write_at(id, 0, bytes, 5), Ok(bytes.len()));
    files.close(id);
}

#[test]
fn the_report_says_how_it_ended() {
    let mut world = World::wasi(&Begin { log_limit: 1, ..begin() }, &[]);
    let (iovs, count) = world.pieces(&["abc"]);
    assert_eq!(call!(world, fd_write, 2, iovs, count, 64), 0);
    world.channel.packets();
    let end = exit(ask!(world, proc_exit, 0xffff_fffe));
    let expected = Report { status: 3, result: -2, memory: 3 << 16, log_dropped: 2, text: String::new() };
    assert_eq!(report(&finish(&mut world, &end)), expected);
}

#[test]
fn an_empty_tree_is_only_a_report() {
    let packets = finish(&mut World::ordinary(), &HALTED);
    assert_eq!((packets.len(), report(&packets).status), (1, 0));
}

#[test]
fn the_tree_that_is_left_can_be_given_to_the_next_program() {
    let mut world = World::ordinary();
    let large: Vec<u8> = (0..200_000u32).map(|index| index.to_le_bytes()[0]).collect();
    let files = &mut world.guest.files;
    let at = |path| At { base: gatebus_files::Files::root(files), path };
    let (directory, link) = (at("d"), at("l"));
    files.make_directory(directory, 7).expect("directory");
    files.symlink("d/../d", link, 8).expect("link");
    put(&mut world, "d/large", &large);
    put(&mut world, "empty", b"");
    put(&mut world, "small", b"text");
    let sent = {
        world.guest.finish(&mut world.channel, &HALTED, 0).expect("sent");
        std::mem::take(&mut world.channel.outgoing)
    };
    let report = report_length(&sent);
    let mut channel = Fake::new();
    let nodes = sent[..sent.len() - report].to_vec();
    let mut again = receive_tree(&mut channel, &nodes);
    let mut get = |path: &str| {
        let id = again.files.find(At { base: again.files.root(), path }, Follow::Links).expect(path);
        let stat = again.files.stat(id).expect(path);
        let mut bytes = vec![0; usize::try_from(stat.size).expect("small")];
        again.files.read_at(id, 0, &mut bytes).expect(path);
        again.files.set_times(id, None, None, 0).expect(path);
        (stat.modified, bytes)
    };
    assert_eq!(get("l/large"), (5, large));
    assert_eq!((get("empty"), get("small")), ((5, vec![]), (5, b"text".to_vec())));
    assert_eq!(world.channel.writes.iter().max(), Some(&65_536));
}

fn report_length(sent: &[u8]) -> usize {
    let mut rest = sent;
    loop {
        let header = Header::decode_untrusted(*rest.first_chunk().expect("a header")).expect("good");
        if header.index == 8 {
            return rest.len();
        }
        rest = &rest[header.padded()..];
    }
}

/// Gives node and content packets to a new program, between BEGIN and GO.
fn receive_tree(channel: &mut Fake, nodes: &[u8]) -> crate::Setup {
    let whole = crate::testing::setup_bytes(&begin(), &[]);
    let go = whole.len() - 8;
    channel.bring(&[&whole[..go], nodes, &whole[go..]].concat());
    crate::Setup::receive_untrusted(channel).expect("a good setup")
}

#[test]
fn small_nodes_leave_together() {
    let mut world = World::ordinary();
    for index in 0..100 {
        put(&mut world, &format!("file{index}"), b"x");
    }
    world.channel.writes.clear();
    assert_eq!(finish(&mut world, &HALTED).len(), 201);
    assert_eq!(world.channel.writes.len(), 2);
}

#[test]
fn a_file_with_two_names_leaves_twice() {
    let mut world = World::ordinary();
    put(&mut world, "one", b"text");
    let files = &mut world.guest.files;
    let base = files.root();
    files.link(At { base, path: "one" }, At { base, path: "two" }, 0).expect("link");
    let contents: Vec<_> = finish(&mut world, &HALTED).into_iter().filter(|(header, _)| header.index == 5).collect();
    assert_eq!(contents.len(), 2);
    assert!(contents.iter().all(|(_, content)| content == b"text"));
}

#[test]
fn after_a_trap_or_when_nobody_wants_it_the_tree_stays() {
    let mut world = World::ordinary();
    put(&mut world, "file", b"text");
    let trap = Exit::because(25, "out of bounds");
    let packets = finish(&mut world, &trap);
    assert_eq!((packets.len(), report(&packets).text.as_str()), (1, "out of bounds"));
    for status in [0, 1, 2, 3] {
        assert_eq!(finish(&mut world, &Exit::because(status, "")).len(), 3, "{status}");
    }
    let mut world = World::wasi(&Begin { flags: FLAG_DEBUG_LOG, ..begin() }, &[]);
    put(&mut world, "file", b"text");
    assert_eq!(finish(&mut world, &HALTED).len(), 1);
}

#[test]
fn paths_that_cannot_be_said_are_told_in_the_report() {
    let mut world = World::ordinary();
    let files = &mut world.guest.files;
    let name = "n".repeat(255);
    let mut base = files.root();
    for _ in 0..17 {
        files.make_directory(At { base, path: &name }, 0).expect("directory");
        base = files.open(At { base, path: &name }, Open::existing(Follow::Links), 0).expect("open");
    }
    let packets = finish(&mut world, &HALTED);
    assert_eq!(packets.len(), 17);
    assert_eq!(report(&packets).text, "1 paths or links were too long or too deep and were not sent back");
}

#[test]
fn a_slow_host_gets_everything_and_a_host_that_goes_away_makes_an_orphan() {
    let mut world = World::ordinary();
    put(&mut world, "file", &[b'x'; 100_000]);
    world.channel.room = 0;
    for step in 1..30 {
        world.channel.later(step * MS, Event::Room(5_000));
    }
    assert_eq!(finish(&mut world, &HALTED).len(), 4);
    let mut world = World::ordinary();
    world.channel.room = 10;
    world.channel.later(MS, Event::Close);
    let result = world.guest.finish(&mut world.channel, &HALTED, 0);
    assert_eq!(result.map_err(|exit| exit.status), Err(75));
}

#[test]
fn without_the_debug_log_nothing_is_logged_or_counted() {
    let mut channel = Fake::new();
    let setup = receive(&mut channel, &Begin { flags: 0, ..begin() }, &[]);
    assert!(!setup.flag(FLAG_DEBUG_LOG));
    let mut world = World::wasi(&Begin { flags: 0, ..begin() }, &[]);
    let (iovs, count) = world.pieces(&["abc"]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_write, 2, iovs, count, n), 0);
    assert_eq!(world.u32(n), 3);
    let packets = finish(&mut world, &HALTED);
    assert_eq!((packets.len(), report(&packets).log_dropped), (1, 0));
}
