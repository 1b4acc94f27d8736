//! What a program was doing when it was left: everything but memory 0, which stays with the host in its file.
//!
//! In: an instance whose call has returned with frames in the control memory. Out: STATE packets on the socket: the
//! bytes of `gatebus_module::State`, the large parts (frames, further memories, the world) straight from where they are, because the
//! runtime's heap is small. The program's sha256 is zeros in it: this process does not know it, the host does.

use crate::ending::because;
use crate::host::Host;
use crate::memory::{CONTROL, entries};
use crate::references::{Functions, Unknown};
use gatebus_abi::{Channel, Exit, Io};
use gatebus_module::{
    CHANGES, DROPPED, FRAMES, GLOBAL, Global, MEMORY, PIECE, Phase, REFERENCES, REFERENCES_WRITTEN, Scalar, State,
    WRITTEN,
};
use gatebus_wire::control::{CONTENT_MAX, Kind, Report, encode};
use gatebus_wire::status;
use wasmtime::{Instance, Module, Mutability, Store, Val, ValType};

/// A program that was left in one of the host's calls.
pub struct Left<'a> {
    /// Its module, for the names of its exports.
    pub module: &'a Module,
    /// What it is an instance of.
    pub instance: Instance,
    /// Which call.
    pub phase: Phase,
    /// The entry function, also of an earlier phase.
    pub entry: &'a str,
}

/// Sends the state. The end is SUSPENDED, unless something in it cannot be told or the host is gone.
pub fn suspend(store: &mut Store<Host>, left: &Left<'_>) -> Exit {
    match told(store, left) {
        Ok(()) => because(status::SUSPENDED, ""),
        Err(exit) => exit,
    }
}

fn told(store: &mut Store<Host>, left: &Left<'_>) -> Result<(), Exit> {
    store.data_mut().drain_until_suspend()?;
    let state = capture(store, left).map_err(unnumbered)?;
    let frames = store.data().slots.control_word(WRITTEN) as usize;
    tell(store, state, frames)
}

/// Sends the state of a program that has come to its end: it stands nowhere. What the host has sent and it has not read is lost.
pub fn keep(store: &mut Store<Host>, left: &Left<'_>) -> Result<(), Exit> {
    let state = capture(store, left).map_err(unnumbered)?;
    tell(store, State { references: Vec::new(), ..state }, 0)
}

fn unnumbered(_: Unknown) -> Exit {
    because(status::BAD_STATE, "it holds a reference that has no number")
}

/// `frames`: bytes of them.
fn tell(store: &mut Store<Host>, state: State, frames: usize) -> Result<(), Exit> {
    let (world, slots) = (store.data_mut().save_rules(), store.data().slots.clone());
    let memories = 1..1 + state.memories.len();
    let (frames_at, bytes) = (state.frames_at(), State { memories: Vec::new(), ..state }.encode());
    let mut packets = Packets { channel: &mut *store.data_mut().channel, piece: Vec::new() };
    let (before, behind) = bytes.split_at_checked(frames_at).unwrap_or_default();
    packets.add(before)?;
    packets.number(frames)?;
    // SAFETY: the guest has been left: nothing writes to its memories any more.
    let control = unsafe { slots.content(CONTROL) };
    packets.add(control.get(FRAMES as usize..FRAMES as usize + frames).unwrap_or_default())?;
    // Without the three counts that are zero: of the bytes of frames, of memories, and of the bytes of the world.
    packets.add(behind.get(4..behind.len().saturating_sub(8)).unwrap_or_default())?;
    packets.number(memories.len())?;
    for slot in memories {
        // SAFETY: the guest has been left: nothing writes to its memories any more.
        packets.memory(unsafe { slots.content(slot) })?;
    }
    packets.number(world.len())?;
    packets.add(&world)?;
    packets.flush()?;
    match slots.shared_at() {
        None => Ok(()),
        Some(address) => hand_over(store, address),
    }
}

