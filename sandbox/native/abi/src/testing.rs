//! The other end of the channel, for tests: bytes that come and go at simulated times, room that the test decides, and a
//! guest's memory with short words to put things into it. A wait that nothing would ever end is a failure.

use std::collections::VecDeque;

use gatebus_wire::control::{self, Begin, Kind as Control};
use gatebus_wire::packets::{HEADER, Header, packet};

use crate::{Answer, Channel, Clock, Exit, Gate, Io, Ready, Setup, Stop, Wasi};

/// Realtime minus monotonic: some day in 2026.
pub(crate) const EPOCH: u64 = 1_795_000_000_000_000_000;
/// The monotonic clock at the start of every test.
pub(crate) const BOOT: u64 = 77_000_000_123_456;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// What the world does by itself.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Bring(Vec<u8>),
    Room(usize),
    Close,
}

/// A channel with simulated time.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) incoming: VecDeque<u8>,
    pub(crate) outgoing: Vec<u8>,
    /// Length of every write that was taken.
    pub(crate) writes: Vec<usize>,
    /// Bytes that the host takes before writes block.
    pub(crate) room: usize,
    /// Most bytes of one read or write.
    pub(crate) piece: usize,
    pub(crate) now: u64,
    pub(crate) closed: bool,
    /// Sorted by time.
    pub(crate) events: VecDeque<(u64, Event)>,
    pub(crate) waits: usize,
    /// A wait without end closes the channel instead of failing.
    pub(crate) lonely_ends: bool,
    random: u8,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake {
            incoming: VecDeque::new(),
            outgoing: Vec::new(),
            writes: Vec::new(),
            room: usize::MAX,
            piece: 65_536,
            now: BOOT,
            closed: false,
            events: VecDeque::new(),
            waits: 0,
            lonely_ends: false,
            random: 0,
        }
    }

    /// Something happens so many nanoseconds from now.
    pub(crate) fn later(&mut self, ns: u64, event: Event) {
        let at = self.now + ns;
        let place = self.events.iter().position(|(time, _)| *time > at).unwrap_or(self.events.len());
        self.events.insert(place, (at, event));
    }

    pub(crate) fn bring(&mut self, bytes: &[u8]) {
        self.incoming.extend(bytes);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Bring(bytes) => self.incoming.extend(bytes),
            Event::Room(room) => self.room = room,
            Event::Close => self.closed = true,
        }
    }

    fn ready(&self, readable: bool, writable: bool) -> Ready {
        Ready {
            readable: self.closed || (readable && !self.incoming.is_empty()),
            writable: self.closed || (writable && self.room > 0),
        }
    }

    /// The packets that went out: header and content.
    pub(crate) fn packets(&mut self) -> Vec<(Header, Vec<u8>)> {
        let bytes = std::mem::take(&mut self.outgoing);
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        while let Some(head) = rest.first_chunk::<HEADER>() {
            let header = Header::decode_untrusted(*head).expect("a good header");
            found.push((header, rest[HEADER..header.size as usize].to_vec()));
            rest = &rest[header.padded()..];
        }
        assert!(rest.is_empty(), "whole packets");
        found
    }
}

impl Channel for Fake {
    fn read(&mut self, into: &mut [u8]) -> Io {
        assert!(!into.is_empty(), "no empty reads");
        if self.incoming.is_empty() {
            return if self.closed { Io::Closed } else { Io::WouldBlock };
        }
        let count = into.len().min(self.incoming.len()).min(self.piece);
        for (target, byte) in into.iter_mut().zip(self.incoming.drain(..count)) {
            *target = byte;
        }
        Io::Done(count)
    }

    fn write(&mut self, from: &[u8]) -> Io {
        assert!(!from.is_empty(), "no empty writes");
        if self.closed {
            return Io::Closed;
        }
        let count = from.len().min(self.room).min(self.piece);
        if count == 0 {
            return Io::WouldBlock;
        }
        self.room -= if self.room == usize::MAX { 0 } else { count };
        self.outgoing.extend(&from[..count]);
        self.writes.push(count);
        Io::Done(count)
    }

    fn wait(&mut self, readable: bool, writable: bool, timeout_ns: Option<u64>) -> Ready {
        self.waits += 1;
        let end = timeout_ns.map(|ns| self.now.saturating_add(ns));
        loop {
            let ready = self.ready(readable, writable);
            if ready != Ready::default() {
                return ready;
            }
            match self.events.front() {
                Some((time, _)) if end.is_none_or(|end| *time <= end) => {
                    self.now = *time;
                    let (_, event) = self.events.pop_front().expect("seen");
                    self.happen(event);
                }
                _ => {
                    assert!(end.is_some() || self.lonely_ends, "waits for ever");
                    self.closed |= end.is_none();
                    self.now = end.unwrap_or(self.now);
                    return self.ready(readable, writable);
                }
            }
        }
    }

    fn clock(&mut self, clock: Clock) -> u64 {
        match clock {
            Clock::Realtime => EPOCH + self.now,
            Clock::Monotonic => self.now,
        }
    }

    fn random(&mut self, into: &mut [u8]) {
        for byte in into {
            self.random = self.random.wrapping_add(1);
            *byte = self.random;
        }
    }
}

/// Limits that no test meets by accident.
pub(crate) fn begin() -> Begin {
    Begin {
        flags: control::FLAG_FILES | control::FLAG_DEBUG_LOG,
        log_limit: 1 << 20,
        files_limit: 1 << 24,
        nodes_limit: 1000,
        clock_ms: 10,
        clock_ns: 0,
        origin_credit: 65_536,
        instance: [7; 16],
    }
}

