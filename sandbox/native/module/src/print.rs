//! Prints a normal form as code, with its polls and checks. Used by the instrumented program and by continuations, which differ only in how
//! a call reaches the program.
//!
//! ```wat
//! loop … end          loop
//!                       i32.const 0  i32.load8_u $control offset=S      ;; this site's own byte
//!                       if  i32.const SITE  local.set $site  br $exit  end
//!                       … end
//!
//! call $f             call $f  local.set $u
//!                     local.get $u  i32.const -119  i32.eq              ;; what a function gives that was left
//!                     if  global.get $left
//!                       if  i32.const SITE  local.set $site  br $exit  end  end
//! ```
//!
//! Behind a call whose first result is no whole number only the global is asked. It says that frames are being written, not that somebody
//! wants them: the callee may have returned after the request. A comparison with a small constant takes 9 bytes of code and no register, where a load
//! of the flag takes up to 31: sqlite3 ran 1.43 times as long with that, and 1.2 times with this.
//!
//! The cold blocks never come back into the code with a changed register: nothing must be kept alive across them. All of them are marked as
//! unlikely by branch hints.

use crate::base::{Base, Links};
use crate::exits::Exits;
use crate::form::{Form, Op, Shape};
use crate::layout::{SCRATCH, UNWINDING, ZONE, at, word};
use crate::scalar::{Types, dummy, looks_left};
use crate::segments;
use std::ops::Range;
use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::Catch;

/// How a cold block ends the function.
pub(crate) enum Leaving<'x> {
    /// By a branch to a place behind the body, which others share.
    Shared(&'x Exits),
    /// By writing the frame and returning.
    Own,
}

/// What a function is printed into, which says how a call reaches another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// Directly, or an imported one through its wrapper.
    Program,
    /// Through the program's dispatchers.
    Continuation,
    /// Directly. It is never left: polls and checks are not printed.
    Export,
}

/// The printer of one function.
pub(crate) struct Printer<'x, 'a> {
    pub(crate) base: &'x Base<'a>,
    pub(crate) form: &'x Form,
    pub(crate) links: &'x Links,
    pub(crate) types: &'x mut Types,
    pub(crate) out: Function,
    /// Branches that are likely or not, by their offsets in the body; those of the cold blocks are not.
    pub(crate) hints: Vec<(u32, bool)>,
    pub(crate) leaving: Leaving<'x>,
    pub(crate) within: Within,
}

impl Printer<'_, '_> {
    pub(crate) fn write(&mut self, instruction: Instruction<'_>) {
        self.out.instruction(&instruction);
    }

    /// Prints some operators. Branches that leave the range go `shift` levels further, because the range was moved into that many new blocks.
    pub(crate) fn range(&mut self, range: Range<usize>, shift: u32) {
        let mut depth = 0;
        for at in range {
            let form = self.form;
            if let Some(likely) = form.hints.get(&at) {
                self.hints.push((crate::number(self.out.byte_len()), *likely));
            }
            match &form.ops[at] {
                Op::Block(shape) => self.open(shape, Instruction::Block, &mut depth),
                Op::Loop(shape, _) => self.open(shape, Instruction::Loop, &mut depth),
                Op::If(shape) => self.open(shape, Instruction::If, &mut depth),
                Op::Try(shape, catches) => {
                    self.open_try(shape, catches, |label| moved(label, depth, shift));
                    depth += 1;
                }
                Op::End => {
                    self.write(Instruction::End);
                    depth = depth.saturating_sub(1);
                }
                Op::Branch(to) => self.write(Instruction::Br(moved(*to, depth, shift))),
                Op::BranchIf(to) => self.write(Instruction::BrIf(moved(*to, depth, shift))),
                Op::BranchTable(all) => {
                    let all: Vec<u32> = all.iter().map(|to| moved(*to, depth, shift)).collect();
                    let (default, listed) = all.split_last().expect("a table has a default");
                    self.write(Instruction::BrTable(listed.into(), *default));
                }
                Op::Poll(_) | Op::Check(..) if self.within == Within::Export => {}
                Op::Poll(spot) => {
                    self.ask_request(*spot);
                    self.cold(*spot, depth);
                }
                Op::Check(spot, results) => {
                    self.check(*spot, results, depth);
                }
                op => self.straight(op),
            }
        }
    }

    fn straight(&mut self, op: &Op) {
        match op {
            Op::Raw(bytes) | Op::TailCallIndirect(bytes) | Op::Throw(bytes) => {
                let bytes = &self.base.program.bytes[bytes.clone()];
                self.out.raw(bytes.iter().copied());
            }
            Op::Get(local) => self.write(Instruction::LocalGet(*local)),
            Op::Set(local) => self.write(Instruction::LocalSet(*local)),
            Op::Tee(local) => self.write(Instruction::LocalTee(*local)),
            Op::Else => self.write(Instruction::Else),
            Op::Return => self.write(Instruction::Return),
            Op::Unreachable => self.write(Instruction::Unreachable),
            Op::Reference(function) => self.reference(*function),
            Op::Segment(op) if self.within == Within::Export => self.write(segments::instruction(*op)),
            Op::Segment(op) => self.write(Instruction::Call(self.links.segments[op])),
            Op::Call(function) => self.call(*function, Instruction::Call),
            Op::TailCall(function) => self.call(*function, Instruction::ReturnCall),
            Op::CallIndirect(ty, table) => {
                self.write(Instruction::CallIndirect { type_index: *ty, table_index: *table });
            }
            _ => unreachable!("structured operators are printed by `range`"),
        }
    }

    fn open(&mut self, shape: &Shape, instruction: fn(BlockType) -> Instruction<'static>, depth: &mut u32) {
        let ty = self.shape(shape);
        self.write(instruction(ty));
        *depth += 1;
    }

