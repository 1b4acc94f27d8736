//! The state of a stopped program, as its process sends it and as the next one reads it: all but memory 0, which stays with the host.
//!
//! In: what the host of the program found when the call had returned; or bytes from outside, untrusted. Out: bytes; or the parts, each within the bounds
//! that follow from the length of the bytes: nothing is reserved that the bytes do not hold. What the bytes mean for a certain program is checked where that is
//! known: the frames by the guide, the rest against the hidden exports of the instance.
//!
//! References to functions are numbers: 0 for null, else one more than the place in the table [`crate::FUNCTIONS`].

use crate::bytes::{Broken, Reader, put_bytes, put_list, put_number, put_numbers};
use crate::scalar::Scalar;

/// The form of the bytes.
const VERSION: u32 = 1;
/// Bytes of a piece of a memory; pieces that hold only zeros are left out.
pub const PIECE: usize = 4096;
/// Pages of 64 KiB that a memory of 32 bits can have.
const MOST_PAGES: u32 = 65536;

/// Which of the host's calls was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// [`crate::START`]: the initialization and the entry are still to be called.
    Start,
    /// `_initialize`: the entry is still to be called.
    Initialize,
    /// The entry.
    Entry,
}

/// The value of a variable global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its number in the module.
    pub number: u32,
    /// Its type.
    pub ty: Scalar,
    /// Its bits, zero-extended; of a reference its number.
    pub bits: u128,
}

/// All entries of a table that the program can change, as numbers of functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its number in the module.
    pub number: u32,
    /// As many as the table is long.
    pub entries: Vec<u32>,
}

/// A memory behind the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its size in pages of 64 KiB.
    pub pages: u32,
    /// Pieces of [`PIECE`] bytes with their places, ascending; the others are zero.
    pub pieces: Vec<(u32, Box<[u8; PIECE]>)>,
}

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The SHA-256 of the module as it came, before the transformation.
    pub module: [u8; 32],
    /// Which call was left.
    pub phase: Phase,
    /// The name of the program's entry, also in an earlier phase.
    pub entry: String,
    /// The pages of memory 0; 0 where there is none.
    pub pages: u32,
    /// As the program wrote them: the bytes at [`crate::FRAMES`], innermost first.
    pub frames: Vec<u8>,
    /// The references of the frames, as numbers of functions, none of them null.
    pub references: Vec<u32>,
    /// The variable ones, by ascending numbers.
    pub globals: Vec<Global>,
    /// Those that can change, by ascending numbers.
    pub tables: Vec<Table>,
    /// Data segments that were dropped, ascending.
    pub dropped_data: Vec<u32>,
    /// Element segments that were dropped, ascending.
    pub dropped_elements: Vec<u32>,
    /// Memories 1 and so on.
    pub memories: Vec<Memory>,
    /// What the host functions need to go on; opaque here.
    pub world: Vec<u8>,
}

/// Bytes that are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState {
    /// Without any part of the state.
    pub text: &'static str,
}

impl State {
    /// The name of the export that was called.
    pub fn call(&self) -> &str {
        match self.phase {
            Phase::Start => crate::START,
            Phase::Initialize => "_initialize",
            Phase::Entry => &self.entry,
        }
    }

    /// Where in the bytes the frames stand, with their length before them.
    pub fn frames_at(&self) -> usize {
        4 + self.module.len() + 1 + 4 + self.entry.len() + 4
    }

    /// As bytes: one state has one form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        out.extend(self.module);
        out.push(match self.phase {
            Phase::Start => 0,
            Phase::Initialize => 1,
            Phase::Entry => 2,
        });
        put_bytes(&mut out, self.entry.as_bytes());
        put_number(&mut out, self.pages);
        put_bytes(&mut out, &self.frames);
        put_numbers(&mut out, &self.references);
        put_list(&mut out, &self.globals, put_global);
        put_list(&mut out, &self.tables, |out, table| {
            put_number(out, table.number);
            put_numbers(out, &table.entries);
        });
        put_numbers(&mut out, &self.dropped_data);
        put_numbers(&mut out, &self.dropped_elements);
        put_list(&mut out, &self.memories, put_memory);
        put_bytes(&mut out, &self.world);
        out
    }

    /// The parts, or why there are none. Encoded again they are the same bytes.
    pub fn decode_untrusted(bytes: &[u8]) -> Result<State, BadState> {
        let mut reader = Reader::new(bytes);
        match reader.number() {
            Ok(VERSION) => {}
            Ok(_) => return Err(BadState { text: "the state is of another version" }),
            Err(Broken) => return Err(BadState { text: "the state is too short" }),
        }
        let state = read(&mut reader)?;
        reader.end().map_err(broken("the state is longer than its parts"))?;
        check(&state)?;
        Ok(state)
    }
}

fn put_global(out: &mut Vec<u8>, global: &Global) {
    put_number(out, global.number);
    out.push(global.ty.code());
    out.extend(&global.bits.to_le_bytes()[..global.ty.size() as usize]);
}

fn put_memory(out: &mut Vec<u8>, memory: &Memory) {
    put_number(out, memory.pages);
    put_list(out, &memory.pieces, |out, (place, bytes)| {
        put_number(out, *place);
        out.extend(bytes.as_slice());
    });
}

/// What is wrong, when it is this part that is cut off, has a length that cannot be, or is nothing of its kind.
fn broken(text: &'static str) -> impl Fn(Broken) -> BadState {
    move |Broken| BadState { text }
}

