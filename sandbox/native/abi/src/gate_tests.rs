//! Names follow Gate's own test programs: `test_NAME` must pass, `testtrap_NAME` must end with a deficiency.

use gatebus_wire::control::Begin;

use crate::testing::{BOOT, EPOCH, MEMORY, SECOND, World, ask, begin, call, ended, exit};

const DEFICIENCY: u32 = 47;
const TRAP: u32 = 25;

#[test]
fn test_args() {
    let mut world = World::fine();
    let (count, size) = (world.put(&[123; 8]), world.put(&[45; 8]));
    assert_eq!(call!(world, args_sizes_get, count, size), 0);
    assert_eq!((world.u32(count), world.u32(size)), (0, 0));
    let argv = world.put(&[78; 8]);
    assert_eq!(call!(world, args_get, argv, argv), 0);
    assert_eq!(world.bytes(argv, 8), [78; 8]);
    assert_eq!(call!(world, args_get, u32::MAX, 0), 0);
    assert_eq!((call!(world, args_sizes_get, 0, size), call!(world, args_sizes_get, count, 0)), (21, 21));
    assert_eq!(ended(ask!(world, args_sizes_get, count, MEMORY - 3)), TRAP);
}

#[test]
fn test_clock_res() {
    let mut world = World::fine();
    let at = world.room(8);
    for clock in 0..4 {
        assert_eq!(call!(world, clock_res_get, clock, at), 0);
        assert_eq!(world.u64(at), 1024);
    }
    assert_eq!((call!(world, clock_res_get, 4, at), call!(world, clock_res_get, u32::MAX, at)), (28, 28));
    assert_eq!((call!(world, clock_res_get, 0, 0), call!(world, clock_res_get, 9, 0)), (21, 21));
    assert_eq!(ended(ask!(world, clock_res_get, 0, MEMORY - 7)), TRAP);
}

#[test]
fn the_resolution_is_strictly_greater_than_the_policy() {
    for (ms, ns, answered) in
        [(10, 0, 16_777_216), (1000, 0, SECOND), (0, 1, 2), (0, 0, 2), (5000, 0, SECOND), (0, 1024, 2048)]
    {
        let mut world = World::gate(&Begin { clock_ms: ms, clock_ns: ns, ..begin() });
        let at = world.room(8);
        assert_eq!(call!(world, clock_res_get, 1, at), 0);
        assert_eq!(world.u64(at), answered);
    }
}

#[test]
fn test_clock_time() {
    let mut world = World::fine();
    let at = world.room(8);
    assert_eq!(call!(world, clock_time_get, 0, 1, at), 0);
    assert_eq!(world.u64(at), (EPOCH + BOOT) / SECOND * SECOND + (((EPOCH + BOOT) % SECOND) & !1023));
    assert_eq!(call!(world, clock_time_get, 1, 1, at), 0);
    assert_eq!(world.u64(at), SECOND);
    world.channel.now += 3_000_000_000;
    assert_eq!(call!(world, clock_time_get, 1, u64::MAX, at), 0);
    assert_eq!(world.u64(at), 4 * SECOND);
    assert_eq!((call!(world, clock_time_get, 4, 1, at), call!(world, clock_time_get, u32::MAX, 1, at)), (28, 28));
    assert_eq!((call!(world, clock_time_get, 0, 1, 0), call!(world, clock_time_get, 2, 1, 0)), (21, 21));
    assert_eq!(ended(ask!(world, clock_time_get, 0, 1, u32::MAX)), TRAP);
}

#[test]
fn testtrap_clock_time_process_and_thread() {
    let mut world = World::fine();
    for clock in [2, 3] {
        let exit = exit(ask!(world, clock_time_get, clock, 1, 64));
        assert_eq!((exit.status, &*exit.text), (DEFICIENCY, "a clock of CPU time was read"));
    }
}

