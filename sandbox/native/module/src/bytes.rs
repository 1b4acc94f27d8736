//! Reading and writing the words of states and guides: little-endian, without gaps, every count checked against what is left before anything is
//! reserved for it.

/// What could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// The rest of the bytes, untrusted.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Broken)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N)?.try_into().map_err(|_| Broken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of things that follow, each of at least `size` bytes.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize, Broken> {
        let count = self.number()? as usize;
        if count.checked_mul(size).is_some_and(|bytes| bytes <= self.rest.len()) { Ok(count) } else { Err(Broken) }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let count = self.count(1)?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Result<String, Broken> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Broken)
    }

    pub(crate) fn list<T>(
        &mut self,
        size: usize,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<T, Broken>,
    ) -> Result<Vec<T>, Broken> {
        let count = self.count(size)?;
        (0..count).map(|_| item(self)).collect()
    }

    pub(crate) fn numbers(&mut self) -> Result<Vec<u32>, Broken> {
        self.list(4, Reader::number)
    }

    pub(crate) fn end(self) -> Result<(), Broken> {
        if self.rest.is_empty() { Ok(()) } else { Err(Broken) }
    }
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, crate::number(bytes.len()));
    out.extend(bytes);
}

pub(crate) fn put_list<T>(out: &mut Vec<u8>, list: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    put_number(out, crate::number(list.len()));
    list.iter().for_each(|one| item(out, one));
}

pub(crate) fn put_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    put_list(out, numbers, |out, number| put_number(out, *number));
}

/// As hexadecimal digits.
pub(crate) fn hex(bytes: impl Iterator<Item = u8>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
