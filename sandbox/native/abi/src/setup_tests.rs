use gatebus_files::{At, Follow};
use gatebus_wire::control::Kind;

use super::*;
use crate::testing::{Event, Fake, begin, data, receive, setup_bytes};

fn node(kind: NodeType, path: &str, target: &str) -> (Kind, Vec<u8>) {
    let node = Node { kind, modified: 42, path: path.as_bytes(), target: target.as_bytes() };
    (Kind::Node, node.encode().expect("small"))
}

fn refused(parts: &[(Kind, Vec<u8>)]) -> (u32, String) {
    let mut channel = Fake::new();
    channel.bring(&setup_bytes(&begin(), parts));
    let exit = Setup::receive_untrusted(&mut channel).expect_err("must be refused");
    (exit.status, exit.text.into_owned())
}

#[test]
fn everything_that_was_said_is_there() {
    let mut channel = Fake::new();
    let parts = [
        (Kind::Argument, b"prog".to_vec()),
        (Kind::Argument, b"".to_vec()),
        (Kind::Environment, b"A=1".to_vec()),
        (Kind::Function, b"main".to_vec()),
        node(NodeType::Directory, "d", ""),
        node(NodeType::File, "d/f", ""),
        (Kind::Content, vec![b'x'; 60_000]),
        (Kind::Content, vec![b'y'; 60_000]),
        node(NodeType::Link, "l", "d/f"),
    ];
    let setup = receive(&mut channel, &begin(), &parts);
    assert_eq!(setup.words.arguments, [b"prog".to_vec(), vec![]]);
    assert_eq!(setup.words.environment, [b"A=1".to_vec()]);
    assert_eq!(setup.words.function.as_deref(), Some("main"));
    let at = At { base: setup.files.root(), path: "l" };
    let id = setup.files.find(at, Follow::Links).expect("the file");
    let stat = setup.files.stat(id).expect("stat");
    assert_eq!((stat.size, stat.modified, setup.files.names()), (120_000, 42, 3));
}

#[test]
fn the_setup_may_come_slowly_and_what_follows_is_the_guests() {
    let bytes = setup_bytes(&begin(), &[(Kind::Argument, b"a".to_vec())]);
    let mut channel = Fake::new();
    for (index, byte) in bytes.iter().enumerate() {
        channel.later(index as u64, Event::Bring(vec![*byte]));
    }
    let setup = Setup::receive_untrusted(&mut channel).expect("good");
    assert_eq!(setup.link.unread(), b"");
    let mut channel = Fake::new();
    channel.bring(&bytes);
    channel.bring(&data(b"early"));
    let setup = Setup::receive_untrusted(&mut channel).expect("good");
    assert_eq!(setup.link.unread(), data(b"early"));
}

#[test]
fn a_host_that_breaks_the_rules_ends_the_program_with_74() {
    let cases = [
        (
            vec![node(NodeType::File, "no/f", "")],
            "a node of the tree has no place: its parent is missing or its name is taken",
        ),
        (
            vec![node(NodeType::File, "f", ""), node(NodeType::File, "f", "")],
            "a node of the tree has no place: its parent is missing or its name is taken",
        ),
        (vec![(Kind::Content, b"x".to_vec())], "setup packet out of order"),
        (vec![node(NodeType::Directory, "d", ""), (Kind::Content, b"x".to_vec())], "setup packet out of order"),
        (vec![(Kind::Log, b"x".to_vec())], "setup packet out of order"),
    ];
    for (parts, text) in cases {
        assert_eq!(refused(&parts), (74, text.to_owned()));
    }
    let not_utf8 = Node { kind: NodeType::File, modified: 0, path: b"\xff", target: b"" };
    let parts = [(Kind::Node, not_utf8.encode().expect("small"))];
    assert_eq!(refused(&parts), (74, "a path of the tree is not UTF-8".to_owned()));
}

#[test]
fn a_host_that_goes_away_makes_an_orphan() {
    let mut channel = Fake::new();
    let bytes = setup_bytes(&begin(), &[]);
    channel.bring(&bytes[..bytes.len() - 3]);
    channel.later(5, Event::Close);
    assert_eq!(Setup::receive_untrusted(&mut channel).expect_err("orphan").status, 75);
}

#[test]
fn the_resolution_has_two_parts() {
    let mut channel = Fake::new();
    let words = gatebus_wire::control::Begin { clock_ms: 3, clock_ns: 17, ..begin() };
    assert_eq!(receive(&mut channel, &words, &[]).resolution(), 3_000_017);
}

#[test]
fn the_limits_of_begin_hold_for_the_guest() {
    let mut channel = Fake::new();
    let words = gatebus_wire::control::Begin { files_limit: 5, nodes_limit: 1, ..begin() };
    let mut setup = receive(&mut channel, &words, &[node(NodeType::File, "f", ""), (Kind::Content, b"12345".to_vec())]);
    let root = setup.files.root();
    let id = setup.files.find(At { base: root, path: "f" }, Follow::Links).expect("there");
    assert!(setup.files.write_at(id, 5, b"6", 0).is_err());
    assert!(setup.files.make_directory(At { base: root, path: "d" }, 0).is_err());
}