/// Of a memory that is shared until it is written to, the host has in its file what this process copies there: it waits until
/// the host knows what that is. The list stands where the frames were.
fn hand_over(store: &mut Store<Host>, address: u64) -> Result<(), Exit> {
    let slots = store.data().slots.clone();
    let channel = &mut *store.data_mut().channel;
    send(channel, &encode(Kind::Held, &address.to_le_bytes()).unwrap_or_default())?;
    let count = taken(channel)? as usize;
    // SAFETY: the guest has been left.
    let control = unsafe { slots.content(CONTROL) };
    let list = control.get(FRAMES as usize..).and_then(|list| list.get(..count * 8)).unwrap_or_default();
    slots.take_changes(&entries(list).collect::<Vec<_>>());
    Ok(())
}

/// The host's TAKE, the only thing that it says after SUSPEND: `u32 count`.
fn taken(channel: &mut dyn Channel) -> Result<u32, Exit> {
    let mut packet = [0u8; 16];
    let mut have = 0;
    while have < packet.len() {
        match channel.read(packet.get_mut(have..).unwrap_or_default()) {
            Io::Done(count) => have += count,
            Io::WouldBlock => _ = channel.wait(true, false, None),
            Io::Closed => return Err(because(status::ORPHANED, "the host closed the packet socket")),
        }
    }
    let [_, _, _, _, _, _, _, kind, a, b, c, d, ..] = packet;
    if kind != Kind::Take as u8 {
        return Err(because(status::SETUP_MALFORMED, "something else than TAKE"));
    }
    Ok(u32::from_le_bytes([a, b, c, d]))
}

/// The parts that are small: without the frames, and of further memories only their number is right.
fn capture(store: &mut Store<Host>, left: &Left<'_>) -> Result<State, Unknown> {
    let mut functions = Functions::of(store, &left.instance);
    let kept = u64::from(store.data().slots.control_word(REFERENCES_WRITTEN));
    let references = match left.instance.get_table(&mut *store, REFERENCES) {
        Some(table) if kept > 0 => functions.entries(store, &table, kept)?,
        _ => Vec::new(),
    };
    let names: Vec<&str> = left.module.exports().map(|export| export.name()).collect();
    let memory_count = names.iter().filter(|name| name.starts_with(MEMORY)).count();
    let empty = gatebus_module::Memory { pages: 0, pieces: Vec::new() };
    Ok(State {
        module: [0; 32],
        phase: left.phase,
        entry: left.entry.to_owned(),
        pages: u32::try_from(store.data().slots.first_size() >> 16).unwrap_or(u32::MAX),
        frames: Vec::new(),
        references,
        globals: globals(store, left, &mut functions)?,
        tables: tables(store, left, &mut functions, &numbered(&names, CHANGES))?,
        dropped_data: dropped(store, left, "data.drop", &names),
        dropped_elements: dropped(store, left, "elem.drop", &names),
        memories: vec![empty; memory_count.saturating_sub(1)],
        world: Vec::new(),
    })
}

