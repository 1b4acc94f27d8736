//! WASI: what is known about a descriptor and the node behind it, in both layouts, and changing it.

use gatebus_files::Stat;

use crate::descriptor::{Descriptor, Target, flag, right};
use crate::errno::{Errno, Outcome, answer};
use crate::memory;
use crate::wasi::{Memory, Wasi};
use crate::{Answer, Channel};

/// Device number of the file system; the streams have another one.
const DEVICE: u64 = 1;
const STREAMS: u64 = 2;

/// What `filestat` says, before it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStat {
    device: u64,
    serial: u64,
    file_type: u8,
    links: u64,
    size: u64,
    times: [u64; 3],
}

impl From<Stat> for FileStat {
    fn from(stat: Stat) -> FileStat {
        FileStat {
            device: DEVICE,
            serial: stat.serial,
            file_type: stat.kind as u8,
            links: u64::from(stat.links),
            size: stat.size,
            times: [stat.accessed, stat.modified, stat.changed],
        }
    }
}

/// `u64 device, u64 serial, u8 type, 7 x 0, u64 links, u64 size, u64 accessed, u64 modified, u64 changed`.
pub(crate) fn layout(stat: FileStat) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(stat.device.to_le_bytes());
    bytes.extend(stat.serial.to_le_bytes());
    bytes.extend(u64::from(stat.file_type).to_le_bytes());
    bytes.extend(stat.links.to_le_bytes());
    bytes.extend(stat.size.to_le_bytes());
    bytes.extend(stat.times.iter().flat_map(|time| time.to_le_bytes()));
    bytes
}

/// `wasi_unstable`: the links are `u32` right after the type, at 20, and everything after them 8 bytes earlier.
pub(crate) fn unstable_layout(stat: FileStat) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(56);
    bytes.extend(stat.device.to_le_bytes());
    bytes.extend(stat.serial.to_le_bytes());
    bytes.extend(u32::from(stat.file_type).to_le_bytes());
    bytes.extend(u32::try_from(stat.links).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(stat.size.to_le_bytes());
    bytes.extend(stat.times.iter().flat_map(|time| time.to_le_bytes()));
    bytes
}

/// Which times to set: None leaves one as it is.
pub(crate) fn times_untrusted(
    (accessed, modified): (u64, u64),
    flags: u32,
    now: u64,
) -> Result<(Option<u64>, Option<u64>), Errno> {
    let one = |time, given: u32| match (flags & given != 0, flags & given << 1 != 0) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(Some(time)),
        (false, true) => Ok(Some(now)),
        (false, false) => Ok(None),
    };
    if flags > 15 {
        return Err(Errno::INVAL);
    }
    Ok((one(accessed, 1)?, one(modified, 4)?))
}

