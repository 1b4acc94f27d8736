//! The question which pages a program has changed, of host and keeper.

/// What of a program's memory is its own by now, not the file's that it goes on from. Descriptor: its memory file, where
/// the answer's list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Where its memory is, in its own addresses: as the program says, and it is believed about itself only.
    pub address: u64,
    /// Bytes from there.
    pub length: u64,
    /// Where in the file the list goes: `u32 page, u32 pages` (of 4 KiB, from the address on), ascending.
    pub list_at: u64,
}

/// Entries of a list of SCAN: half a megabyte of it fits into any control memory.
pub const SCAN_MOST: usize = 65_536;
/// Page of a list of SCAN.
pub const SCAN_PAGE: u64 = 4096;
