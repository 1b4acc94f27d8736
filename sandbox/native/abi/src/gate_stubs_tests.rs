//! test_fd_advise, test_path_open and all the others that must fail for every descriptor.

use crate::testing::{World, call};

const ANSWERS: [i32; 7] = [63, 63, 63, 8, 63, 8, 8];
const FDS: [u32; 7] = [0, 1, 2, 3, 4, 5, u32::MAX];

macro_rules! stub {
    ($($name:ident: $method:ident($($before:expr),*; fd; $($after:expr),*);)*) => {
        $(
            #[test]
            fn $name() {
                let mut world = World::fine();
                let found = FDS.map(|fd| call!(world, $method, $($before,)* fd $(, $after)*));
                assert_eq!(found, ANSWERS);
                assert!(world.memory.iter().all(|byte| *byte == 0), "nothing is touched");
            }
        )*
    };
}

stub! {
    test_fd_advise: fd_advise(; fd; 0, 4096, 2);
    test_fd_allocate: fd_allocate(; fd; 0, 8192);
    test_datasync: fd_datasync(; fd;);
    test_fd_fdstat_set_flags: fd_fdstat_set_flags(; fd; 2);
    test_fd_filestat_get: fd_filestat_get(; fd; 64);
    test_fd_filestat_set_size: fd_filestat_set_size(; fd; 512);
    test_fd_filestat_set_times: fd_filestat_set_times(; fd; 6_000_000_000, 0, 9);
    test_fd_pread: fd_pread(; fd; 64, 1, 0, 64);
    test_fd_prestat_get: fd_prestat_get(; fd; 64);
    test_fd_pwrite: fd_pwrite(; fd; 64, 1, 0, 64);
    test_fd_readdir: fd_readdir(; fd; 64, 1024, 0, 64);
    test_fd_seek: fd_seek(; fd; 0, 2, 64);
    test_sync: fd_sync(; fd;);
    test_fd_tell: fd_tell(; fd; 64);
    test_path_create_directory: path_create_directory(; fd; 64, 3);
    test_path_filestat_get: path_filestat_get(; fd; 1, 64, 3, 64);
    test_path_filestat_set_times: path_filestat_set_times(; fd; 1, 64, 3, 6, 7, 5);
    test_path_open: path_open(; fd; 0, 64, 3, 1, 2, 0, 1, 64);
    test_path_readlink: path_readlink(; fd; 64, 3, 64, 4096, 64);
    test_path_remove_directory: path_remove_directory(; fd; 64, 3);
    test_path_symlink: path_symlink(64, 3; fd; 64, 3);
    test_path_unlink_file: path_unlink_file(; fd; 64, 3);
    test_sock_shutdown: sock_shutdown(; fd; 3);
}

/// Both descriptors count.
fn both(call: impl Fn(u32, u32) -> i32) {
    let known = |fd: u32| [0, 1, 2, 4].contains(&fd);
    for first in FDS {
        for second in FDS {
            let expected = if known(first) && known(second) { 63 } else { 8 };
            assert_eq!(call(first, second), expected, "{first} {second}");
        }
    }
}

#[test]
fn test_path_link() {
    both(|first, second| call!(World::fine(), path_link, first, 0, 64, 3, second, 64, 3));
}

#[test]
fn test_path_rename() {
    both(|first, second| call!(World::fine(), path_rename, first, 64, 3, second, 64, 3));
}
