use super::*;
use crate::control::{CONTENT_MAX, FLAG_DEBUG_LOG, STATE_MAX, encode};

type OneNode = (NodeType, Vec<u8>, Vec<u8>, Vec<u8>);

#[derive(Default, Debug, PartialEq)]
struct Kept(Vec<OneNode>);

impl Tree for Kept {
    fn node(&mut self, node: Node<'_>) -> Result<(), Malformed> {
        self.0.push((node.kind, node.path.to_vec(), node.target.to_vec(), Vec::new()));
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let last = self.0.last_mut().ok_or(Malformed("no file"))?;
        last.3.extend_from_slice(bytes);
        Ok(())
    }
}

fn said(kind: Kind, content: &[u8]) -> Vec<u8> {
    encode(kind, content).expect("fits")
}

fn begin_with(flags: u32) -> Vec<u8> {
    said(Kind::Begin, &Begin { flags, files_limit: 100_000, nodes_limit: 4, ..Begin::default() }.encode())
}

fn node(kind: NodeType, path: &str, target: &str) -> Vec<u8> {
    let node = Node { kind, modified: 5, path: path.as_bytes(), target: target.as_bytes() };
    said(Kind::Node, &node.encode().expect("fits"))
}

fn go() -> Vec<u8> {
    said(Kind::Go, b"")
}

fn whole() -> Vec<u8> {
    [
        begin_with(FLAG_FILES | FLAG_DEBUG_LOG),
        said(Kind::Argument, b"hello"),
        said(Kind::Argument, b""),
        said(Kind::Environment, b"LANG=C"),
        said(Kind::Environment, b"EMPTY="),
        said(Kind::Function, "fänger".as_bytes()),
        node(NodeType::Directory, "d", ""),
        node(NodeType::File, "d/f", ""),
        said(Kind::Content, b"one "),
        said(Kind::Content, b"two"),
        node(NodeType::Link, "l", "d/f"),
        go(),
    ]
    .concat()
}

fn run(bytes: &[u8], step: usize) -> Result<(Setup, Kept, usize), Malformed> {
    let (mut reader, mut kept, mut consumed) = (SetupReader::new(), Kept::default(), 0);
    for piece in bytes.chunks(step) {
        let progress = reader.feed_untrusted(piece, &mut kept)?;
        consumed += progress.consumed;
        if progress.done {
            break;
        }
    }
    reader.finish().map(|setup| (setup, kept, consumed)).ok_or(Malformed("not done"))
}

fn refusal(packets: &[Vec<u8>]) -> &'static str {
    run(&packets.concat(), 1 << 20).expect_err("must be refused").0
}

#[test]
fn a_whole_setup_is_read_however_it_is_cut() {
    let bytes = whole();
    for step in [1, 2, 3, 7, 8, 9, 64, 1 << 20] {
        let (setup, kept, consumed) = run(&bytes, step).expect("good");
        assert_eq!(setup.arguments, [b"hello".to_vec(), Vec::new()]);
        assert_eq!(setup.environment, [b"LANG=C".to_vec(), b"EMPTY=".to_vec()]);
        assert_eq!(setup.function.as_deref(), Some("fänger"));
        assert_eq!(setup.begin.nodes_limit, 4);
        assert_eq!(kept.0[1], (NodeType::File, b"d/f".to_vec(), Vec::new(), b"one two".to_vec()));
        assert_eq!(kept.0[2], (NodeType::Link, b"l".to_vec(), b"d/f".to_vec(), Vec::new()));
        assert_eq!(consumed, bytes.len());
    }
}

#[test]
fn bytes_after_go_are_left_for_the_guest() {
    let setup = [begin_with(0), go()].concat();
    let stream = [&setup[..], b"packets of the guest"].concat();
    let progress = SetupReader::new().feed_untrusted(&stream, &mut Kept::default()).expect("good");
    assert_eq!(progress, Progress { consumed: setup.len(), done: true });
}

#[test]
fn without_go_there_is_no_setup() {
    let mut reader = SetupReader::new();
    reader.feed_untrusted(&begin_with(0), &mut Kept::default()).expect("good");
    assert_eq!(reader.finish(), None);
}

