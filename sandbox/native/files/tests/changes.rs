//! Making, linking, removing, opening: every answer that POSIX knows.

mod support;

use gatebus_files::{At, Follow, Kind, Open, Problem};
use support::*;

#[test]
fn a_directory_is_made_once() {
    let mut files = with(&["file", "link -> nowhere"]);
    let base = files.root();
    let mut make = |path: &str| files.make_directory(At { base, path }, NOW);
    assert_eq!(make("dir"), Ok(()));
    for (path, expected) in [
        ("dir", Problem::Exists),
        ("dir/", Problem::Exists),
        ("file", Problem::Exists),
        ("file/", Problem::NotDirectory),
        ("link", Problem::Exists),
        (".", Problem::Exists),
        ("dir/.", Problem::Exists),
        ("dir/..", Problem::Exists),
        ("file/x", Problem::NotDirectory),
        ("no/x", Problem::NotFound),
        ("..", Problem::NotCapable),
        ("/x", Problem::NotCapable),
    ] {
        assert_eq!(problem(make(path)), expected, "{path}");
    }
    assert_eq!(make("dir/inner//"), Ok(()));
}

#[test]
fn only_an_empty_directory_is_removed() {
    let mut files = with(&["full/", "full/f", "empty/", "file", "link -> empty"]);
    let base = files.root();
    let mut remove = |path: &str| files.remove_directory(At { base, path }, NOW);
    for (path, expected) in [
        ("full", Problem::NotEmpty),
        ("file", Problem::NotDirectory),
        ("file/", Problem::NotDirectory),
        ("link", Problem::NotDirectory),
        ("missing", Problem::NotFound),
        (".", Problem::Busy),
        ("full/..", Problem::Busy),
        ("empty/.", Problem::Invalid),
        ("..", Problem::NotCapable),
    ] {
        assert_eq!(problem(remove(path)), expected, "{path}");
    }
    assert_eq!(remove("empty/"), Ok(()));
    assert_eq!(problem(remove("empty")), Problem::NotFound);
    assert_eq!(names(&files, "."), [".", "..", "full", "file", "link"]);
}

#[test]
fn only_files_and_links_are_unlinked() {
    let mut files = with(&["dir/", "file", "link -> dir"]);
    let base = files.root();
    let mut unlink = |path: &str| files.unlink(At { base, path }, NOW);
    for (path, expected) in [
        ("dir", Problem::IsDirectory),
        ("dir/", Problem::IsDirectory),
        ("link/", Problem::IsDirectory),
        (".", Problem::IsDirectory),
        ("file/", Problem::NotDirectory),
        ("missing", Problem::NotFound),
    ] {
        assert_eq!(problem(unlink(path)), expected, "{path}");
    }
    assert_eq!((unlink("link"), unlink("file")), (Ok(()), Ok(())));
    assert_eq!(names(&files, "."), [".", "..", "dir"]);
}

#[test]
fn a_symbolic_link_is_a_text() {
    let mut files = with(&["dir/", "file"]);
    let base = files.root();
    for (target, path, expected) in [
        ("x", "file", Problem::Exists),
        ("x", "file/", Problem::NotDirectory),
        ("x", "dir", Problem::Exists),
        ("x", "dir/", Problem::Exists),
        ("x", "new/", Problem::NotFound),
        ("x", ".", Problem::Exists),
        ("", "new", Problem::NotFound),
        ("a\0b", "new", Problem::Invalid),
    ] {
        assert_eq!(problem(files.symlink(target, At { base, path }, NOW)), expected, "{target:?} {path}");
    }
    assert_eq!(problem(files.symlink(&"x".repeat(4097), at(&files, "new"), NOW)), Problem::NameTooLong);
    assert_eq!(files.symlink("../any/../thing/", at(&files, "new"), NOW), Ok(()));
    assert_eq!(files.read_link(at(&files, "new")), Ok("../any/../thing/"));
    assert_eq!(problem(files.read_link(at(&files, "file"))), Problem::Invalid);
    assert_eq!(problem(files.read_link(at(&files, "missing"))), Problem::NotFound);
}

#[test]
fn a_hard_link_is_the_same_file() {
    let mut files = with(&["file", "dir/", "sym -> file"]);
    assert_eq!(files.link(at(&files, "file"), at(&files, "dir/again"), NOW + 5), Ok(()));
    put(&mut files, "file", b"changed");
    assert_eq!(get(&files, "dir/again"), Ok(b"changed".to_vec()));
    let id = files.find(at(&files, "file"), Follow::Nothing).expect("there");
    assert_eq!(files.stat(id).map(|stat| stat.links), Ok(2));
    assert_eq!(files.unlink(at(&files, "file"), NOW), Ok(()));
    assert_eq!(get(&files, "dir/again"), Ok(b"changed".to_vec()));
    assert_eq!(files.link(at(&files, "sym"), at(&files, "sym2"), NOW), Ok(()));
    assert_eq!(files.read_link(at(&files, "sym2")), Ok("file"));
}

