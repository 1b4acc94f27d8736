//! One function's body: read once, measured, not validated.

use crate::bounds;
use crate::refusal::{Refusal, at_most};
use wasmparser::{FunctionBody, Operator};

/// What makes a function expensive to compile.
#[derive(Default)]
struct Measure {
    locals: u32,
    depth: u32,
    blocks: u64,
    targets: u32,
}

/// Refuses a body that the compiler would choke on.
pub fn check_body_untrusted(body: &FunctionBody<'_>) -> Result<(), Refusal> {
    at_most("bytes in a function", body.range().len() as u64, bounds::FUNCTION_BYTES as u64)?;
    let mut measure = Measure { locals: locals_untrusted(body)?, depth: 1, ..Measure::default() };
    let mut reader = body.get_operators_reader().map_err(|error| Refusal::malformed(&error))?;
    while !reader.eof() {
        let operator = reader.read().map_err(|error| Refusal::malformed(&error))?;
        measure.operator(&operator)?;
    }
    let product = u64::from(measure.locals) * measure.blocks;
    at_most("locals times blocks in a function", product, bounds::LOCALS_TIMES_BLOCKS)
}

fn locals_untrusted(body: &FunctionBody<'_>) -> Result<u32, Refusal> {
    let mut sum = 0u32;
    for declared in body.get_locals_reader().map_err(|error| Refusal::malformed(&error))? {
        let (count, _) = declared.map_err(|error| Refusal::malformed(&error))?;
        sum = sum.saturating_add(count);
        at_most("locals in a function", sum, bounds::LOCALS)?;
    }
    Ok(sum)
}

impl Measure {
    fn operator(&mut self, operator: &Operator<'_>) -> Result<(), Refusal> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                self.blocks += 1;
                self.depth += 1;
                at_most("nested blocks", self.depth, bounds::NESTING)
            }
            Operator::Else => {
                self.blocks += 1;
                Ok(())
            }
            Operator::End => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Operator::BrTable { targets } => {
                at_most("targets in a br_table", targets.len(), bounds::BRANCH_TARGETS)?;
                self.targets = self.targets.saturating_add(targets.len());
                at_most("targets of all br_table in a function", self.targets, bounds::FUNCTION_BRANCH_TARGETS)
            }
            _ => Ok(()),
        }
    }
}
