//! Paths: what they lead to, and that they never lead out.

mod support;

use gatebus_files::{At, Follow, Kind, NAME_LIMIT, Open, PATH_LIMIT, Problem, SYMLINK_LIMIT};
use support::*;

#[test]
fn a_path_may_go_up_and_down_within_its_base() {
    let files = with(&["dir/", "dir/nested/", "dir/nested/file"]);
    for path in ["dir/nested/file", "dir/.//nested/../../dir/nested/../nested///./file", "./dir/../dir/nested/file"] {
        assert_eq!(get(&files, path), Ok(b"dir/nested/file".to_vec()), "{path}");
    }
}

#[test]
fn nothing_leads_above_the_base() {
    let mut files = with(&["dir/", "dir/sub/", "secret", "dir/up -> ..", "dir/out -> ../secret", "dir/abs -> /secret"]);
    let base = held(&mut files, "dir");
    let from_base = |path| files.find(At { base, path }, Follow::Links);
    for path in
        ["..", "../secret", "sub/../..", "sub/../../secret", "up", "up/secret", "out", "abs", "/", "/secret", "//"]
    {
        assert_eq!(problem(from_base(path)), Problem::NotCapable, "{path}");
    }
    assert_eq!(problem(files.find(at(&files, ".."), Follow::Links)), Problem::NotCapable);
    assert_eq!(problem(files.find(at(&files, "dir/../.."), Follow::Links)), Problem::NotCapable);
    assert_eq!(from_base("sub/.."), Ok(base));
}

#[test]
fn an_absolute_link_means_the_root_when_the_base_is_the_root() {
    let files = with(&["etc/", "etc/conf", "link -> /etc/conf", "root -> /", "deep/", "deep/root -> //"]);
    assert_eq!(get(&files, "link"), Ok(b"etc/conf".to_vec()));
    assert_eq!(get(&files, "root/etc/conf"), Ok(b"etc/conf".to_vec()));
    assert_eq!(get(&files, "deep/root/etc/conf"), Ok(b"etc/conf".to_vec()));
    assert_eq!(files.find(at(&files, "root"), Follow::Links), Ok(files.root()));
    assert_eq!(files.find(at(&files, "deep/root/"), Follow::Nothing), Ok(files.root()));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let mut files = with(&["l0"]);
    for index in 1..=SYMLINK_LIMIT + 1 {
        files.symlink(&format!("l{}", index - 1), at(&files, &format!("l{index}")), NOW).expect("link");
    }
    assert_eq!(get(&files, &format!("l{SYMLINK_LIMIT}")), Ok(b"l0".to_vec()));
    assert_eq!(problem(get(&files, &format!("l{}", SYMLINK_LIMIT + 1))), Problem::Loop);
}

#[test]
fn links_in_a_circle_are_a_loop() {
    let files = with(&["self -> self", "a -> b", "b -> a", "d/", "d/x -> ../d/x/y"]);
    for path in ["self", "a", "b/c", "d/x", "self/"] {
        assert_eq!(problem(files.find(at(&files, path), Follow::Links)), Problem::Loop, "{path}");
    }
}

#[test]
fn a_link_in_the_last_place_is_followed_only_when_asked_or_before_a_slash() {
    let files = with(&["dir/", "dir/f", "to -> dir", "gone -> nowhere"]);
    assert_eq!(kind(&files, "to"), Ok(Kind::Link));
    assert_eq!(kind(&files, "to/"), Ok(Kind::Directory));
    assert_eq!(kind(&files, "to/."), Ok(Kind::Directory));
    assert_eq!(kind(&files, "to/f"), Ok(Kind::File));
    assert_eq!(kind(&files, "gone"), Ok(Kind::Link));
    assert_eq!(problem(files.find(at(&files, "gone"), Follow::Links)), Problem::NotFound);
    assert_eq!(problem(kind(&files, "gone/")), Problem::NotFound);
}

#[test]
fn a_slash_at_the_end_wants_a_directory() {
    let files = with(&["file", "dir/", "link -> file", "linkdir -> dir/", "linkfile -> file/"]);
    for path in ["file/", "file///", "link/", "file/.", "file/..", "file/x", "linkfile"] {
        assert_eq!(problem(files.find(at(&files, path), Follow::Links)), Problem::NotDirectory, "{path}");
    }
    assert_eq!(kind(&files, "dir///"), Ok(Kind::Directory));
    assert!(files.find(at(&files, "linkdir"), Follow::Links).is_ok());
}

#[test]
fn impossible_paths_are_refused() {
    let files = with(&["dir/"]);
    let long = "x".repeat(NAME_LIMIT + 1);
    let cases = [
        ("", Problem::NotFound),
        ("dir\0", Problem::Invalid),
        ("\0", Problem::Invalid),
        (long.as_str(), Problem::NameTooLong),
        ("missing/x", Problem::NotFound),
        ("missing/..", Problem::NotFound),
    ];
    for (path, expected) in cases {
        assert_eq!(problem(files.find(at(&files, path), Follow::Links)), expected, "{path:?}");
    }
    let longest = format!("{}dir", "./".repeat((PATH_LIMIT - 3) / 2));
    assert!(longest.len() <= PATH_LIMIT && kind(&files, &longest).is_ok());
    let too_long = format!("{}dir", "./".repeat(PATH_LIMIT / 2));
    assert_eq!(problem(kind(&files, &too_long)), Problem::NameTooLong);
    assert!(files.find(at(&files, &"y".repeat(NAME_LIMIT)), Follow::Links) == Err(Problem::NotFound));
}

#[test]
fn a_file_is_no_base() {
    let mut files = with(&["file"]);
    let base = held(&mut files, "file");
    assert_eq!(problem(files.find(At { base, path: "x" }, Follow::Links)), Problem::NotDirectory);
    assert_eq!(problem(files.find(At { base, path: "." }, Follow::Links)), Problem::NotDirectory);
}

#[test]
fn a_path_of_thousands_of_slashes_and_links_is_still_answered() {
    let slashes = "/".repeat(4000);
    let mut files = with(&["d/"]);
    files.symlink(&format!("d{slashes}"), at(&files, "l"), NOW).expect("link");
    let path = ["l"; 40].map(|name| format!("{name}/..")).join("/");
    assert!(files.find(at(&files, &path), Follow::Links).is_ok());
}

#[test]
fn creating_through_a_link_makes_its_target() {
    let mut files = with(&["dir/", "link -> dir/new", "stay -> other"]);
    let id = files.open(at(&files, "link"), creating(), NOW).expect("made");
    files.close(id);
    assert_eq!(kind(&files, "dir/new"), Ok(Kind::File));
    let exclusive = Open { exclusive: true, ..creating() };
    assert_eq!(problem(files.open(at(&files, "stay"), exclusive, NOW)), Problem::Exists);
    assert_eq!(problem(kind(&files, "other")), Problem::NotFound);
}