    pub(crate) fn open_try(&mut self, shape: &Shape, catches: &[Catch], label: impl Fn(u32) -> u32) {
        let ty = self.shape(shape);
        let catches: Vec<_> = catches.iter().map(|catch| encode_catch(catch, &label)).collect();
        self.write(Instruction::TryTable(ty, catches.into()));
    }

    /// A continuation takes the program's own reference: one to its own function would be another one to the host.
    fn reference(&mut self, function: u32) {
        match self.within {
            Within::Program => return self.write(Instruction::RefFunc(self.base.target(function))),
            Within::Export => return self.write(Instruction::RefFunc(function)),
            Within::Continuation => {}
        }
        self.write(Instruction::I32Const(self.base.place_of(function).cast_signed()));
        self.write(Instruction::TableGet(self.base.functions_table()));
    }

    pub(crate) fn shape(&mut self, shape: &Shape) -> BlockType {
        match shape {
            Shape::Results(results) => self.types.block(results),
            Shape::Numbered(ty) => BlockType::FunctionType(*ty),
        }
    }

    pub(crate) fn call(&mut self, function: u32, instruction: fn(u32) -> Instruction<'static>) {
        let target = self.base.target(function);
        match self.within {
            Within::Program => return self.write(instruction(target)),
            Within::Export => return self.write(instruction(function)),
            Within::Continuation => {}
        }
        let ty = self.base.type_of_target(target);
        let place = self.base.added.dispatch[&ty].binary_search(&target);
        let place = i32::try_from(place.expect("every call of a form is dispatched")).expect("few functions");
        self.write(Instruction::I32Const(place));
        self.write(instruction(self.links.dispatch[&ty]));
    }

    fn ask_request(&mut self, spot: usize) {
        // The sites of a function are numbered one after the other: up to 4096 of them have a byte each. Behind them the store in front
        // keeps the engine from taking this load for an earlier one of the same byte.
        let byte = self.site(spot) % ZONE;
        if spot >= ZONE as usize {
            self.write(Instruction::I32Const(0));
            self.write(Instruction::I32Const(0));
            self.write(Instruction::I32Store(at(self.base.control, SCRATCH)));
        }
        self.write(Instruction::I32Const(0));
        self.write(Instruction::I32Load8U(at(self.base.control, byte)));
    }

    fn site(&self, spot: usize) -> u32 {
        self.base.table.first[self.form.function as usize] + crate::number(spot)
    }

    /// Whether a call that this continuation made for a frame was left again; a request alone does not count yet.
    pub(crate) fn ask_unwinding(&mut self) {
        for instruction in word(self.base.control, UNWINDING) {
            self.write(instruction);
        }
    }

    /// The flag is read only where the first result could be that of a function that was left.
    fn check(&mut self, spot: usize, results: &[u32], depth: u32) {
        let first = results.first().map(|local| (*local, self.form.locals[*local as usize]));
        let rare = first.and_then(|(local, ty)| Some((local, looks_left(ty)?)));
        if let Some((local, [left, equal])) = &rare {
            self.write(Instruction::LocalGet(*local));
            self.write(left.clone());
            self.write(equal.clone());
            self.begin_cold();
        }
        self.write(Instruction::GlobalGet(self.base.left()));
        self.cold(spot, depth + u32::from(rare.is_some()));
        if rare.is_some() {
            self.write(Instruction::End);
        }
    }

    fn begin_cold(&mut self) {
        self.hints.push((crate::number(self.out.byte_len()), false));
        self.write(Instruction::If(BlockType::Empty));
    }

    /// On top of the stack lies whether the function is to be left here, which is `depth` constructs deep.
    pub(crate) fn cold(&mut self, spot: usize, depth: u32) {
        self.begin_cold();
        let site = i32::try_from(self.site(spot)).expect("fewer than 2^31 sites");
        let (form, site) = (self.form, Instruction::I32Const(site));
        let live = &form.spots[spot].live;
        match self.leaving {
            Leaving::Shared(exits) => {
                self.write(site);
                self.write(Instruction::LocalSet(Exits::site_local(form)));
                // Out of the `if`, of the constructs around it, and of the block of the body.
                self.write(Instruction::Br(depth + 2 + exits.distance(live)));
            }
            Leaving::Own => {
                self.save(live, site);
                self.write_dummies(Instruction::Return);
            }
        }
        self.write(Instruction::End);
    }

    /// Writes the frame.
    pub(crate) fn save(&mut self, live: &[u32], site: Instruction<'static>) {
        live.iter().for_each(|local| self.write(Instruction::LocalGet(*local)));
        self.write(site);
        self.write(Instruction::Call(self.links.push[&self.form.scalars_of(live)]));
    }

    pub(crate) fn write_dummies(&mut self, last: Instruction<'_>) {
        let form = self.form;
        form.results.iter().for_each(|ty| self.write(dummy(*ty)));
        self.write(last);
    }
}

fn moved(to: u32, depth: u32, shift: u32) -> u32 {
    if to >= depth { to + shift } else { to }
}

fn encode_catch(catch: &Catch, label: impl Fn(u32) -> u32) -> wasm_encoder::Catch {
    match *catch {
        Catch::One { tag, label: to } => wasm_encoder::Catch::One { tag, label: label(to) },
        Catch::OneRef { tag, label: to } => wasm_encoder::Catch::OneRef { tag, label: label(to) },
        Catch::All { label: to } => wasm_encoder::Catch::All { label: label(to) },
        Catch::AllRef { label: to } => wasm_encoder::Catch::AllRef { label: label(to) },
    }
}
