//! What is kept of a program beside its image: all that its continuations must know of the functions that have no frame. With it only the others are read.
//!
//! ```text
//! u8 version, u8 can frames hold references to functions
//! list of all functions: u8 flags, u32 sites
//! list of those that end in tail calls: u32 function, list of u32 nodes of the call graph
//! list of operators on segments: u8 which, u32 segment, u32 memory or table
//! ```
//!
//! Made with the transformed program, by the same jailed worker. It is believed as far as the image is: a wrong one makes a wrong continuation of this program,
//! which runs where the program runs, or ends the worker that reads it.

use crate::base::{Base, add};
use crate::bytes::{Broken, Reader, put_list, put_number, put_numbers};
use crate::entries::{self, Loops, Reentry};
use crate::graph::Graph;
use crate::instrument::{Suspendable, forms_of};
use crate::parse::Program;
use crate::table::{build, first_sites};
use crate::uses::{SegmentOp, Uses};
use std::collections::{BTreeMap, BTreeSet};

/// The form of the bytes.
const VERSION: u8 = 1;
/// A call of the function may end because the program is being stopped.
const LEAVES: u8 = 1;
/// It is stopped at its entry.
const ENTRY: u8 = 2;
/// A reference can mean it.
const ESCAPED: u8 = 4;
/// A continuation may have to call it by its number.
const CALLED: u8 = 8;
/// It has a second form, which is entered at its loops.
const AGAIN: u8 = 16;

/// See above.
struct Summary {
    references: bool,
    /// Of each function.
    flags: Vec<u8>,
    counts: Vec<u32>,
    /// Where the tail calls of each function go.
    tails: Vec<Vec<usize>>,
    segments: BTreeSet<SegmentOp>,
}

impl<'a> Suspendable<'a> {
    /// What is kept beside the image.
    pub fn summary(&self) -> Vec<u8> {
        let base = &self.base;
        let all: Vec<u32> = (0..crate::number(base.program.functions.len())).collect();
        let tails: Vec<u32> =
            all.iter().copied().filter(|function| !base.graph.tails_of(*function).is_empty()).collect();
        let segments: Vec<SegmentOp> = base.graph.uses.segments.iter().copied().collect();
        let mut out = vec![VERSION, u8::from(base.added.references)];
        put_list(&mut out, &all, |out, function| {
            out.push(flags(base, *function));
            put_number(out, base.forms.get(function).map_or(0, |form| crate::number(form.spots.len())));
        });
        put_list(&mut out, &tails, |out, function| {
            put_number(out, *function);
            put_numbers(
                out,
                &base.graph.tails_of(*function).iter().map(|node| crate::number(*node)).collect::<Vec<_>>(),
            );
        });
        put_list(&mut out, &segments, |out, op| put_segment(out, *op));
        out
    }

