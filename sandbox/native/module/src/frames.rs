//! Frames: what a stopped program was doing, as bytes and as values.
//!
//! In: the frames as they lie in the control memory of a program that was left (innermost first), or those of a state from outside: untrusted both.
//! Out: a list, outermost first, whose values fit the types of their sites. Whether one can stand inside the other, the guide says.

use crate::scalar::Scalar;
use crate::table::SiteTable;
use std::collections::BTreeSet;

/// One frame. The values are bit patterns, zero-extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the site.
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

impl BadFrames {
    pub(crate) const NO_SITE: BadFrames = BadFrames { text: "a frame names a site that the program does not have" };
}

pub(crate) const fn bad<T>(text: &'static str) -> Result<T, BadFrames> {
    Err(BadFrames { text })
}

/// Frames as the program wrote them, innermost first -> the list, outermost first.
pub fn read_untrusted(table: &SiteTable, bytes: &[u8]) -> Result<Vec<Frame>, BadFrames> {
    read_with(|site| table.saved_untrusted(site), bytes)
}

/// The sites of these frames, so that a continuation can be made; for each the table says what it saves.
pub fn sites_of(frames: &[Frame]) -> BTreeSet<u32> {
    frames.iter().map(|frame| frame.site).collect()
}

/// The same with the types from elsewhere than a table.
pub(crate) fn read_with<'x>(
    saved: impl Fn(u32) -> Option<&'x [Scalar]>,
    mut bytes: &[u8],
) -> Result<Vec<Frame>, BadFrames> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let site = take(&mut bytes, 4)?;
        let site = u32::try_from(site).map_err(|_| BadFrames::NO_SITE)?;
        let types = saved(site).ok_or(BadFrames::NO_SITE)?;
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

/// Do the values fit? `references` is how many references to functions go with the frames.
pub(crate) fn check_values(types: &[Scalar], frame: &Frame, references: usize) -> Result<(), BadFrames> {
    if types.len() != frame.values.len() {
        return bad("a frame has more or fewer values than its site saves");
    }
    for (ty, value) in types.iter().zip(&frame.values) {
        match ty {
            Scalar::Function if *value == u32::MAX.into() => {
                return bad("there was no room for a reference to a function");
            }
            Scalar::Function if *value > references as u128 => {
                return bad("a reference is not in the list of references");
            }
            Scalar::Extern if *value != 0 => return bad("a reference to something of the host is alive"),
            _ if ty.size() < 16 && value >> (8 * ty.size()) != 0 => return bad("a value does not fit its type"),
            _ => {}
        }
    }
    Ok(())
}
