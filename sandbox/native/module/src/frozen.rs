//! The sections of an exported module that hold what the program had made of its memories, globals and tables.
//!
//! The module's own numbers stay. A segment that is gone (dropped, or active, which is over once the instance has been made) stays as a passive one without
//! content: nothing can tell the two apart. What the program wrote comes as active segments behind its own.

use crate::base::Base;
use crate::constants::unchanged;
use crate::export::Unexported;
use crate::layout::FRAMES;
use crate::scalar::{Scalar, encode_reference};
use crate::sections::{FLAG, global_type, memory_type, table_type};
use crate::state::{Global, Memory, PIECE, State, Table};
use crate::uses::SegmentOp;
use std::borrow::Cow;
use wasm_encoder::{
    ConstExpr, DataCountSection, DataSection, ElementSection, Elements, GlobalSection, HeapType, Ieee32, Ieee64,
    MemorySection, MemoryType, RefType, TableSection, TableType,
};
use wasmparser::{DataKind, ElementItems, ElementKind, TableInit};

/// Data segments that hold memories: engines do something for each, and some take no more than 100,000.
const SEGMENTS: usize = 8_000;
const PAGE: usize = 65_536;

/// The state of a program, checked; the frames as the functions that go on read them.
pub(crate) struct Frozen<'x, 'a> {
    pub(crate) base: &'x Base<'a>,
    pub(crate) state: &'x State,
    /// Memory 0.
    pub(crate) first: &'x Memory,
    /// Of a program that had come to its end there are none, and nothing is added to its module for them.
    pub(crate) frames: Vec<u8>,
    /// Bytes that the data may take.
    pub(crate) room: usize,
}

impl Frozen<'_, '_> {
    /// The global that is 1 once the program goes on.
    pub(crate) fn gone(&self) -> u32 {
        crate::number(self.base.program.globals.len())
    }

    /// The table of the references in frames.
    pub(crate) fn references_table(&self) -> u32 {
        crate::number(self.base.program.tables.len())
    }

    fn table(&self, number: u32) -> Option<&Table> {
        self.state.tables.iter().find(|table| table.number == number)
    }

    /// The function behind a reference of the state; `None` is null.
    fn function(&self, number: u32) -> Option<u32> {
        number.checked_sub(1).map(|place| self.base.escaped[place as usize])
    }

    pub(crate) fn tables(&self) -> TableSection {
        let mut section = TableSection::new();
        for (number, own) in (0..).zip(&self.base.program.tables) {
            let ty = table_type(&own.ty);
            match (self.table(number), &own.init) {
                (Some(saved), _) => section.table(TableType { minimum: saved.entries.len() as u64, ..ty }),
                (None, TableInit::RefNull) => section.table(ty),
                (None, TableInit::Expr(init)) => section.table_with_init(ty, &unchanged(self.base, init)),
            };
        }
        if self.base.added.references && !self.frames.is_empty() {
            let count = self.state.references.len() as u64;
            let maximum = Some(count);
            let element_type = RefType::FUNCREF;
            section.table(TableType { element_type, minimum: count, maximum, table64: false, shared: false });
        }
        section
    }

    /// The last one holds the frames, where there are any.
    pub(crate) fn memories(&self) -> MemorySection {
        let mut section = MemorySection::new();
        let sizes = self.contents().map(|memory| u64::from(memory.pages));
        for (own, minimum) in self.base.program.memories.iter().zip(sizes) {
            section.memory(MemoryType { minimum, ..memory_type(own) });
        }
        if self.frames.is_empty() {
            return section;
        }
        let pages = (FRAMES as usize + self.frames.len()).div_ceil(PAGE) as u64;
        let (memory64, shared, page_size_log2) = (false, false, None);
        section.memory(MemoryType { minimum: pages, maximum: Some(pages), memory64, shared, page_size_log2 });
        section
    }

    fn contents(&self) -> impl Iterator<Item = &Memory> {
        std::iter::once(self.first).chain(&self.state.memories)
    }

