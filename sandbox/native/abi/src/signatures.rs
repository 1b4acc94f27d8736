//! Signatures only, to bind against.
#![allow(unused_variables, clippy::too_many_arguments)]

use crate::{Channel, Exit};

/// Gate state.
pub struct Gate {}

fn unwritten<T>() -> Result<T, Exit> {
    Err(Exit { status: 70, result: 0, text: "this function is not written yet".into() })
}

impl Gate {
    /// Not written yet: answers status 70.
    pub fn fd(&mut self, memory: &mut [u8], channel: &mut dyn Channel, ) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn io(&mut self, memory: &mut [u8], channel: &mut dyn Channel, received: u32, received_count: u32, nreceived: u32, sent: u32, sent_count: u32, nsent: u32, timeout: u64, flags: u32) -> Result<(), Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn args_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, argv: u32, buffer: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn args_sizes_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, count: u32, size: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn clock_res_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, clock: u32, resolution: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn clock_time_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, clock: u32, precision: u64, time: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn environ_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, environ: u32, buffer: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn environ_sizes_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, count: u32, size: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_advise(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, offset: u64, len: u64, advice: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_allocate(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, offset: u64, len: u64) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_close(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_datasync(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_fdstat_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, stat: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_fdstat_set_flags(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, flags: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_fdstat_set_rights(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, base: u64, inheriting: u64) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_filestat_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, stat: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_filestat_set_size(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, size: u64) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_filestat_set_times(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, accessed: u64, modified: u64, flags: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_pread(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, iovs: u32, count: u32, offset: u64, nread: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_prestat_dir_name(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, path: u32, len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_prestat_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, prestat: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_pwrite(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, iovs: u32, count: u32, offset: u64, nwritten: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_read(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, iovs: u32, count: u32, nread: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_readdir(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, buffer: u32, len: u32, cookie: u64, used: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_renumber(&mut self, memory: &mut [u8], channel: &mut dyn Channel, from: u32, to: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_seek(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, offset: u64, whence: u32, position: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_sync(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_tell(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, position: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn fd_write(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, iovs: u32, count: u32, nwritten: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_create_directory(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, path: u32, len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_filestat_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, flags: u32, path: u32, len: u32, stat: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_filestat_set_times(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, times: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_link(&mut self, memory: &mut [u8], channel: &mut dyn Channel, old_fd: u32, flags: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_open(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, flags: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32, opened: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_readlink(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, used: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_remove_directory(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, path: u32, len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_rename(&mut self, memory: &mut [u8], channel: &mut dyn Channel, old_fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_symlink(&mut self, memory: &mut [u8], channel: &mut dyn Channel, target: u32, target_len: u32, fd: u32, path: u32, len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn path_unlink_file(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, path: u32, len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn poll_oneoff(&mut self, memory: &mut [u8], channel: &mut dyn Channel, subscriptions: u32, events: u32, count: u32, nevents: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn proc_exit(&mut self, memory: &mut [u8], channel: &mut dyn Channel, code: u32) -> Result<(), Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn proc_raise(&mut self, memory: &mut [u8], channel: &mut dyn Channel, signal: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn random_get(&mut self, memory: &mut [u8], channel: &mut dyn Channel, buffer: u32, len: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn sched_yield(&mut self, memory: &mut [u8], channel: &mut dyn Channel, ) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn sock_recv(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, iovs: u32, count: u32, flags: u32, nread: u32, out_flags: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn sock_send(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, iovs: u32, count: u32, flags: u32, nwritten: u32) -> Result<i32, Exit> { unwritten() }
    /// Not written yet: answers status 70.
    pub fn sock_shutdown(&mut self, memory: &mut [u8], channel: &mut dyn Channel, fd: u32, how: u32) -> Result<i32, Exit> { unwritten() }
}
