//! A program goes on where another process left it.
//!
//! In: the state and the guide, from outside, untrusted both: a wrong state ends the process with BAD_STATE, or is a run inside
//! the sandbox. Out: the export of the continuation that goes on from the frames. Memory 0 is in its file already; the rest is
//! put back into an instance whose data segments are not loaded and whose start function is not called.

use crate::ending::because;
use crate::host::Host;
use crate::memory::CONTROL;
use crate::references::{Functions, NotFilled, Unknown};
use crate::stop::scalar;
use gatebus_abi::Exit;
use gatebus_module::{
    CHANGES, FRAMES, GLOBAL, Going, MEMORY, REFERENCES, Scalar, State, TABLE, go_on_untrusted, halted_untrusted,
};
use gatebus_wire::status;
use wasmtime::{Extern, Func, Instance, Module, Mutability, Store, V128, Val};

/// What RESTORE packets brought: `u32 length of the guide`, guide, state.
pub struct Restored {
    /// The state, and how its frames go on.
    pub going: Going,
}

/// The end of a program that cannot go on.
pub fn bad(text: &'static str) -> Exit {
    because(status::BAD_STATE, text)
}

fn unknown(_: Unknown) -> Exit {
    bad("a reference is not to a function of the program")
}

fn not_filled(why: NotFilled) -> Exit {
    match why {
        NotFilled::Unknown => unknown(Unknown),
        NotFilled::TooLarge => bad("its tables are larger than the limit `table`"),
    }
}

impl Restored {
    /// Takes the bytes apart and checks them.
    pub fn read_untrusted(bytes: &[u8]) -> Result<Restored, Exit> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(bad("there is no state"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (guide, state) = rest.split_at_checked(length).ok_or(bad("the guide is cut off"))?;
        let going = if guide.is_empty() { halted_untrusted(state) } else { go_on_untrusted(guide, state) };
        let going = going.map_err(|wrong| bad(wrong.text))?;
        Ok(Restored { going })
    }

    /// Puts everything but frames back.
    pub fn apply_data(&self, store: &mut Store<Host>, program: &Instance) -> Result<(), Exit> {
        let state = &self.going.state;
        memories(store, program, state)?;
        let functions = Functions::of(store, program);
        globals(store, program, state, &functions)?;
        tables(store, program, state, &functions)?;
        dropped(store, program, state)
    }

    /// Puts everything back and gives the function that goes on.
    pub fn apply(&self, store: &mut Store<Host>, program: &Instance, continuation: &Module) -> Result<Func, Exit> {
        let Going { frames: bytes, export, .. } = &self.going;
        self.apply_data(store, program)?;
        // SAFETY: no code of the guest runs.
        let control = unsafe { store.data().slots.content(CONTROL) };
        let room = control.get_mut(FRAMES as usize..).and_then(|room| room.get_mut(..bytes.len()));
        room.ok_or(bad("the frames need more room than there is"))?.copy_from_slice(bytes);
        let imports: Option<Vec<Extern>> =
            continuation.imports().map(|import| program.get_export(&mut *store, import.name())).collect();
        let unlinked = || because(status::IMAGE_UNUSABLE, "the continuation is not of this program");
        let made = Instance::new(&mut *store, continuation, &imports.ok_or_else(unlinked)?).map_err(|_| unlinked())?;
        made.get_func(&mut *store, export).ok_or_else(unlinked)
    }
}

/// Sizes of all; contents of those behind the first.
fn memories(store: &mut Store<Host>, program: &Instance, state: &State) -> Result<(), Exit> {
    let sizes = std::iter::once(state.pages).chain(state.memories.iter().map(|memory| memory.pages));
    for (number, pages) in sizes.enumerate() {
        let Some(memory) = program.get_memory(&mut *store, &format!("{MEMORY}{number}")) else {
            // A program without any memory has no first one either.
            if number == 0 && pages == 0 && state.memories.is_empty() {
                break;
            }
            return Err(bad("it has more memories than the program"));
        };
        let missing = u64::from(pages).checked_sub(memory.size(&*store)).ok_or(bad("a memory is too small"))?;
        memory.grow(&mut *store, missing).map_err(|_| bad("its memories are larger than the limit `memory`"))?;
        if let Some(saved) = number.checked_sub(1).and_then(|place| state.memories.get(place)) {
            saved.write(memory.data_mut(&mut *store)).map_err(|wrong| bad(wrong.text))?;
        }
    }
    Ok(())
}

fn globals(store: &mut Store<Host>, program: &Instance, state: &State, functions: &Functions) -> Result<(), Exit> {
    let wrong = || bad("a global is not one of the program's");
    for saved in &state.globals {
        let global = program.get_global(&mut *store, &format!("{GLOBAL}{}", saved.number)).ok_or_else(wrong)?;
        let ty = global.ty(&*store);
        if ty.mutability() != Mutability::Var || scalar(ty.content()) != saved.ty {
            return Err(wrong());
        }
        let value = value(store, saved.ty, saved.bits, functions)?;
        global.set(&mut *store, value).map_err(|_| wrong())?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "a state holds only the bits of the type")]
fn value(store: &mut Store<Host>, ty: Scalar, bits: u128, functions: &Functions) -> Result<Val, Exit> {
    Ok(match ty {
        Scalar::I32 => Val::I32((bits as u32).cast_signed()),
        Scalar::I64 => Val::I64((bits as u64).cast_signed()),
        Scalar::F32 => Val::F32(bits as u32),
        Scalar::F64 => Val::F64(bits as u64),
        Scalar::V128 => Val::V128(V128::from(bits)),
        Scalar::Function => Val::FuncRef(functions.function(store, bits as u32).map_err(unknown)?),
        Scalar::Extern if bits == 0 => Val::ExternRef(None),
        Scalar::Extern => return Err(bad("a reference to something of the host is alive")),
    })
}

fn tables(store: &mut Store<Host>, program: &Instance, state: &State, functions: &Functions) -> Result<(), Exit> {
    let wrong = || bad("a table is not one that the program can change");
    for saved in &state.tables {
        let changes = program.get_table(&mut *store, &format!("{CHANGES}{}", saved.number)).is_some();
        let table = program.get_table(&mut *store, &format!("{TABLE}{}", saved.number)).filter(|_| changes);
        functions.fill(store, &table.ok_or_else(wrong)?, &saved.entries).map_err(not_filled)?;
    }
    if state.references.is_empty() {
        return Ok(());
    }
    let table = program.get_table(&mut *store, REFERENCES).ok_or_else(wrong)?;
    functions.fill(store, &table, &state.references).map_err(not_filled)
}

fn dropped(store: &mut Store<Host>, program: &Instance, state: &State) -> Result<(), Exit> {
    let wrong = |_| bad("a dropped segment is not one of the program's");
    for (kind, numbers) in [("data", &state.dropped_data), ("elem", &state.dropped_elements)] {
        for number in numbers {
            let drop = program.get_typed_func::<(), ()>(&mut *store, &format!("gatebus:{kind}.drop:{number}"));
            drop.map_err(wrong)?.call(&mut *store, ()).map_err(wrong)?;
        }
    }
    Ok(())
}
