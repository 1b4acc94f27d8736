//! A stopped program as one module, run to its end by an engine that knows nothing of it.

use super::Dice;
use super::plain::{Outcome, Seen, plain};
use super::stopped::Stopped;
use gatebus_module::{Memory, State, Suspendable, Unexported};
use wasmtime::{Engine, Val};

/// Data of a module in the tests.
pub const ROOM: usize = 16 << 20;

/// The module of a kept state.
pub fn export(program: &Suspendable<'_>, state: &[u8], first: &[u8]) -> Result<Vec<u8>, Unexported> {
    program.export_untrusted(&State::decode_untrusted(state)?, &Memory::of(first), ROOM)
}

/// What it does as an ordinary program, with what it had done before. What was added to it stands behind everything that it has itself.
pub fn finish(engine: &Engine, module: &[u8], before: &[u8], call: (&str, &[Val]), expected: &Outcome) -> Outcome {
    let mut outcome = plain(engine, module, call.0, call.1);
    if outcome.seen == Seen::default() {
        return outcome;
    }
    let before = String::from_utf8(State::decode_untrusted(before).unwrap().world).unwrap();
    let trace = std::mem::take(&mut outcome.trace);
    outcome.trace = before.lines().map(str::to_owned).chain(trace).collect();
    outcome.seen.memories.truncate(expected.seen.memories.len());
    outcome.seen.globals.truncate(expected.seen.globals.len());
    outcome.seen.tables.truncate(expected.seen.tables.len());
    outcome
}

/// Every state that was kept, or `most` of them: exported and finished it ends as the program that was never stopped. The modules.
pub fn all_finish(
    stopped: &Stopped<'_>,
    engines: &[Engine],
    call: (&str, &[Val]),
    expected: &Outcome,
    (most, dice): (usize, &mut Dice),
) -> Vec<Vec<u8>> {
    let mut modules = Vec::new();
    let count = stopped.kept.len();
    for turn in 0..count.min(most) {
        let place = if count <= most { turn } else { dice.roll(u32::try_from(count).unwrap()) as usize };
        let (state, first) = (&stopped.kept[place], &stopped.firsts[place]);
        let module = export(&stopped.program, state, first).unwrap_or_else(|bad| panic!("stop {place}: {bad:?}"));
        let outcome = finish(&engines[turn % engines.len()], &module, state, call, expected);
        assert!(outcome == *expected, "stop {place} of {count}:\n{outcome:?}\n{expected:?}");
        modules.push(module);
    }
    modules
}