/// The setup as the host would send it.
pub(crate) fn setup_bytes(begin: &Begin, parts: &[(Control, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = control::encode(Control::Begin, &begin.encode()).expect("small");
    for (kind, content) in parts {
        bytes.extend(control::encode(*kind, content).expect("small"));
    }
    bytes.extend(control::encode(Control::Go, b"").expect("small"));
    bytes
}

pub(crate) fn receive(channel: &mut Fake, begin: &Begin, parts: &[(Control, Vec<u8>)]) -> Setup {
    channel.bring(&setup_bytes(begin, parts));
    Setup::receive_untrusted(channel).expect("a good setup")
}

/// Credit for the guest's output.
pub(crate) fn flow(value: i32) -> Vec<u8> {
    let mut content = 0i32.to_le_bytes().to_vec();
    content.extend(value.to_le_bytes());
    packet(0, 2, 0, &content).expect("small")
}

/// Input for the guest; nothing is its end.
pub(crate) fn data(bytes: &[u8]) -> Vec<u8> {
    let mut content = vec![0; 8];
    content.extend(bytes);
    packet(0, 3, 0, &content).expect("small")
}

/// A guest's world: personality, memory and channel; things are put into memory from 64 on.
#[derive(Debug)]
pub(crate) struct World<P> {
    pub(crate) guest: P,
    pub(crate) memory: Vec<u8>,
    pub(crate) channel: Fake,
    next: u32,
}

/// Memory of a test's guest: four pages.
pub(crate) const MEMORY: u32 = 4 * 65_536;

impl World<Wasi> {
    pub(crate) fn wasi(begin: &Begin, parts: &[(Control, Vec<u8>)]) -> World<Wasi> {
        World::new(begin, parts, Wasi::new)
    }

    pub(crate) fn ordinary() -> World<Wasi> {
        World::wasi(&begin(), &[])
    }
}

impl World<Gate> {
    pub(crate) fn gate(begin: &Begin) -> World<Gate> {
        World::new(begin, &[], Gate::new)
    }

    /// As Gate's own tests run: a resolution of 1 us.
    pub(crate) fn fine() -> World<Gate> {
        World::gate(&Begin { clock_ms: 0, clock_ns: 1000, ..begin() })
    }
}

impl<P> World<P> {
    fn new(begin: &Begin, parts: &[(Control, Vec<u8>)], make: impl Fn(Setup) -> P) -> World<P> {
        let mut channel = Fake::new();
        let guest = make(receive(&mut channel, begin, parts));
        World { guest, memory: vec![0; MEMORY as usize], channel, next: 64 }
    }

    /// Room in memory, 8-aligned and zeroed.
    pub(crate) fn room(&mut self, len: u32) -> u32 {
        let at = self.next;
        self.next = (at + len).next_multiple_of(8);
        assert!(self.next <= MEMORY, "the test's memory is full");
        at
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        let at = self.room(u32::try_from(bytes.len()).expect("small"));
        self.memory[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        at
    }

    /// Pointer and length of a text.
    pub(crate) fn text(&mut self, text: &str) -> (u32, u32) {
        (self.put(text.as_bytes()), u32::try_from(text.len()).expect("small"))
    }

    /// A list of buffers: pointer and count.
    pub(crate) fn iovs(&mut self, buffers: &[(u32, u32)]) -> (u32, u32) {
        let bytes: Vec<u8> =
            buffers.iter().flat_map(|(at, len)| [at.to_le_bytes(), len.to_le_bytes()].concat()).collect();
        (self.put(&bytes), u32::try_from(buffers.len()).expect("small"))
    }

    /// Texts as a list of buffers.
    pub(crate) fn pieces(&mut self, texts: &[&str]) -> (u32, u32) {
        let buffers: Vec<_> = texts.iter().map(|text| self.text(text)).collect();
        self.iovs(&buffers)
    }

    pub(crate) fn bytes(&self, at: u32, len: u32) -> &[u8] {
        &self.memory[at as usize..(at + len) as usize]
    }

    pub(crate) fn u16(&self, at: u32) -> u16 {
        crate::memory::get_u16(&self.memory, at).expect("in memory")
    }

    pub(crate) fn u32(&self, at: u32) -> u32 {
        crate::memory::get_u32(&self.memory, at).expect("in memory")
    }

    pub(crate) fn u64(&self, at: u32) -> u64 {
        crate::memory::get_u64(&self.memory, at).expect("in memory")
    }

    /// Forget what was put, so that many calls fit.
    pub(crate) fn tidy(&mut self) {
        self.memory.fill(0);
        self.next = 64;
    }
}

/// Calls a function of the guest's and expects an answer, not an end.
macro_rules! call {
    ($world:expr, $method:ident $(, $argument:expr)* $(,)?) => {
        $crate::testing::ask!($world, $method $(, $argument)*).expect("the guest goes on")
    };
}

/// Calls a function of the guest's; it may end the guest.
macro_rules! ask {
    ($world:expr, $method:ident $(, $argument:expr)* $(,)?) => {
        $world.guest.$method(&mut $world.memory, &mut $world.channel $(, $argument)*)
    };
}

pub(crate) use {ask, call};

/// The host's word to stop.
pub(crate) fn suspend() -> Vec<u8> {
    control::encode(Control::Suspend, b"").expect("small")
}

/// How the call must end the guest.
pub(crate) fn exit<T: std::fmt::Debug>(result: Answer<T>) -> Exit {
    match result {
        Err(Stop::Exit(exit)) => exit,
        other => panic!("the guest must end, not {other:?}"),
    }
}

/// The end that a call must have.
pub(crate) fn ended<T: std::fmt::Debug>(result: Answer<T>) -> u32 {
    exit(result).status
}

/// The call must be one that is made again.
pub(crate) fn suspended<T: std::fmt::Debug>(result: Answer<T>) -> bool {
    matches!(result, Err(Stop::Suspend))
}
