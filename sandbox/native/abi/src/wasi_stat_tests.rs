use gatebus_wire::control::{Begin, FLAG_PLAIN_OUTPUT, Kind as Control, Node, NodeType};

use super::*;
use crate::testing::{BOOT, EPOCH, MEMORY, MS, World, begin, call};

/// A file at `f` that was changed at 42, and its descriptor.
fn with_file() -> (World<Wasi>, u32) {
    let node = Node { kind: NodeType::File, modified: 42, path: b"f", target: b"" };
    let parts = [(Control::Node, node.encode().expect("small")), (Control::Content, b"12345".to_vec())];
    let mut world = World::wasi(&begin(), &parts);
    let (at, len) = world.text("f");
    let fd = world.room(4);
    let rights = right::FD_READ | right::FD_WRITE;
    assert_eq!(call!(world, path_open, 3, 0, at, len, 0, rights, 0, 0, fd), 0);
    let fd = world.u32(fd);
    (world, fd)
}

/// Type, flags, rights, inheriting rights.
fn fdstat(world: &mut World<Wasi>, fd: u32) -> (u8, u16, u64, u64) {
    let at = world.put(&[0xff; 24]);
    assert_eq!(call!(world, fd_fdstat_get, fd, at), 0, "{fd}");
    assert_eq!((world.bytes(at + 1, 1), world.u32(at + 4)), (&[0][..], 0));
    (world.memory[at as usize], world.u16(at + 2), world.u64(at + 8), world.u64(at + 16))
}

fn filestat(world: &mut World<Wasi>, fd: u32) -> [u64; 8] {
    let at = world.put(&[0xff; 64]);
    assert_eq!(call!(world, fd_filestat_get, fd, at), 0, "{fd}");
    [0, 8, 16, 24, 32, 40, 48, 56].map(|by| world.u64(at + by))
}

#[test]
fn outputs_look_like_a_terminal_and_input_like_a_pipe() {
    let mut world = World::ordinary();
    let seeking = right::FD_SEEK | right::FD_TELL;
    for (fd, kind, may, may_not) in [
        (0, 0, right::FD_READ, right::FD_WRITE),
        (1, 2, right::FD_WRITE, right::FD_READ),
        (2, 2, right::FD_WRITE, right::FD_READ),
    ] {
        let (found, flags, base, inheriting) = fdstat(&mut world, fd);
        assert_eq!((found, flags, inheriting), (kind, 0, 0), "{fd}");
        assert_eq!((base & may, base & may_not, base & seeking), (may, 0, 0), "{fd}");
    }
}

#[test]
fn plain_output_looks_like_a_pipe_and_stays_so_under_another_number() {
    let mut world = World::wasi(&Begin { flags: begin().flags | FLAG_PLAIN_OUTPUT, ..begin() }, &[]);
    assert_eq!([0, 1, 2].map(|fd| fdstat(&mut world, fd).0), [0, 0, 2]);
    assert_eq!([0, 1, 2].map(|fd| filestat(&mut world, fd)[2]), [0, 0, 2]);
    assert_eq!(call!(world, fd_renumber, 1, 2), 0);
    assert_eq!(fdstat(&mut world, 2).0, 0);
}

#[test]
fn the_root_hands_everything_down_but_is_not_a_file() {
    let mut world = World::ordinary();
    for fd in [3, 4] {
        let (kind, flags, base, inheriting) = fdstat(&mut world, fd);
        assert_eq!((kind, flags, base), (3, 0, right::DIRECTORY));
        assert_eq!(inheriting, right::DIRECTORY | right::FILE);
        assert_eq!(base & right::FD_FILESTAT_SET_SIZE, 0);
    }
}

#[test]
fn a_file_says_how_it_was_opened() {
    let (mut world, fd) = with_file();
    assert_eq!(fdstat(&mut world, fd), (4, 0, right::FILE, 0));
    assert_eq!(call!(world, fd_fdstat_get, fd, MEMORY - 23), 21);
    assert_eq!(call!(world, fd_fdstat_get, 9, 64), 8);
}

