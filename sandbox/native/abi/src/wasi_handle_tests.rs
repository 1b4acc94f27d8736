use crate::Wasi;
use crate::testing::{MEMORY, World, ask, call, ended};
use crate::wasi_fd::tests::{CREATE, READ_WRITE, file, open, pread, pwrite, read, seek, size, tell, write};

const DIRECTORY: u32 = 2;

#[test]
fn seeking_has_three_starts_and_the_old_interface_another_order() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "0123456789");
    assert_eq!(seek(&mut world, fd, 4, 0), (0, 4));
    assert_eq!(seek(&mut world, fd, -1, 1), (0, 3));
    assert_eq!(seek(&mut world, fd, 5, 2), (0, 15));
    let at = world.room(8);
    let mut old =
        |offset: i64, whence| (call!(world, unstable_fd_seek, fd, offset.cast_unsigned(), whence, at), world.u64(at));
    assert_eq!(old(4, 2), (0, 4));
    assert_eq!(old(-1, 0), (0, 3));
    assert_eq!(old(5, 1), (0, 15));
}

#[test]
fn seeks_that_cannot_be_leave_the_descriptor_where_it_is() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "0123456789");
    for (offset, whence, errno) in
        [(-1, 0, 28), (-11, 1, 28), (-11, 2, 28), (0, 3, 28), (0, u32::MAX, 28), (i64::MIN, 2, 28), (i64::MAX, 2, 61)]
    {
        assert_eq!(seek(&mut world, fd, offset, whence).0, errno, "{offset} {whence}");
    }
    assert_eq!(call!(world, fd_seek, fd, 0, 0, MEMORY), 21);
    assert_eq!(tell(&mut world, fd), (0, 10));
    assert_eq!(seek(&mut world, fd, i64::MAX, 0), (0, i64::MAX.cast_unsigned()));
    assert_eq!(write(&mut world, fd, "x").0, 22);
    assert_eq!(read(&mut world, fd, 1), (0, String::new()));
}

#[test]
fn streams_have_no_position() {
    let mut world = World::ordinary();
    for fd in 0..3 {
        assert_eq!(seek(&mut world, fd, 0, 1).0, 70, "{fd}");
        assert_eq!(tell(&mut world, fd).0, 70, "{fd}");
        assert_eq!(pread(&mut world, fd, 0, 1).0, 70, "{fd}");
        assert_eq!(pwrite(&mut world, fd, 0, "x").0, 70, "{fd}");
        assert_eq!(call!(world, fd_allocate, fd, 0, 1), 70, "{fd}");
        assert_eq!(call!(world, fd_advise, fd, 0, 1, 0), 70, "{fd}");
    }
}

#[test]
fn allocating_makes_room_and_never_shrinks() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    for (offset, len, expected) in [(0, 100, 100), (10, 10, 100), (90, 20, 110)] {
        assert_eq!(call!(world, fd_allocate, fd, offset, len), 0);
        assert_eq!(size(&mut world, fd), expected);
    }
    assert_eq!(call!(world, fd_allocate, fd, 0, 0), 28);
    assert_eq!(call!(world, fd_allocate, fd, u64::MAX, 1), 22);
    assert_eq!(call!(world, fd_allocate, fd, u64::MAX, u64::MAX), 22);
}

#[test]
fn advice_is_checked() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    for advice in 0..6 {
        assert_eq!(call!(world, fd_advise, fd, 10, 50, advice), 0);
    }
    assert_eq!(call!(world, fd_advise, fd, 0, 0, 6), 28);
    assert_eq!(call!(world, fd_advise, fd, u64::MAX, 1, 0), 28);
    assert_eq!(call!(world, fd_advise, fd, 1 << 63, 0, 0), 28);
    assert_eq!((call!(world, fd_sync, fd), call!(world, fd_datasync, fd)), (0, 0));
    assert_eq!((call!(world, fd_sync, 3), call!(world, fd_sync, 1)), (0, 0));
}

#[test]
fn a_closed_number_is_used_again() {
    let mut world = World::ordinary();
    let first = file(&mut world, "a");
    assert_eq!(first, 5);
    assert_eq!(open(&mut world, ".", DIRECTORY, 0, 0), 6);
    assert_eq!(call!(world, fd_close, first), 0);
    assert_eq!(call!(world, fd_close, first), 8);
    assert_eq!(file(&mut world, ""), 5);
    assert_eq!(call!(world, fd_close, 3), 0);
    assert_eq!(call!(world, fd_prestat_get, 3, 64), 8);
    assert_eq!(call!(world, fd_prestat_get, 4, 64), 0);
}