#[test]
fn test_environ() {
    let mut world = World::fine();
    let (count, size) = (world.room(4), world.room(4));
    assert_eq!(call!(world, environ_sizes_get, count, size), 0);
    assert_eq!((world.u32(count), world.u32(size)), (3, 72));
    let (environ, buffer) = (world.put(&[9; 16]), world.put(&[9; 80]));
    assert_eq!(call!(world, environ_get, environ, buffer), 0);
    assert_eq!([0, 4, 8].map(|by| world.u32(environ + by)), [buffer, buffer + 24, buffer + 40]);
    assert_eq!(world.bytes(buffer, 24), b"GATE_ABI_VERSION=0\0\0\0\0\0\0");
    assert_eq!(world.bytes(buffer + 24, 16), b"GATE_FD=4\0\0\0\0\0\0\0");
    assert_eq!(world.bytes(buffer + 40, 32), b"GATE_MAX_SEND_SIZE=65536\0\0\0\0\0\0\0\0");
    assert_eq!((world.bytes(buffer + 72, 8), world.bytes(environ + 12, 4)), (&[9; 8][..], &[9; 4][..]));
    assert_eq!((call!(world, environ_get, 0, buffer), call!(world, environ_get, environ, 0)), (21, 21));
    assert_eq!((call!(world, environ_sizes_get, 0, size), call!(world, environ_sizes_get, count, 0)), (21, 21));
    assert_eq!(ended(ask!(world, environ_get, environ, MEMORY - 71)), TRAP);
    assert_eq!(ended(ask!(world, environ_get, MEMORY - 11, buffer)), TRAP);
}

#[test]
fn test_fd() {
    assert_eq!(call!(World::fine(), fd), 4);
}

#[test]
fn test_fd_close() {
    let mut world = World::fine();
    assert_eq!((call!(world, fd_close, 3), call!(world, fd_close, 5), call!(world, fd_close, u32::MAX)), (8, 8, 8));
}

#[test]
fn testtrap_fd_close_stdin_stdout_stderr_gate() {
    let mut world = World::fine();
    for fd in [0, 1, 2, 4] {
        assert_eq!(ended(ask!(world, fd_close, fd)), DEFICIENCY, "{fd}");
    }
}

#[test]
fn test_fd_fdstat_get() {
    let mut world = World::fine();
    for (fd, flags, rights) in [(0, 0, 0), (1, 0, 0x40), (2, 0, 0x40), (4, 4, 0x42)] {
        let at = world.put(&[0xff; 32]);
        assert_eq!(call!(world, fd_fdstat_get, fd, at), 0);
        assert_eq!((world.u16(at), world.u16(at + 2), world.u32(at + 4)), (0, flags, 0), "{fd}");
        assert_eq!((world.u64(at + 8), world.u64(at + 16), world.u64(at + 24)), (rights, 0, u64::MAX), "{fd}");
    }
    for fd in [3, 5, u32::MAX] {
        assert_eq!(call!(world, fd_fdstat_get, fd, 64), 8);
    }
    assert_eq!((call!(world, fd_fdstat_get, 1, 0), call!(world, fd_fdstat_get, 3, 0)), (21, 21));
    assert_eq!(ended(ask!(world, fd_fdstat_get, 1, MEMORY - 23)), TRAP);
}

#[test]
fn test_fd_fdstat_set_rights() {
    let mut world = World::fine();
    for (fd, base, inheriting, errno) in [
        (0, 0, 0, 0),
        (0, 0, 2, 76),
        (0, 2, 0, 76),
        (0, 1 << 8, 0, 76),
        (1, 0, 0x40, 76),
        (1, 0x40, 0, 0),
        (1, 2, 0, 76),
        (1, 0x42, 0, 76),
        (1, 1, 0, 76),
        (2, 0, 2, 76),
        (2, 0x40, 0, 0),
        (2, 4, 0, 76),
        (3, 0, 0, 8),
        (3, 2, 0, 8),
        (3, 0, 0x40, 8),
        (4, 0, 0x42, 76),
        (4, 0x42, 1, 76),
        (4, 0x42, 0, 0),
        (4, 0x62, 0, 76),
        (4, 0x20, 0, 76),
        (5, 0, 0, 8),
        (u32::MAX, 0x42, 0, 8),
    ] {
        assert_eq!(call!(world, fd_fdstat_set_rights, fd, base, inheriting), errno, "{fd} {base} {inheriting}");
    }
}

#[test]
fn testtrap_fd_fdstat_set_rights_drop() {
    let mut world = World::fine();
    for (fd, base) in [(1, 0), (2, 0), (4, 0x40), (4, 2), (4, 0)] {
        assert_eq!(ended(ask!(world, fd_fdstat_set_rights, fd, base, 0)), DEFICIENCY, "{fd} {base}");
    }
}

