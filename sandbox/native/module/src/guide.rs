//! The guide of a continuation: all that must be known to check frames and to write them for it, without the module and its site table.
//!
//! Who compiles the continuation makes the guide beside it, from the module's bytes and the same set of sites. The process that resumes the program has only
//! the images and the guide; the frames, from outside, are checked there against the guide: every site is one of the set, every value fits its type, and
//! each frame is of a function that the frame around it can be calling.

use crate::Suspendable;
use crate::base::{name_of, results_at};
use crate::bytes::{Broken, Reader, put_bytes, put_list, put_number, put_numbers};
use crate::form::Callee;
use crate::frames::{BadFrames, Frame, bad, check_values, read_with};
use crate::layout::START;
use crate::scalar::Scalar;
use crate::table::{Place, frames_of, node_of};
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::ExternalKind;

/// The form of the bytes.
const VERSION: u8 = 1;
/// Numbers in all lists of who may stand where: sites of the set, for each kind of call in it.
const LISTED: usize = 1 << 22;
/// What stands for "nothing stands inside this frame".
const NOTHING: u32 = u32::MAX;

/// One site of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    site: u32,
    saved: Vec<Scalar>,
    /// Which export of the continuation goes on from here.
    export: u32,
    /// Which list holds the places of the sites that may stand inside, or [`NOTHING`].
    inside: u32,
}

/// See above. It holds no value of any frame.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Guide {
    /// Ascending; the place in it is how the continuation knows the site.
    sites: Vec<Known>,
    lists: Vec<Vec<u32>>,
    exports: Vec<String>,
    /// Of each function that the host may call by name: which sites its outermost frame may be at.
    entries: BTreeMap<String, u32>,
}

impl Guide {
    /// Frames as the program wrote them, innermost first -> the list, outermost first.
    pub fn read_untrusted<'a>(&self, bytes: &'a [u8]) -> Result<Vec<Frame<'a>>, BadFrames> {
        read_with(|site| self.known(site).ok().map(|(_, known)| known.saved.as_slice()), bytes)
    }

    /// Can a call of the export `entry` have left these frames, outermost first? `references` is how many references go with them.
    pub fn check_untrusted(&self, entry: &str, frames: &[Frame<'_>], references: usize) -> Result<(), BadFrames> {
        let Some(list) = self.entries.get(entry) else {
            return bad("the entry cannot have left any of these frames");
        };
        let mut expected = *list;
        for frame in frames {
            let (place, known) = self.known(frame.site)?;
            check_values(&known.saved, frame, references)?;
            let Some(list) = self.lists.get(expected as usize) else {
                return bad("a frame stands inside a site that has nothing inside it");
            };
            if list.binary_search(&place).is_err() {
                return bad("a frame is not of a function that the frame around it can call");
            }
            expected = known.inside;
        }
        if expected == NOTHING { Ok(()) } else { bad("the innermost frame is missing") }
    }

    /// The frames, checked before, as the continuation reads them: outermost first, each site as its place in the set.
    pub fn write_frames(&self, frames: &[Frame<'_>]) -> Result<Vec<u8>, BadFrames> {
        let room = frames.iter().map(|frame| 4 + frame.bytes.len()).sum();
        if room > crate::FRAME_BYTES as usize {
            return bad("the frames need more room than there is");
        }
        let mut bytes = Vec::with_capacity(room);
        for frame in frames {
            bytes.extend(self.known(frame.site)?.0.to_le_bytes());
            bytes.extend(frame.bytes);
        }
        Ok(bytes)
    }

    /// The export of the continuation that goes on from these frames. It takes nothing and gives what the outermost function gives.
    pub fn resume_name(&self, frames: &[Frame<'_>]) -> Option<&str> {
        let (_, known) = self.known(frames.first()?.site).ok()?;
        self.exports.get(known.export as usize).map(String::as_str)
    }

    fn known(&self, site: u32) -> Result<(u32, &Known), BadFrames> {
        let place = self.sites.binary_search_by_key(&site, |known| known.site).map_err(|_| BadFrames::NO_SITE)?;
        Ok((crate::number(place), &self.sites[place]))
    }

    /// As bytes, to go with the continuation.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_list(&mut out, &self.sites, |out, known| {
            put_number(out, known.site);
            put_number(out, known.export);
            put_number(out, known.inside);
            put_list(out, &known.saved, |out, ty| out.push(ty.code()));
        });
        put_list(&mut out, &self.lists, |out, list| put_numbers(out, list));
        put_list(&mut out, &self.exports, |out, name| put_bytes(out, name.as_bytes()));
        let entries: Vec<_> = self.entries.iter().collect();
        put_list(&mut out, &entries, |out, (name, list)| {
            put_bytes(out, name.as_bytes());
            put_number(out, **list);
        });
        out
    }

    /// Of a worker that may have been taken over: a wrong guide lets wrong frames through, which is no more than the continuation beside it could do.
    pub fn decode_untrusted(bytes: &[u8]) -> Result<Guide, BadFrames> {
        decode(bytes).map_err(|Broken| BadFrames { text: "the guide of the continuation is broken" })
    }
}

