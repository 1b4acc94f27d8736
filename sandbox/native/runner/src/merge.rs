//! Joins data segments that lie close together, before the compiler sees them.
//!
//! Go's compiler emits a segment for every few bytes: 53,000 of them in a hello. The engine compiles the initialisation
//! of memory into one function, a few instructions for each segment; that function alone took 500 MB and two thirds of the
//! time. Joined there are 81. The gaps become zeros, which is what fresh memory holds. Only when nothing can tell the
//! difference: all segments are active with constant offsets in memory 0, nothing was written into a gap before, and no
//! instruction can name a segment.

use crate::bounds;
use crate::refusal::{Refusal, at_most};
use std::borrow::Cow;
use wasm_encoder::{ConstExpr, DataSection, Section};
use wasmparser::{BinaryReaderError, Data, DataKind, DataSectionReader, Operator, Parser, Payload};

/// Zeros that are cheaper than another segment.
const GAP: u64 = 64;
const DATA: u8 = 11;

/// A segment as it will be.
struct Segment {
    offset: i32,
    bytes: Vec<u8>,
}

/// The module with its segments joined, or as it was. `wasm` is valid.
pub fn merge_segments(wasm: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Refusal> {
    let merged = merged(&wasm).map_err(|error| Refusal::malformed(&error))?;
    let Some((count, merged)) = merged else { return Ok(wasm) };
    at_most("data segments that lie apart", count as u64, bounds::DATA_SEGMENTS_APART)?;
    Ok(merged.map_or(wasm, Cow::Owned))
}

/// How many segments remain, and the new module if anything was joined. None: no data.
#[expect(clippy::type_complexity, reason = "used once, right above")]
fn merged(wasm: &[u8]) -> Result<Option<(usize, Option<Vec<u8>>)>, BinaryReaderError> {
    let (mut end, mut nameable) = (8, false);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        nameable |= matches!(payload, Payload::DataCountSection { .. });
        let Some((id, range)) = payload.as_section() else { continue };
        if let (DATA, Payload::DataSection(section)) = (id, payload) {
            let count = section.count() as usize;
            let Some(segments) = join(section)?.filter(|segments| !nameable && segments.len() < count) else {
                return Ok(Some((count, None)));
            };
            let mut module = wasm[..end].to_vec();
            encoded(&segments).append_to(&mut module);
            module.extend_from_slice(&wasm[range.end..]);
            return Ok(Some((segments.len(), Some(module))));
        }
        end = range.end;
    }
    Ok(None)
}

fn encoded(segments: &[Segment]) -> DataSection {
    let mut section = DataSection::new();
    for segment in segments {
        section.active(0, &ConstExpr::i32_const(segment.offset), segment.bytes.iter().copied());
    }
    section
}

/// None: they must stay as they are.
fn join(section: DataSectionReader<'_>) -> Result<Option<Vec<Segment>>, BinaryReaderError> {
    let mut segments: Vec<Segment> = Vec::new();
    for data in section {
        let data = data?;
        let Some(offset) = constant_offset(&data)? else { return Ok(None) };
        let gap = gap(&segments, offset);
        match (segments.last_mut(), gap) {
            (Some(last), Some(gap)) => {
                last.bytes.extend(std::iter::repeat_n(0, gap));
                last.bytes.extend_from_slice(data.data);
            }
            _ => segments.push(Segment { offset, bytes: data.data.to_vec() }),
        }
        if segments.len() > bounds::DATA_SEGMENTS_APART as usize {
            return Ok(None);
        }
    }
    Ok(Some(segments))
}

/// Zeros between the last segment and the next, if they may be joined: nothing was written into the gap before.
fn gap(segments: &[Segment], offset: i32) -> Option<usize> {
    let (last, earlier) = segments.split_last()?;
    let start = u64::from(offset.cast_unsigned());
    let gap = start.checked_sub(last.end())?;
    let written = |other: &Segment| u64::from(other.offset.cast_unsigned()) < start && other.end() > last.end();
    (gap == 0 || gap <= GAP && !earlier.iter().any(written)).then(|| usize::try_from(gap).ok())?
}

