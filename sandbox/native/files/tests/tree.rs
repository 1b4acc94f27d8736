//! A tree comes in, and what is there goes out: parents first, nothing lost but what the crate's page says.

mod support;

use gatebus_files::{Export, Exported, Files, Kind, Problem};
use support::*;

fn export(files: &Files) -> (Vec<Exported>, u64) {
    let mut export = Export::new(files);
    let nodes = std::iter::from_fn(|| export.next(files)).collect();
    (nodes, export.skipped())
}

fn paths(files: &Files) -> Vec<String> {
    export(files).0.into_iter().map(|node| node.path).collect()
}

#[test]
fn parents_come_before_their_children() {
    let files = with(&["b/", "b/x", "a", "b/y/", "b/y/z", "c -> b/x", "b/w"]);
    assert_eq!(paths(&files), ["b", "b/x", "b/y", "b/y/z", "b/w", "a", "c"]);
    let (nodes, skipped) = export(&files);
    assert_eq!(skipped, 0);
    let link = nodes.last().expect("nodes");
    assert_eq!((link.kind, link.target.as_deref()), (Kind::Link, Some("b/x")));
    assert_eq!(nodes[1].size, 3);
}

#[test]
fn an_empty_tree_has_no_nodes() {
    assert_eq!(paths(&empty()), [""; 0]);
}

#[test]
fn a_file_with_two_names_leaves_twice_and_is_read_by_its_node() {
    let mut files = with(&["a", "d/"]);
    files.link(at(&files, "a"), at(&files, "d/b"), NOW).expect("link");
    let (nodes, _) = export(&files);
    let found: Vec<_> = nodes.iter().filter(|node| node.kind == Kind::File).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].id, found[1].id);
    let mut bytes = [0];
    assert_eq!((files.read_at(found[1].id, 0, &mut bytes), &bytes), (Ok(1), b"a"));
}

#[test]
fn a_tree_that_left_can_come_in_again_with_its_times() {
    let mut files = empty();
    files.import_directory("d", 5).expect("directory");
    let id = files.import_file("d/f", 6).expect("file");
    files.import_content(id, b"hello ").expect("content");
    files.import_content(id, b"world").expect("content");
    files.import_link("d/l", "/anywhere", 7).expect("link");
    files.import_directory("d/e", 8).expect("directory");
    let (nodes, _) = export(&files);
    let times: Vec<_> = nodes.iter().map(|node| (node.path.as_str(), node.modified)).collect();
    assert_eq!(times, [("d", 5), ("d/f", 6), ("d/l", 7), ("d/e", 8)]);
    assert_eq!(get(&files, "d/f"), Ok(b"hello world".to_vec()));
    assert_eq!(files.read_link(at(&files, "d/l")), Ok("/anywhere"));
}

#[test]
fn what_has_no_place_does_not_come_in() {
    let mut files = with(&["d/", "f", "l -> d"]);
    for (path, expected) in [
        ("", Problem::NotFound),
        ("/x", Problem::Invalid),
        ("d/", Problem::Invalid),
        ("d//x", Problem::Invalid),
        ("./x", Problem::Invalid),
        ("d/../x", Problem::Invalid),
        ("..", Problem::Invalid),
        ("a\0b", Problem::Invalid),
        ("no/x", Problem::NotFound),
        ("f/x", Problem::NotDirectory),
        ("l/x", Problem::NotDirectory),
        ("d", Problem::Exists),
        ("f", Problem::Exists),
        ("l", Problem::Exists),
    ] {
        assert_eq!(problem(files.import_file(path, 1)), expected, "{path:?}");
        assert_eq!(problem(files.import_directory(path, 1)), expected, "{path:?}");
        assert_eq!(problem(files.import_link(path, "t", 1)), expected, "{path:?}");
    }
    assert_eq!(problem(files.import_file(&"n".repeat(256), 1)), Problem::NameTooLong);
    assert_eq!(problem(files.import_link("new", "", 1)), Problem::NotFound);
    assert_eq!(files.names(), 3);
}

#[test]
fn a_path_that_cannot_be_said_is_skipped_and_counted() {
    let mut files = empty();
    let name = "n".repeat(255);
    let mut base = files.root();
    for _ in 0..20 {
        let here = gatebus_files::At { base, path: &name };
        files.make_directory(here, NOW).expect("directory");
        base = files.open(here, gatebus_files::Open::existing(gatebus_files::Follow::Links), NOW).expect("open");
    }
    let (nodes, skipped) = export(&files);
    assert_eq!((nodes.len(), skipped), (16, 1));
    assert!(nodes.iter().all(|node| node.path.len() <= 4_095));
}

/// The host refused them, and with them everything else that the program had left.
#[test]
fn a_place_too_deep_for_the_host_is_skipped_and_counted() {
    let mut files = empty();
    let mut base = files.root();
    for _ in 0..260 {
        let here = gatebus_files::At { base, path: "d" };
        files.make_directory(here, NOW).expect("directory");
        let above = base;
        base = files.open(here, gatebus_files::Open::existing(gatebus_files::Follow::Links), NOW).expect("open");
        files.close(above);
    }
    let (nodes, skipped) = export(&files);
    assert_eq!((nodes.len(), skipped), (256, 1));
}

#[test]
fn targets_and_names_that_are_too_long_together_are_skipped_and_counted() {
    let mut files = Files::new(gatebus_files::Limits { names: 7, ..ROOMY }, NOW);
    let root = files.root();
    for (number, length) in [(0, 4_096), (1, 4_095), (2, 4_095), (3, 100)] {
        let name = number.to_string();
        files.symlink(&"t".repeat(length), gatebus_files::At { base: root, path: &name }, NOW).expect("link");
    }
    let (nodes, skipped) = export(&files);
    let left: Vec<_> = nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!((left, skipped), (vec!["1", "3"], 2), "7 KiB for seven names: one long target and some more");
}