#[test]
fn test_fd_prestat_dir_name() {
    let mut world = World::fine();
    for (fd, errno) in [(0, 28), (1, 28), (2, 28), (3, 8), (4, 28), (5, 8)] {
        assert_eq!(call!(world, fd_prestat_dir_name, fd, 64, 9), errno);
        assert_eq!(call!(world, fd_prestat_dir_name, fd, 0, 0), errno);
        assert_eq!(call!(world, fd_prestat_dir_name, fd, 0, 1), 21);
    }
}

#[test]
fn test_fd_prestat_get_so_that_a_search_for_directories_stops_at_three() {
    let mut world = World::fine();
    let found = [0, 1, 2, 3, 4, 5].map(|fd| call!(world, fd_prestat_get, fd, 64));
    assert_eq!(found, [63, 63, 63, 8, 63, 8]);
}

#[test]
fn test_fd_renumber() {
    let mut world = World::fine();
    for fd in [0, 1, 2, 4] {
        assert_eq!(call!(world, fd_renumber, fd, fd), 0);
    }
    for fd in 0..10 {
        assert_eq!((call!(world, fd_renumber, fd, 10), call!(world, fd_renumber, 10, fd)), (8, 8));
    }
    assert_eq!((call!(world, fd_renumber, 3, 3), call!(world, fd_renumber, 5, 5)), (8, 8));
}

#[test]
fn testtrap_fd_renumber_stdin_stdout_stderr_gate() {
    let mut world = World::fine();
    for (from, to) in [(0, 1), (1, 4), (2, 0), (4, 1)] {
        assert_eq!(ended(ask!(world, fd_renumber, from, to)), DEFICIENCY);
    }
}

#[test]
fn the_end_is_zero_or_not_zero() {
    let mut world = World::fine();
    for (code, status, result) in [(0, 2, 0), (1, 3, 1), (77, 3, 77), (u32::MAX, 3, -1)] {
        let exit = exit(ask!(world, proc_exit, code));
        assert_eq!((exit.status, exit.result), (status, result));
    }
}

#[test]
fn testtrap_proc_raise() {
    let mut world = World::fine();
    assert_eq!(ended(ask!(world, proc_raise, 6)), DEFICIENCY);
    assert_eq!(ended(ask!(world, proc_raise, 0)), DEFICIENCY);
}

#[test]
fn test_random_get() {
    let mut world = World::fine();
    let at = world.put(&[0xee; 24]);
    assert_eq!(call!(world, random_get, at, 10), 0);
    assert_eq!(call!(world, random_get, at + 10, 6), 0);
    assert_eq!(world.bytes(at, 18), [(1..=16).collect::<Vec<u8>>(), vec![0xee; 2]].concat());
    assert_eq!(call!(world, random_get, at, 0), 0);
    assert_eq!((call!(world, random_get, 0, 0), call!(world, random_get, 0, 1)), (0, 21));
}

#[test]
fn testtrap_random_get_too_much_at_once_or_bit_by_bit() {
    let mut world = World::fine();
    assert_eq!(ended(ask!(world, random_get, 64, 17)), DEFICIENCY);
    let mut world = World::fine();
    assert_eq!(call!(world, random_get, 64, 10), 0);
    assert_eq!(ended(ask!(world, random_get, 64, 10)), DEFICIENCY);
    let mut world = World::fine();
    assert_eq!(ended(ask!(world, random_get, MEMORY - 3, 4)), TRAP);
}

#[test]
fn test_sched_yield() {
    assert_eq!(call!(World::fine(), sched_yield), 0);
}

#[test]
fn test_sock_recv() {
    let mut world = World::fine();
    let found = [0, 1, 2, 3, 4, 5].map(|fd| call!(world, sock_recv, fd, 0, 0, 0, 0, 0));
    assert_eq!(found, [63, 63, 63, 8, 57, 8]);
}

#[test]
fn test_sock_send() {
    let mut world = World::fine();
    let found = [0, 1, 2, 3, 4, 5].map(|fd| call!(world, sock_send, fd, 0, 0, 0, 0));
    assert_eq!(found, [63, 57, 57, 8, 57, 8]);
}
