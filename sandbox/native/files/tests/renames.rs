//! Renaming: all cases of POSIX.

mod support;

use gatebus_files::{At, Follow, Kind, Problem};
use support::*;

#[test]
fn a_name_moves() {
    let mut files = with(&["file", "dir/", "dir/inner/", "link -> file"]);
    assert_eq!(rename(&mut files, "file", "dir/moved"), Ok(()));
    assert_eq!(rename(&mut files, "link", "dir/inner/link"), Ok(()));
    assert_eq!(rename(&mut files, "dir/inner", "inner"), Ok(()));
    assert_eq!(get(&files, "dir/moved"), Ok(b"file".to_vec()));
    assert_eq!(names(&files, "."), [".", "..", "dir", "inner"]);
    assert_eq!(names(&files, "inner"), [".", "..", "link"]);
    assert_eq!(files.names(), 4);
}

#[test]
fn trailing_slashes_are_for_directories() {
    let mut files = with(&["source/", "file", "file2"]);
    for (from, to) in [("source/", "target"), ("target", "source/"), ("source/", "target/"), ("target", "source")] {
        assert_eq!(rename(&mut files, from, to), Ok(()), "{from} {to}");
    }
    assert_eq!(problem(rename(&mut files, "file/", "x")), Problem::NotDirectory);
    assert_eq!(problem(rename(&mut files, "file", "x/")), Problem::NotDirectory);
    assert_eq!(problem(rename(&mut files, "file", "file2/")), Problem::NotDirectory);
}

#[test]
fn onto_itself_nothing_happens() {
    let mut files = with(&["file", "dir/", "dir/f"]);
    files.link(at(&files, "file"), at(&files, "same"), NOW).expect("link");
    for (from, to) in [("file", "file"), ("dir", "dir"), ("file", "same"), ("dir/", "./dir")] {
        assert_eq!(rename(&mut files, from, to), Ok(()), "{from} {to}");
    }
    assert_eq!(names(&files, "."), [".", "..", "file", "dir", "same"]);
    assert_eq!(get(&files, "same"), Ok(b"file".to_vec()));
}

#[test]
fn a_file_replaces_a_file_and_a_directory_an_empty_directory() {
    let mut files = with(&["a", "b", "d/", "d/inside", "e/", "l -> b"]);
    assert_eq!(rename(&mut files, "a", "b"), Ok(()));
    assert_eq!(get(&files, "b"), Ok(b"a".to_vec()));
    assert_eq!(rename(&mut files, "d", "e"), Ok(()));
    assert_eq!(get(&files, "e/inside"), Ok(b"d/inside".to_vec()));
    assert_eq!(rename(&mut files, "b", "l"), Ok(()));
    assert_eq!(kind(&files, "l"), Ok(Kind::File));
    assert_eq!(names(&files, "."), [".", "..", "e", "l"]);
    assert_eq!((files.names(), files.bytes()), (3, 1 + 8));
}

#[test]
fn kinds_that_do_not_match_are_refused() {
    let mut files = with(&["file", "full/", "full/f", "empty/", "link -> empty"]);
    for (from, to, expected) in [
        ("empty", "full", Problem::NotEmpty),
        ("file", "full", Problem::IsDirectory),
        ("file", "empty", Problem::IsDirectory),
        ("link", "empty", Problem::IsDirectory),
        ("empty", "file", Problem::NotDirectory),
        ("empty", "full/f", Problem::NotDirectory),
        ("empty", "link", Problem::NotDirectory),
        ("missing", "x", Problem::NotFound),
        ("file", "missing/x", Problem::NotFound),
        ("file", "..", Problem::NotCapable),
        ("../file", "x", Problem::NotCapable),
    ] {
        assert_eq!(problem(rename(&mut files, from, to)), expected, "{from} {to}");
    }
    assert_eq!(files.names(), 5);
}

#[test]
fn a_directory_does_not_go_into_itself() {
    let mut files = with(&["a/", "a/b/", "a/b/c/", "up -> a/b"]);
    for to in ["a/x", "a/b/x", "a/b/c/x", "a/b/c", "up/x"] {
        assert_eq!(problem(rename(&mut files, "a", to)), Problem::Invalid, "{to}");
    }
    assert_eq!(problem(rename(&mut files, "a/b/c", "a")), Problem::NotEmpty);
    assert_eq!(rename(&mut files, "a/b", "b"), Ok(()));
    assert_eq!(rename(&mut files, "a", "b/c/a"), Ok(()));
    assert_eq!(kind(&files, "b/c/a"), Ok(Kind::Directory));
}

#[test]
fn dots_and_the_root_stay() {
    let mut files = with(&["a/", "a/b/"]);
    for (from, to) in [(".", "x"), ("a/.", "x"), ("a/b/..", "x"), ("a", "."), ("a/b", "a/."), ("a", "a/b/..")] {
        assert_eq!(problem(rename(&mut files, from, to)), Problem::Busy, "{from} {to}");
    }
}

#[test]
fn dot_dot_follows_a_moved_directory() {
    let mut files = with(&["a/", "a/deep/", "b/", "b/mark"]);
    assert_eq!(rename(&mut files, "a/deep", "b/deep"), Ok(()));
    assert_eq!(get(&files, "b/deep/../mark"), Ok(b"b/mark".to_vec()));
    let base = held(&mut files, "b");
    assert_eq!(files.find(At { base, path: "deep/.." }, Follow::Links), Ok(base));
    assert_eq!(problem(files.find(At { base, path: "deep/../.." }, Follow::Links)), Problem::NotCapable);
}

#[test]
fn a_base_that_was_moved_is_still_the_border() {
    let mut files = with(&["jail/", "jail/in/", "other/", "secret"]);
    let base = held(&mut files, "jail/in");
    assert_eq!(rename(&mut files, "jail/in", "other/in"), Ok(()));
    assert_eq!(problem(files.find(At { base, path: "../../secret" }, Follow::Links)), Problem::NotCapable);
    assert_eq!(files.find(At { base, path: "." }, Follow::Links), Ok(base));
}

#[test]
fn a_replaced_file_that_is_open_lives_on() {
    let mut files = with(&["a", "b"]);
    let id = held(&mut files, "b");
    assert_eq!(rename(&mut files, "a", "b"), Ok(()));
    let mut bytes = [0; 1];
    assert_eq!(files.read_at(id, 0, &mut bytes), Ok(1));
    assert_eq!((&bytes, files.bytes()), (b"b", 2));
    files.close(id);
    assert_eq!(files.bytes(), 1);
}
