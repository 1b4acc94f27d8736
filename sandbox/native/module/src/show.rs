//! A frame in words for a person: which function, what it was doing, what it had in hand.

use crate::Suspendable;
use crate::form::Callee;
use crate::frames::{BadFrames, Frame, values};
use crate::scalar::Scalar;
use crate::table::Place;
use wasmparser::ExternalKind;

/// A frame that `gatebus show` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The number of the function in the module.
    pub function: u32,
    /// Its name, if the module gives one: of an imported function `module.field`; else the name of its first export.
    pub name: Option<String>,
    /// Such as "calls 7 (work)".
    pub place: String,
    /// Saved locals and operands by their types.
    pub values: Vec<(Scalar, u128)>,
}

impl Suspendable<'_> {
    /// What the frame says.
    pub fn show_untrusted(&self, frame: &Frame<'_>) -> Result<Shown, BadFrames> {
        let types = self.table().saved_untrusted(frame.site).ok_or(BadFrames::NO_SITE)?;
        let site = &self.table().sites[&frame.site];
        let place = match site.place {
            Place::Point => "runs".to_owned(),
            Place::Import => "waits for the host".to_owned(),
            Place::Call(Callee::Indirect(_)) => "calls through a table".to_owned(),
            Place::Call(Callee::Function(function)) => match self.known_as(function) {
                Some(name) => format!("calls {function} ({name})"),
                None => format!("calls {function}"),
            },
        };
        let values = values(types, frame.bytes).collect();
        Ok(Shown { function: site.function, name: self.known_as(site.function).map(str::to_owned), place, values })
    }

    /// A build without names has its exports, and what was called first is one as a rule.
    fn known_as(&self, function: u32) -> Option<&str> {
        let exports = &self.base.program.exports;
        let exported = || exports.iter().find(|each| each.kind == ExternalKind::Func && each.index == function);
        self.name(function).or_else(|| exported().map(|export| export.name))
    }
}