impl Segment {
    fn end(&self) -> u64 {
        u64::from(self.offset.cast_unsigned()) + self.bytes.len() as u64
    }
}

fn constant_offset(data: &Data<'_>) -> Result<Option<i32>, BinaryReaderError> {
    let DataKind::Active { memory_index: 0, offset_expr } = &data.kind else { return Ok(None) };
    let mut reader = offset_expr.get_operators_reader();
    match (reader.read()?, reader.read()?) {
        (Operator::I32Const { value }, Operator::End) => Ok(Some(value)),
        _ => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<(i32, Vec<u8>)> {
        let wasm = wat::parse_str(text).unwrap();
        let merged = merge_segments(Cow::Borrowed(&wasm)).unwrap();
        crate::features::validate_untrusted(&merged).unwrap();
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(&merged) {
            if let Payload::DataSection(section) = payload.unwrap() {
                let each = section.into_iter().map(|data| data.unwrap());
                found.extend(each.map(|data| (constant_offset(&data).unwrap().unwrap_or(-1), data.data.to_vec())));
            }
        }
        found
    }

    #[test]
    fn close_segments_become_one_with_zeros_between() {
        let text = r#"(module (memory 1) (func (export "f")) (data (i32.const 8) "a") (data (i32.const 11) "bc") (data (i32.const 13) "")
            (data (i32.const 77) "d") (data (i32.const 143) "e") (@custom "after" "kept"))"#;
        let mut first = b"a\0\0bc".to_vec();
        first.extend([0; 64]);
        first.push(b'd');
        assert_eq!(segments(text), [(8, first), (143, b"e".to_vec())]);
    }

    #[test]
    fn segments_that_something_can_tell_apart_stay() {
        let two = [(0, b"a".to_vec()), (1, b"b".to_vec())];
        let named = r#"(module (memory 1) (data (i32.const 0) "a") (data (i32.const 1) "b") (func (data.drop 0)))"#;
        assert_eq!(segments(named), two);
        let falling = r#"(module (memory 1) (data (i32.const 1) "b") (data (i32.const 0) "a"))"#;
        assert_eq!(segments(falling).len(), 2);
        let written_gap =
            r#"(module (memory 1) (data (i32.const 2) "x") (data (i32.const 0) "a") (data (i32.const 3) "b"))"#;
        assert_eq!(segments(written_gap).len(), 3);
        let no_gap =
            r#"(module (memory 1) (data (i32.const 2) "x") (data (i32.const 0) "a") (data (i32.const 1) "bc"))"#;
        assert_eq!(segments(no_gap), [(2, b"x".to_vec()), (0, b"abc".to_vec())]);
        let computed =
            r#"(module (memory 1) (data (i32.const 0) "a") (data (i32.add (i32.const 1) (i32.const 0)) "b"))"#;
        assert_eq!(segments(computed).len(), 2);
        let elsewhere = r#"(module (memory 1) (memory 1) (data (i32.const 0) "a") (data 1 (i32.const 1) "b"))"#;
        assert_eq!(segments(elsewhere).len(), 2);
    }

    #[test]
    fn too_many_that_lie_apart_are_refused() {
        let module = |count: u64| {
            let data: String = (0..count).map(|number| format!("(data (i32.const {}) \"x\")", number * 66)).collect();
            wat::parse_str(format!("(module (memory 100) {data})")).unwrap()
        };
        let limit = u64::from(bounds::DATA_SEGMENTS_APART);
        assert!(merge_segments(Cow::Owned(module(limit))).is_ok());
        assert_eq!(merge_segments(Cow::Owned(module(limit + 1))).unwrap_err().code, "too-large");
    }
}