#[test]
fn hard_links_that_cannot_be() {
    let mut files = with(&["file", "dir/", "dangling -> no"]);
    let base = files.root();
    for (from, to, expected) in [
        ("file", "file", Problem::Exists),
        ("file", "dir", Problem::Exists),
        ("file", "dangling", Problem::Exists),
        ("file", "new/", Problem::NotFound),
        ("dir", "new", Problem::NotPermitted),
        (".", "new", Problem::NotPermitted),
        ("file/", "new", Problem::NotDirectory),
        ("no", "new", Problem::NotFound),
        ("file", "no/new", Problem::NotFound),
        ("file", ".", Problem::Exists),
    ] {
        let result = files.link(At { base, path: from }, At { base, path: to }, NOW);
        assert_eq!(problem(result), expected, "{from} {to}");
    }
    assert_eq!(files.names(), 3);
}

#[test]
fn opening_answers_what_is_there() {
    let mut files = with(&["dir/", "file", "link -> file", "dirlink -> dir"]);
    let base = files.root();
    let look = Open::existing(Follow::Nothing);
    let follow = Open::existing(Follow::Links);
    for (path, how, expected) in [
        ("no", follow, Problem::NotFound),
        ("no/", Open { create: true, ..follow }, Problem::IsDirectory),
        ("file", Open { directory: true, ..follow }, Problem::NotDirectory),
        ("link", Open { directory: true, ..follow }, Problem::NotDirectory),
        ("dirlink", Open { directory: true, ..look }, Problem::NotDirectory),
        ("link", look, Problem::Loop),
        ("link", Open { create: true, ..look }, Problem::Loop),
        ("file", Open { create: true, exclusive: true, ..follow }, Problem::Exists),
        ("dir", Open { create: true, exclusive: true, ..follow }, Problem::Exists),
        ("dir", Open { create: true, ..follow }, Problem::IsDirectory),
        ("dir", Open { truncate: true, ..follow }, Problem::IsDirectory),
        ("dir", Open { write: true, ..follow }, Problem::IsDirectory),
        ("dirlink", Open { write: true, ..follow }, Problem::IsDirectory),
        ("new", Open { create: true, directory: true, ..follow }, Problem::Invalid),
    ] {
        assert_eq!(problem(files.open(At { base, path }, how, NOW)), expected, "{path} {how:?}");
    }
    for (path, how) in [
        ("file", Open { exclusive: true, ..look }),
        ("dir", Open { directory: true, ..look }),
        ("dirlink", Open { directory: true, ..follow }),
        (".", look),
        ("dirlink/", look),
    ] {
        let id = files.open(At { base, path }, how, NOW).expect(path);
        files.close(id);
    }
    assert_eq!(files.names(), 4);
}

#[test]
fn truncating_cuts_the_file_and_creating_does_not() {
    let mut files = with(&["file"]);
    let id = files.open(at(&files, "file"), creating(), NOW).expect("open");
    files.close(id);
    assert_eq!(get(&files, "file"), Ok(b"file".to_vec()));
    let cut = Open { truncate: true, ..Open::existing(Follow::Links) };
    let id = files.open(at(&files, "file"), cut, NOW).expect("open");
    files.close(id);
    assert_eq!(get(&files, "file"), Ok(vec![]));
    assert_eq!(files.bytes(), 0);
}

#[test]
fn an_open_file_lives_on_without_a_name() {
    let mut files = with(&["file"]);
    let id = held(&mut files, "file");
    files.unlink(at(&files, "file"), NOW).expect("unlinked");
    put(&mut files, "file", b"another");
    let mut bytes = [0; 4];
    assert_eq!(files.read_at(id, 0, &mut bytes), Ok(4));
    assert_eq!(&bytes, b"file");
    assert_eq!(files.write_at(id, 4, b" and more", NOW), Ok(9));
    assert_eq!(files.stat(id).map(|stat| (stat.links, stat.size)), Ok((0, 13)));
    assert_eq!(files.bytes(), 13 + 7);
    files.close(id);
    assert_eq!(files.bytes(), 7);
    assert_eq!(problem(files.stat(id)), Problem::Stale);
}

