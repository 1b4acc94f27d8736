use gatebus_wire::control::Begin;

use super::*;
use crate::testing::{BOOT, EPOCH, MEMORY, MS, World, begin, call};

fn open(world: &mut World<Wasi>, fd: u32, path: &str, (flags, oflags): (u32, u32), rights: u64) -> (i32, u32) {
    let (at, len) = world.text(path);
    let opened = world.room(4);
    (call!(world, path_open, fd, flags, at, len, oflags, rights, 0, 0, opened), world.u32(opened))
}

fn create(world: &mut World<Wasi>, path: &str) {
    let (errno, fd) = open(world, 3, path, (0, CREATE), right::FD_WRITE);
    assert_eq!((errno, call!(world, fd_close, fd)), (0, 0), "{path}");
}

fn mkdir(world: &mut World<Wasi>, path: &str) -> i32 {
    let (at, len) = world.text(path);
    call!(world, path_create_directory, 3, at, len)
}

fn rmdir(world: &mut World<Wasi>, path: &str) -> i32 {
    let (at, len) = world.text(path);
    call!(world, path_remove_directory, 3, at, len)
}

fn unlink(world: &mut World<Wasi>, path: &str) -> i32 {
    let (at, len) = world.text(path);
    call!(world, path_unlink_file, 3, at, len)
}

fn symlink(world: &mut World<Wasi>, target: &str, path: &str) -> i32 {
    let ((target, target_len), (at, len)) = (world.text(target), world.text(path));
    call!(world, path_symlink, target, target_len, 3, at, len)
}

fn link(world: &mut World<Wasi>, from: &str, to: &str, flags: u32) -> i32 {
    let ((old, old_len), (new, new_len)) = (world.text(from), world.text(to));
    call!(world, path_link, 3, flags, old, old_len, 4, new, new_len)
}

fn rename(world: &mut World<Wasi>, from: &str, to: &str) -> i32 {
    let ((old, old_len), (new, new_len)) = (world.text(from), world.text(to));
    call!(world, path_rename, 3, old, old_len, 4, new, new_len)
}

/// Type and size and modification time.
fn stat(world: &mut World<Wasi>, path: &str, flags: u32) -> Result<(u64, u64, u64), i32> {
    let (at, len) = world.text(path);
    let into = world.room(64);
    match call!(world, path_filestat_get, 3, flags, at, len, into) {
        0 => Ok((world.u64(into + 16), world.u64(into + 32), world.u64(into + 48))),
        errno => Err(errno),
    }
}

#[test]
fn paths_are_walked_as_the_test_suite_of_wasi_wants() {
    let mut world = World::ordinary();
    assert_eq!((mkdir(&mut world, "dir"), mkdir(&mut world, "dir/nested")), (0, 0));
    create(&mut world, "dir/nested/file");
    for (path, errno) in [
        ("dir/.//nested/../../dir/nested/../nested///./file", 0),
        ("dir/nested/", 0),
        ("dir/nested///", 0),
        (".", 0),
        ("/dir/nested/file", 76),
        ("dir/nested/../../../dir/nested/file", 76),
        ("..", 76),
        ("dir/nested/file\0", 28),
        ("dir/nested/file/", 54),
        ("dir/nested/file///", 54),
        ("dir/nested/missing", 44),
        ("", 44),
    ] {
        assert_eq!(open(&mut world, 3, path, (0, 0), 0).0, errno, "{path:?}");
    }
}

#[test]
fn names_and_paths_have_their_limits() {
    let mut world = World::ordinary();
    assert_eq!(mkdir(&mut world, &"n".repeat(255)), 0);
    assert_eq!(mkdir(&mut world, &"n".repeat(256)), 37);
    assert_eq!(mkdir(&mut world, &format!("{}x", "./".repeat(2048))), 37);
    assert_eq!(mkdir(&mut world, &format!("{}x", "./".repeat(2047))), 0);
}