#[test]
fn flags_are_set_all_at_once_and_unknown_ones_refused() {
    let (mut world, fd) = with_file();
    for flags in [1u32, 4, 31, 0] {
        assert_eq!(call!(world, fd_fdstat_set_flags, fd, flags), 0);
        assert_eq!(u32::from(fdstat(&mut world, fd).1), flags);
    }
    for flags in [32, 1 << 16, u32::MAX] {
        assert_eq!(call!(world, fd_fdstat_set_flags, fd, flags), 28);
    }
    assert_eq!(call!(world, fd_fdstat_set_flags, 9, 0), 8);
}

#[test]
fn rights_can_only_be_given_up() {
    let (mut world, fd) = with_file();
    let kept = right::FD_SEEK | right::FD_TELL | right::FD_WRITE;
    assert_eq!(call!(world, fd_fdstat_set_rights, fd, kept, 0), 0);
    assert_eq!(fdstat(&mut world, fd), (4, 0, kept, 0));
    assert_eq!(call!(world, fd_fdstat_set_rights, fd, kept | right::FD_READ, 0), 76);
    assert_eq!(call!(world, fd_fdstat_set_rights, fd, 0, 1), 76);
    assert_eq!(fdstat(&mut world, fd).2, kept);
    let (iovs, count) = world.pieces(&["x"]);
    assert_eq!(call!(world, fd_read, fd, iovs, count, 64), 8);
    assert_eq!(call!(world, fd_write, fd, iovs, count, 64), 0);
    for answer in [
        call!(world, fd_filestat_get, fd, 64),
        call!(world, fd_filestat_set_times, fd, 0, 0, 0),
        call!(world, fd_fdstat_set_flags, fd, 0),
        call!(world, fd_sync, fd),
        call!(world, fd_datasync, fd),
        call!(world, fd_advise, fd, 0, 0, 0),
    ] {
        assert_eq!(answer, 76);
    }
    assert_eq!((call!(world, fd_filestat_set_size, fd, 0), call!(world, fd_allocate, fd, 0, 9)), (8, 8));
    assert_eq!(call!(world, fd_fdstat_set_rights, 9, 0, 0), 8);
}

#[test]
fn a_file_is_known_in_both_layouts() {
    let (mut world, fd) = with_file();
    let [device, serial, kind, links, size, accessed, modified, _] = filestat(&mut world, fd);
    assert!(device == 1 && serial > 1);
    assert_eq!((kind, links, size, accessed, modified), (4, 1, 5, 42, 42));
    let at = world.put(&[0xff; 64]);
    assert_eq!(call!(world, unstable_fd_filestat_get, fd, at), 0);
    assert_eq!((world.u64(at), world.u64(at + 8), world.u32(at + 16), world.u32(at + 20)), (1, serial, 4, 1));
    assert_eq!((world.u64(at + 24), world.u64(at + 32), world.u64(at + 40)), (5, 42, 42));
    assert_eq!(world.u64(at + 56), u64::MAX, "56 bytes, not 64");
    assert_eq!(call!(world, fd_filestat_get, fd, MEMORY - 63), 21);
    assert_eq!(call!(world, unstable_fd_filestat_get, fd, MEMORY - 56), 0);
    assert_eq!(call!(world, unstable_fd_filestat_get, fd, MEMORY - 55), 21);
}

#[test]
fn streams_are_known_too_and_different_from_each_other() {
    let mut world = World::ordinary();
    let found = [0, 1, 2].map(|fd| filestat(&mut world, fd));
    assert_eq!(found.map(|stat| stat[2]), [0, 2, 2]);
    assert_eq!(found.map(|stat| (stat[0], stat[1])), [(2, 1), (2, 2), (2, 3)]);
    assert_eq!(filestat(&mut world, 3)[..3], [1, 1, 3]);
    assert_eq!(filestat(&mut world, 3), filestat(&mut world, 4));
    assert_eq!(call!(world, fd_filestat_get, 9, 64), 8);
}