#[test]
fn a_removed_directory_takes_nothing_new() {
    let mut files = with(&["dir/", "file"]);
    let base = held(&mut files, "dir");
    files.remove_directory(at(&files, "dir"), NOW).expect("removed");
    let inside = At { base, path: "x" };
    assert_eq!(problem(files.make_directory(inside, NOW)), Problem::NotFound);
    assert_eq!(problem(files.open(inside, creating(), NOW)), Problem::NotFound);
    assert_eq!(problem(files.symlink("t", inside, NOW)), Problem::NotFound);
    assert_eq!(problem(files.link(at(&files, "file"), inside, NOW)), Problem::NotFound);
    assert_eq!(problem(files.rename(at(&files, "file"), inside, NOW)), Problem::NotFound);
    assert_eq!(problem(files.find(At { base, path: ".." }, Follow::Links)), Problem::NotCapable);
    assert_eq!(files.entry_after(base, 2), Ok(None));
    let dots = files.entry_after(base, 1).expect("still a directory").expect("dot dot");
    assert_eq!(&*dots.name, "..");
    files.close(base);
    assert_eq!(names(&files, "."), [".", "..", "file"]);
}

#[test]
fn a_number_of_a_node_is_used_again_but_its_serial_never() {
    let mut files = empty();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        put(&mut files, "file", b"x");
        let id = files.find(at(&files, "file"), Follow::Links).expect("there");
        assert!(seen.insert(files.stat(id).expect("stat").serial));
        files.unlink(at(&files, "file"), NOW).expect("unlinked");
    }
    assert_eq!((files.names(), files.bytes()), (0, 0));
}

#[test]
fn times_say_what_was_done() {
    let mut files = with(&["dir/", "dir/f"]);
    let times = |files: &gatebus_files::Files, path: &str| {
        let id = files.find(at(files, path), Follow::Nothing).expect(path);
        let stat = files.stat(id).expect("stat");
        (stat.accessed, stat.modified, stat.changed)
    };
    assert_eq!(times(&files, "dir/f"), (NOW, NOW, NOW));
    let id = held(&mut files, "dir/f");
    files.write_at(id, 0, b"1", 2000).expect("write");
    assert_eq!(times(&files, "dir/f"), (NOW, 2000, 2000));
    files.set_times(id, Some(7), None, 2100).expect("times");
    assert_eq!(times(&files, "dir/f"), (7, 2000, 2100));
    files.set_times(id, None, Some(8), 2200).expect("times");
    assert_eq!(times(&files, "dir/f"), (7, 8, 2200));
    files.set_size(id, 0, 2300).expect("size");
    assert_eq!(times(&files, "dir/f"), (7, 2300, 2300));
    assert_eq!(times(&files, "dir"), (NOW, NOW, NOW));
    files.link(at(&files, "dir/f"), at(&files, "g"), 2400).expect("link");
    assert_eq!(times(&files, "g"), (7, 2300, 2400));
    assert_eq!(times(&files, "."), (NOW, 2400, 2400));
    files.rename(at(&files, "g"), at(&files, "dir/g"), 2500).expect("rename");
    assert_eq!((times(&files, "."), times(&files, "dir").1), ((NOW, 2500, 2500), 2500));
    files.unlink(at(&files, "dir/g"), 2600).expect("unlink");
    assert_eq!((times(&files, "dir").1, times(&files, "dir/f").2), (2600, 2600));
}

#[test]
fn a_directory_is_not_read_or_written_like_a_file() {
    let mut files = with(&["dir/"]);
    let id = held(&mut files, "dir");
    assert_eq!(problem(files.read_at(id, 0, &mut [0])), Problem::IsDirectory);
    assert_eq!(problem(files.write_at(id, 0, b"x", NOW)), Problem::IsDirectory);
    assert_eq!(problem(files.set_size(id, 0, NOW)), Problem::IsDirectory);
    assert_eq!(problem(files.allocate(id, 0, 1, NOW)), Problem::IsDirectory);
    let file = files.find(at(&files, "dir"), Follow::Links).expect("there");
    assert_eq!(files.stat(file).map(|stat| (stat.kind, stat.size)), Ok((Kind::Directory, 0)));
}

#[test]
fn reading_a_directory_goes_on_where_it_was_whatever_changes() {
    let mut files = with(&["a", "b", "c", "d"]);
    let root = files.root();
    let next = |files: &gatebus_files::Files, cookie| {
        let entry = files.entry_after(root, cookie).expect("a directory");
        entry.map(|entry| (entry.cookie, entry.name.to_string()))
    };
    let (after_a, a) = next(&files, 2).expect("a");
    let (after_b, b) = next(&files, after_a).expect("b");
    assert_eq!((a.as_str(), b.as_str()), ("a", "b"));
    for name in ["a", "b", "c"] {
        files.unlink(at(&files, name), NOW).expect(name);
    }
    put(&mut files, "e", b"");
    put(&mut files, "a", b"");
    let mut rest = Vec::new();
    let mut cookie = after_b;
    while let Some((after, name)) = next(&files, cookie) {
        rest.push(name);
        cookie = after;
    }
    assert_eq!(rest, ["d", "e", "a"]);
    assert_eq!(next(&files, u64::MAX), None);
}