#[test]
fn a_path_is_utf8() {
    let mut world = World::ordinary();
    let at = world.put(b"\xff\xfe");
    assert_eq!(call!(world, path_create_directory, 3, at, 2), 25);
    assert_eq!(call!(world, path_open, 3, 0, at, 2, 1, 0, 0, 0, 64), 25);
    assert_eq!(call!(world, path_symlink, at, 2, 3, at, 2), 25);
    assert_eq!(mkdir(&mut world, "žluťoučký"), 0);
}

#[test]
fn path_open_answers_what_posix_answers() {
    let mut world = World::ordinary();
    mkdir(&mut world, "dir");
    create(&mut world, "file");
    assert_eq!(symlink(&mut world, "file", "link"), 0);
    assert_eq!(symlink(&mut world, "nowhere", "dangling"), 0);
    assert_eq!(symlink(&mut world, "self", "self"), 0);
    let (read, write) = (right::FD_READ, right::FD_WRITE);
    for (path, flags, rights, errno) in [
        ("file", (0, CREATE | EXCLUSIVE), 0, 20),
        ("link", (0, CREATE | EXCLUSIVE), 0, 20),
        ("dangling", (1, CREATE | EXCLUSIVE), 0, 20),
        ("file", (0, DIRECTORY), 0, 54),
        ("link", (0, DIRECTORY), 0, 54),
        ("link", (0, 0), 0, 32),
        ("link", (1, 0), 0, 0),
        ("link", (1, DIRECTORY), 0, 54),
        ("dangling", (1, 0), 0, 44),
        ("dangling", (0, 0), 0, 32),
        ("self", (1, 0), 0, 32),
        ("dir", (0, DIRECTORY), read, 0),
        ("dir", (0, DIRECTORY), read | write, 31),
        ("dir", (0, 0), write, 31),
        ("dir", (0, CREATE), 0, 31),
        ("dir", (0, TRUNCATE), 0, 31),
        ("new", (0, CREATE | DIRECTORY), 0, 28),
        ("new/", (0, CREATE), 0, 31),
        ("file", (2, 0), 0, 28),
        ("file", (0, 16), 0, 28),
        ("dangling", (1, CREATE), 0, 0),
        ("nowhere", (0, 0), 0, 0),
    ] {
        assert_eq!(open(&mut world, 3, path, flags, rights).0, errno, "{path} {flags:?}");
    }
    let (at, len) = world.text("file");
    assert_eq!(call!(world, path_open, 3, 0, at, len, 0, 0, 0, 32, 64), 28);
    assert_eq!(call!(world, path_open, 3, 0, at, len, 0, 0, 0, 31, 64), 0);
}

#[test]
fn truncating_needs_its_right_and_creating_too() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    assert_eq!(open(&mut world, 3, "file", (0, TRUNCATE), 0).0, 0);
    let kept = right::DIRECTORY & !right::PATH_FILESTAT_SET_SIZE & !right::PATH_CREATE_FILE;
    assert_eq!(call!(world, fd_fdstat_set_rights, 3, kept, right::FILE), 0);
    assert_eq!(open(&mut world, 3, "file", (0, TRUNCATE), 0).0, 76);
    assert_eq!(open(&mut world, 3, "new", (0, CREATE), 0).0, 76);
    assert_eq!(open(&mut world, 4, "file", (0, TRUNCATE), 0).0, 0);
}

#[test]
fn every_function_needs_its_right() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    assert_eq!(call!(world, fd_fdstat_set_rights, 3, 0, 0), 0);
    assert_eq!(open(&mut world, 3, "file", (0, 0), 0).0, 76);
    assert_eq!((mkdir(&mut world, "d"), rmdir(&mut world, "d"), unlink(&mut world, "file")), (76, 76, 76));
    assert_eq!(
        (symlink(&mut world, "a", "b"), link(&mut world, "file", "b", 0), rename(&mut world, "file", "b")),
        (76, 76, 76)
    );
    assert_eq!(stat(&mut world, "file", 0), Err(76));
    assert_eq!(call!(world, path_filestat_set_times, 3, 0, 64, 1, 0, 0, 0), 76);
    assert_eq!(call!(world, path_readlink, 3, 64, 1, 64, 1, 64), 76);
    assert_eq!(call!(world, fd_readdir, 3, 64, 8, 0, 64), 76);
}

