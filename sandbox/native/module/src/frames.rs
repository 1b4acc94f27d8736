//! Frames: what a stopped program was doing, as bytes and as values.
//!
//! In: the frames as they lie in the control memory of a program that was left (innermost first), or those of a state from outside: untrusted both.
//! Out: a list, outermost first, whose values have the sizes of their types. Whether one can stand inside the other, the guide says.

use crate::layout::FRAMES_MAX;
use crate::scalar::Scalar;
use crate::table::SiteTable;
use std::collections::BTreeSet;

/// One frame. It stays where it lies: all frames together may have 64 MiB, and the process that goes on has room for few copies of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The number of the site.
    pub site: u32,
    /// Its values in the order of the site table, without gaps.
    pub bytes: &'a [u8],
}

/// A state that this program cannot be in, or in which it is not continued. `text` says why, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrames {
    /// Without any part of the state.
    pub text: &'static str,
}

impl BadFrames {
    pub(crate) const NO_SITE: BadFrames = BadFrames { text: "a frame names a site that the program does not have" };
    pub(crate) const LARGE_FUNCTIONS: BadFrames =
        BadFrames { text: "it stands at too many places of too large functions" };
    pub(crate) const MANY_CALLERS: BadFrames =
        BadFrames { text: "it stands at too many places that too many kinds of calls can have led to" };

    /// The program may have left them: it is we who do no more.
    pub(crate) fn is_bound(self) -> bool {
        [BadFrames::LARGE_FUNCTIONS, BadFrames::MANY_CALLERS].contains(&self)
    }
}

pub(crate) const fn bad<T>(text: &'static str) -> Result<T, BadFrames> {
    Err(BadFrames { text })
}

/// Frames as the program wrote them, innermost first -> the list, outermost first.
pub fn read_untrusted<'a>(table: &SiteTable, bytes: &'a [u8]) -> Result<Vec<Frame<'a>>, BadFrames> {
    read_with(|site| table.saved_untrusted(site), bytes)
}

/// The sites of these frames, so that a continuation can be made; for each the table says what it saves.
pub fn sites_of(frames: &[Frame<'_>]) -> BTreeSet<u32> {
    frames.iter().map(|frame| frame.site).collect()
}

/// The same with the types from elsewhere than a table.
pub(crate) fn read_with<'x, 'a>(
    saved: impl Fn(u32) -> Option<&'x [Scalar]>,
    mut bytes: &'a [u8],
) -> Result<Vec<Frame<'a>>, BadFrames> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        if frames.len() == FRAMES_MAX {
            return bad("there are more frames than any stack holds");
        }
        let Some((site, rest)) = bytes.split_first_chunk() else { return CUT_OFF };
        let site = u32::from_le_bytes(*site);
        let types = saved(site).ok_or(BadFrames::NO_SITE)?;
        let Some((values, rest)) = rest.split_at_checked(size_of(types)) else { return CUT_OFF };
        frames.push(Frame { site, bytes: values });
        bytes = rest;
    }
    frames.reverse();
    Ok(frames)
}

const CUT_OFF: Result<Vec<Frame<'static>>, BadFrames> = bad("the frames end within a frame");

/// Bytes of the values of a frame.
pub(crate) fn size_of(types: &[Scalar]) -> usize {
    types.iter().map(|ty| ty.size() as usize).sum()
}

/// The values of a frame: bit patterns, zero-extended. As many as it has bytes for.
pub(crate) fn values<'a>(types: &'a [Scalar], mut bytes: &'a [u8]) -> impl Iterator<Item = (Scalar, u128)> + 'a {
    types.iter().map_while(move |ty| {
        let (head, rest) = bytes.split_at_checked(ty.size() as usize)?;
        bytes = rest;
        let mut wide = [0; 16];
        wide[..head.len()].copy_from_slice(head);
        Some((*ty, u128::from_le_bytes(wide)))
    })
}

/// Do the values fit? `references` is how many references to functions go with the frames.
pub(crate) fn check_values(types: &[Scalar], frame: &Frame<'_>, references: usize) -> Result<(), BadFrames> {
    if size_of(types) != frame.bytes.len() {
        return bad("a frame has more or fewer values than its site saves");
    }
    for (ty, value) in values(types, frame.bytes) {
        match ty {
            // Of an earlier version, which did not end a program that was given no room.
            Scalar::Function if value == u32::MAX.into() => {
                return bad("there was no room for a reference to a function");
            }
            Scalar::Function if value > references as u128 => {
                return bad("a reference is not in the list of references");
            }
            Scalar::Extern if value != 0 => return bad("a reference to something of the host is alive"),
            _ => {}
        }
    }
    Ok(())
}
