//! The core suite under forced suspension: every module that checks itself gives the same plain, transformed, and stopped and continued.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

#[path = "../../module/tests/common/mod.rs"]
mod common;

use common::plain::plain;
use common::quick_engines;
use common::running::Running;
use common::stopped::{Stopped, always, never};
use gatebus_module::Suspendable;
use gatebus_suite::emit::{self, End};
use gatebus_suite::script::{Instance, read};
use gatebus_suite::source::scripts;
use gatebus_suite::splice::splice;
use wasmtime::Engine;

/// Stops of one run; behind them it goes on undisturbed.
const STOPS: usize = 40;
/// Calls of an instance that must not return and are tried: each is a run of its own.
const FAILS: usize = 3;

/// What the suite has and what became of it. Changes only with the suite or with what can be suspended.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    modules: usize,
    /// Assertions on results that hold plain, transformed and stopped.
    assertions: usize,
    /// Calls that end by a trap or an exception.
    fails: usize,
    /// Modules in which something could be stopped, and was.
    stopped: usize,
    /// Modules that run but cannot be suspended, by name.
    refused: usize,
}

const EXPECTED: Counts = Counts { modules: 1724, assertions: 45_809, fails: 391, stopped: 51, refused: 0 };

fn try_instance(name: &str, instance: &Instance, engines: &[Engine], counts: &mut Counts) {
    let fails = (0..instance.steps.len()).filter(|at| matches!(instance.steps[*at].end, End::Killed { .. }));
    let fails: Vec<usize> = fails.take(FAILS).collect();
    let addition = emit::functions(&instance.shape, &instance.steps, &fails).unwrap();
    let wasm = splice(&instance.wasm, &addition).unwrap();
    counts.modules += 1;
    let program = match Suspendable::new_untrusted(&wasm) {
        Ok(program) => program,
        Err(why) => {
            assert!(why.to_string().starts_with("the program cannot be suspended: "), "{name}: {why}");
            counts.refused += 1;
            return;
        }
    };
    let sites = !program.table().sites.is_empty();
    let mut stopped = Stopped::of(program, if sites { engines } else { &engines[..1] });
    let entries = addition.exports.iter().map(|(entry, _)| entry.as_str());
    for entry in entries {
        let label = format!("{name}, line {}, {entry}", instance.line);
        let expected = plain(&engines[0], &wasm, entry, &[]);
        assert_eq!(stopped.run(entry, &[], &mut never), expected, "{label}");
        if sites {
            let mut some = |running: &mut Running, leg: usize| {
                if leg < STOPS { always(running, leg) } else { never(running, leg) }
            };
            assert_eq!(stopped.run(entry, &[], &mut some), expected, "{label}, stopped");
        }
        if entry == emit::CHECK && instance.trap.is_none() {
            assert_eq!(expected.results, Ok(vec![0]), "{label}");
            counts.assertions += instance.steps.iter().filter(|step| matches!(step.end, End::Returns(_))).count();
        } else {
            counts.fails += usize::from(expected.results.is_err());
        }
    }
    counts.stopped += usize::from(stopped.legs > 0);
}

#[test]
fn the_core_suite_is_undisturbed_by_stops() {
    let engines = quick_engines();
    let sources = scripts();
    let search = |half: usize| {
        let mut counts = Counts::default();
        for source in sources.iter().skip(half).step_by(2) {
            let script = read(&source.text).unwrap();
            script.instances.iter().for_each(|instance| try_instance(&source.name, instance, &engines, &mut counts));
        }
        counts
    };
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| search(0));
        let two = search(1);
        (one.join().unwrap(), two)
    });
    let counts = Counts {
        modules: one.modules + two.modules,
        assertions: one.assertions + two.assertions,
        fails: one.fails + two.fails,
        stopped: one.stopped + two.stopped,
        refused: one.refused + two.refused,
    };
    assert_eq!(counts, EXPECTED);
}