/// The numbers of the exports that begin so, ascending.
fn numbered(names: &[&str], prefix: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn globals(store: &mut Store<Host>, left: &Left<'_>, functions: &mut Functions) -> Result<Vec<Global>, Unknown> {
    let mut globals = Vec::new();
    for number in 0.. {
        let Some(global) = left.instance.get_global(&mut *store, &format!("{GLOBAL}{number}")) else { break };
        let ty = global.ty(&*store);
        if ty.mutability() != Mutability::Var {
            continue;
        }
        let value = global.get(&mut *store);
        let bits = match value.ref_() {
            Some(reference) => functions.number(store, &reference)?.into(),
            None => bits(&value),
        };
        globals.push(Global { number, ty: scalar(ty.content()), bits });
    }
    Ok(globals)
}

fn tables(
    store: &mut Store<Host>,
    left: &Left<'_>,
    functions: &mut Functions,
    numbers: &[u32],
) -> Result<Vec<gatebus_module::Table>, Unknown> {
    let mut tables = Vec::new();
    for number in numbers {
        let table = left.instance.get_table(&mut *store, &format!("{CHANGES}{number}")).ok_or(Unknown)?;
        let size = table.size(&*store);
        tables.push(gatebus_module::Table { number: *number, entries: functions.entries(store, &table, size)? });
    }
    Ok(tables)
}

fn dropped(store: &mut Store<Host>, left: &Left<'_>, kind: &str, names: &[&str]) -> Vec<u32> {
    let prefix = format!("{DROPPED}{kind}:");
    let mut is_dropped = |number: &u32| {
        let global = left.instance.get_global(&mut *store, &format!("{prefix}{number}"));
        global.is_some_and(|global| global.get(&mut *store).i32() == Some(1))
    };
    numbered(names, &prefix).into_iter().filter(|number| is_dropped(number)).collect()
}

/// The type of a global as a state writes it.
pub fn scalar(ty: &ValType) -> Scalar {
    match ty {
        ValType::I32 => Scalar::I32,
        ValType::I64 => Scalar::I64,
        ValType::F32 => Scalar::F32,
        ValType::F64 => Scalar::F64,
        ValType::V128 => Scalar::V128,
        ValType::Ref(ty) if ty.matches(&wasmtime::RefType::FUNCREF) => Scalar::Function,
        ValType::Ref(_) => Scalar::Extern,
    }
}

/// Of anything but a reference.
fn bits(value: &Val) -> u128 {
    match value {
        Val::I32(value) => value.cast_unsigned().into(),
        Val::I64(value) => value.cast_unsigned().into(),
        Val::F32(bits) => (*bits).into(),
        Val::F64(bits) => (*bits).into(),
        Val::V128(value) => value.as_u128(),
        _ => 0,
    }
}

/// Bytes on their way to the host, in packets as large as there are.
struct Packets<'a> {
    channel: &'a mut dyn Channel,
    piece: Vec<u8>,
}

impl Packets<'_> {
    fn number(&mut self, count: usize) -> Result<(), Exit> {
        self.add(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes())
    }

    /// As `gatebus_module::Memory` is written: pages, pieces that are not zero.
    fn memory(&mut self, content: &[u8]) -> Result<(), Exit> {
        let is_kept = |piece: &&[u8; PIECE]| piece.iter().any(|byte| *byte != 0);
        let pieces = content.as_chunks::<PIECE>().0;
        self.number(content.len() >> 16)?;
        self.number(pieces.iter().filter(is_kept).count())?;
        for (place, piece) in pieces.iter().enumerate().filter(|(_, piece)| is_kept(piece)) {
            self.number(place)?;
            self.add(piece)?;
        }
        Ok(())
    }

    fn add(&mut self, mut bytes: &[u8]) -> Result<(), Exit> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CONTENT_MAX - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == CONTENT_MAX {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Exit> {
        let packet = encode(Kind::State, &self.piece).unwrap_or_default();
        self.piece.clear();
        send(self.channel, &packet)
    }
}

/// The report of a program that did not come to be. The host may be gone: the status says the same.
pub fn report(channel: &mut dyn Channel, end: &Exit) {
    let report = Report { status: end.status, text: end.text.to_string(), ..Report::default() };
    let _ = send(channel, &report.packet());
}

/// Blocks until all of it is gone. Nothing that matters comes in any more.
fn send(channel: &mut dyn Channel, packet: &[u8]) -> Result<(), Exit> {
    let mut rest = packet;
    while !rest.is_empty() {
        match channel.write(rest) {
            Io::Done(count) => rest = rest.get(count..).unwrap_or_default(),
            Io::WouldBlock => _ = channel.wait(false, true, None),
            Io::Closed => return Err(because(status::ORPHANED, "the host closed the packet socket")),
        }
    }
    Ok(())
}
