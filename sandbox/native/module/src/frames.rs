//! Frames: what a stopped program was doing, as bytes and as values.
//!
//! In: the frames as they lie in the control memory of a program that was left (innermost first), or those of a state from outside: untrusted both.
//! Out: a list, outermost first, that follows the site table and whose every callee is one that its caller's site can call. Values need no check:
//! any bits are a value of their type.

use crate::form::Callee;
use crate::scalar::Scalar;
use crate::table::{Place, SiteTable, frames_of, node_of, results_of};
use crate::{RETURNED, Suspendable};
use std::collections::{BTreeMap, BTreeSet};

/// One frame. The values are bit patterns, zero-extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the site, or of a list of results with the bit [`RETURNED`].
    pub site: u32,
    /// In the order of the site table.
    pub values: Vec<u128>,
}

/// A state that this program cannot be in. `text` says why, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrames {
    /// Without any part of the state.
    pub text: &'static str,
}

const fn bad<T>(text: &'static str) -> Result<T, BadFrames> {
    Err(BadFrames { text })
}

/// Frames as the program wrote them, innermost first -> the list, outermost first.
pub fn read_untrusted(table: &SiteTable, mut bytes: &[u8]) -> Result<Vec<Frame>, BadFrames> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let site = take(&mut bytes, 4)?;
        let site = u32::try_from(site).map_err(|_| BadFrames { text: "a site number is too large" })?;
        let Some(types) = table.saved_untrusted(site) else {
            return bad("a frame names a site that the program does not have");
        };
        let values = types.iter().map(|ty| take(&mut bytes, ty.size() as usize)).collect::<Result<_, _>>()?;
        frames.push(Frame { site, values });
    }
    frames.reverse();
    Ok(frames)
}

fn take(bytes: &mut &[u8], count: usize) -> Result<u128, BadFrames> {
    let Some((head, rest)) = bytes.split_at_checked(count) else { return bad("the frames end within a frame") };
    *bytes = rest;
    let mut wide = [0; 16];
    wide[..count].copy_from_slice(head);
    Ok(u128::from_le_bytes(wide))
}

impl Suspendable<'_> {
    /// Can a call of the function `entry` have left these frames, outermost first?
    pub fn check_untrusted(&self, entry: u32, frames: &[Frame]) -> Result<(), BadFrames> {
        if entry as usize >= self.base.program.functions.len() {
            return bad("the entry is not a function of the program");
        }
        let mut expected = Some(Callee::Function(entry));
        let mut known = BTreeMap::new();
        for frame in frames {
            let Some(callee) = expected else { return bad("a frame stands inside a site that has nothing inside it") };
            self.check_values(frame)?;
            expected = self.check_call(callee, frame, &mut known)?;
        }
        if expected.is_some() { bad("the innermost frame is missing") } else { Ok(()) }
    }

    fn check_values(&self, frame: &Frame) -> Result<(), BadFrames> {
        let Some(types) = self.table().saved_untrusted(frame.site) else {
            return bad("a frame names a site that the program does not have");
        };
        if types.len() != frame.values.len() {
            return bad("a frame has more or fewer values than its site saves");
        }
        let fits = |(ty, value): (&Scalar, &u128)| ty.size() == 16 || value >> (8 * ty.size()) == 0;
        if types.iter().zip(&frame.values).all(fits) { Ok(()) } else { bad("a value does not fit its type") }
    }

    /// What must stand inside this frame.
    fn check_call(
        &self,
        callee: Callee,
        frame: &Frame,
        known: &mut BTreeMap<usize, BTreeSet<usize>>,
    ) -> Result<Option<Callee>, BadFrames> {
        let base = &self.base;
        if frame.site & RETURNED != 0 {
            let results = crate::scalar::scalars(results_of(&base.program, callee));
            let same = results.as_deref() == self.table().saved_untrusted(frame.site);
            return if same { Ok(None) } else { bad("a call cannot have returned these values") };
        }
        let site = &self.table().sites[frame.site as usize];
        let node = node_of(&base.graph, callee);
        let possible = known.entry(node).or_insert_with(|| frames_of(&base.graph, callee));
        if !possible.contains(&(site.function as usize)) {
            return bad("a frame is not of a function that the frame around it can call");
        }
        Ok(match site.place {
            Place::Call(callee) => Some(callee),
            Place::Point | Place::Import => None,
        })
    }

    /// The frames, checked before, as the continuation of these sites reads them: outermost first, each site as its position in the set.
    pub fn write_frames(&self, sites: &BTreeSet<u32>, frames: &[Frame]) -> Vec<u8> {
        let position: BTreeMap<u32, u32> = sites.iter().zip(0..).map(|(site, position)| (*site, position)).collect();
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(position.get(&frame.site).copied().unwrap_or(u32::MAX).to_le_bytes());
            let types = self.table().saved_untrusted(frame.site).unwrap_or_default();
            for (ty, value) in types.iter().zip(&frame.values) {
                bytes.extend(&value.to_le_bytes()[..ty.size() as usize]);
            }
        }
        bytes
    }
}
