use gatebus_wire::control::Begin;

use crate::descriptor::right;
use crate::testing::{EPOCH, MEMORY, MS, World, begin, call};
use crate::{Wasi, testing::BOOT};

pub(crate) const CREATE: u32 = 1;
pub(crate) const READ_WRITE: u64 = right::FD_READ | right::FD_WRITE;

/// Opens a path below fd 3 and gives the new descriptor.
pub(crate) fn open(world: &mut World<Wasi>, path: &str, oflags: u32, rights: u64, fdflags: u32) -> u32 {
    let (at, len) = world.text(path);
    let fd = world.room(4);
    assert_eq!(call!(world, path_open, 3, 1, at, len, oflags, rights, 0, fdflags, fd), 0, "{path}");
    world.u32(fd)
}

pub(crate) fn file(world: &mut World<Wasi>, text: &str) -> u32 {
    let fd = open(world, "file", CREATE, READ_WRITE, 0);
    if !text.is_empty() {
        assert_eq!(write(world, fd, text), (0, u32::try_from(text.len()).expect("small")));
    }
    fd
}

pub(crate) fn write(world: &mut World<Wasi>, fd: u32, text: &str) -> (i32, u32) {
    let (iovs, count) = world.pieces(&[text]);
    let n = world.room(4);
    (call!(world, fd_write, fd, iovs, count, n), world.u32(n))
}

pub(crate) fn read(world: &mut World<Wasi>, fd: u32, len: u32) -> (i32, String) {
    let into = world.room(len);
    let (iovs, count) = world.iovs(&[(into, len)]);
    let n = world.room(4);
    let errno = call!(world, fd_read, fd, iovs, count, n);
    (errno, String::from_utf8(world.bytes(into, world.u32(n)).to_vec()).expect("text"))
}

pub(crate) fn pread(world: &mut World<Wasi>, fd: u32, offset: u64, len: u32) -> (i32, String) {
    let into = world.room(len);
    let (iovs, count) = world.iovs(&[(into, len)]);
    let n = world.room(4);
    let errno = call!(world, fd_pread, fd, iovs, count, offset, n);
    (errno, String::from_utf8(world.bytes(into, world.u32(n)).to_vec()).expect("text"))
}

pub(crate) fn pwrite(world: &mut World<Wasi>, fd: u32, offset: u64, text: &str) -> (i32, u32) {
    let (iovs, count) = world.pieces(&[text]);
    let n = world.room(4);
    (call!(world, fd_pwrite, fd, iovs, count, offset, n), world.u32(n))
}

pub(crate) fn seek(world: &mut World<Wasi>, fd: u32, offset: i64, whence: u32) -> (i32, u64) {
    let at = world.room(8);
    (call!(world, fd_seek, fd, offset.cast_unsigned(), whence, at), world.u64(at))
}

pub(crate) fn tell(world: &mut World<Wasi>, fd: u32) -> (i32, u64) {
    let at = world.room(8);
    (call!(world, fd_tell, fd, at), world.u64(at))
}

pub(crate) fn size(world: &mut World<Wasi>, fd: u32) -> u64 {
    let at = world.room(64);
    assert_eq!(call!(world, fd_filestat_get, fd, at), 0);
    world.u64(at + 32)
}

#[test]
fn a_file_is_written_and_read_where_the_descriptor_is() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "hello world");
    assert_eq!(tell(&mut world, fd), (0, 11));
    assert_eq!(read(&mut world, fd, 10), (0, String::new()));
    assert_eq!(seek(&mut world, fd, 6, 0), (0, 6));
    assert_eq!(read(&mut world, fd, 3), (0, "wor".into()));
    assert_eq!(read(&mut world, fd, 30), (0, "ld".into()));
    assert_eq!(seek(&mut world, fd, -5, 2), (0, 6));
    assert_eq!(write(&mut world, fd, "there"), (0, 5));
    assert_eq!(pread(&mut world, fd, 0, 40), (0, "hello there".into()));
    assert_eq!(tell(&mut world, fd), (0, 11));
}

#[test]
fn a_list_of_buffers_is_read_and_written_in_order() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    let (iovs, count) = world.pieces(&["ab", "", "cde", "f"]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_write, fd, iovs, count, n), 0);
    assert_eq!(world.u32(n), 6);
    let into = world.room(16);
    let (iovs, count) = world.iovs(&[(into, 1), (into + 8, 2), (into + 12, 4)]);
    assert_eq!(call!(world, fd_pread, fd, iovs, count, 1, n), 0);
    assert_eq!(world.u32(n), 5);
    assert_eq!(world.bytes(into, 16), *b"b\0\0\0\0\0\0\0cd\0\0ef\0\0");
}

