//! Gate: the functions that are there so that programs link, and say EPERM for a descriptor that exists, else EBADF.

use crate::errno::Errno;
use crate::gate::{Gate, Memory, fd_error};
use crate::{Answer, Channel};

macro_rules! stubs {
    ($($name:ident(fd: u32 $(, $parameter:ident: $kind:ty)*);)*) => {
        /// The signatures are WASI's.
        #[allow(clippy::too_many_arguments)]
        impl Gate {
            $(
                #[doc = concat!("`", stringify!($name), "` is not permitted.")]
                pub fn $name(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32 $(, $parameter: $kind)*) -> Answer<i32> {
                    Ok(fd_error(fd, Errno::PERM).0)
                }
            )*
        }
    };
}

stubs! {
    fd_advise(fd: u32, _offset: u64, _len: u64, _advice: u32);
    fd_allocate(fd: u32, _offset: u64, _len: u64);
    fd_datasync(fd: u32);
    fd_fdstat_set_flags(fd: u32, _flags: u32);
    fd_filestat_get(fd: u32, _stat: u32);
    fd_filestat_set_size(fd: u32, _size: u64);
    fd_filestat_set_times(fd: u32, _accessed: u64, _modified: u64, _flags: u32);
    fd_pread(fd: u32, _iovs: u32, _count: u32, _offset: u64, _nread: u32);
    fd_prestat_get(fd: u32, _prestat: u32);
    fd_pwrite(fd: u32, _iovs: u32, _count: u32, _offset: u64, _nwritten: u32);
    fd_readdir(fd: u32, _buffer: u32, _len: u32, _cookie: u64, _used: u32);
    fd_seek(fd: u32, _offset: u64, _whence: u32, _position: u32);
    fd_sync(fd: u32);
    fd_tell(fd: u32, _position: u32);
    path_create_directory(fd: u32, _path: u32, _len: u32);
    path_filestat_get(fd: u32, _flags: u32, _path: u32, _len: u32, _stat: u32);
    path_filestat_set_times(fd: u32, _flags: u32, _path: u32, _len: u32, _accessed: u64, _modified: u64, _times: u32);
    path_open(fd: u32, _flags: u32, _path: u32, _len: u32, _oflags: u32, _base: u64, _inheriting: u64, _fdflags: u32, _opened: u32);
    path_readlink(fd: u32, _path: u32, _len: u32, _buffer: u32, _buffer_len: u32, _used: u32);
    path_remove_directory(fd: u32, _path: u32, _len: u32);
    path_unlink_file(fd: u32, _path: u32, _len: u32);
    sock_shutdown(fd: u32, _how: u32);
}

/// Those whose descriptor is not the first parameter, or that have two.
#[allow(clippy::too_many_arguments)]
impl Gate {
    /// `path_link` is not permitted.
    pub fn path_link(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        old_fd: u32,
        _flags: u32,
        _old: u32,
        _old_len: u32,
        new_fd: u32,
        _new: u32,
        _new_len: u32,
    ) -> Answer<i32> {
        Ok(fd_error(old_fd, fd_error(new_fd, Errno::PERM)).0)
    }

    /// `path_rename` is not permitted.
    pub fn path_rename(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        old_fd: u32,
        _old: u32,
        _old_len: u32,
        new_fd: u32,
        _new: u32,
        _new_len: u32,
    ) -> Answer<i32> {
        Ok(fd_error(old_fd, fd_error(new_fd, Errno::PERM)).0)
    }

    /// `path_symlink` is not permitted.
    pub fn path_symlink(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        _target: u32,
        _target_len: u32,
        fd: u32,
        _path: u32,
        _len: u32,
    ) -> Answer<i32> {
        Ok(fd_error(fd, Errno::PERM).0)
    }
}

#[cfg(test)]
#[path = "gate_stubs_tests.rs"]
mod tests;
