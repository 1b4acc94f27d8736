//! Limits, from both sides.

mod support;

use gatebus_files::{Files, Follow, Limits, Open, Problem};
use support::*;

fn limited(bytes: u64, names: u32, open: u32) -> Files {
    Files::new(Limits { bytes, names, open }, NOW)
}

#[test]
fn bytes_end_exactly_at_the_limit() {
    let mut files = limited(100, 10, 10);
    put(&mut files, "a", &[1; 60]);
    let id = files.open(at(&files, "b"), creating(), NOW).expect("open");
    assert_eq!(files.write_at(id, 0, &[2; 60], NOW), Ok(40));
    assert_eq!(problem(files.write_at(id, 40, &[2], NOW)), Problem::NoSpace);
    assert_eq!(files.write_at(id, 0, &[3; 40], NOW), Ok(40));
    assert_eq!(files.bytes(), 100);
    files.unlink(at(&files, "a"), NOW).expect("unlink");
    assert_eq!(files.write_at(id, 40, &[2; 60], NOW), Ok(60));
}

#[test]
fn a_hole_is_charged_like_bytes() {
    let mut files = limited(100, 10, 10);
    let id = files.open(at(&files, "a"), creating(), NOW).expect("open");
    assert_eq!(problem(files.set_size(id, 101, NOW)), Problem::NoSpace);
    assert_eq!(files.set_size(id, 100, NOW), Ok(()));
    assert_eq!(problem(files.write_at(id, 100, b"x", NOW)), Problem::NoSpace);
    assert_eq!(problem(files.allocate(id, 50, 51, NOW)), Problem::NoSpace);
    assert_eq!(files.allocate(id, 50, 50, NOW), Ok(()));
    assert_eq!(files.set_size(id, 10, NOW), Ok(()));
    assert_eq!(files.bytes(), 10);
    assert_eq!(problem(files.write_at(id, 1000, b"x", NOW)), Problem::NoSpace);
    assert_eq!(files.write_at(id, 98, b"xyz", NOW), Ok(2));
}

#[test]
fn every_name_of_a_file_is_charged_because_each_leaves() {
    let mut files = limited(100, 10, 10);
    put(&mut files, "a", &[1; 30]);
    files.link(at(&files, "a"), at(&files, "b"), NOW).expect("link");
    assert_eq!(files.bytes(), 60);
    let id = held(&mut files, "a");
    assert_eq!(files.write_at(id, 30, &[1; 30], NOW), Ok(20));
    assert_eq!(files.bytes(), 100);
    assert_eq!(problem(files.link(at(&files, "a"), at(&files, "c"), NOW)), Problem::NoSpace);
    assert_eq!(files.set_size(id, 5, NOW), Ok(()));
    assert_eq!(files.bytes(), 10);
    files.unlink(at(&files, "a"), NOW).expect("unlink");
    assert_eq!(files.bytes(), 5);
    files.unlink(at(&files, "b"), NOW).expect("unlink");
    assert_eq!(files.bytes(), 5);
    files.close(id);
    assert_eq!(files.bytes(), 0);
}

#[test]
fn names_end_exactly_at_the_limit() {
    let mut files = limited(1000, 3, 10);
    put(&mut files, "a", b"");
    files.make_directory(at(&files, "d"), NOW).expect("directory");
    files.symlink("a", at(&files, "l"), NOW).expect("link");
    assert_eq!(problem(files.open(at(&files, "x"), creating(), NOW)), Problem::NoSpace);
    assert_eq!(problem(files.make_directory(at(&files, "x"), NOW)), Problem::NoSpace);
    assert_eq!(problem(files.symlink("a", at(&files, "x"), NOW)), Problem::NoSpace);
    assert_eq!(problem(files.link(at(&files, "a"), at(&files, "x"), NOW)), Problem::NoSpace);
    assert_eq!(rename(&mut files, "a", "d/a"), Ok(()));
    files.unlink(at(&files, "l"), NOW).expect("unlink");
    put(&mut files, "x", b"");
    assert_eq!(files.names(), 3);
}

#[test]
fn the_text_of_a_link_is_charged() {
    let mut files = limited(10, 10, 10);
    assert_eq!(problem(files.symlink("12345678901", at(&files, "l"), NOW)), Problem::NoSpace);
    files.symlink("1234567890", at(&files, "l"), NOW).expect("link");
    assert_eq!((files.bytes(), files.names()), (10, 1));
    files.unlink(at(&files, "l"), NOW).expect("unlink");
    assert_eq!((files.bytes(), files.names()), (0, 0));
}

#[test]
fn open_nodes_end_at_the_limit_and_nothing_is_changed_then() {
    let mut files = limited(1000, 10, 2);
    put(&mut files, "a", b"text");
    let first = held(&mut files, "a");
    let _second = held(&mut files, "a");
    let cut = Open { truncate: true, ..creating() };
    assert_eq!(problem(files.open(at(&files, "a"), cut, NOW)), Problem::TooManyOpen);
    assert_eq!(problem(files.open(at(&files, "new"), creating(), NOW)), Problem::TooManyOpen);
    assert_eq!((get(&files, "a"), files.names()), (Ok(b"text".to_vec()), 1));
    assert_eq!(problem(files.hold(files.root())), Problem::TooManyOpen);
    files.close(first);
    assert_eq!(files.hold(files.root()), Ok(()));
}

#[test]
fn offsets_that_no_file_has_are_too_big() {
    let mut files = empty();
    let id = files.open(at(&files, "a"), creating(), NOW).expect("open");
    let most = i64::MAX.cast_unsigned();
    assert_eq!(problem(files.write_at(id, most, b"x", NOW)), Problem::TooBig);
    assert_eq!(problem(files.write_at(id, u64::MAX, b"xy", NOW)), Problem::TooBig);
    assert_eq!(problem(files.set_size(id, u64::MAX, NOW)), Problem::TooBig);
    assert_eq!(problem(files.allocate(id, u64::MAX, u64::MAX, NOW)), Problem::TooBig);
    assert_eq!(problem(files.set_size(id, most, NOW)), Problem::NoSpace);
    assert_eq!(files.write_at(id, u64::MAX, b"", NOW), Ok(0));
    assert_eq!((files.bytes(), files.stat(id).map(|stat| stat.size)), (0, Ok(0)));
}

#[test]
fn without_limits_at_zero_nothing_can_be_made() {
    let mut files = limited(0, 0, 1);
    assert_eq!(problem(files.make_directory(at(&files, "d"), NOW)), Problem::NoSpace);
    assert!(files.find(at(&files, "."), Follow::Links).is_ok());
}
