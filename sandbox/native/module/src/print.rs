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
use crate::helpers;
use crate::layout::{CALLED, SCRATCH, UNWINDING, ZONE, at, word};
use crate::scalar::{Types, dummy, looks_left};
use crate::segments;
use std::collections::BTreeMap;
use std::ops::Range;
use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::Catch;

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
    /// How a cold block leaves the function: by a branch to a place behind the body.
    pub(crate) exits: Exits,
    pub(crate) within: Within,
    /// How many constructs of the body are open around what is printed next.
    pub(crate) deep: u32,
    /// The polls that are passed once, where the function is entered at them.
    pub(crate) passed: BTreeMap<usize, Passed>,
}

/// The first question of the header at which a function was entered: each leg makes progress.
pub(crate) struct Passed {
    /// The local that says where the function was entered.
    pub(crate) local: u32,
    pub(crate) number: i32,
}

impl<'x, 'a> Printer<'x, 'a> {
    /// Of a function of the program.
    pub(crate) fn new(
        (base, links, types): (&'x Base<'a>, &'x Links, &'x mut Types),
        form: &'x Form,
        out: Function,
    ) -> Printer<'x, 'a> {
        let (hints, exits, passed) = (Vec::new(), Exits::default(), BTreeMap::new());
        Printer { base, form, links, types, out, hints, exits, within: Within::Program, deep: 0, passed }
    }
}

impl Printer<'_, '_> {
    pub(crate) fn write(&mut self, instruction: Instruction<'_>) {
        self.out.instruction(&instruction);
    }

    /// Prints some operators. Branches that leave the range go `shift` levels further, because the range was moved into that many new blocks.
    pub(crate) fn range(&mut self, range: Range<usize>, shift: u32) {
        self.range_in(range, &|outer| outer + shift);
    }

    /// The same; `outside` says how far the n-th construct around the range is, 0 being the innermost.
    pub(crate) fn range_in(&mut self, range: Range<usize>, outside: &dyn Fn(u32) -> u32) {
        let mut depth = 0;
        for at in range {
            let form = self.form;
            self.hint(at);
            match &form.ops[at] {
                Op::Block(shape) => self.open(shape, Instruction::Block, &mut depth),
                Op::Loop(shape, _) => self.open(shape, Instruction::Loop, &mut depth),
                Op::If(shape) => self.open(shape, Instruction::If, &mut depth),
                Op::Try(shape, catches) => {
                    self.open_try(shape, catches, |label| moved(label, depth, outside));
                    depth += 1;
                }
                Op::End => {
                    self.write(Instruction::End);
                    depth = depth.saturating_sub(1);
                }
                Op::Branch(to) => self.write(Instruction::Br(moved(*to, depth, outside))),
                Op::BranchIf(to) => self.write(Instruction::BrIf(moved(*to, depth, outside))),
                Op::BranchTable(all) => {
                    let all: Vec<u32> = all.iter().map(|to| moved(*to, depth, outside)).collect();
                    let (default, listed) = all.split_last().expect("a table has a default");
                    self.write(Instruction::BrTable(listed.into(), *default));
                }
                Op::Poll(spot) => self.poll(*spot, depth),
                Op::Check(spot, results) => self.check(*spot, results, depth),
                op => self.straight(op),
            }
        }
    }

    /// Of a branch of the source.
    pub(crate) fn hint(&mut self, at: usize) {
        if let Some(likely) = self.form.hints.get(&at) {
            self.hints.push((crate::number(self.out.byte_len()), *likely));
        }
    }

    pub(crate) fn poll(&mut self, spot: usize, depth: u32) {
        if self.within == Within::Export {
            return;
        }
        self.ask_request(spot);
        match self.passed.get(&spot) {
            Some(Passed { local, number }) => self.pass_once(spot, depth, (*local, *number)),
            None => self.cold(spot, depth),
        }
    }

    /// Without a block of its own for the way on: that would stand between the hot ones.
    fn pass_once(&mut self, spot: usize, depth: u32, (local, number): (u32, i32)) {
        self.begin_cold();
        self.write(Instruction::LocalGet(local));
        self.write(Instruction::I32Const(number));
        self.write(Instruction::I32Ne);
        self.write(Instruction::I32Const(0));
        self.write(Instruction::LocalSet(local));
        let form = self.form;
        self.write(self.site_const(spot));
        self.write(Instruction::LocalSet(Exits::site_local(form)));
        self.hints.push((crate::number(self.out.byte_len()), true));
        let out = self.out_to(spot, depth);
        self.write(Instruction::BrIf(out));
        self.write(Instruction::End);
    }

    fn site_const(&self, spot: usize) -> Instruction<'static> {
        Instruction::I32Const(i32::try_from(self.site(spot)).expect("fewer than 2^31 sites"))
    }

    /// Out of the `if`, of the constructs around it, and of the block of the body.
    fn out_to(&mut self, spot: usize, depth: u32) -> u32 {
        self.deep + depth + 2 + self.exits.distance(&self.form.spots[spot].live)
    }

    /// An operator that opens and ends nothing and leads nowhere else.
    pub(crate) fn straight(&mut self, op: &Op) {
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

    pub(crate) fn results_of(&self, shape: &Shape) -> Vec<wasmparser::ValType> {
        match shape {
            Shape::Results(results) => results.clone(),
            Shape::Numbered(ty) => self.base.program.types[*ty as usize].results().to_vec(),
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
        self.write(Instruction::I32Const(0));
        self.write(Instruction::I32Const(place));
        self.write(Instruction::I32Store(at(self.base.control, CALLED)));
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
    pub(crate) fn check(&mut self, spot: usize, results: &[u32], depth: u32) {
        if self.within == Within::Export {
            return;
        }
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
        self.write(self.site_const(spot));
        self.write(Instruction::LocalSet(Exits::site_local(self.form)));
        let out = self.out_to(spot, depth);
        self.write(Instruction::Br(out));
        self.write(Instruction::End);
    }

    /// Writes the frame; `place` is a local that is free.
    pub(crate) fn save(&mut self, live: &[u32], site: Instruction<'static>, place: u32) {
        let types = self.form.scalars_of(live);
        helpers::save(&mut self.out, (self.base, self.links), (&types, live), site, place);
    }

    pub(crate) fn write_dummies(&mut self, last: Instruction<'_>) {
        let form = self.form;
        form.results.iter().for_each(|ty| self.write(dummy(*ty)));
        self.write(last);
    }
}

fn moved(to: u32, depth: u32, outside: &dyn Fn(u32) -> u32) -> u32 {
    if to >= depth { depth + outside(to - depth) } else { to }
}

fn encode_catch(catch: &Catch, label: impl Fn(u32) -> u32) -> wasm_encoder::Catch {
    match *catch {
        Catch::One { tag, label: to } => wasm_encoder::Catch::One { tag, label: label(to) },
        Catch::OneRef { tag, label: to } => wasm_encoder::Catch::OneRef { tag, label: label(to) },
        Catch::All { label: to } => wasm_encoder::Catch::All { label: label(to) },
        Catch::AllRef { label: to } => wasm_encoder::Catch::AllRef { label: label(to) },
    }
}
