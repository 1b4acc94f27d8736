//! References to functions: they have no bits, so a frame holds numbers for them.
//!
//! Two hidden tables. `gatebus:functions` holds every function that a reference can mean, in their order: the place in it is the number by which a
//! state knows the function. `gatebus:references` holds those of the frames, as they were written; the host replaces each by its number
//! and fills the table again before the program goes on.
//!
//! ```wat
//! local.get $r  call $keep  i32.store          ;; while leaving: 0 for null, else the place in gatebus:references, plus 1
//! i32.load  call $take  local.set $r           ;; in a continuation
//! ref.func $f                                  ;; in a continuation: i32.const PLACE  table.get $functions
//! ```

use crate::base::Base;
use crate::layout::{REFERENCES_WRITTEN, at, word};
use wasm_encoder::{BlockType, Function, HeapType, Instruction, ValType};
use wasmparser::ValType as Plain;

/// Parameters and results of [`keep`].
pub(crate) const KEEP: (&[Plain], &[Plain]) = (&[Plain::FUNCREF], &[Plain::I32]);
/// Parameters and results of [`take`].
pub(crate) const TAKE: (&[Plain], &[Plain]) = (&[Plain::I32], &[Plain::FUNCREF]);

/// `(reference) -> number`. Where the host gives no room the program ends: the state could not be written, and so the stop must not look as if it was done.
pub(crate) fn keep(base: &Base<'_>) -> Function {
    let (control, table) = (base.control, base.references_table());
    let mut out = Function::new([(1, ValType::I32)]);
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    [Instruction::LocalGet(0), Instruction::RefIsNull, Instruction::If(BlockType::Empty)]
        .into_iter()
        .for_each(&mut write);
    [Instruction::I32Const(0), Instruction::Return, Instruction::End].into_iter().for_each(&mut write);
    word(control, REFERENCES_WRITTEN).into_iter().for_each(&mut write);
    [Instruction::LocalTee(1), Instruction::TableSize(table), Instruction::I32GeU].into_iter().for_each(&mut write);
    write(Instruction::If(BlockType::Empty));
    [Instruction::LocalGet(0), Instruction::I32Const(1), Instruction::TableGrow(table)]
        .into_iter()
        .for_each(&mut write);
    [Instruction::I32Const(-1), Instruction::I32Eq, Instruction::If(BlockType::Empty)].into_iter().for_each(&mut write);
    [Instruction::Unreachable, Instruction::End, Instruction::End].into_iter().for_each(&mut write);
    [Instruction::LocalGet(1), Instruction::LocalGet(0), Instruction::TableSet(table)].into_iter().for_each(&mut write);
    [Instruction::I32Const(0), Instruction::LocalGet(1), Instruction::I32Const(1)].into_iter().for_each(&mut write);
    [Instruction::I32Add, Instruction::LocalTee(1)].into_iter().for_each(&mut write);
    [Instruction::I32Store(at(control, REFERENCES_WRITTEN)), Instruction::LocalGet(1), Instruction::End]
        .into_iter()
        .for_each(&mut write);
    out
}

/// `(number) -> reference`, from the table of those of the frames.
pub(crate) fn take(table: u32) -> Function {
    let mut out = Function::new([]);
    let mut write = |instruction: Instruction<'static>| _ = out.instruction(&instruction);
    [Instruction::LocalGet(0), Instruction::I32Eqz, Instruction::If(BlockType::Empty)].into_iter().for_each(&mut write);
    [Instruction::RefNull(HeapType::FUNC), Instruction::Return, Instruction::End].into_iter().for_each(&mut write);
    [Instruction::LocalGet(0), Instruction::I32Const(1), Instruction::I32Sub].into_iter().for_each(&mut write);
    [Instruction::TableGet(table), Instruction::End].into_iter().for_each(&mut write);
    out
}