    pub(crate) fn globals(&self) -> GlobalSection {
        let mut section = GlobalSection::new();
        for (number, own) in (0..).zip(&self.base.program.globals) {
            let saved = self.state.globals.iter().find(|saved| saved.number == number);
            let init = saved.map_or_else(|| unchanged(self.base, &own.init_expr), |saved| self.constant(saved));
            section.global(global_type(&own.ty), &init);
        }
        if !self.frames.is_empty() {
            section.global(FLAG, &ConstExpr::i32_const(0));
        }
        section
    }

    #[expect(clippy::cast_possible_truncation, reason = "a state holds only the bits of the type")]
    fn constant(&self, saved: &Global) -> ConstExpr {
        let bits = saved.bits;
        match saved.ty {
            Scalar::I32 => ConstExpr::i32_const((bits as u32).cast_signed()),
            Scalar::I64 => ConstExpr::i64_const((bits as u64).cast_signed()),
            Scalar::F32 => ConstExpr::f32_const(Ieee32::new(bits as u32)),
            Scalar::F64 => ConstExpr::f64_const(Ieee64::new(bits as u64)),
            Scalar::V128 => ConstExpr::v128_const(bits.cast_signed()),
            Scalar::Extern => ConstExpr::ref_null(HeapType::EXTERN),
            Scalar::Function => self.reference(bits as u32),
        }
    }

    fn reference(&self, number: u32) -> ConstExpr {
        self.function(number).map_or_else(|| ConstExpr::ref_null(HeapType::FUNC), ConstExpr::ref_func)
    }

    pub(crate) fn elements(&self) -> ElementSection {
        let mut section = ElementSection::new();
        for (number, own) in (0..).zip(&self.base.program.elements) {
            let over = match &own.kind {
                ElementKind::Passive => self.state.dropped_elements.binary_search(&number).is_ok(),
                ElementKind::Active { table_index, .. } => self.table(table_index.unwrap_or(0)).is_some(),
                ElementKind::Declared => false,
            };
            let items = self.items(&own.items, over);
            match &own.kind {
                ElementKind::Declared => section.declared(items),
                ElementKind::Active { table_index, offset_expr } if !over => {
                    section.active(*table_index, &unchanged(self.base, offset_expr), items)
                }
                _ => section.passive(items),
            };
        }
        if !self.base.escaped.is_empty() {
            // Code may take references only to functions that some segment names.
            section.declared(Elements::Functions(Cow::Borrowed(&self.base.escaped)));
        }
        for table in &self.state.tables {
            self.fill(&mut section, table.number, &table.entries);
        }
        self.fill(&mut section, self.references_table(), &self.state.references);
        section
    }