    /// Of a module that was transformed before, with what is known of its functions at these sites, for their continuation and its guide. There is no
    /// [`Suspendable::wasm`]. `None`: the summary is of another module or version; the whole module says the same.
    pub fn known_untrusted(bytes: &'a [u8], summary: &[u8], sites: &BTreeSet<u32>) -> Option<Suspendable<'a>> {
        let program = Program::again_untrusted(bytes).ok()?;
        let summary = decode_untrusted(summary, &program).ok()?;
        let graph = summary.graph(&program);
        let first = first_sites(&program, &summary.counts);
        let forms = forms_of(&program, &graph, summary.functions_at(&first, program.imported, sites)).ok()?;
        if forms.iter().any(|form| form.spots.len() != summary.counts[form.function as usize] as usize) {
            return None;
        }
        let table = build(&program, &forms, first).ok()?;
        let added = add(&program, &graph, &summary.with(CALLED).collect(), summary.references);
        let mut base = Base::new(program, graph, forms, table, added);
        base.reentries = summary.reentries(&base);
        Some(Suspendable::of(base))
    }
}

fn flags(base: &Base<'_>, function: u32) -> u8 {
    let ty = base.program.functions[function as usize];
    let is_called = |targets: &Vec<u32>| targets.binary_search(&base.target(function)).is_ok();
    let flag = |flag: u8, set: bool| if set { flag } else { 0 };
    flag(LEAVES, base.graph.may_leave(function))
        | flag(ENTRY, base.graph.stops_at_entry(function))
        | flag(ESCAPED, base.graph.escaped.contains(&function))
        | flag(CALLED, base.added.dispatch.get(&ty).is_some_and(is_called))
        | flag(AGAIN, base.reentries.contains_key(&function))
}

impl Summary {
    /// The functions that have the flag.
    fn with(&self, flag: u8) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.flags).filter(move |(_, flags)| **flags & flag != 0).map(|(function, _)| function)
    }

    fn graph(&self, program: &Program<'_>) -> Graph {
        let all = |flag: u8| self.flags.iter().map(|flags| flags & flag != 0).collect();
        let uses = Uses { segments: self.segments.clone(), ..Uses::default() };
        let mut graph =
            Graph::again(program, (all(LEAVES), all(ENTRY)), self.tails.clone(), self.with(ESCAPED).collect());
        graph.uses = uses;
        graph
    }

    /// The functions, not imported, that the sites are in.
    fn functions_at(&self, first: &[u32], imported: u32, sites: &BTreeSet<u32>) -> BTreeSet<u32> {
        let counted = (0..).zip(first.iter().zip(&self.counts)).filter(|(_, (_, count))| **count > 0);
        let owners: BTreeMap<u32, u32> = counted.map(|(function, (first, _))| (*first, function)).collect();
        let owner = |site: &u32| owners.range(..=*site).next_back().map(|(_, function)| *function);
        sites.iter().filter_map(owner).filter(|function| *function >= imported).collect()
    }

    fn reentries(&self, base: &Base<'_>) -> BTreeMap<u32, Reentry> {
        let again = self.with(AGAIN).filter_map(|function| base.forms.get(&function));
        again.filter_map(|form| Some((form.function, entries::of(&base.program, form, Loops::Usual)?))).collect()
    }
}

fn decode_untrusted(bytes: &[u8], program: &Program<'_>) -> Result<Summary, Broken> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return Err(Broken);
    }
    let references = reader.byte()? != 0;
    let functions = reader.list(5, |reader| Ok((reader.byte()?, reader.number()?)))?;
    let (flags, mut counts): (Vec<u8>, Vec<u32>) = functions.into_iter().unzip();
    if flags.len() != program.functions.len() {
        return Err(Broken);
    }
    counts[..program.imported as usize].fill(1);
    let mut tails = vec![Vec::new(); flags.len()];
    let nodes = flags.len() + program.types.len();
    reader.list(8, |reader| {
        let function = reader.number()? as usize;
        let to: Vec<usize> = reader.numbers()?.into_iter().map(|node| node as usize).collect();
        if to.iter().any(|node| *node >= nodes) {
            return Err(Broken);
        }
        *tails.get_mut(function).ok_or(Broken)? = to;
        Ok(())
    })?;
    let segments = reader.list(9, segment_untrusted)?.into_iter().collect();
    reader.end()?;
    Ok(Summary { references, flags, counts, tails, segments })
}

fn put_segment(out: &mut Vec<u8>, op: SegmentOp) {
    let (which, segment, place) = match op {
        SegmentOp::MemoryInit(segment, memory) => (0, segment, memory),
        SegmentOp::DataDrop(segment) => (1, segment, 0),
        SegmentOp::TableInit(segment, table) => (2, segment, table),
        SegmentOp::ElementDrop(segment) => (3, segment, 0),
    };
    out.push(which);
    put_number(out, segment);
    put_number(out, place);
}

fn segment_untrusted(reader: &mut Reader<'_>) -> Result<SegmentOp, Broken> {
    let (which, segment, place) = (reader.byte()?, reader.number()?, reader.number()?);
    Ok(match which {
        0 => SegmentOp::MemoryInit(segment, place),
        1 => SegmentOp::DataDrop(segment),
        2 => SegmentOp::TableInit(segment, place),
        3 => SegmentOp::ElementDrop(segment),
        _ => return Err(Broken),
    })
}
