//! Line numbers of offsets, by one search each (a script has up to thousands of directives).

/// Where the lines of a text begin.
#[derive(Debug)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Reads the text once.
    pub fn of(text: &str) -> Lines {
        let after = |(at, byte): (usize, u8)| (byte == b'\n').then_some(at + 1);
        Lines { starts: std::iter::once(0).chain(text.bytes().enumerate().filter_map(after)).collect() }
    }

    /// The line, counted from 1, of the byte at `offset`.
    pub fn at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::of("ab\n\ncd\n");
        assert_eq!([0, 2, 3, 4, 6].map(|at| lines.at(at)), [1, 1, 2, 3, 3]);
    }
}
