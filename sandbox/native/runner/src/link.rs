//! Binds every row of the two tables of importable functions to the engine.
//!
//! The rows and their signatures live in `gatebus-abi`; here is only the shape of a binding, once for each personality.
//! Gate's names carry numbers (`io_65536`), so the imports of a Gate program become aliases of their rows when it is
//! loaded. Admission has checked the same table: a module that cannot be linked here never got an image.

use crate::host::Host;
use gatebus_abi::table::{Personality, function_untrusted, personality};
use wasmtime::{Caller, Engine, InstancePre, Linker, Module};

macro_rules! bind {
    ($linker:ident, $call:ident, $($module:literal $name:literal => $method:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(
            #[allow(clippy::too_many_arguments, reason = "the ABI's own shape")]
            $linker.func_wrap(
                $module,
                $name,
                |mut caller: Caller<'_, Host>, $($parameter: $kind),*| -> wasmtime::Result<$result> {
                    caller.data_mut().$call(|rules, memory, channel| rules.$method(memory, channel, $($parameter),*))
                },
            )?;
        )*
    };
}

/// The functions of both personalities, ready to be linked.
pub struct Linkers {
    wasi: Linker<Host>,
    gate: Linker<Host>,
}

impl Linkers {
    /// Binds both tables.
    pub fn new(engine: &Engine) -> wasmtime::Result<Linkers> {
        Ok(Linkers { wasi: wasi(engine)?, gate: gate(engine)? })
    }

    /// Links a module by its own imports.
    pub fn link(&mut self, module: &Module) -> wasmtime::Result<(Personality, InstancePre<Host>)> {
        let personality = personality(module.imports().map(|import| import.module()));
        let linker = match personality {
            Personality::Wasi => &mut self.wasi,
            Personality::Gate => {
                alias(&mut self.gate, module)?;
                &mut self.gate
            }
        };
        Ok((personality, linker.instantiate_pre(module)?))
    }
}

fn wasi(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    macro_rules! rows { ($($rows:tt)*) => { bind!(linker, wasi, $($rows)*) }; }
    gatebus_abi::wasi_table!(rows);
    Ok(linker)
}

fn gate(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    macro_rules! rows { ($($rows:tt)*) => { bind!(linker, gate, $($rows)*) }; }
    gatebus_abi::gate_table!(rows);
    Ok(linker)
}

/// Gives each import the function of its row.
fn alias(linker: &mut Linker<Host>, module: &Module) -> wasmtime::Result<()> {
    for import in module.imports() {
        let Some(row) = function_untrusted(Personality::Gate, import.module(), import.name()) else { continue };
        if (row.module, row.name) != (import.module(), import.name()) {
            linker.alias(row.module, row.name, import.module(), import.name())?;
        }
    }
    Ok(())
}
