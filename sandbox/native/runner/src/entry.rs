//! Which function of a module is entered: each personality has its rule.

use crate::ending::because;
use crate::host::Host;
use gatebus_abi::{Exit, Personality};
use gatebus_wire::status;
use wasmtime::{Func, Instance, Store, TypedFunc, ValType};

const START: &str = "_start";
/// What a library-like WASI module wants to have called before anything else.
const INITIALIZE: &str = "_initialize";

/// A function without parameters whose result is nothing or one i32.
enum Callable {
    Nothing(TypedFunc<(), ()>),
    Number(TypedFunc<(), i32>),
}

/// What will be called, in order.
pub struct Entry {
    before: Option<Callable>,
    function: Option<Callable>,
}

impl Entry {
    /// Calls it. The result is that of the entry function, if it has one.
    pub fn call(&self, store: &mut Store<Host>) -> wasmtime::Result<Option<i32>> {
        if let Some(before) = &self.before {
            before.call(store)?;
        }
        self.function.as_ref().map_or(Ok(None), |function| function.call(store))
    }
}

impl Callable {
    fn call(&self, store: &mut Store<Host>) -> wasmtime::Result<Option<i32>> {
        match self {
            Callable::Nothing(function) => function.call(store, ()).map(|()| None),
            Callable::Number(function) => function.call(store, ()).map(Some),
        }
    }
}

/// Finds what to call. None: the module has run its start section and that is all.
pub fn find(
    store: &mut Store<Host>,
    instance: &Instance,
    personality: Personality,
    name: Option<&str>,
) -> Result<Option<Entry>, Exit> {
    match personality {
        Personality::Gate => gate(store, instance, name),
        Personality::Wasi => wasi(store, instance, name),
    }
}

/// Gate: a module with `_start` has no other entry; without one, no name means no entry.
fn gate(store: &mut Store<Host>, instance: &Instance, name: Option<&str>) -> Result<Option<Entry>, Exit> {
    let start = callable(store, instance, START);
    let function = match (start, name) {
        (Some(start), None) => start,
        (Some(_), Some(_)) => {
            return Err(no_function("entry function may not be specified for program with _start function"));
        }
        (None, None | Some(START)) => return Ok(None),
        (None, Some(name)) => callable(store, instance, name).ok_or_else(not_exported)?,
    };
    Ok(Some(Entry { before: None, function: Some(function) }))
}

/// WASI: `_start`, or a named function of a module that has been initialised.
fn wasi(store: &mut Store<Host>, instance: &Instance, name: Option<&str>) -> Result<Option<Entry>, Exit> {
    let name = name.unwrap_or(START);
    let function = callable(store, instance, name);
    if function.is_none() && name != START {
        return Err(not_exported());
    }
    let before = if name == START && function.is_some() { None } else { callable(store, instance, INITIALIZE) };
    Ok((before.is_some() || function.is_some()).then_some(Entry { before, function }))
}

fn callable(store: &mut Store<Host>, instance: &Instance, name: &str) -> Option<Callable> {
    let function: Func = instance.get_func(&mut *store, name)?;
    let ty = function.ty(&*store);
    let mut results = ty.results();
    if ty.params().len() != 0 || results.len() > 1 {
        return None;
    }
    match results.next() {
        None => function.typed(&*store).ok().map(Callable::Nothing),
        Some(ValType::I32) => function.typed(&*store).ok().map(Callable::Number),
        Some(_) => None,
    }
}

fn not_exported() -> Exit {
    no_function("function not exported or it cannot be used as entry function")
}

fn no_function(text: &'static str) -> Exit {
    because(status::NO_FUNCTION, text)
}
