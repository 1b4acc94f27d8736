//! The functions that stand for operators on segments, and the one that loads the active data segments.
//!
//! An active data segment would be written by making the instance, over memory that a resumed program has changed long ago. So all of them become
//! passive, and the host calls the loader once, before the start function, and never on a resume:
//!
//! ```wat
//! (data (offset i32.const 8) "abc")    (data "abc")
//!                                      (func (export "gatebus:load")  i32.const 8  i32.const 0  i32.const 3  memory.init 0  data.drop 0)
//! ```

use crate::base::{Base, Links};
use crate::constants;
use crate::uses::SegmentOp;
use wasm_encoder::{Function, Instruction};
use wasmparser::DataKind;

/// The function of one operator.
pub(crate) fn function(base: &Base<'_>, op: SegmentOp) -> Function {
    let mut out = Function::new([]);
    (0..crate::number(op.params().len())).for_each(|local| _ = out.instruction(&Instruction::LocalGet(local)));
    out.instruction(&instruction(op));
    if let Some(global) = base.dropped_global(op) {
        out.instruction(&Instruction::I32Const(1)).instruction(&Instruction::GlobalSet(global));
    }
    out.instruction(&Instruction::End);
    out
}

/// The operator as it came.
pub(crate) fn instruction(op: SegmentOp) -> Instruction<'static> {
    match op {
        SegmentOp::MemoryInit(data_index, mem) => Instruction::MemoryInit { mem, data_index },
        SegmentOp::DataDrop(segment) => Instruction::DataDrop(segment),
        SegmentOp::TableInit(elem_index, table) => Instruction::TableInit { elem_index, table },
        SegmentOp::ElementDrop(segment) => Instruction::ElemDrop(segment),
    }
}

/// What making the instance did in the source module; a segment that does not fit traps here in its turn.
pub(crate) fn loader(base: &Base<'_>, links: &Links) -> Function {
    let mut out = Function::new([]);
    for (segment, data) in (0..).zip(&base.program.data) {
        let DataKind::Active { memory_index, offset_expr } = &data.kind else { continue };
        out.raw(constants::bytes(base, offset_expr));
        let length = crate::number(data.data.len()).cast_signed();
        out.instruction(&Instruction::I32Const(0)).instruction(&Instruction::I32Const(length));
        out.instruction(&Instruction::MemoryInit { mem: *memory_index, data_index: segment });
        out.instruction(&match links.segments.get(&SegmentOp::DataDrop(segment)) {
            Some(function) => Instruction::Call(*function),
            None => Instruction::DataDrop(segment),
        });
    }
    out.instruction(&Instruction::End);
    out
}
