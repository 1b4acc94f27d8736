//! The operand stack while a function is brought into normal form: which operands really lie on it, and which are in temporaries.

use crate::form::Op;
use crate::normal::next_local;
use std::collections::BTreeMap;
use wasmparser::ValType;

/// One operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    ty: ValType,
    /// It is in the temporary of its height and type, not on the stack.
    moved: bool,
}

/// The operands, the locals, and the operators written so far.
pub(crate) struct Operands {
    slots: Vec<Slot>,
    locals: Vec<ValType>,
    temporaries: BTreeMap<(usize, ValType), u32>,
    ops: Vec<Op>,
}

impl Operands {
    pub(crate) fn new(locals: Vec<ValType>) -> Operands {
        Operands { slots: Vec::new(), locals, temporaries: BTreeMap::new(), ops: Vec::new() }
    }

    pub(crate) fn finish(self) -> (Vec<ValType>, Vec<Op>) {
        (self.locals, self.ops)
    }

    pub(crate) fn out(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// Where the next operator goes.
    pub(crate) fn position(&self) -> usize {
        self.ops.len()
    }

    pub(crate) fn op(&self, at: usize) -> &Op {
        &self.ops[at]
    }

    pub(crate) fn height(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn push(&mut self, ty: ValType) {
        self.slots.push(Slot { ty: crate::scalar::nullable(ty), moved: false });
    }

    pub(crate) fn pop(&mut self, count: usize) {
        self.slots.truncate(self.slots.len() - count);
    }

    pub(crate) fn above(&self, base: usize) -> Vec<Slot> {
        self.slots[base..].to_vec()
    }

    pub(crate) fn restore(&mut self, base: usize, slots: &[Slot]) {
        self.slots.truncate(base);
        self.slots.extend_from_slice(slots);
    }

    pub(crate) fn get(&mut self, local: u32) {
        self.ops.push(Op::Get(local));
        self.push(self.locals[local as usize]);
    }

    /// An operator that takes operands; its results are pushed by the caller.
    pub(crate) fn simple(&mut self, op: Op, takes: usize) {
        self.need(takes);
        self.pop(takes);
        self.ops.push(op);
    }

    /// The top operands lie on the stack.
    pub(crate) fn need(&mut self, count: usize) {
        let base = self.slots.len() - count;
        if self.slots[base..].iter().any(|slot| slot.moved) {
            self.move_from(base);
            self.load_from(base);
        }
    }

    /// The top operands lie on the stack, and nothing lies under them.
    pub(crate) fn flush(&mut self, count: usize) {
        let base = self.slots.len() - count;
        if self.slots[..base].iter().any(|slot| !slot.moved) {
            self.move_from(0);
            self.load_from(base);
        } else {
            self.need(count);
        }
    }

    /// Stores the results of a call that was just made; all of them are in temporaries then.
    pub(crate) fn store_results(&mut self, types: &[ValType]) -> Vec<u32> {
        let base = self.slots.len();
        types.iter().for_each(|ty| self.push(*ty));
        self.move_from(base);
        self.top_temporaries(types.len())
    }

    pub(crate) fn top_temporaries(&mut self, count: usize) -> Vec<u32> {
        let base = self.slots.len() - count;
        (base..self.slots.len()).map(|height| self.temporary(height)).collect()
    }

    fn temporary(&mut self, height: usize) -> u32 {
        let ty = self.slots[height].ty;
        let locals = &mut self.locals;
        *self.temporaries.entry((height, ty)).or_insert_with(|| {
            locals.push(ty);
            next_local(locals) - 1
        })
    }

    /// Those that lie on the stack are its top: below the first moved one nothing does, or it is not ours to touch.
    fn move_from(&mut self, base: usize) {
        for height in (base..self.slots.len()).rev() {
            if self.slots[height].moved {
                continue;
            }
            let local = self.temporary(height);
            self.ops.push(Op::Set(local));
            self.slots[height].moved = true;
        }
    }

    fn load_from(&mut self, base: usize) {
        for height in base..self.slots.len() {
            let local = self.temporary(height);
            self.ops.push(Op::Get(local));
            self.slots[height].moved = false;
        }
    }
}