fn decode(bytes: &[u8]) -> Result<Guide, Broken> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return Err(Broken);
    }
    let sites = reader.list(16, |reader| {
        let (site, export, inside) = (reader.number()?, reader.number()?, reader.number()?);
        let saved = reader.list(1, |reader| Scalar::from_code(reader.byte()?).ok_or(Broken))?;
        Ok(Known { site, saved, export, inside })
    })?;
    let lists = reader.list(4, Reader::numbers)?;
    let exports = reader.list(4, Reader::text)?;
    let entries = reader.list(8, |reader| Ok((reader.text()?, reader.number()?)))?;
    reader.end()?;
    let ascending = |list: &[u32]| list.is_sorted_by(|a, b| a < b);
    let known = |known: &Known| {
        (known.export as usize) < exports.len() && (known.inside == NOTHING || (known.inside as usize) < lists.len())
    };
    let sound = sites.iter().all(known)
        && sites.is_sorted_by(|a, b| a.site < b.site)
        && lists.iter().all(|list| ascending(list))
        && entries.is_sorted_by(|a, b| a.0 < b.0)
        && entries.iter().all(|(_, list)| (*list as usize) < lists.len());
    if !sound {
        return Err(Broken);
    }
    Ok(Guide { sites, lists, exports, entries: entries.into_iter().collect() })
}

/// The lists, each kind of call once.
struct Lists<'x, 'a> {
    program: &'x Suspendable<'a>,
    sites: &'x BTreeSet<u32>,
    lists: Vec<Vec<u32>>,
    /// By node of the call graph.
    known: BTreeMap<usize, u32>,
}

impl Lists<'_, '_> {
    /// The list of the sites at which the frame of such a call can be.
    fn of(&mut self, callee: Callee) -> u32 {
        let base = &self.program.base;
        let node = node_of(&base.graph, callee);
        if let Some(list) = self.known.get(&node) {
            return *list;
        }
        let functions = frames_of(&base.graph, callee);
        let fits = |site: u32| functions.contains(&(self.program.table().sites[&site].function as usize));
        let places = (0..).zip(self.sites).filter(|(_, site)| fits(**site)).map(|(place, _)| place).collect();
        let number = crate::number(self.lists.len());
        self.lists.push(places);
        self.known.insert(node, number);
        number
    }
}

impl Suspendable<'_> {
    /// The guide of the continuation for these sites.
    pub fn guide_untrusted(&self, sites: &BTreeSet<u32>) -> Result<Guide, BadFrames> {
        if sites.iter().any(|site| self.table().saved_untrusted(*site).is_none()) {
            return Err(BadFrames::NO_SITE);
        }
        let mut lists = Lists { program: self, sites, lists: Vec::new(), known: BTreeMap::new() };
        let mut exports: BTreeMap<String, u32> = BTreeMap::new();
        let mut guide = Guide::default();
        for site in sites {
            let next = crate::number(exports.len());
            let export = *exports.entry(name_of(&results_at(&self.base, *site))).or_insert(next);
            let saved = self.table().saved_untrusted(*site).unwrap_or_default().to_vec();
            let place = self.table().sites.get(site).map(|site| site.place);
            let inside = if let Some(Place::Call(callee)) = place { lists.of(callee) } else { NOTHING };
            guide.sites.push(Known { site: *site, saved, export, inside });
        }
        guide.entries =
            self.entries().into_iter().map(|(name, entry)| (name, lists.of(Callee::Function(entry)))).collect();
        guide.entries.retain(|_, list| !lists.lists[*list as usize].is_empty());
        guide.lists = lists.lists;
        let mut names: Vec<(String, u32)> = exports.into_iter().collect();
        names.sort_by_key(|(_, number)| *number);
        guide.exports = names.into_iter().map(|(name, _)| name).collect();
        if guide.lists.iter().map(Vec::len).sum::<usize>() > LISTED {
            return Err(BadFrames::MANY_CALLERS);
        }
        Ok(guide)
    }

    /// The functions that a host can call, by the names of their exports.
    fn entries(&self) -> Vec<(String, u32)> {
        let program = &self.base.program;
        let functions = program.exports.iter().filter(|export| export.kind == ExternalKind::Func);
        let named = functions.map(|export| (export.name.to_owned(), export.index));
        named.chain(program.start.map(|start| (START.to_owned(), start))).collect()
    }
}