#[test]
fn rights_are_handed_down() {
    let mut world = World::ordinary();
    mkdir(&mut world, "dir");
    create(&mut world, "dir/file");
    assert_eq!(
        call!(world, fd_fdstat_set_rights, 3, right::DIRECTORY, right::DIRECTORY | right::FILE & !right::WRITING),
        0
    );
    let (errno, dir) = open(&mut world, 3, "dir", (0, DIRECTORY), 0);
    assert_eq!(errno, 0);
    let (errno, file) = open(&mut world, dir, "file", (0, 0), right::FD_READ | right::FD_WRITE);
    assert_eq!(errno, 0);
    let (iovs, count) = world.pieces(&["x"]);
    assert_eq!(call!(world, fd_write, file, iovs, count, 64), 8);
    assert_eq!(call!(world, fd_read, file, iovs, count, 64), 0);
}

#[test]
fn a_path_starts_from_a_directory() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    let (_, file) = open(&mut world, 3, "file", (0, 0), 0);
    for fd in [0, 1, 2, file] {
        assert_eq!(open(&mut world, fd, "x", (0, CREATE), 0).0, 54, "{fd}");
        assert_eq!(call!(world, path_create_directory, fd, 64, 1), 54, "{fd}");
        assert_eq!(call!(world, path_rename, fd, 64, 1, 3, 64, 1), 54, "{fd}");
        assert_eq!(call!(world, path_rename, 3, 64, 1, fd, 64, 1), 54, "{fd}");
        assert_eq!(call!(world, path_link, 3, 0, 64, 1, fd, 64, 1), 54, "{fd}");
    }
    for fd in [99, u32::MAX] {
        assert_eq!(open(&mut world, fd, "x", (0, CREATE), 0).0, 8);
        assert_eq!(call!(world, path_create_directory, fd, 64, 1), 8);
        assert_eq!(call!(world, path_remove_directory, fd, 64, 1), 8);
        assert_eq!(call!(world, path_unlink_file, fd, 64, 1), 8);
        assert_eq!(call!(world, path_symlink, 64, 1, fd, 64, 1), 8);
        assert_eq!(call!(world, path_readlink, fd, 64, 1, 64, 1, 64), 8);
        assert_eq!(call!(world, path_filestat_get, fd, 0, 64, 1, 64), 8);
        assert_eq!(call!(world, path_filestat_set_times, fd, 0, 64, 1, 0, 0, 0), 8);
        assert_eq!(call!(world, path_rename, 3, 64, 1, fd, 64, 1), 8);
        assert_eq!(call!(world, path_link, fd, 0, 64, 1, 3, 64, 1), 8);
    }
}

#[test]
fn a_directory_below_is_a_border_too() {
    let mut world = World::ordinary();
    mkdir(&mut world, "jail");
    create(&mut world, "secret");
    assert_eq!(symlink(&mut world, "../secret", "jail/out"), 0);
    let (_, jail) = open(&mut world, 3, "jail", (0, DIRECTORY), 0);
    assert_eq!(open(&mut world, jail, "../secret", (0, 0), 0).0, 76);
    assert_eq!(open(&mut world, jail, "out", (1, 0), 0).0, 76);
    assert_eq!(open(&mut world, 3, "jail/out", (1, 0), 0).0, 0);
}

#[test]
fn directories_are_made_and_removed() {
    let mut world = World::ordinary();
    assert_eq!((mkdir(&mut world, "dir"), mkdir(&mut world, "dir"), mkdir(&mut world, "a/b")), (0, 20, 44));
    create(&mut world, "dir/file");
    assert_eq!((rmdir(&mut world, "dir"), rmdir(&mut world, "dir/file"), rmdir(&mut world, "dir/file/")), (55, 54, 54));
    assert_eq!((unlink(&mut world, "dir"), unlink(&mut world, "dir/"), unlink(&mut world, "dir/file/")), (31, 31, 54));
    assert_eq!((unlink(&mut world, "dir/file"), unlink(&mut world, "dir/file"), rmdir(&mut world, "dir/")), (0, 44, 0));
    assert_eq!((rmdir(&mut world, "dir"), rmdir(&mut world, "."), rmdir(&mut world, "")), (44, 10, 44));
}

