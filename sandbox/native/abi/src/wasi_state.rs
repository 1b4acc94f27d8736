//! WASI: the world of a stopped program as bytes and back. The format: STATE.md.
//!
//! Not in it: what the program was allowed (limits, resolution of clocks, whether its log and its files are wanted), which
//! is for whoever goes on to say; and randomness, of which none is kept.

use gatebus_files::Files;
use gatebus_wire::control::{FLAG_DEBUG_LOG, FLAG_FILES, Kind, Report, STATE_MAX, encode};
use gatebus_wire::fields::{Reader, Writer};
use gatebus_wire::setup::{SETUP_MAX, text_untrusted, variable_untrusted};
use gatebus_wire::{Malformed, status};

use crate::descriptor::{Descriptor, LIMIT, Table, Target, flag};
use crate::log::Log;
use crate::origin::Origin;
use crate::setup::limits;
use crate::state::{BadState, Head, Resumed};
use crate::table::Personality;
use crate::time::Clocks;
use crate::wasi::{PREOPENS, Wasi};
use crate::{Channel, Exit, Setup};

/// A descriptor's slot that is free.
const FREE: u8 = 0;
/// Plain output, in the byte of a descriptor's nature.
const PLAIN: u8 = 4;

impl Wasi {
    /// The world, after [`Wasi::drain_until_suspend`].
    pub fn save(&self, channel: &mut dyn Channel) -> Vec<u8> {
        let head = Head { clocks: &self.clocks, waiting_since: self.waiting_since, log: &self.log };
        let texts = save_texts(&self.arguments, head.save(Personality::Wasi, channel));
        let texts = save_texts(&self.environment, texts);
        let order = self.files.order();
        let descriptors = self.save_descriptors(&order, self.origin.save(texts));
        self.files.save(&order, descriptors).done()
    }

    fn save_descriptors(&self, order: &[gatebus_files::Id], into: Writer) -> Writer {
        let slots = self.table.slots();
        let head = into.u32(u32::try_from(slots.len()).unwrap_or(u32::MAX));
        slots.iter().fold(head, |into, slot| match slot {
            None => into.u8(FREE),
            Some(descriptor) => save_descriptor(descriptor, order, into),
        })
    }

    /// The world that [`Wasi::save`] wrote, with the limits and the clock of this setup.
    pub fn restore_untrusted(setup: Setup, state: &[u8]) -> Result<Wasi, BadState> {
        let mut fields = Reader::new(state);
        let clocks = Clocks::every(setup.resolution(), setup.started);
        let log = Log::new(setup.flag(FLAG_DEBUG_LOG), setup.words.begin.log_limit);
        let head = Resumed::read_untrusted(&mut fields, Personality::Wasi, (clocks, log))?;
        let arguments = texts_untrusted(&mut fields, text_untrusted)?;
        let environment = texts_untrusted(&mut fields, variable_untrusted)?;
        let files_wanted = setup.flag(FLAG_FILES);
        let origin = Origin::restore_untrusted(setup.link, &mut fields)?;
        let slots = descriptors_untrusted(&mut fields)?;
        let held: Vec<u32> = slots.iter().flatten().filter_map(Saved::node).collect();
        let files = Files::restore_untrusted(&mut fields, limits(&setup.words), &held)?;
        fields.end()?;
        let slots: Result<Vec<_>, _> = slots.into_iter().map(|slot| connect_untrusted(slot, &files)).collect();
        let table = Table::of_slots_untrusted(slots?).ok_or(Malformed("an impossible table of descriptors"))?;
        let Resumed { clocks, waiting_since, log } = head;
        Ok(Wasi { arguments, environment, clocks, files, table, origin, log, files_wanted, waiting_since })
    }

    /// Sends the state of a stopped program and the report of the stop. `memory` is the size of all linear memories.
    pub fn finish_suspended(&mut self, channel: &mut dyn Channel, state: &[u8], memory: u64) -> Result<(), Exit> {
        for piece in state.chunks(STATE_MAX) {
            self.origin.send(channel, &encode(Kind::State, piece).unwrap_or_default())?;
        }
        let (status, log_dropped) = (u32::from(status::SUSPENDED), self.log.dropped());
        let report = Report { status, result: 0, memory, log_dropped, text: String::new() };
        self.origin.send(channel, &report.packet())
    }
}

