//! The normal form of a function: what both the instrumented function and every continuation are printed from.
//!
//! - At every site the operand stack of the *whole* function is empty but for the call's arguments. All other operands are in temporaries, where
//!   the temporary for a stack height and a type is one fixed local; they are loaded again when an operator needs them.
//! - A block or `if` that contains a site has no parameters; a loop stores its parameters into temporaries first.
//! - Code that validation calls unreachable is gone.
//! - The results of a checked call go into temporaries before the check.
//!
//! So entering a construct at a site inside it needs nothing but jumping over the construct's leading part. In native code this costs nothing: locals
//! are only names for values there.

use crate::scalar::Scalar;
use crate::uses::SegmentOp;
use std::collections::BTreeMap;
use std::ops::Range;
use wasmparser::{Catch, ValType};

/// The type of a construct.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// No parameters, these results.
    Results(Vec<ValType>),
    /// A type of the module.
    Numbered(u32),
}

/// An operator of the normal form. Numbers are those of the source module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// Bytes of the source, as they are.
    Raw(Range<usize>),
    Get(u32),
    Set(u32),
    Tee(u32),
    Block(Shape),
    /// With the temporaries of its parameters, which the operators behind it store.
    Loop(Shape, Vec<u32>),
    If(Shape),
    /// The labels of the catches count from outside of it.
    Try(Shape, Vec<Catch>),
    Else,
    End,
    Branch(u32),
    BranchIf(u32),
    /// The last one is the default.
    BranchTable(Vec<u32>),
    Return,
    Unreachable,
    /// Bytes of the source; nothing behind it is reached.
    Throw(Range<usize>),
    /// A reference to a function.
    Reference(u32),
    Segment(SegmentOp),
    Call(u32),
    /// Type and table.
    CallIndirect(u32, u32),
    TailCall(u32),
    /// Bytes of the source; nothing behind it is reached.
    TailCallIndirect(Range<usize>),
    /// The site at a loop header or at the function's entry.
    Poll(usize),
    /// The site behind a call, and the temporaries of the call's results.
    Check(usize, Vec<u32>),
}

impl Op {
    /// Nothing behind it is reached, and it is no branch.
    pub(crate) fn leaves(&self) -> bool {
        matches!(self, Op::Return | Op::Unreachable | Op::Throw(_) | Op::TailCall(_) | Op::TailCallIndirect(_))
    }
}

/// Which call a site stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// A function of the module (of an imported one: through its wrapper).
    Function(u32),
    /// Any function of this type that can be in a table.
    Indirect(u32),
}

/// A place where the function may be left.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    /// `None` at a loop header or at the entry.
    pub(crate) callee: Option<Callee>,
    /// The index of the `Poll` or `Check`.
    pub(crate) op: usize,
    /// The locals to be saved, sorted by type, then by number.
    pub(crate) live: Vec<u32>,
}

/// A function in normal form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form {
    pub(crate) function: u32,
    pub(crate) params: usize,
    pub(crate) results: Vec<ValType>,
    /// Parameters, declared locals, temporaries.
    pub(crate) locals: Vec<ValType>,
    pub(crate) ops: Vec<Op>,
    pub(crate) spots: Vec<Spot>,
    /// The `End` of each construct.
    pub(crate) ends: BTreeMap<usize, usize>,
    /// The `Else` of an `If` that has one.
    pub(crate) elses: BTreeMap<usize, usize>,
    /// Branches that the source's compiler called likely or not.
    pub(crate) hints: BTreeMap<usize, bool>,
}

impl Form {
    /// Fills in where constructs end.
    pub(crate) fn close(&mut self) {
        let mut open = Vec::new();
        for (at, op) in self.ops.iter().enumerate() {
            match op {
                Op::Block(_) | Op::Loop(..) | Op::If(_) | Op::Try(..) => open.push(at),
                Op::Else => drop(open.last().map(|start| self.elses.insert(*start, at))),
                Op::End => drop(open.pop().map(|start| self.ends.insert(start, at))),
                _ => {}
            }
        }
    }

    pub(crate) fn types_of(&self, locals: &[u32]) -> Vec<ValType> {
        locals.iter().map(|local| self.locals[*local as usize]).collect()
    }

    /// Of locals that are known to hold no exceptions.
    pub(crate) fn scalars_of(&self, locals: &[u32]) -> Vec<Scalar> {
        crate::scalar::scalars(&self.types_of(locals)).expect("exceptions were refused")
    }
}
