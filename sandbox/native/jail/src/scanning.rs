//! The keeper's fourth part: which pages of a program's memory are its own, and not the file's that it goes on from.
//!
//! Asked when the program waits with its state told. The kernel knows it (PAGEMAP_SCAN: present or swapped out, and of no
//! file); a program that is locked cannot ask, and needs no right for it here: who made the user namespace may look at what is
//! in it. Nothing of the memory is read. The address is the program's word: a lie shows it a list of its own pages that it could
//! have had without, in a file that is its own.

use super::Keeper;
use super::sharing::pid_of;
use crate::sys::syscall;
use gatebus_wire::keeper::{Answer, SCAN_MOST, SCAN_PAGE, Scan};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// `_IOWR('f', 16, struct pm_scan_arg)`, of linux/fs.h since 6.7.
const PAGEMAP_SCAN: u64 = 0xC060_6610;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
const IS_ZERO: u64 = 1 << 5;
/// Regions that one call gives.
const AT_ONCE: usize = 1024;

#[repr(C)]
#[derive(Default)]
struct Arguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_count: u64,
    most_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    told: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

impl Keeper {
    pub(super) fn scan(&mut self, token: u32, id: u32, scan: Scan) {
        let list = self.list.take();
        let pidfd = self.children.get(&token).and_then(|child| child.pidfd.as_ref());
        let count = pidfd.zip(list).and_then(|(pidfd, list)| write_list(pidfd, list, scan));
        self.answer(id, &Answer::Scanned(count));
    }
}

fn write_list(pidfd: &OwnedFd, list: OwnedFd, scan: Scan) -> Option<u32> {
    let entries = changed_pages(pidfd, scan)?;
    let bytes: Vec<u8> =
        entries.iter().flat_map(|(page, pages)| [page.to_le_bytes(), pages.to_le_bytes()]).flatten().collect();
    File::from(list).write_all_at(&bytes, scan.list_at).ok()?;
    u32::try_from(entries.len()).ok()
}

fn changed_pages(pidfd: &OwnedFd, scan: Scan) -> Option<Vec<(u32, u32)>> {
    let end = scan.address.checked_add(scan.length)?;
    let sane =
        scan.address.is_multiple_of(SCAN_PAGE) && scan.length.is_multiple_of(SCAN_PAGE) && scan.length <= 4 << 30;
    let map = File::open(format!("/proc/{}/pagemap", pid_of(pidfd.as_raw_fd())?)).ok().filter(|_| sane)?;
    // The number was the program's while it lives, and then the open file is of its memory whatever comes.
    if !is_alive(pidfd) {
        return None;
    }
    let mut found: Vec<(u32, u32)> = Vec::new();
    let mut start = scan.address;
    while start < end {
        let mut regions = [Region::default(); AT_ONCE];
        let (count, walked) = ask(&map, start..end, &mut regions)?;
        for region in regions.get(..count)? {
            let page = u32::try_from(region.start.checked_sub(scan.address)? / SCAN_PAGE).ok()?;
            let pages = u32::try_from(region.end.checked_sub(region.start)? / SCAN_PAGE).ok()?;
            match found.last_mut() {
                Some((last, length)) if *last + *length == page => *length += pages,
                _ => found.push((page, pages)),
            }
        }
        if walked <= start || found.len() > SCAN_MOST {
            return None;
        }
        start = walked;
    }
    Some(found)
}

fn ask(map: &File, range: std::ops::Range<u64>, regions: &mut [Region]) -> Option<(usize, u64)> {
    let mut arguments = Arguments {
        size: size_of::<Arguments>() as u64,
        start: range.start,
        end: range.end,
        regions: regions.as_mut_ptr() as u64,
        regions_count: regions.len() as u64,
        inverted: IS_FILE | IS_ZERO,
        all_of: IS_FILE | IS_ZERO,
        any_of: IS_PRESENT | IS_SWAPPED,
        told: IS_PRESENT | IS_SWAPPED,
        ..Arguments::default()
    };
    // SAFETY: the kernel reads and writes `arguments`, and writes at most as many regions as it is told that there are.
    let count = unsafe { syscall!(libc::SYS_ioctl, map.as_raw_fd(), PAGEMAP_SCAN, &raw mut arguments) };
    Some((usize::try_from(count).ok()?, arguments.walk_end))
}

fn is_alive(pidfd: &OwnedFd) -> bool {
    let mut ended = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives until the call returns.
    unsafe { libc::poll(&mut ended, 1, 0) == 0 }
}
