//! The site from which a function of a continuation goes on: how such a function begins, and what stands in place of the call.

use crate::base::{Base, Links};
use crate::exits::Exits;
use crate::form::{Form, Op};
use crate::helpers;
use crate::print::{Printer, Within};
use crate::scalar::{Scalar, Types};
use wasm_encoder::{Function, Instruction};
use wasmparser::ValType;

/// A function and the hints for its branches.
pub(crate) type Body = (Function, Vec<(u32, bool)>);

/// Where a function is entered.
pub(crate) struct Target<'x> {
    pub(crate) form: &'x Form,
    pub(crate) spot: usize,
    /// The chooser of the frame inside; `None` at a loop header.
    pub(crate) next: Option<u32>,
    pub(crate) saved: Vec<Scalar>,
    pub(crate) within: Within,
}

impl<'x> Target<'x> {
    /// The beginning of the function that goes on from it: its locals, and the values of the frame in them.
    pub(crate) fn begin<'a>(&self, program: (&'x Base<'a>, &'x Links, &'x mut Types)) -> Printer<'x, 'a> {
        let mut locals = self.form.locals.clone();
        locals.extend(Exits::LOCALS);
        locals.push(ValType::I32);
        let mut out = helpers::with_locals(&locals);
        let live = &self.form.spots[self.spot].live;
        // Needed again only when the function is left.
        let position = Exits::site_local(self.form);
        helpers::pop(&mut out, (program.0, program.1), &self.saved, position, Some(live));
        Printer { within: self.within, ..Printer::new(program, self.form, out) }
    }

    /// A local that is none of the function's.
    pub(crate) fn entering(&self) -> u32 {
        Exits::site_local(self.form) + crate::number(Exits::LOCALS.len())
    }

    /// At a call, the frame inside goes on in its place; then it is asked only whether that was left again. `depth`: constructs around it.
    pub(crate) fn go_on_inside(&self, printer: &mut Printer<'_, '_>, depth: u32) {
        let Some(next) = self.next else { return };
        printer.write(Instruction::Call(next));
        if let Op::Check(_, results) = &self.form.ops[self.form.spots[self.spot].op] {
            results.iter().rev().for_each(|local| printer.write(Instruction::LocalSet(*local)));
        }
        if self.within != Within::Export {
            printer.ask_unwinding();
            printer.cold(self.spot, depth);
        }
    }
}