fn read(reader: &mut Reader<'_>) -> Result<State, BadState> {
    Ok(State {
        module: reader.array().map_err(broken("the state is broken in the program's sha256"))?,
        phase: phase(reader).map_err(broken("the state is broken in its phase"))?,
        entry: reader.text().map_err(broken("the state is broken in the entry's name"))?,
        pages: reader.number().map_err(broken("the state is broken in the size of the memory"))?,
        frames: reader.bytes().map_err(broken("the state is broken in its frames"))?.to_vec(),
        references: reader.numbers().map_err(broken("the state is broken in its references"))?,
        globals: reader.list(9, read_global).map_err(broken("the state is broken in its globals"))?,
        tables: reader.list(8, read_table).map_err(broken("the state is broken in its tables"))?,
        dropped_data: reader.numbers().map_err(broken("the state is broken in its dropped data segments"))?,
        dropped_elements: reader.numbers().map_err(broken("the state is broken in its dropped element segments"))?,
        memories: reader.list(8, read_memory).map_err(broken("the state is broken in its further memories"))?,
        world: reader.bytes().map_err(broken("the state is broken in its world"))?.to_vec(),
    })
}

fn check(state: &State) -> Result<(), BadState> {
    let checks = [
        (state.pages <= MOST_PAGES, "the state is broken in the size of the memory"),
        (state.frames.len() <= crate::FRAME_BYTES as usize, "the state is broken in its frames"),
        (state.references.len() <= crate::REFERENCES_MAX as usize, "the state is broken in its references"),
        (!state.references.contains(&0), "the state is broken in its references"),
        (state.globals.is_sorted_by(|a, b| a.number < b.number), "the state is broken in its globals"),
        (state.tables.is_sorted_by(|a, b| a.number < b.number), "the state is broken in its tables"),
        (state.dropped_data.is_sorted_by(|a, b| a < b), "the state is broken in its dropped data segments"),
        (state.dropped_elements.is_sorted_by(|a, b| a < b), "the state is broken in its dropped element segments"),
    ];
    let wrong = checks.iter().find(|(holds, _)| !holds);
    wrong.map_or(Ok(()), |(_, text)| Err(BadState { text }))
}

fn phase(reader: &mut Reader<'_>) -> Result<Phase, Broken> {
    match reader.byte()? {
        0 => Ok(Phase::Start),
        1 => Ok(Phase::Initialize),
        2 => Ok(Phase::Entry),
        _ => Err(Broken),
    }
}

fn read_table(reader: &mut Reader<'_>) -> Result<Table, Broken> {
    Ok(Table { number: reader.number()?, entries: reader.numbers()? })
}

fn read_global(reader: &mut Reader<'_>) -> Result<Global, Broken> {
    let number = reader.number()?;
    let ty = Scalar::from_code(reader.byte()?).ok_or(Broken)?;
    let mut bits = [0; 16];
    let size = ty.size() as usize;
    bits[..size].copy_from_slice(reader.take(size)?);
    Ok(Global { number, ty, bits: u128::from_le_bytes(bits) })
}

fn read_memory(reader: &mut Reader<'_>) -> Result<Memory, Broken> {
    let pages = reader.number()?;
    let pieces = reader.list(4 + PIECE, |reader| Ok((reader.number()?, Box::new(reader.array()?))))?;
    let memory = Memory { pages, pieces };
    if sound(&memory) { Ok(memory) } else { Err(Broken) }
}

/// Pieces ascend, are within the memory, and none is left out in vain.
pub(crate) fn sound(memory: &Memory) -> bool {
    let within = |place: u32| u64::from(place) < (u64::from(memory.pages) << 16) / PIECE as u64;
    memory.pages <= MOST_PAGES
        && memory.pieces.is_sorted_by(|a, b| a.0 < b.0)
        && memory.pieces.iter().all(|(place, bytes)| within(*place) && bytes.iter().any(|byte| *byte != 0))
}

impl Memory {
    /// Of a place and a piece, one after the other, as a state file has memory 0. `None`: of other lengths.
    pub fn of_pieces_untrusted(pages: u32, bytes: &[u8]) -> Option<Memory> {
        let (chunks, rest) = bytes.as_chunks::<{ 4 + PIECE }>();
        let mut pieces = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (place, piece) = chunk.split_first_chunk::<4>()?;
            pieces.push((u32::from_le_bytes(*place), Box::new(piece.try_into().ok()?)));
        }
        rest.is_empty().then_some(Memory { pages, pieces })
    }

    /// Of a memory's contents.
    pub fn of(bytes: &[u8]) -> Memory {
        let pieces = (0..).zip(bytes.as_chunks::<PIECE>().0).filter(|(_, piece)| piece.iter().any(|byte| *byte != 0));
        let pieces = pieces.map(|(place, piece)| (place, Box::new(*piece))).collect();
        Memory { pages: crate::number(bytes.len() >> 16), pieces }
    }

    /// Into a new memory of the right size, which is all zeros.
    pub fn write(&self, into: &mut [u8]) -> Result<(), BadState> {
        for (place, piece) in &self.pieces {
            let start = *place as usize * PIECE;
            let place = into.get_mut(start..start + PIECE).ok_or(BadState { text: "a memory is too small" })?;
            place.copy_from_slice(piece.as_slice());
        }
        Ok(())
    }
}