    fn items(&self, own: &ElementItems<'_>, over: bool) -> Elements<'static> {
        match own {
            ElementItems::Functions(_) if over => Elements::Functions(Cow::Borrowed(&[])),
            ElementItems::Functions(list) => {
                Elements::Functions(list.clone().into_iter().flatten().collect::<Vec<_>>().into())
            }
            ElementItems::Expressions(of, list) => {
                let ty = encode_reference(*of).expect("types were checked when the module was read");
                let list = list.clone().into_iter().flatten().filter(|_| !over);
                Elements::Expressions(ty, list.map(|item| unchanged(self.base, &item)).collect::<Vec<_>>().into())
            }
        }
    }

    /// The entries of a table that are not null, in as few segments as that takes.
    fn fill(&self, section: &mut ElementSection, table: u32, entries: &[u32]) {
        let mut at = 0;
        for run in entries.chunk_by(|one, next| (*one == 0) == (*next == 0)) {
            if run[0] != 0 {
                let functions: Vec<u32> = run.iter().filter_map(|entry| self.function(*entry)).collect();
                let offset = ConstExpr::i32_const(crate::number(at).cast_signed());
                section.active(Some(table), &offset, Elements::Functions(functions.into()));
            }
            at += run.len();
        }
    }

    pub(crate) fn data(&self) -> Result<(DataCountSection, DataSection), Unexported> {
        let mut section = DataSection::new();
        let named = |op: &SegmentOp| matches!(op, SegmentOp::MemoryInit(..) | SegmentOp::DataDrop(_));
        if self.base.graph.uses.segments.iter().any(named) {
            self.own_data(&mut section);
        }
        let mut room = self.room;
        for (number, memory) in (0..).zip(self.contents()).take(self.base.program.memories.len()) {
            for (place, bytes) in runs(memory, SEGMENTS / self.base.program.memories.len(), &mut room)? {
                section.active(number, &ConstExpr::i32_const(place.cast_signed()), bytes);
            }
        }
        if !self.frames.is_empty() {
            let frames = ConstExpr::i32_const(FRAMES.cast_signed());
            section.active(self.base.control, &frames, self.frames.iter().copied());
        }
        Ok((DataCountSection { count: section.len() }, section))
    }

    fn own_data(&self, section: &mut DataSection) {
        for (number, own) in (0..).zip(&self.base.program.data) {
            let stays = matches!(own.kind, DataKind::Passive) && !self.state.dropped_data.contains(&number);
            section.passive(if stays { own.data } else { &[] }.iter().copied());
        }
    }
}

/// What is not zero in a memory, as at most `most` pieces with their addresses. Pieces that lie close together are joined, those that are furthest apart last.
fn runs(memory: &Memory, most: usize, room: &mut usize) -> Result<Vec<(u32, Vec<u8>)>, Unexported> {
    let places: Vec<usize> = memory.pieces.iter().map(|(place, _)| *place as usize).collect();
    let mut gaps: Vec<usize> = places.windows(2).map(|two| two[1] - two[0] - 1).filter(|gap| *gap > 0).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // Gaps of this size or below are filled with zeros.
    let joined = gaps.get(most.saturating_sub(1)).copied().unwrap_or(0);
    let mut all: Vec<(u32, Vec<u8>)> = Vec::new();
    for run in memory.pieces.chunk_by(|one, next| (next.0 - one.0 - 1) as usize <= joined) {
        let (first, last) = (run[0].0 as usize, run[run.len() - 1].0 as usize);
        let size = (last - first + 1) * PIECE;
        *room = room.checked_sub(size).ok_or(Unexported::Large("its memory is too large for one module"))?;
        let mut bytes = vec![0; size];
        for (place, piece) in run {
            bytes[(*place as usize - first) * PIECE..][..PIECE].copy_from_slice(piece.as_slice());
        }
        all.push(trimmed(first * PIECE, bytes));
    }
    Ok(all)
}

/// Without the zeros at both ends.
fn trimmed(address: usize, mut bytes: Vec<u8>) -> (u32, Vec<u8>) {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
    (crate::number(address + start), bytes.split_off(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(places: &[u32]) -> Memory {
        let piece = |place: &u32| {
            let mut bytes = Box::new([0; PIECE]);
            bytes[7] = 1;
            bytes[9] = 2;
            (*place, bytes)
        };
        Memory { pages: 100, pieces: places.iter().map(piece).collect() }
    }

    fn places(memory: &Memory, most: usize) -> Vec<(u32, usize)> {
        let runs = runs(memory, most, &mut (1 << 20)).expect("there is room");
        runs.iter().map(|(address, bytes)| (*address, bytes.len())).collect()
    }

    #[test]
    fn pieces_that_touch_are_one_segment_without_the_zeros_at_its_ends() {
        assert_eq!(places(&memory(&[1, 2, 5]), 10), [(4096 + 7, 4096 + 3), (5 * 4096 + 7, 3)]);
        assert_eq!(places(&memory(&[]), 10), []);
    }

    #[test]
    fn where_there_are_too_many_the_nearest_ones_are_joined() {
        let all = memory(&[0, 2, 20, 23, 60]);
        assert_eq!(places(&all, 3), [(7, 2 * 4096 + 3), (20 * 4096 + 7, 3 * 4096 + 3), (60 * 4096 + 7, 3)]);
        assert_eq!(places(&all, 1), [(7, 60 * 4096 + 3)]);
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_made() {
        assert!(runs(&memory(&[0, 90]), 1, &mut (50 * PIECE)).is_err());
        assert!(runs(&memory(&[0, 90]), 2, &mut (2 * PIECE)).is_ok());
    }
}