#[test]
fn an_absolute_target_is_refused() {
    let mut world = World::ordinary();
    assert_eq!(symlink(&mut world, "/", "link"), 76);
    assert_eq!(symlink(&mut world, "/etc/passwd", "link"), 76);
    assert_eq!(symlink(&mut world, "", "link"), 44);
    assert_eq!(symlink(&mut world, "a", "link/"), 44);
    assert_eq!((symlink(&mut world, "a", "link"), symlink(&mut world, "a", "link")), (0, 20));
}

#[test]
fn a_target_is_read_as_far_as_it_fits() {
    let mut world = World::ordinary();
    assert_eq!(symlink(&mut world, "target", "symlink"), 0);
    let (at, len) = world.text("symlink");
    let used = world.room(4);
    for (room, expected) in [(10, &b"target\0\0\0\0"[..]), (6, b"target"), (4, b"targ"), (0, b"")] {
        let into = world.room(10);
        assert_eq!(call!(world, path_readlink, 3, at, len, into, room, used), 0);
        assert_eq!(world.bytes(into, room), expected);
        assert_eq!(world.u32(used), room.min(6));
    }
    create(&mut world, "file");
    let (at, len) = world.text("file");
    assert_eq!(call!(world, path_readlink, 3, at, len, 64, 4, used), 28);
}

#[test]
fn hard_links_are_made_without_following() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    mkdir(&mut world, "dir");
    for (from, to, flags, errno) in [
        ("file", "again", 0, 0),
        ("file", "again", 0, 20),
        ("file", "file", 0, 20),
        ("file", "dir", 0, 20),
        ("file", "new/", 0, 44),
        ("dir", "new", 0, 63),
        ("missing", "new", 0, 44),
        ("file", "new", 1, 28),
        ("file", "new", 2, 28),
    ] {
        assert_eq!(link(&mut world, from, to, flags), errno, "{from} {to}");
    }
}

#[test]
fn names_are_moved() {
    let mut world = World::ordinary();
    mkdir(&mut world, "dir");
    mkdir(&mut world, "full");
    create(&mut world, "full/f");
    create(&mut world, "file");
    for (from, to, errno) in [
        ("dir", "full", 55),
        ("file", "full", 31),
        ("dir", "file", 54),
        ("full", "full/inner", 28),
        ("missing", "x", 44),
        (".", "x", 10),
        ("file", "moved", 0),
        ("moved", "moved", 0),
        ("full", "dir", 0),
    ] {
        assert_eq!(rename(&mut world, from, to), errno, "{from} {to}");
    }
    assert_eq!(stat(&mut world, "dir/f", 0).map(|(kind, ..)| kind), Ok(4));
}

#[test]
fn a_path_is_known_followed_or_not() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    world.channel.now += 50 * MS;
    assert_eq!(symlink(&mut world, "file", "link"), 0);
    let tick = |time: u64| time / (10 * MS) * (10 * MS);
    let (made, linked) = (tick(EPOCH + BOOT), tick(EPOCH + BOOT + 50 * MS));
    assert_eq!(stat(&mut world, "link", 0), Ok((7, 4, linked)));
    assert_eq!(stat(&mut world, "link", 1), Ok((4, 0, made)));
    assert_eq!(stat(&mut world, ".", 0).map(|(kind, ..)| kind), Ok(3));
    assert_eq!((stat(&mut world, "none", 0), stat(&mut world, "file", 2)), (Err(44), Err(28)));
    let (at, len) = world.text("link");
    let old = world.put(&[0xff; 64]);
    assert_eq!(call!(world, unstable_path_filestat_get, 3, 0, at, len, old), 0);
    assert_eq!((world.u32(old + 16), world.u32(old + 20), world.u64(old + 24)), (7, 1, 4));
    assert_eq!((world.u64(old + 40), world.u64(old + 56)), (linked, u64::MAX));
}