/// The signatures are WASI's.
#[allow(clippy::too_many_arguments)]
impl Wasi {
    /// `u8 type, u8 0, u16 flags, u32 0, u64 rights, u64 inheriting`.
    pub fn fd_fdstat_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, fd: u32, stat: u32) -> Answer<i32> {
        answer((|| {
            let Descriptor { flags, base, inheriting, .. } = *self.table.get(fd)?;
            let mut bytes = vec![self.table.get(fd)?.file_type(), 0];
            bytes.extend(flags.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(base.to_le_bytes());
            bytes.extend(inheriting.to_le_bytes());
            Ok(memory::put(memory, stat, &bytes)?)
        })())
    }

    /// Sets all flags at once.
    pub fn fd_fdstat_set_flags(&mut self, _: Memory<'_>, _: &mut dyn Channel, fd: u32, flags: u32) -> Answer<i32> {
        answer((|| {
            let descriptor = self.table.get_mut(fd)?;
            descriptor.check(right::FD_FDSTAT_SET_FLAGS)?;
            descriptor.flags = flags_untrusted(flags)?;
            Ok(())
        })())
    }

    /// Rights can only be given up.
    pub fn fd_fdstat_set_rights(
        &mut self,
        _: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        base: u64,
        inheriting: u64,
    ) -> Answer<i32> {
        answer((|| {
            let descriptor = self.table.get_mut(fd)?;
            if base & !descriptor.base != 0 || inheriting & !descriptor.inheriting != 0 {
                return Err(Errno::NOTCAPABLE.into());
            }
            descriptor.base = base;
            descriptor.inheriting = inheriting;
            Ok(())
        })())
    }

    /// What is known about the node behind a descriptor.
    pub fn fd_filestat_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, fd: u32, stat: u32) -> Answer<i32> {
        answer(self.stat(fd).and_then(|found| Ok(memory::put(memory, stat, &layout(found))?)))
    }

    /// The same in the layout of `wasi_unstable`.
    pub fn unstable_fd_filestat_get(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        stat: u32,
    ) -> Answer<i32> {
        answer(self.stat(fd).and_then(|found| Ok(memory::put(memory, stat, &unstable_layout(found))?)))
    }

    fn stat(&self, fd: u32) -> Outcome<FileStat> {
        let descriptor = self.table.get(fd)?;
        descriptor.check(right::FD_FILESTAT_GET)?;
        let serial = match descriptor.target {
            Target::Node(id, _) => return Ok(self.files.stat(id)?.into()),
            Target::Input => 1,
            Target::Output => 2,
            Target::Log => 3,
        };
        let file_type = descriptor.file_type();
        Ok(FileStat { device: STREAMS, serial, file_type, links: 1, size: 0, times: [0; 3] })
    }

    /// Cuts a file or grows it by a hole.
    pub fn fd_filestat_set_size(
        &mut self,
        _: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        size: u64,
    ) -> Answer<i32> {
        answer((|| {
            let id = self.table.get(fd)?.file(right::FD_FILESTAT_SET_SIZE)?;
            let now = self.now(channel);
            Ok(self.files.set_size(id, size, now)?)
        })())
    }

    /// Sets the times of a node.
    pub fn fd_filestat_set_times(
        &mut self,
        _: Memory<'_>,
        channel: &mut dyn Channel,
        fd: u32,
        accessed: u64,
        modified: u64,
        flags: u32,
    ) -> Answer<i32> {
        answer((|| {
            let descriptor = self.table.get(fd)?;
            let Target::Node(id, _) = descriptor.target else { return Err(Errno::NOTSUP.into()) };
            descriptor.check(right::FD_FILESTAT_SET_TIMES)?;
            let now = self.now(channel);
            let (accessed, modified) = times_untrusted((accessed, modified), flags, now)?;
            Ok(self.files.set_times(id, accessed, modified, now)?)
        })())
    }

    /// `u8 0 (a directory), u8[3] 0, u32 length of its name`.
    pub fn fd_prestat_get(&mut self, memory: Memory<'_>, _: &mut dyn Channel, fd: u32, prestat: u32) -> Answer<i32> {
        answer((|| {
            let name = self.table.get(fd)?.preopen.ok_or(Errno::BADF)?;
            let len = u64::try_from(name.len()).unwrap_or(0);
            Ok(memory::put_u64(memory, prestat, len << 32)?)
        })())
    }

    /// The name of a directory that is open from the start; it need not fill the buffer.
    pub fn fd_prestat_dir_name(
        &mut self,
        memory: Memory<'_>,
        _: &mut dyn Channel,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Answer<i32> {
        answer((|| {
            let name = self.table.get(fd)?.preopen.ok_or(Errno::BADF)?;
            if (len as usize) < name.len() {
                return Err(Errno::NAMETOOLONG.into());
            }
            Ok(memory::put(memory, path, name.as_bytes())?)
        })())
    }
}

/// Flags of a descriptor that exist.
pub(crate) fn flags_untrusted(flags: u32) -> Result<u16, Errno> {
    let flags = u16::try_from(flags).map_err(|_| Errno::INVAL)?;
    if flags & !flag::ALL == 0 { Ok(flags) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
#[path = "wasi_stat_tests.rs"]
mod tests;
