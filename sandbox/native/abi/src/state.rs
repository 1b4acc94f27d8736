//! What the saved worlds of both personalities begin with, and why a state is refused. The format: STATE.md.

use std::borrow::Cow;

use gatebus_wire::fields::{Reader, Writer};
use gatebus_wire::{Malformed, status};

use crate::log::Log;
use crate::table::Personality;
use crate::time::Clocks;
use crate::{Channel, Exit, Gate, Setup, Wasi};

/// Of the format of worlds.
const VERSION: u16 = 1;

/// A state that no program ever had, or that is not allowed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState(pub &'static str);

impl From<Malformed> for BadState {
    fn from(malformed: Malformed) -> BadState {
        BadState(match malformed.0 {
            "too short" => "what stands behind its host calls is cut off",
            "too long" => "what stands behind its host calls is too long",
            other => other,
        })
    }
}

impl From<BadState> for Exit {
    fn from(bad: BadState) -> Exit {
        Exit { status: u32::from(status::BAD_STATE), result: 0, text: Cow::Borrowed(bad.0) }
    }
}

/// Could a program go on in this world, within the limits of somebody who goes on with it?
pub fn check_world_untrusted(personality: Personality, world: &[u8]) -> Result<(), BadState> {
    match personality {
        Personality::Wasi => Wasi::restore_untrusted(Setup::of_nobody(), world).map(drop),
        Personality::Gate => Gate::restore_untrusted(Setup::of_nobody(), world).map(drop),
    }
}

/// `u16 version, u8 personality, u8 0, u64 monotonic, u64 waiting since (0: not), u64 log used, u64 log dropped`.
pub(crate) struct Head<'a> {
    pub(crate) clocks: &'a Clocks,
    pub(crate) waiting_since: Option<u64>,
    pub(crate) log: &'a Log,
}

impl Head<'_> {
    pub(crate) fn save(&self, personality: Personality, channel: &mut dyn Channel) -> Writer {
        let (used, dropped) = self.log.saved();
        let start = Writer::default().u16(VERSION).u8(number(personality)).u8(0);
        start.u64(self.clocks.saved(channel)).u64(self.waiting_since.unwrap_or(0)).u64(used).u64(dropped)
    }
}

/// The same, read.
pub(crate) struct Resumed {
    pub(crate) clocks: Clocks,
    pub(crate) waiting_since: Option<u64>,
    pub(crate) log: Log,
}

impl Resumed {
    pub(crate) fn read_untrusted(
        fields: &mut Reader<'_>,
        personality: Personality,
        (clocks, log): (Clocks, Log),
    ) -> Result<Resumed, Malformed> {
        if fields.u16()? != VERSION {
            return Err(Malformed("unknown version of the state"));
        }
        if (fields.u8()?, fields.u8()?) != (number(personality), 0) {
            return Err(Malformed("the state of a program with another interface"));
        }
        let (monotonic, since, used, dropped) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
        let clocks = clocks.resumed_untrusted(monotonic).ok_or(Malformed("a clock that no program has seen"))?;
        if since > monotonic {
            return Err(Malformed("a wait that begins after the stop"));
        }
        let waiting_since = (since > 0).then_some(since);
        Ok(Resumed { clocks, waiting_since, log: log.resumed((used, dropped)) })
    }
}

fn number(personality: Personality) -> u8 {
    match personality {
        Personality::Wasi => 0,
        Personality::Gate => 1,
    }
}
