//! What the code does with segments and tables: which of them can change, and so belong to the state.
//!
//! Segments stand in the program's instance, out of the reach of a continuation. So the operators on them become calls of small functions of
//! the program, which also remember what was dropped:
//!
//! ```wat
//! data.drop 3        call $drop     (func $drop  data.drop 3  i32.const 1  global.set $dropped)
//! memory.init 3      call $init     (func $init (param i32 i32 i32)  local.get 0  local.get 1  local.get 2  memory.init 3)
//! ```

use std::collections::BTreeSet;
use wasmparser::{Operator, ValType};

/// An operator on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentOp {
    /// Segment and memory.
    MemoryInit(u32, u32),
    DataDrop(u32),
    /// Segment and table.
    TableInit(u32, u32),
    ElementDrop(u32),
}

/// What all functions together do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    pub(crate) segments: BTreeSet<SegmentOp>,
    /// Tables whose entries can become other ones.
    pub(crate) changed: BTreeSet<u32>,
}

impl SegmentOp {
    pub(crate) fn of(operator: &Operator<'_>) -> Option<SegmentOp> {
        Some(match *operator {
            Operator::MemoryInit { data_index, mem } => SegmentOp::MemoryInit(data_index, mem),
            Operator::DataDrop { data_index } => SegmentOp::DataDrop(data_index),
            Operator::TableInit { elem_index, table } => SegmentOp::TableInit(elem_index, table),
            Operator::ElemDrop { elem_index } => SegmentOp::ElementDrop(elem_index),
            _ => return None,
        })
    }

    /// Its operands.
    pub(crate) fn params(self) -> &'static [ValType] {
        match self {
            SegmentOp::MemoryInit(..) | SegmentOp::TableInit(..) => &[ValType::I32; 3],
            SegmentOp::DataDrop(_) | SegmentOp::ElementDrop(_) => &[],
        }
    }

    /// The name of the function that does it, behind the prefix.
    pub(crate) fn name(self) -> String {
        match self {
            SegmentOp::MemoryInit(segment, memory) => format!("memory.init:{segment}:{memory}"),
            SegmentOp::DataDrop(segment) => format!("data.drop:{segment}"),
            SegmentOp::TableInit(segment, table) => format!("table.init:{segment}:{table}"),
            SegmentOp::ElementDrop(segment) => format!("elem.drop:{segment}"),
        }
    }
}

impl Uses {
    pub(crate) fn take(&mut self, operator: &Operator<'_>) {
        self.segments.extend(SegmentOp::of(operator));
        match *operator {
            Operator::TableSet { table }
            | Operator::TableGrow { table }
            | Operator::TableFill { table }
            | Operator::TableInit { table, .. }
            | Operator::TableCopy { dst_table: table, .. } => _ = self.changed.insert(table),
            _ => {}
        }
    }

    /// Active data segments are loaded after the instance was made, and never again: what can be seen of that has to be remembered like a drop.
    pub(crate) fn add_active(&mut self, active: &BTreeSet<u32>) {
        let seen: Vec<u32> = self
            .segments
            .iter()
            .filter_map(|op| match op {
                SegmentOp::MemoryInit(segment, _) => Some(*segment),
                _ => None,
            })
            .collect();
        self.segments.extend(seen.into_iter().filter(|segment| active.contains(segment)).map(SegmentOp::DataDrop));
    }

    /// Those that drop a segment, in their order: each has a hidden global.
    pub(crate) fn drops(&self) -> impl Iterator<Item = SegmentOp> + '_ {
        let drops = |op: &&SegmentOp| matches!(op, SegmentOp::DataDrop(_) | SegmentOp::ElementDrop(_));
        self.segments.iter().filter(drops).copied()
    }
}