#[test]
fn a_setup_cut_short_anywhere_is_not_done() {
    let bytes = whole();
    for length in 0..bytes.len() {
        assert_eq!(run(&bytes[..length], 1 << 20).map(|_| ()), Err(Malformed("not done")), "{length}");
    }
}

#[test]
fn every_pair_of_packets_follows_the_table() {
    let packets = [
        (Kind::Begin, begin_with(FLAG_FILES)),
        (Kind::Argument, said(Kind::Argument, b"a")),
        (Kind::Environment, said(Kind::Environment, b"A=b")),
        (Kind::Function, said(Kind::Function, b"f")),
        (Kind::Node, node(NodeType::File, "f", "")),
        (Kind::Content, said(Kind::Content, b"c")),
        (Kind::Restore, said(Kind::Restore, b"r")),
        (Kind::Suspend, said(Kind::Suspend, b"")),
    ];
    let follows = |first: Kind, second: Kind| match (first, second) {
        (_, Kind::Begin | Kind::Restore | Kind::Suspend) => false,
        (Kind::Begin | Kind::Restore | Kind::Suspend, _) => false,
        (Kind::Content, Kind::Content | Kind::Node) | (Kind::Node, Kind::Content) => true,
        (_, Kind::Content) | (Kind::Function, Kind::Function) => false,
        (first, second) => first as u8 <= second as u8,
    };
    for (first, first_bytes) in &packets {
        for (second, second_bytes) in &packets {
            let mut stream = begin_with(FLAG_FILES);
            if *first == Kind::Content {
                stream.extend(node(NodeType::File, "g", ""));
            }
            stream.extend([&first_bytes[..], &second_bytes[..], &go()[..]].concat());
            assert_eq!(run(&stream, 1 << 20).is_ok(), follows(*first, *second), "{first:?} then {second:?}");
        }
    }
}

#[test]
fn nothing_comes_before_begin() {
    for packet in [said(Kind::Argument, b"a"), go(), node(NodeType::File, "f", "")] {
        assert_eq!(refusal(&[packet]), "setup packet out of order");
    }
}

#[test]
fn what_only_the_runtime_says_is_refused() {
    for kind in [Kind::Log, Kind::Report, Kind::State, Kind::Held, Kind::Take] {
        assert_eq!(refusal(&[begin_with(0), said(kind, b"")]), "setup packet out of order");
    }
}

#[test]
fn packets_of_services_are_refused() {
    for code in [0i16, 5, -1, -3] {
        let bytes = crate::packets::packet(code, 0, 0, b"").expect("small");
        assert_eq!(refusal(&[bytes]), "not a control packet");
    }
    assert_eq!(refusal(&[crate::packets::packet(-2, 3, 0, b"").expect("small")]), "not a control packet");
    assert_eq!(refusal(&[crate::packets::packet(-2, 0, 14, b"").expect("small")]), "unknown kind of control packet");
}

#[test]
fn limits_of_files_hold_from_both_sides() {
    let nodes =
        |count: usize| -> Vec<Vec<u8>> { (0..count).map(|i| node(NodeType::Directory, &i.to_string(), "")).collect() };
    assert!(run(&[&[begin_with(1)], &nodes(4)[..], &[go()]].concat().concat(), 4096).is_ok());
    assert_eq!(refusal(&[&[begin_with(1)], &nodes(5)[..]].concat()), "more files and directories than the limit");
    let content = |bytes: usize| said(Kind::Content, &vec![1; bytes]);
    let file = || vec![begin_with(1), node(NodeType::File, "f", ""), content(CONTENT_MAX)];
    assert!(run(&[file(), vec![content(100_000 - CONTENT_MAX), go()]].concat().concat(), 4096).is_ok());
    assert_eq!(refusal(&[file(), vec![content(100_001 - CONTENT_MAX)]].concat()), "more bytes in files than the limit");
}

#[test]
fn a_setup_is_at_most_one_mebibyte() {
    let argument = said(Kind::Argument, &vec![b'a'; CONTENT_MAX]);
    let many = |count: usize| [vec![begin_with(0)], vec![argument.clone(); count]].concat();
    assert!(run(&[many(15), vec![go()]].concat().concat(), 1 << 20).is_ok());
    assert_eq!(refusal(&many(16)), "the setup is larger than 1 MiB");
}

