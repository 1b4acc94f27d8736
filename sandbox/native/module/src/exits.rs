//! The ways out of a function that is being left. Sites that save the same locals share one, behind the body:
//!
//! ```wat
//! block $out
//!   block $second
//!     block $first
//!       …body: at a site  if  i32.const SITE  local.set $site  br $first  end …   return
//!     end  …locals that are live there into the frame…  local.get $site  i32.const SIZE  call $push  br $out
//!   end    …others…                                     local.get $site  i32.const SIZE  call $push
//! end  …results that nobody uses…
//! ```
//!
//! On sqlite3 13,571 sites share 8,659 of them, which takes 10 % of its native code away. A continuation has those that it comes to: with a frame written at each
//! of 1,000 calls that 200 values are alive across it was 40 times as large as its program, and too large for the compiler.

use crate::form::Form;
use crate::print::Printer;
use std::collections::BTreeMap;
use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::ValType;

/// The lists of saved locals, and the number of each, in the order in which the body comes to them.
#[derive(Default)]
pub(crate) struct Exits {
    lists: Vec<Vec<u32>>,
    numbers: BTreeMap<Vec<u32>, u32>,
}

impl Exits {
    /// How many blocks out of the body the way for these locals stands.
    pub(crate) fn distance(&mut self, live: &[u32]) -> u32 {
        if let Some(number) = self.numbers.get(live) {
            return *number;
        }
        let number = crate::number(self.lists.len());
        self.numbers.insert(live.to_vec(), number);
        self.lists.push(live.to_vec());
        number
    }

    /// The additional locals, from [`Exits::site_local`] on.
    pub(crate) const LOCALS: [ValType; 2] = [ValType::I32, ValType::I32];

    /// The number of the additional local that says at which site the function is left.
    pub(crate) fn site_local(form: &Form) -> u32 {
        crate::number(form.locals.len())
    }

    /// The one behind it says where the frame is written.
    fn place_local(form: &Form) -> u32 {
        Exits::site_local(form) + 1
    }
}

/// The whole rest of a function around what `body` prints, whose last operator ends it. Which ways out there are is known behind it.
pub(crate) fn print<'x, 'a>(printer: &mut Printer<'x, 'a>, body: impl FnOnce(&mut Printer<'x, 'a>)) {
    let form = printer.form;
    let (head, hinted) = (std::mem::replace(&mut printer.out, Function::new([])), printer.hints.len());
    let without_locals = printer.out.byte_len();
    body(printer);
    let inside = std::mem::replace(&mut printer.out, head).into_raw_body();
    let lists = std::mem::take(&mut printer.exits).lists;
    if !lists.is_empty() {
        let results = printer.types.block(&form.results);
        (0..=lists.len()).for_each(|_| printer.write(Instruction::Block(BlockType::Empty)));
        printer.write(Instruction::Block(results));
    }
    let moved = crate::number(printer.out.byte_len() - without_locals);
    printer.hints[hinted..].iter_mut().for_each(|(at, _)| *at += moved);
    printer.out.raw(inside[without_locals..].iter().copied());
    if !lists.is_empty() {
        write_ways_out(printer, &lists);
    }
}

fn write_ways_out(printer: &mut Printer<'_, '_>, lists: &[Vec<u32>]) {
    let form = printer.form;
    printer.write(Instruction::Return);
    for (place, live) in (1..).zip(lists) {
        printer.write(Instruction::End);
        printer.save(live, Instruction::LocalGet(Exits::site_local(form)), Exits::place_local(form));
        if place < lists.len() {
            printer.write(Instruction::Br(crate::number(lists.len() - place)));
        }
    }
    printer.write(Instruction::End);
    printer.write_dummies(Instruction::End);
}