#[test]
fn the_times_of_a_link_and_of_its_file_are_different() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    assert_eq!(symlink(&mut world, "file", "link"), 0);
    let (at, len) = world.text("link");
    assert_eq!(call!(world, path_filestat_set_times, 3, 0, at, len, 0, 111, 4), 0);
    assert_eq!(call!(world, path_filestat_set_times, 3, 1, at, len, 0, 222, 4), 0);
    assert_eq!(stat(&mut world, "link", 0).map(|(.., time)| time), Ok(111));
    assert_eq!(stat(&mut world, "file", 0).map(|(.., time)| time), Ok(222));
    for flags in [3, 12, 16] {
        assert_eq!(call!(world, path_filestat_set_times, 3, 0, at, len, 0, 5, flags), 28);
    }
    assert_eq!(call!(world, path_filestat_set_times, 3, 2, at, len, 0, 5, 4), 28);
    assert_eq!(stat(&mut world, "link", 0).map(|(.., time)| time), Ok(111));
}

#[test]
fn pointers_outside_the_memory_are_faults_and_change_nothing() {
    let mut world = World::ordinary();
    create(&mut world, "f");
    let (good, len) = world.text("f");
    let bad = MEMORY - 1;
    assert_eq!(call!(world, path_create_directory, 3, bad, 2), 21);
    assert_eq!(call!(world, path_remove_directory, 3, bad, 2), 21);
    assert_eq!(call!(world, path_unlink_file, 3, u32::MAX, 1), 21);
    assert_eq!(call!(world, path_rename, 3, good, len, 3, bad, 2), 21);
    assert_eq!(call!(world, path_rename, 3, bad, 2, 3, good, len), 21);
    assert_eq!(call!(world, path_link, 3, 0, good, len, 3, bad, 2), 21);
    assert_eq!(call!(world, path_symlink, bad, 2, 3, good, len), 21);
    assert_eq!(call!(world, path_filestat_get, 3, 0, good, len, MEMORY - 63), 21);
    assert_eq!(call!(world, path_open, 3, 0, bad, 2, 1, 0, 0, 0, 64), 21);
    let (new, len) = world.text("new");
    assert_eq!(call!(world, path_open, 3, 0, new, len, 1, 0, 0, 0, MEMORY - 3), 21);
    assert_eq!(stat(&mut world, "new", 0), Err(44));
    assert_eq!(call!(world, path_create_directory, 3, u32::MAX, 0), 44);
}

#[test]
fn a_full_file_system_says_so() {
    let mut world = World::wasi(&Begin { nodes_limit: 1, ..begin() }, &[]);
    create(&mut world, "one");
    assert_eq!(open(&mut world, 3, "two", (0, CREATE), 0).0, 51);
    assert_eq!(
        (mkdir(&mut world, "two"), symlink(&mut world, "a", "two"), link(&mut world, "one", "two", 0)),
        (51, 51, 51)
    );
    assert_eq!((rename(&mut world, "one", "two"), unlink(&mut world, "two"), mkdir(&mut world, "two")), (0, 0, 0));
}

#[test]
fn an_unlinked_file_lives_as_long_as_it_is_open() {
    let mut world = World::ordinary();
    create(&mut world, "file");
    let (_, fd) = open(&mut world, 3, "file", (0, 0), right::FD_READ | right::FD_WRITE);
    assert_eq!(unlink(&mut world, "file"), 0);
    let (iovs, count) = world.pieces(&["still here"]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_write, fd, iovs, count, n), 0);
    assert_eq!(world.guest.files.bytes(), 10);
    assert_eq!(call!(world, fd_close, fd), 0);
    assert_eq!(world.guest.files.bytes(), 0);
}
