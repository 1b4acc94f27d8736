//! A world that is saved and restored between random calls is its twin that never was; and the committed vectors.

use gatebus_wire::control::Begin;
use gatebus_wire::packets::packet;

use crate::Stop;
use crate::hostile_tests::{Call, Dice, GATE, WASI, furnish};
use crate::state_tests::{Saved, fine, furnished_gate, furnished_wasi, moved, setup_at};
use crate::testing::{BOOT, Event, Fake, MS, World, flow, suspend};
use crate::{Gate, Wasi};

/// What happens to a world by itself, the same for both twins.
fn events(dice: &mut Dice, gate: bool) -> Vec<(u64, Event)> {
    let mut found = Vec::new();
    for step in 1..4 {
        let after = step * (dice.roll() % (5 * MS) + 1);
        match dice.roll() % 4 {
            0 if !gate => found.push((after, Event::Bring(flow(100)))),
            1 | 0 if gate => {
                let content = vec![7; usize::try_from(dice.roll() % 100).expect("small")];
                found.push((after, Event::Bring(packet(1, 1, 0, &content).expect("small"))));
            }
            2 => found.push((after, Event::Room(usize::try_from(dice.roll() % 3000 + 100).expect("small")))),
            _ => {}
        }
    }
    found
}

/// The same calls on two worlds, one of which is stopped, saved and restored in between: the same answers, memory and
/// bytes for the host. Answers how many calls had an answer.
fn twins<P: Saved>(menu: &[(&'static str, Call<P>)], make: impl Fn() -> World<P>, begin: &Begin, seed: u64) -> usize {
    let mut answered = 0;
    let gate = menu.len() == GATE.len();
    let (mut plain, mut stopped) = (make(), make());
    let mut dice = Dice(seed);
    for turn in 0..120 {
        if turn % 8 == 0 {
            let furniture = dice.roll() | 1;
            for world in [&mut plain, &mut stopped] {
                furnish(&mut world.memory, &mut Dice(furniture));
                world.channel.room = 100_000;
                world.channel.lonely_ends = true;
            }
            for (after, event) in events(&mut dice, gate) {
                plain.channel.later(after, event.clone());
                stopped.channel.later(after, event);
            }
        }
        if dice.roll().is_multiple_of(4) {
            stop_and_go(&mut stopped, begin);
        }
        let (name, call) = menu[usize::try_from(dice.roll()).expect("64 bits") % menu.len()];
        // What is told after each resume, and what is fresh, differs by design.
        if matches!(name, "io" | "random_get" | "proc_exit" | "proc_raise") {
            continue;
        }
        let values = dice.roll() | 1;
        let (one, other) = (call(&mut plain, &mut Dice(values)), call(&mut stopped, &mut Dice(values)));
        assert_eq!(one, other, "seed {seed}, turn {turn}: {name}");
        assert!(plain.memory == stopped.memory, "seed {seed}, turn {turn}: {name}");
        assert_eq!(plain.channel.now, stopped.channel.now, "seed {seed}, turn {turn}: {name}");
        // Nonsense can sleep for centuries, which no clock is made for.
        let over = matches!(&one, Err(Stop::Exit(exit)) if matches!(exit.status, 70 | 75));
        answered += usize::from(one.is_ok());
        if over || plain.channel.now > 1 << 61 {
            break;
        }
    }
    let streams = [&mut plain, &mut stopped].map(|world| {
        world.channel.room = usize::MAX;
        world.guest.finish_for_test(&mut world.channel);
        std::mem::take(&mut world.channel.outgoing)
    });
    assert!(streams[0] == streams[1], "seed {seed}");
    answered
}

/// What is on its way comes before the word to stop; what happens later happens to whoever goes on.
fn stop_and_go<P: Saved>(world: &mut World<P>, begin: &Begin) {
    if world.channel.closed {
        return;
    }
    let (now, room) = (world.channel.now, std::mem::replace(&mut world.channel.room, usize::MAX));
    world.channel.bring(&suspend());
    let state = world.guest.stop(&mut world.channel);
    world.guest = P::go(setup_at(now, begin), &state).expect("what was saved");
    world.channel.room = room;
}

trait Finish {
    fn finish_for_test(&mut self, channel: &mut Fake);
}

impl<P: Saved> Finish for P {
    fn finish_for_test(&mut self, channel: &mut Fake) {
        if !channel.closed {
            channel.bring(&suspend());
            let _ = self.stop(channel);
        }
    }
}

#[test]
fn a_wasi_world_that_is_moved_between_calls_is_the_one_that_never_was() {
    let begin = Begin { origin_credit: 1000, files_limit: 100_000, nodes_limit: 20, ..fine() };
    let answered: usize =
        (1..=300u64).map(|seed| twins(WASI, || World::wasi(&begin, &[]), &begin, seed * 0x9e37_79b9)).sum();
    assert!(answered > 10_000, "{answered}");
}

#[test]
fn a_gate_world_that_is_moved_between_calls_is_the_one_that_never_was() {
    let begin = Begin { log_limit: 1000, ..fine() };
    let answered: usize =
        (1..=300u64).map(|seed| twins(GATE, || World::gate(&begin), &begin, seed * 0x5851_f42d)).sum();
    assert!(answered > 10_000, "{answered}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// For every byte of a state: is it still one when the byte is the other way round?
fn verdicts<P: Saved>(state: &[u8]) -> String {
    let verdict = |at: usize| {
        let mut corrupt = state.to_vec();
        corrupt[at] ^= 0xff;
        if P::go(setup_at(BOOT, &fine()), &corrupt).is_ok() { '1' } else { '0' }
    };
    (0..state.len()).map(verdict).collect()
}

/// Worlds that the portable back-end has to read and write alike: `BLESS=1` writes the file, otherwise it is compared.
#[test]
fn the_committed_vectors_are_what_this_crate_writes() {
    let row = |name: &str, state: &[u8], verdicts: String| serde_json::json!({"name": name, "hex": hex(state), "each_byte_inverted": verdicts});
    let plain = moved(&mut World::wasi(&fine(), &[]), &fine(), BOOT);
    let empty = moved(&mut World::gate(&fine()), &fine(), BOOT);
    let (wasi, gate) = (furnished_wasi(), furnished_gate());
    let rows = vec![
        row("wasi: nothing done", &plain, verdicts::<Wasi>(&plain)),
        row("wasi: everything", &wasi, verdicts::<Wasi>(&wasi)),
        row("gate: nothing done", &empty, verdicts::<Gate>(&empty)),
        row("gate: everything", &gate, verdicts::<Gate>(&gate)),
    ];
    let made = serde_json::to_string_pretty(&rows).expect("json") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/state_vectors.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &made).expect("written");
    }
    let committed = std::fs::read_to_string(path).expect("state_vectors.json (make it with BLESS=1)");
    assert_eq!(committed, made, "the format of states has changed: BLESS=1 if it was meant to");
}

/// What the portable back-end saved (`tests/portable/test_saved_worlds.py` writes the file) goes on here.
#[test]
fn worlds_of_the_portable_back_end_are_the_same_bytes_here() {
    let text = include_str!("../../../../tests/portable/saved_worlds.json");
    let worlds: serde_json::Value = serde_json::from_str(text).expect("json");
    let bytes = |name: &str| -> Vec<u8> {
        let hex = worlds[name].as_str().expect("hex");
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect()
    };
    let mut channel = Fake::new();
    channel.bring(&suspend());
    // A clock with the resolution of those tests, and as far on as theirs was: a tick is a tick.
    let coarse = Begin { clock_ms: 10, clock_ns: 0, ..fine() };
    let (wasi, gate) = (bytes("wasi"), bytes("gate"));
    assert!(Wasi::go(setup_at(BOOT, &coarse), &wasi).expect("a good world").stop(&mut channel) == wasi);
    channel.bring(&suspend());
    assert!(Gate::go(setup_at(BOOT, &coarse), &gate).expect("a good world").stop(&mut channel) == gate);
}