#[test]
fn malformed_words_are_refused() {
    assert_eq!(refusal(&[begin_with(0), said(Kind::Argument, b"a\0")]), "an argument or variable has no zero byte");
    assert_eq!(refusal(&[begin_with(0), said(Kind::Environment, b"=x")]), "a variable is NAME=value");
    assert_eq!(refusal(&[begin_with(0), said(Kind::Environment, b"x")]), "a variable is NAME=value");
    assert_eq!(refusal(&[begin_with(0), said(Kind::Function, b"\xff")]), "the function's name is not UTF-8");
    assert_eq!(refusal(&[begin_with(0), said(Kind::Go, b"x")]), "too long");
    assert_eq!(refusal(&[begin_with(0), node(NodeType::File, "f", "")]), "files without the flag that announces them");
}

fn resumed(packets: &[Vec<u8>], max: usize) -> Result<Vec<u8>, &'static str> {
    let stream = [&[begin_with(FLAG_RESUMED)], packets].concat().concat();
    let mut reader = SetupReader::resumable(max);
    for piece in stream.chunks(1000) {
        reader.feed_untrusted(piece, &mut Kept::default()).map_err(|malformed| malformed.0)?;
    }
    reader.finish().map(|setup| setup.restore).ok_or("not done")
}

#[test]
fn a_resumed_program_has_a_state_and_nothing_else() {
    let state = |bytes: &[u8]| said(Kind::Restore, bytes);
    assert_eq!(resumed(&[state(b"one "), state(b"two"), go()], 7), Ok(b"one two".to_vec()));
    assert_eq!(resumed(&[state(b""), go()], 0), Ok(Vec::new()));
    assert_eq!(resumed(&[go()], 7), Err("setup packet out of order"));
    let function = || said(Kind::Function, b"total");
    assert_eq!(resumed(&[function(), state(b"s"), go()], 7), Ok(b"s".to_vec()));
    assert_eq!(resumed(&[function(), function()], 7), Err("setup packet out of order"));
    assert_eq!(resumed(&[function(), go()], 7), Err("setup packet out of order"));
    assert_eq!(resumed(&[state(b"s"), function()], 7), Err("setup packet out of order"));
    for other in [Kind::Argument, Kind::Environment, Kind::Node, Kind::Content, Kind::Begin] {
        assert_eq!(resumed(&[said(other, b"a=b")], 7), Err("setup packet out of order"), "{other:?} first");
        assert_eq!(resumed(&[state(b"s"), said(other, b"a=b")], 7), Err("setup packet out of order"), "{other:?}");
    }
}

#[test]
fn a_state_is_for_resumed_programs_only() {
    assert_eq!(refusal(&[begin_with(0), said(Kind::Restore, b"x")]), "setup packet out of order");
}

#[test]
fn a_state_has_as_many_bytes_as_the_reader_allows() {
    let full = said(Kind::Restore, &vec![7; STATE_MAX]);
    let many = |count: usize| [vec![full.clone(); count], vec![go()]].concat();
    assert_eq!(resumed(&many(40), 40 * STATE_MAX).map(|state| state.len()), Ok(40 * STATE_MAX), "more than 1 MiB");
    assert_eq!(resumed(&many(2), 2 * STATE_MAX - 1), Err("the state is larger than the limit"));
    assert_eq!(refusal(&[begin_with(FLAG_RESUMED), full]), "the state is larger than the limit");
}

#[test]
fn padding_must_be_zero() {
    let mut argument = said(Kind::Argument, b"abc");
    *argument.last_mut().expect("padded") = 1;
    assert_eq!(refusal(&[begin_with(0), argument]), "padding is not zero");
}

#[test]
fn any_single_corrupt_byte_is_an_error_or_another_setup_but_never_a_panic() {
    let bytes = whole();
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut corrupt = bytes.clone();
            corrupt[at] ^= flip;
            if let Ok((setup, kept, consumed)) = run(&corrupt, 1000) {
                assert!(consumed <= corrupt.len());
                assert!(setup.arguments.len() <= 2 && kept.0.len() <= 4, "byte {at}");
            }
        }
    }
}