fn save_texts(texts: &[Vec<u8>], into: Writer) -> Writer {
    let head = into.u32(u32::try_from(texts.len()).unwrap_or(u32::MAX));
    texts.iter().fold(head, |into, text| into.u32(u32::try_from(text.len()).unwrap_or(u32::MAX)).bytes(text))
}

/// As many as fit into a setup.
fn texts_untrusted(
    fields: &mut Reader<'_>,
    text_untrusted: impl Fn(&[u8]) -> Result<Vec<u8>, Malformed>,
) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut texts = Vec::new();
    let mut left = SETUP_MAX;
    for _ in 0..fields.u32()? {
        let len = fields.u32()? as usize;
        left = left.checked_sub(len.saturating_add(8)).ok_or(Malformed("arguments larger than 1 MiB"))?;
        texts.push(text_untrusted(fields.bytes(len)?)?);
    }
    Ok(texts)
}

/// `u8 kind (1 input, 2 output, 3 log, 4 node), u8 nature (0..2 name from the start, + 4 plain), u16 flags, u64 rights,
/// u64 inheriting, u64 offset, u32 node`; `u8 0` for a number that is free.
fn save_descriptor(descriptor: &Descriptor, order: &[gatebus_files::Id], into: Writer) -> Writer {
    let (kind, node) = match descriptor.target {
        Target::Input => (1, 0),
        Target::Output => (2, 0),
        Target::Log => (3, 0),
        Target::Node(id, _) => (4, order.iter().position(|other| *other == id).unwrap_or(0)),
    };
    let name = descriptor.preopen.and_then(|name| PREOPENS.iter().position(|other| *other == name));
    let nature = name.map_or(0, |at| at + 1) + if descriptor.plain { usize::from(PLAIN) } else { 0 };
    let head = into.u8(kind).u8(u8::try_from(nature).unwrap_or(0)).u16(descriptor.flags);
    let rights = head.u64(descriptor.base).u64(descriptor.inheriting);
    rights.u64(descriptor.offset).u32(u32::try_from(node).unwrap_or(0))
}

/// A descriptor whose node is not found yet.
struct Saved {
    kind: u8,
    node: u32,
    descriptor: Descriptor,
}

impl Saved {
    fn node(&self) -> Option<u32> {
        (self.kind == 4).then_some(self.node)
    }
}

fn descriptors_untrusted(fields: &mut Reader<'_>) -> Result<Vec<Option<Saved>>, Malformed> {
    let count = fields.u32()?;
    if count as usize > LIMIT {
        return Err(Malformed("an impossible table of descriptors"));
    }
    let mut slots = Vec::new();
    for _ in 0..count {
        slots.push(match fields.u8()? {
            FREE => None,
            kind => Some(descriptor_untrusted(kind, fields)?),
        });
    }
    Ok(slots)
}

fn descriptor_untrusted(kind: u8, fields: &mut Reader<'_>) -> Result<Saved, Malformed> {
    let (nature, flags) = (fields.u8()?, fields.u16()?);
    let (base, inheriting, offset, node) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u32()?);
    let preopen = match nature & !PLAIN {
        0 => None,
        at => Some(*PREOPENS.get(usize::from(at) - 1).ok_or(Malformed("an impossible descriptor"))?),
    };
    // A node gets its own target when the nodes are there.
    let target = match kind {
        1 => Target::Input,
        2 => Target::Output,
        3 | 4 => Target::Log,
        _ => return Err(Malformed("an impossible descriptor")),
    };
    let stream = kind != 4 && (node != 0 || offset != 0 || preopen.is_some());
    if stream || flags & !flag::ALL != 0 || i64::try_from(offset).is_err() {
        return Err(Malformed("an impossible descriptor"));
    }
    let plain = nature & PLAIN != 0;
    Ok(Saved { kind, node, descriptor: Descriptor { target, flags, base, inheriting, offset, preopen, plain } })
}

fn connect_untrusted(slot: Option<Saved>, files: &Files) -> Result<Option<Descriptor>, Malformed> {
    let Some(saved) = slot else { return Ok(None) };
    let Some(place) = saved.node() else { return Ok(Some(saved.descriptor)) };
    let (id, kind) = files.restored(place).ok_or(Malformed("a descriptor of nothing"))?;
    if kind == gatebus_files::Kind::Link {
        return Err(Malformed("a symbolic link is never open"));
    }
    Ok(Some(Descriptor { target: Target::Node(id, kind), ..saved.descriptor }))
}