#[test]
fn renumbering_moves_a_descriptor_over_another() {
    let mut world = World::ordinary();
    let one = file(&mut world, "one");
    let two = open(&mut world, "two", CREATE, READ_WRITE, 0);
    assert_eq!(seek(&mut world, one, 1, 0), (0, 1));
    assert_eq!(call!(world, fd_renumber, one, two), 0);
    assert_eq!(read(&mut world, two, 9), (0, "ne".into()));
    assert_eq!(call!(world, fd_close, one), 8);
    assert_eq!(call!(world, fd_renumber, two, one), 8);
    assert_eq!(call!(world, fd_renumber, two, two), 0);
    assert_eq!(read(&mut world, two, 9), (0, String::new()));
}

#[test]
fn standard_output_can_become_a_file() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    assert_eq!(call!(world, fd_renumber, fd, 1), 0);
    let packets = world.channel.packets();
    assert_eq!((packets.len(), packets[0].0.domain, packets[0].1.len()), (1, 3, 8));
    assert_eq!(write(&mut world, 1, "to the file"), (0, 11));
    assert_eq!(world.channel.packets(), []);
    assert_eq!(call!(world, fd_renumber, 0, 3), 0);
    assert_eq!(call!(world, fd_prestat_get, 3, 64), 8);
}

#[test]
fn there_are_1024_descriptors() {
    let mut world = World::ordinary();
    let (at, len) = world.text(".");
    for _ in 5..1024 {
        assert_eq!(call!(world, path_open, 3, 0, at, len, 0, 0, 0, 0, 80), 0);
    }
    assert_eq!(call!(world, path_open, 3, 0, at, len, 0, 0, 0, 0, 80), 33);
    assert_eq!(call!(world, fd_close, 700), 0);
    assert_eq!(call!(world, path_open, 3, 0, at, len, 0, 0, 0, 0, 80), 0);
    assert_eq!(world.u32(80), 700);
}

/// Entries in a buffer: cookie, name and type, the last one perhaps cut.
fn entries(bytes: &[u8]) -> Vec<(u64, String, u8)> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while rest.len() >= 24 {
        let len = u32::from_le_bytes(rest[16..20].try_into().expect("four")) as usize;
        if rest.len() < 24 + len {
            break;
        }
        let cookie = u64::from_le_bytes(rest[..8].try_into().expect("eight"));
        found.push((cookie, String::from_utf8(rest[24..24 + len].to_vec()).expect("text"), rest[20]));
        rest = &rest[24 + len..];
    }
    found
}

fn list(world: &mut World<Wasi>, fd: u32, len: u32, cookie: u64) -> Vec<u8> {
    let (buffer, used) = (world.room(len), world.room(4));
    assert_eq!(call!(world, fd_readdir, fd, buffer, len, cookie, used), 0);
    world.bytes(buffer, world.u32(used)).to_vec()
}

#[test]
fn a_directory_is_listed_with_dots_types_and_serials() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    let bytes = list(&mut world, 3, 4096, 0);
    let found = entries(&bytes);
    let names: Vec<_> = found.iter().map(|(_, name, kind)| (name.as_str(), *kind)).collect();
    assert_eq!(names, [(".", 3), ("..", 3), ("file", 4)]);
    assert_eq!(bytes.len(), 24 * 3 + 1 + 2 + 4);
    let at = world.room(64);
    assert_eq!(call!(world, fd_filestat_get, fd, at), 0);
    assert_eq!(bytes[24 + 1 + 24 + 2 + 8..][..8], world.u64(at + 8).to_le_bytes());
    assert_eq!(entries(&list(&mut world, 3, 4096, found[1].0)).len(), 1);
    assert_eq!(list(&mut world, 3, 4096, found[2].0), b"");
    assert_eq!(list(&mut world, 3, 4096, u64::MAX), b"");
}

#[test]
fn a_long_directory_is_listed_in_parts_of_any_size() {
    let mut world = World::ordinary();
    let names: Vec<String> = (0..60).map(|index| format!("file.{index}")).collect();
    for name in &names {
        let fd = open(&mut world, name, CREATE, 0, 0);
        assert_eq!(call!(world, fd_close, fd), 0);
        world.tidy();
    }
    for len in [48, 100, 256, 1000] {
        let (mut found, mut cookie) = (Vec::new(), 0);
        loop {
            world.tidy();
            let bytes = list(&mut world, 3, len, cookie);
            let part = entries(&bytes);
            cookie = part.last().map_or(cookie, |(cookie, ..)| *cookie);
            found.extend(part.into_iter().map(|(_, name, _)| name));
            if bytes.len() < len as usize {
                break;
            }
        }
        assert_eq!(found[2..], names, "{len}");
    }
}

#[test]
fn only_a_directory_is_listed() {
    let mut world = World::ordinary();
    let fd = file(&mut world, "");
    for fd in [0, 1, 2, fd] {
        assert_eq!(call!(world, fd_readdir, fd, 64, 64, 0, 64), 54, "{fd}");
    }
}

#[test]
fn an_orphan_cannot_close_its_output() {
    let mut world = World::ordinary();
    world.channel.closed = true;
    assert_eq!(ended(ask!(world, fd_close, 1)), 75);
}