#[test]
fn a_directory_is_not_a_file() {
    let mut world = World::ordinary();
    for fd in [3, 4] {
        assert_eq!(read(&mut world, fd, 1).0, 31);
        assert_eq!(write(&mut world, fd, "x").0, 31);
        assert_eq!(pread(&mut world, fd, 0, 1).0, 31);
        assert_eq!(pwrite(&mut world, fd, 0, "x").0, 31);
        assert_eq!(seek(&mut world, fd, 0, 1).0, 31);
        assert_eq!(tell(&mut world, fd).0, 31);
        assert_eq!(call!(world, fd_allocate, fd, 0, 1), 31);
        assert_eq!(call!(world, fd_filestat_set_size, fd, 0), 31);
        assert_eq!(call!(world, fd_advise, fd, 0, 0, 0), 31);
    }
}

#[test]
fn descriptors_that_do_not_exist_are_bad() {
    let mut world = World::ordinary();
    for fd in [5, 1024, u32::MAX] {
        assert_eq!(read(&mut world, fd, 1).0, 8);
        assert_eq!(write(&mut world, fd, "x").0, 8);
        assert_eq!(pread(&mut world, fd, 0, 1).0, 8);
        assert_eq!(pwrite(&mut world, fd, 0, "x").0, 8);
        assert_eq!(seek(&mut world, fd, 0, 0).0, 8);
        assert_eq!(tell(&mut world, fd).0, 8);
        assert_eq!(call!(world, fd_close, fd), 8);
        assert_eq!(call!(world, fd_sync, fd), 8);
        assert_eq!(call!(world, fd_datasync, fd), 8);
        assert_eq!(call!(world, fd_allocate, fd, 0, 1), 8);
        assert_eq!(call!(world, fd_advise, fd, 0, 1, 0), 8);
        assert_eq!(call!(world, fd_renumber, fd, 3), 8);
        assert_eq!(call!(world, fd_renumber, 3, fd), 8);
        assert_eq!(call!(world, fd_readdir, fd, 64, 8, 0, 64), 8);
    }
}

#[test]
fn reading_and_writing_are_what_the_descriptor_was_opened_for() {
    let mut world = World::ordinary();
    let both = file(&mut world, "text");
    let reading = open(&mut world, "file", 0, right::FD_READ, 0);
    let writing = open(&mut world, "file", 0, right::FD_WRITE, 0);
    let neither = open(&mut world, "file", 0, 0, 0);
    assert_eq!(read(&mut world, reading, 9), (0, "text".into()));
    assert_eq!(write(&mut world, reading, "x").0, 8);
    assert_eq!(pwrite(&mut world, reading, 0, "x").0, 8);
    assert_eq!(call!(world, fd_filestat_set_size, reading, 0), 8);
    assert_eq!(call!(world, fd_allocate, reading, 0, 9), 8);
    assert_eq!(write(&mut world, writing, "TE"), (0, 2));
    assert_eq!(read(&mut world, writing, 9).0, 8);
    assert_eq!(pread(&mut world, writing, 0, 9).0, 8);
    assert_eq!(read(&mut world, neither, 9), (0, "TExt".into()));
    assert_eq!(pread(&mut world, both, 0, 9), (0, "TExt".into()));
    assert_eq!((write(&mut world, 0, "x").0, read(&mut world, 1, 1).0, read(&mut world, 2, 1).0), (8, 8, 8));
}

#[test]
fn appending_goes_to_the_end_but_an_offset_is_an_offset() {
    let mut world = World::ordinary();
    let fd = open(&mut world, "file", CREATE, READ_WRITE, 1);
    assert_eq!(write(&mut world, fd, "ab"), (0, 2));
    assert_eq!(seek(&mut world, fd, 0, 0), (0, 0));
    assert_eq!(write(&mut world, fd, "cd"), (0, 2));
    assert_eq!(tell(&mut world, fd), (0, 4));
    assert_eq!(pwrite(&mut world, fd, 0, "xyz"), (0, 3));
    assert_eq!(tell(&mut world, fd), (0, 4));
    assert_eq!(pread(&mut world, fd, 0, 9), (0, "xyzd".into()));
    assert_eq!(call!(world, fd_fdstat_set_flags, fd, 0), 0);
    assert_eq!(seek(&mut world, fd, 0, 0), (0, 0));
    assert_eq!(write(&mut world, fd, "__"), (0, 2));
    assert_eq!(pread(&mut world, fd, 0, 9), (0, "__zd".into()));
}

