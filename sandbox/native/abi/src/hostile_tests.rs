//! Every function with every kind of nonsense, in long random sequences: an answer or an end, never a panic or a hang.

use crate::errno::Fail;
use crate::testing::{Event, Fake, MEMORY, MS, World, ask, begin, data, flow};
use crate::{Gate, Stop, Wasi};
use gatebus_wire::control::Begin;

/// Deterministic numbers (xorshift64*): a failure names its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn one_of(&mut self, values: &[u64]) -> u64 {
        let sides = u64::try_from(values.len()).expect("small");
        values[usize::try_from(self.roll() % sides).expect("small")]
    }
}

/// A value for a parameter: small numbers hit descriptors, flags and counts, the rest the borders of memory and numbers.
trait Nonsense {
    fn roll(dice: &mut Dice) -> Self;
}

impl Nonsense for u32 {
    fn roll(dice: &mut Dice) -> u32 {
        let memory = u64::from(MEMORY);
        let random = dice.roll();
        let value = match random % 8 {
            0..=3 => random / 8 % 8,
            4 | 5 => 64 + random / 8 % 4096,
            6 => dice.one_of(&[memory - 8, memory - 1, memory, memory + 1, 1 << 31, (1 << 31) - 1]),
            _ => dice.one_of(&[u64::from(u32::MAX), u64::from(u32::MAX) - 7, 0, 65_536, random]),
        };
        u32::try_from(value & 0xffff_ffff).expect("masked")
    }
}

impl Nonsense for u64 {
    fn roll(dice: &mut Dice) -> u64 {
        let random = dice.roll();
        match random % 4 {
            0 => random / 4 % 100,
            1 => dice.one_of(&[u64::MAX, 1 << 63, (1 << 63) - 1, 0, 1 << 31, 1 << 32]),
            2 => random / 4 % 100_000,
            _ => random,
        }
    }
}

macro_rules! menu {
    ($guest:ty: $($module:literal $name:literal => $method:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*) => {
        &[$((stringify!($method), |world, dice| {
            $(let $parameter = <$kind as Nonsense>::roll(dice);)*
            let _ = &dice;
            ask!(world, $method $(, $parameter)*).map(|_| ())
        })),*]
    };
}

macro_rules! wasi_menu {
    ($($rows:tt)*) => { menu!(Wasi: $($rows)*) };
}

macro_rules! gate_menu {
    ($($rows:tt)*) => { menu!(Gate: $($rows)*) };
}

pub(crate) type Call<P> = fn(&mut World<P>, &mut Dice) -> Result<(), Stop>;

pub(crate) const WASI: &[(&str, Call<Wasi>)] = crate::wasi_table!(wasi_menu);
pub(crate) const GATE: &[(&str, Call<Gate>)] = crate::gate_table!(gate_menu);

/// Fills the guest's memory with things that look like something.
pub(crate) fn furnish(memory: &mut [u8], dice: &mut Dice) {
    let names = [&b"a"[..], b"b/c", b"../a", b"a/b/c", b".", b"/", b"a\0", b"\xff"];
    for place in (0..8192).step_by(8) {
        let random = dice.roll();
        let bytes = match random % 4 {
            0 => u64::from(<u32 as Nonsense>::roll(dice)).to_le_bytes(),
            1 => ((64 + random % 4096) | ((random % 64) << 32)).to_le_bytes(),
            2 => [names[usize::try_from(random / 4 % 8).expect("small")], &[0; 8]].concat()[..8]
                .try_into()
                .expect("eight"),
            _ => random.to_le_bytes(),
        };
        memory[place..place + 8].copy_from_slice(&bytes);
    }
}

fn world_events(channel: &mut Fake, dice: &mut Dice) {
    channel.lonely_ends = true;
    channel.events.clear();
    match dice.roll() % 4 {
        0 => channel.later(MS, Event::Bring(flow(100))),
        1 => channel.later(MS, Event::Bring(data(b"hello"))),
        2 => channel.later(MS, Event::Room(usize::try_from(dice.roll() % 1000).expect("small"))),
        _ => {}
    }
    // A wait must never end a test by luck alone: late, but surely, the host goes away.
    let last = u64::MAX / 4;
    channel.later(last, Event::Close);
}

/// Plays one sequence; answers which functions gave an answer (and did not end the guest).
fn play<P>(world: &mut World<P>, menu: &[(&'static str, Call<P>)], dice: &mut Dice, turns: usize) -> Vec<&'static str> {
    let mut answered = Vec::new();
    for turn in 0..turns {
        if turn % 8 == 0 {
            furnish(&mut world.memory, dice);
            world_events(&mut world.channel, dice);
        }
        let sides = u64::try_from(menu.len()).expect("small");
        let (name, call) = menu[usize::try_from(dice.roll() % sides).expect("small")];
        match call(world, dice) {
            Ok(()) => answered.push(name),
            Err(Stop::Suspend) => panic!("{name}: nobody asked for a stop"),
            Err(Stop::Exit(exit)) => {
                assert!(exit.text.len() <= 200 && exit.status < 80, "{name}: {exit}");
                if matches!(exit.status, 70 | 75) {
                    break;
                }
            }
        }
    }
    answered
}

#[test]
fn no_nonsense_makes_wasi_panic_or_hang() {
    let mut answered = std::collections::BTreeSet::new();
    for seed in 1..=300 {
        let mut dice = Dice(seed * 0x9e37_79b9_7f4a_7c15);
        let begin = Begin { origin_credit: 1000, files_limit: 100_000, nodes_limit: 20, ..begin() };
        let mut world = World::wasi(&begin, &[]);
        answered.extend(play(&mut world, WASI, &mut dice, 300));
        assert!(world.guest.files.bytes() <= 100_000 && world.guest.files.names() <= 20);
    }
    let silent: Vec<_> = WASI.iter().map(|(name, _)| *name).filter(|name| !answered.contains(name)).collect();
    assert_eq!(silent, ["proc_exit", "proc_exit"], "functions that never answered");
}

#[test]
fn no_nonsense_makes_gate_panic_or_hang() {
    let mut answered = std::collections::BTreeSet::new();
    for seed in 1..=300 {
        let mut dice = Dice(seed * 0x5851_f42d_4c95_7f2d);
        let mut world = World::gate(&Begin { log_limit: 1000, ..begin() });
        answered.extend(play(&mut world, GATE, &mut dice, 300));
    }
    let silent: Vec<_> = GATE.iter().map(|(name, _)| *name).filter(|name| !answered.contains(name)).collect();
    assert_eq!(silent, ["proc_exit", "proc_raise"], "functions that never answered");
}

#[test]
fn no_nonsense_from_the_host_makes_wasi_panic() {
    for seed in 1..=300 {
        let mut dice = Dice(seed * 0x2545_f491_4f6c_dd1d);
        let mut world = World::wasi(&begin(), &[]);
        let mut bytes: Vec<u8> = [data(b"abc"), flow(5), data(b""), flow(0)].concat();
        for _ in 0..3 {
            let place = usize::try_from(dice.roll()).expect("64 bits") % bytes.len();
            bytes[place] = dice.roll().to_le_bytes()[0];
        }
        world.channel.bring(&bytes);
        let mut into = [0; 1];
        let result = world.guest.origin.wait_input(&mut world.channel, crate::origin::Patience::Again);
        if let Err(Fail::Exit(exit)) = result {
            assert_eq!(exit.status, 70, "{seed}: {exit}");
        }
        world.guest.origin.read(&mut into);
        assert!(world.channel.incoming.is_empty(), "{seed}: everything was taken in at once");
    }
}