#[test]
fn a_size_can_be_set() {
    let (mut world, fd) = with_file();
    assert_eq!(call!(world, fd_filestat_set_size, fd, 100), 0);
    assert_eq!(filestat(&mut world, fd)[4], 100);
    assert_eq!(call!(world, fd_filestat_set_size, fd, 0), 0);
    assert_eq!(filestat(&mut world, fd)[4], 0);
    assert_eq!(call!(world, fd_filestat_set_size, fd, u64::MAX), 22);
    assert_eq!(call!(world, fd_filestat_set_size, 1, 0), 70);
    assert_eq!(call!(world, fd_filestat_set_size, 9, 0), 8);
}

#[test]
fn times_are_set_given_now_or_not_at_all() {
    let (mut world, fd) = with_file();
    let now = (EPOCH + BOOT) / (10 * MS) * (10 * MS);
    for (flags, accessed, modified) in
        [(1, 100, 42), (4, 100, 200), (0, 100, 200), (2, now, 200), (8, now, now), (5, 100, 200), (10, now, now)]
    {
        assert_eq!(call!(world, fd_filestat_set_times, fd, 100, 200, flags), 0);
        let stat = filestat(&mut world, fd);
        assert_eq!((stat[5], stat[6], stat[7]), (accessed, modified, now), "{flags}");
    }
    for flags in [3, 12, 15, 16, u32::MAX] {
        assert_eq!(call!(world, fd_filestat_set_times, fd, 7, 7, flags), 28, "{flags}");
    }
    assert_eq!(filestat(&mut world, fd)[5..7], [now, now]);
    assert_eq!(call!(world, fd_filestat_set_times, 1, 0, 0, 0), 58);
    assert_eq!(call!(world, fd_filestat_set_times, 9, 0, 0, 0), 8);
    assert_eq!(call!(world, fd_filestat_set_times, 3, 5, 6, 5), 0);
    assert_eq!(filestat(&mut world, 4)[5..7], [5, 6]);
}

#[test]
fn the_root_is_open_from_the_start_as_slash_and_dot() {
    let mut world = World::ordinary();
    for (fd, name) in [(3, "/"), (4, ".")] {
        let at = world.put(&[0xff; 8]);
        assert_eq!(call!(world, fd_prestat_get, fd, at), 0);
        assert_eq!(world.u64(at), 1 << 32);
        let at = world.put(&[b'x'; 4]);
        assert_eq!(call!(world, fd_prestat_dir_name, fd, at, 0), 37);
        assert_eq!(call!(world, fd_prestat_dir_name, fd, at, 1), 0);
        assert_eq!(call!(world, fd_prestat_dir_name, fd, at, 4), 0);
        assert_eq!(world.bytes(at, 4), [name.as_bytes(), b"xxx"].concat());
        assert_eq!(call!(world, fd_prestat_dir_name, fd, MEMORY, 1), 21);
        assert_eq!(call!(world, fd_prestat_get, fd, MEMORY - 7), 21);
    }
    for fd in [0, 1, 2, 5, u32::MAX] {
        assert_eq!(call!(world, fd_prestat_get, fd, 64), 8, "{fd}");
        assert_eq!(call!(world, fd_prestat_dir_name, fd, 64, 8), 8, "{fd}");
    }
}

#[test]
fn a_directory_that_was_opened_is_no_preopen() {
    let mut world = World::ordinary();
    let (at, len) = world.text(".");
    let fd = world.room(4);
    assert_eq!(call!(world, path_open, 3, 0, at, len, 2, 0, 0, 0, fd), 0);
    let fd = world.u32(fd);
    assert_eq!(call!(world, fd_prestat_get, fd, 64), 8);
    assert_eq!(fdstat(&mut world, fd), (3, 0, right::DIRECTORY, right::DIRECTORY | right::FILE));
}
