//! Which function of a module is entered: each personality has its rule.

use crate::ending::because;
use crate::host::Host;
use gatebus_abi::{Exit, Personality};
use gatebus_module::Phase;
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

/// How a call came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// At its end. The result is that of the entry function, if it has one.
    Done(Option<i32>),
    /// It was left inside this part: its frames are in the control memory.
    Left(Phase),
}

/// A call that did not come back.
#[derive(Debug)]
pub struct Failed {
    /// Inside which part.
    pub part: Phase,
    /// What the engine says.
    pub error: wasmtime::Error,
}

/// What will be called, in order.
pub struct Entry {
    parts: Vec<(Phase, Callable)>,
}

impl Entry {
    /// Calls everything.
    pub fn call(&self, store: &mut Store<Host>) -> Result<Returned, Failed> {
        call_all(store, &self.parts)
    }

    /// Calls the entry alone: what comes before it was called in the program's earlier life.
    pub fn call_again(&self, store: &mut Store<Host>) -> Result<Returned, Failed> {
        let entry = self.parts.iter().position(|(part, _)| *part == Phase::Entry).unwrap_or(self.parts.len());
        call_all(store, &self.parts[entry..])
    }

    /// Goes on with a call that was left: `resume` in its place, then the calls that follow it.
    pub fn resume(&self, store: &mut Store<Host>, left: Phase, resume: Func) -> Result<Returned, Failed> {
        let Some(resume) = callable_function(store, resume) else { return Err(not_resumable(left)) };
        let later = self.parts.iter().position(|(part, _)| *part == left).map_or(&[][..], |at| &self.parts[at + 1..]);
        match call_all(store, &[(left, resume)])? {
            Returned::Done(_) if !later.is_empty() => call_all(store, later),
            returned => Ok(returned),
        }
    }
}

fn call_all(store: &mut Store<Host>, parts: &[(Phase, Callable)]) -> Result<Returned, Failed> {
    let mut result = None;
    for (part, callable) in parts {
        let given = callable.call(store).map_err(|error| Failed { part: *part, error })?;
        if store.data().slots.is_unwinding() {
            return Ok(Returned::Left(*part));
        }
        result = given.filter(|_| *part == Phase::Entry);
    }
    Ok(Returned::Done(result))
}

/// Its innermost frame gives something that no entry gives.
fn not_resumable(part: Phase) -> Failed {
    let exit = because(status::BAD_STATE, "the outermost frame is not of an entry function");
    Failed { part, error: wasmtime::Error::new(exit) }
}

impl Callable {
    fn call(&self, store: &mut Store<Host>) -> wasmtime::Result<Option<i32>> {
        match self {
            Callable::Nothing(function) => function.call(store, ()).map(|()| None),
            Callable::Number(function) => function.call(store, ()).map(Some),
        }
    }
}

/// Finds what to call, maybe nothing: the module has run its start section and that is all.
pub fn find(
    store: &mut Store<Host>,
    instance: &Instance,
    personality: Personality,
    name: Option<&str>,
) -> Result<Entry, Exit> {
    if store.data().slots.has_control() && name.is_some_and(|name| name.starts_with(gatebus_module::PREFIX)) {
        return Err(not_exported());
    }
    let mut parts = match personality {
        Personality::Gate => gate(store, instance, name),
        Personality::Wasi => wasi(store, instance, name),
    }?;
    let hidden = store.data().slots.has_control();
    if let Some(start) = callable(store, instance, gatebus_module::START).filter(|_| hidden) {
        parts.insert(0, (Phase::Start, start));
    }
    Ok(Entry { parts })
}

/// Gate: a module with `_start` has no other entry; without one, no name means no entry.
fn gate(store: &mut Store<Host>, instance: &Instance, name: Option<&str>) -> Result<Vec<(Phase, Callable)>, Exit> {
    let start = callable(store, instance, START);
    let function = match (start, name) {
        (Some(start), None) => start,
        (Some(_), Some(_)) => {
            return Err(no_function("entry function may not be specified for program with _start function"));
        }
        (None, None | Some(START)) => return Ok(Vec::new()),
        (None, Some(name)) => callable(store, instance, name).ok_or_else(not_exported)?,
    };
    Ok(vec![(Phase::Entry, function)])
}

/// WASI: `_start`, or a named function of a module that has been initialised.
fn wasi(store: &mut Store<Host>, instance: &Instance, name: Option<&str>) -> Result<Vec<(Phase, Callable)>, Exit> {
    let name = name.unwrap_or(START);
    let function = callable(store, instance, name);
    if function.is_none() && name != START {
        return Err(not_exported());
    }
    let before = if name == START && function.is_some() { None } else { callable(store, instance, INITIALIZE) };
    let before = before.map(|before| (Phase::Initialize, before));
    Ok(before.into_iter().chain(function.map(|function| (Phase::Entry, function))).collect())
}

fn callable(store: &mut Store<Host>, instance: &Instance, name: &str) -> Option<Callable> {
    let function = instance.get_func(&mut *store, name)?;
    callable_function(store, function)
}

fn callable_function(store: &mut Store<Host>, function: Func) -> Option<Callable> {
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
