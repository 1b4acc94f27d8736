//! References to functions as numbers: the place in the table of all functions that a reference can mean, plus 1; 0 is null.

use crate::host::Host;
use gatebus_module::FUNCTIONS;
use std::collections::HashMap;
use wasmtime::{Func, Instance, Ref, Store, Table};

/// What a state cannot hold, or cannot be.
pub struct Unknown;

/// Why a table is not as a state says.
pub enum NotFilled {
    /// It shrinks, or has what is no function of the program.
    Unknown,
    /// It may not grow so far.
    TooLarge,
}

impl From<Unknown> for NotFilled {
    fn from(_: Unknown) -> NotFilled {
        NotFilled::Unknown
    }
}

/// The table of functions, and their numbers by the engine's pointers once somebody asks.
pub struct Functions {
    table: Option<Table>,
    numbers: Option<HashMap<usize, u32>>,
}

impl Functions {
    /// Of this program.
    pub fn of(store: &mut Store<Host>, instance: &Instance) -> Functions {
        Functions { table: instance.get_table(&mut *store, FUNCTIONS), numbers: None }
    }

    /// The number of a reference.
    pub fn number(&mut self, store: &mut Store<Host>, reference: &Ref) -> Result<u32, Unknown> {
        match reference {
            Ref::Func(Some(function)) => {
                let pointer = function.to_raw(&mut *store) as usize;
                self.numbers(store).get(&pointer).copied().ok_or(Unknown)
            }
            other if other.is_null() => Ok(0),
            _ => Err(Unknown),
        }
    }

    /// All entries of a table.
    pub fn entries(&mut self, store: &mut Store<Host>, table: &Table, count: u64) -> Result<Vec<u32>, Unknown> {
        (0..count)
            .map(|place| {
                let reference = table.get(&mut *store, place).ok_or(Unknown)?;
                self.number(store, &reference)
            })
            .collect()
    }

    /// The reference of a number.
    pub fn function(&self, store: &mut Store<Host>, number: u32) -> Result<Option<Func>, Unknown> {
        let Some(place) = number.checked_sub(1) else { return Ok(None) };
        match self.table.ok_or(Unknown)?.get(&mut *store, place.into()) {
            Some(Ref::Func(Some(function))) => Ok(Some(function)),
            _ => Err(Unknown),
        }
    }

    /// Fills a table, which may have to grow and cannot shrink.
    pub fn fill(&self, store: &mut Store<Host>, table: &Table, entries: &[u32]) -> Result<(), NotFilled> {
        let null = Ref::null(table.ty(&*store).element().heap_type());
        let missing = (entries.len() as u64).checked_sub(table.size(&*store)).ok_or(Unknown)?;
        table.grow(&mut *store, missing, null.clone()).map_err(|_| NotFilled::TooLarge)?;
        for (place, number) in (0..).zip(entries) {
            let function = self.function(store, *number)?;
            let reference = function.map_or_else(|| null.clone(), |function| Ref::Func(Some(function)));
            table.set(&mut *store, place, reference).map_err(|_| Unknown)?;
        }
        Ok(())
    }

    fn numbers(&mut self, store: &mut Store<Host>) -> &HashMap<usize, u32> {
        let table = self.table;
        self.numbers.get_or_insert_with(|| {
            let Some(table) = table else { return HashMap::new() };
            let size = u32::try_from(table.size(&*store)).unwrap_or(u32::MAX - 1);
            let function = |place: u32| match table.get(&mut *store, place.into()) {
                Some(Ref::Func(Some(function))) => Some((function.to_raw(&mut *store) as usize, place + 1)),
                _ => None,
            };
            (0..size).filter_map(function).collect()
        })
    }
}
