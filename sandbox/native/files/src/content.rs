//! The bytes of one regular file: chunks of at most 64 KiB, so that growing never copies more than one chunk.
//!
//! A chunk that is not there is a hole; a chunk shorter than 64 KiB ends in a hole. The storage of a chunk doubles from
//! 256 bytes, so that ten thousand small files do not cost 64 KiB each.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{Problem, Result};

/// Largest chunk: what one packet can carry, so that one packet of content touches at most two chunks.
const CHUNK: usize = 65_536;
/// Smallest storage of a chunk.
const SMALLEST: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Content {
    size: u64,
    chunks: BTreeMap<u64, Vec<u8>>,
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of storage that are held, for tests of the bounds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.chunks.values().map(Vec::capacity).sum()
    }

    /// What is not zero at its end, chunk by chunk: the same for the same content, however it was written.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks.iter().filter_map(|(index, chunk)| {
            let len = chunk.iter().rposition(|byte| *byte != 0)? + 1;
            Some((*index, chunk.get(..len)?))
        })
    }

    /// Puts what [`Content::stored`] said behind everything that is there. False: it never says this.
    pub(crate) fn put_stored(&mut self, index: u64, bytes: &[u8]) -> bool {
        let start = index.checked_mul(CHUNK as u64).filter(|start| self.size <= *start);
        let fits = bytes.len() <= CHUNK && bytes.last().is_some_and(|last| *last != 0);
        match start.and_then(|start| start.checked_add(bytes.len() as u64)) {
            Some(end) if fits => {
                self.chunks.insert(index, bytes.to_vec());
                self.size = end;
                true
            }
            _ => false,
        }
    }

    /// Fills `into` from `offset` on; answers how much there was.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        let there = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = there.min(into.len());
        let mut rest = into.get_mut(..wanted).unwrap_or_default();
        for (chunk, range) in spans(offset, wanted) {
            let (piece, later) = rest.split_at_mut(range.len().min(rest.len()));
            self.read_chunk(chunk, range.start, piece);
            rest = later;
        }
        wanted
    }

    fn read_chunk(&self, chunk: u64, start: usize, into: &mut [u8]) {
        let bytes = self.chunks.get(&chunk).map_or(&[][..], Vec::as_slice);
        let bytes = bytes.get(start..).unwrap_or_default();
        let stored = bytes.len().min(into.len());
        let (data, hole) = into.split_at_mut(stored);
        data.copy_from_slice(bytes.get(..stored).unwrap_or_default());
        hole.fill(0);
    }

    /// Writes all of `from`. The caller has checked that the new end is allowed.
    pub(crate) fn write_at(&mut self, offset: u64, from: &[u8]) -> Result<()> {
        let mut rest = from;
        let mut at = offset;
        for (chunk, range) in spans(offset, from.len()) {
            let (piece, later) = rest.split_at(range.len().min(rest.len()));
            write_chunk(self.chunks.entry(chunk).or_default(), range, piece)?;
            rest = later;
            at = at.saturating_add(piece.len() as u64);
            self.size = self.size.max(at);
        }
        Ok(())
    }

    /// Cuts, or grows by a hole.
    pub(crate) fn set_size(&mut self, size: u64) {
        if size < self.size {
            let (last, within) = place(size);
            self.chunks.split_off(&(last + 1));
            if let Some(chunk) = self.chunks.get_mut(&last) {
                chunk.truncate(within);
                give_back(chunk);
            }
            if within == 0 {
                self.chunks.remove(&last);
            }
        }
        self.size = size;
    }
}

/// Number of the chunk that holds this offset, and where in it.
fn place(offset: u64) -> (u64, usize) {
    let chunk = CHUNK as u64;
    (offset / chunk, usize::try_from(offset % chunk).unwrap_or(0))
}

/// The parts of chunks that `len` bytes from `offset` on cover.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let (first, start) = place(offset);
    let mut next = (first, start, len);
    std::iter::from_fn(move || {
        let (chunk, start, left) = next;
        let now = left.min(CHUNK - start);
        next = (chunk.saturating_add(1), 0, left - now);
        (now > 0).then_some((chunk, start..start + now))
    })
}

fn write_chunk(chunk: &mut Vec<u8>, range: Range<usize>, piece: &[u8]) -> Result<()> {
    if range.end > chunk.capacity() {
        let capacity = range.end.next_power_of_two().clamp(SMALLEST, CHUNK);
        chunk.try_reserve_exact(capacity - chunk.len()).map_err(|_| Problem::NoSpace)?;
    }
    if range.start == chunk.len() {
        chunk.extend_from_slice(piece);
        return Ok(());
    }
    if range.end > chunk.len() {
        chunk.resize(range.end, 0);
    }
    if let Some(target) = chunk.get_mut(range) {
        target.copy_from_slice(piece);
    }
    Ok(())
}

/// After a cut: storage of more than twice the need goes back, or a guest could hold memory that nobody counts.
fn give_back(chunk: &mut Vec<u8>) {
    let need = chunk.len().next_power_of_two().max(SMALLEST);
    if chunk.capacity() <= need * 2 {
        return;
    }
    let mut smaller = Vec::new();
    if smaller.try_reserve_exact(need).is_ok() {
        smaller.extend_from_slice(chunk);
        *chunk = smaller;
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