#[test]
fn a_negative_offset_is_invalid() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "text");
    assert_eq!(pread(&mut world, fd, u64::MAX, 1).0, 28);
    assert_eq!(pwrite(&mut world, fd, 1 << 63, "x").0, 28);
    assert_eq!(pwrite(&mut world, fd, i64::MAX.cast_unsigned(), "x").0, 22);
    assert_eq!(pread(&mut world, fd, i64::MAX.cast_unsigned(), 1), (0, String::new()));
}

#[test]
fn a_full_file_system_takes_a_part_and_then_says_so() {
    let mut world = World::wasi(&Begin { files_limit: 10, ..begin() }, &[]);
    let fd = file(&mut world, "");
    let (iovs, count) = world.pieces(&["12345", "67890", "12345"]);
    let n = world.room(4);
    assert_eq!(call!(world, fd_write, fd, iovs, count, n), 0);
    assert_eq!(world.u32(n), 10);
    assert_eq!(write(&mut world, fd, "x").0, 51);
    assert_eq!(tell(&mut world, fd), (0, 10));
    assert_eq!(call!(world, fd_allocate, fd, 0, 11), 51);
    assert_eq!(call!(world, fd_filestat_set_size, fd, 11), 51);
}

#[test]
fn pointers_outside_the_memory_are_faults_and_change_nothing() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "text");
    let (iovs, count) = world.iovs(&[(64, 4), (MEMORY - 2, 4)]);
    assert_eq!(call!(world, fd_write, fd, iovs, count, 64), 21);
    assert_eq!(call!(world, fd_write, 1, iovs, count, 64), 21);
    assert_eq!(call!(world, fd_write, 2, iovs, count, 64), 21);
    assert_eq!(call!(world, fd_pwrite, fd, iovs, count, 0, 64), 21);
    assert_eq!(call!(world, fd_read, fd, iovs, count, 64), 21);
    assert_eq!(call!(world, fd_read, 0, iovs, count, 64), 21);
    assert_eq!(call!(world, fd_pread, fd, iovs, count, 0, 64), 21);
    for (list, count) in [(MEMORY - 4, 1), (64, u32::MAX), (u32::MAX, 1)] {
        assert_eq!(call!(world, fd_write, fd, list, count, 64), 21);
        assert_eq!(call!(world, fd_write, 1, list, count, 64), 21);
        assert_eq!(call!(world, fd_read, fd, list, count, 64), 21);
    }
    assert_eq!(size(&mut world, fd), 4);
    assert_eq!(world.channel.packets(), []);
    assert_eq!(call!(world, fd_readdir, 3, MEMORY - 1, 2, 0, 64), 21);
    assert_eq!(call!(world, fd_readdir, 3, 64, 8, 0, MEMORY - 3), 21);
    assert_eq!(call!(world, fd_tell, fd, MEMORY - 7), 21);
}

#[test]
fn a_list_that_is_overwritten_while_it_is_read_does_no_harm() {
    let mut world = World::ordinary();
    let fd = file(&mut world, &"\u{7f}".repeat(64));
    let (iovs, _) = world.iovs(&[(0, 0), (64, 8), (64, 8), (64, 8)]);
    world.memory[iovs as usize..iovs as usize + 8].copy_from_slice(&[iovs.to_le_bytes(), 32u32.to_le_bytes()].concat());
    let errno = call!(world, fd_pread, fd, iovs, 4, 0, 64);
    assert!(errno == 0 || errno == 21, "{errno}");
}

#[test]
fn writing_is_stamped_with_coarse_time() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    world.channel.now += 35 * MS;
    assert_eq!(write(&mut world, fd, "x"), (0, 1));
    let at = world.room(64);
    assert_eq!(call!(world, fd_filestat_get, fd, at), 0);
    let tick = |time: u64| time / (10 * MS) * (10 * MS);
    assert_eq!(world.u64(at + 48), tick(EPOCH + BOOT + 35 * MS));
    assert_eq!(world.u64(at + 40), tick(EPOCH + BOOT));
}
