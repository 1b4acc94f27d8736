//! The guest's linear memory, seen through the guest's own pointers: every access is checked, nothing is assumed aligned.

/// An address that is not in the memory. Each personality has its own answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

/// A buffer that the guest described: `u32 pointer, u32 length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    pub(crate) pointer: u32,
    pub(crate) len: u32,
}

/// Bytes of one [`Buffer`] in the guest's memory.
const BUFFER: u64 = 8;

pub(crate) type Checked<T> = Result<T, Fault>;

/// Bytes at a pointer. Nothing at all can be anywhere: compilers give empty slices any address.
pub(crate) fn bytes(memory: &[u8], pointer: u32, len: u32) -> Checked<&[u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    let start = pointer as usize;
    let end = start.checked_add(len as usize).ok_or(Fault)?;
    memory.get(start..end).ok_or(Fault)
}

/// The same for writing.
pub(crate) fn bytes_mut(memory: &mut [u8], pointer: u32, len: u32) -> Checked<&mut [u8]> {
    if len == 0 {
        return Ok(&mut []);
    }
    let start = pointer as usize;
    let end = start.checked_add(len as usize).ok_or(Fault)?;
    memory.get_mut(start..end).ok_or(Fault)
}

/// A place within a structure.
pub(crate) fn offset(pointer: u32, by: u64) -> Checked<u32> {
    u32::try_from(u64::from(pointer) + by).map_err(|_| Fault)
}

fn array<const N: usize>(memory: &[u8], pointer: u32) -> Checked<[u8; N]> {
    let found = memory.get(pointer as usize..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(Fault)
}

pub(crate) fn get_u8(memory: &[u8], pointer: u32) -> Checked<u8> {
    array::<1>(memory, pointer).map(|[byte]| byte)
}

pub(crate) fn get_u16(memory: &[u8], pointer: u32) -> Checked<u16> {
    array(memory, pointer).map(u16::from_le_bytes)
}

pub(crate) fn get_u32(memory: &[u8], pointer: u32) -> Checked<u32> {
    array(memory, pointer).map(u32::from_le_bytes)
}

pub(crate) fn get_u64(memory: &[u8], pointer: u32) -> Checked<u64> {
    array(memory, pointer).map(u64::from_le_bytes)
}

/// Copies to a pointer.
pub(crate) fn put(memory: &mut [u8], pointer: u32, from: &[u8]) -> Checked<()> {
    let len = u32::try_from(from.len()).map_err(|_| Fault)?;
    bytes_mut(memory, pointer, len)?.copy_from_slice(from);
    Ok(())
}

pub(crate) fn put_u32(memory: &mut [u8], pointer: u32, value: u32) -> Checked<()> {
    put(memory, pointer, &value.to_le_bytes())
}

pub(crate) fn put_u64(memory: &mut [u8], pointer: u32, value: u64) -> Checked<()> {
    put(memory, pointer, &value.to_le_bytes())
}

/// One of a list of buffers.
pub(crate) fn buffer(memory: &[u8], list: u32, index: u32) -> Checked<Buffer> {
    let at = offset(list, u64::from(index) * BUFFER)?;
    Ok(Buffer { pointer: get_u32(memory, at)?, len: get_u32(memory, offset(at, 4)?)? })
}

/// Checks a list of buffers and everything that it points to; answers the sum of the lengths.
pub(crate) fn buffers(memory: &[u8], list: u32, count: u32) -> Checked<u64> {
    let mut total = 0u64;
    for index in 0..count {
        let Buffer { pointer, len } = buffer(memory, list, index)?;
        bytes(memory, pointer, len)?;
        total = total.saturating_add(u64::from(len));
    }
    Ok(total)
}

/// Walks through a checked list of buffers, a piece at a time.
#[derive(Debug)]
pub(crate) struct Cursor {
    list: u32,
    count: u32,
    index: u32,
    within: u32,
}

impl Cursor {
    pub(crate) fn new(list: u32, count: u32) -> Cursor {
        Cursor { list, count, index: 0, within: 0 }
    }

    /// The next piece of at most `limit` bytes, never empty; None: that was all.
    pub(crate) fn next(&mut self, memory: &[u8], limit: u32) -> Checked<Option<Buffer>> {
        while self.index < self.count {
            let Buffer { pointer, len } = buffer(memory, self.list, self.index)?;
            // A list that overlaps what is being read can change under us: a shorter buffer is then just over.
            let left = len.saturating_sub(self.within).min(limit);
            if left > 0 {
                let piece = Buffer { pointer: offset(pointer, u64::from(self.within))?, len: left };
                self.within += left;
                return Ok(Some(piece));
            }
            if limit == 0 {
                return Ok(None);
            }
            self.index += 1;
            self.within = 0;
        }
        Ok(None)
    }

    /// Appends up to `limit` bytes to `into`; answers how many there were.
    pub(crate) fn gather(&mut self, memory: &[u8], limit: usize, into: &mut Vec<u8>) -> Checked<usize> {
        let mut left = limit;
        while left > 0 {
            let most = u32::try_from(left).unwrap_or(u32::MAX);
            let Some(piece) = self.next(memory, most)? else { break };
            let piece = bytes(memory, piece.pointer, piece.len)?;
            into.extend_from_slice(piece);
            left -= piece.len();
        }
        Ok(limit - left)
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
