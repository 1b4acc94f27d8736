//! What can happen to the keeper, and what it can do: the vocabulary of `pool.rs`. Numbers are names: requests have the
//! host's ids, children and containers the keeper's own.

use crate::options::Trade;
use gatebus_wire::keeper::{Answer, Reason, Request, Scan};
use gatebus_wire::spawner::{Class, Usage};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The host asks.
    Asked(u32, Request),
    /// The host wrote something that is not a request.
    Nonsense(u32),
    /// A container stands.
    Standing(u32),
    /// A container is gone, with everything in it.
    Lost(u32),
    /// A child waits for work.
    Prepared(u32),
    /// A child's private socket has hung up.
    HungUp(u32),
    /// A child's process could not be made.
    Unborn(u32, i32),
    /// A request did not reach the child.
    NotForwarded(u32, Request),
    /// A child was waited for; the last field: its control group ran out of memory.
    Gone(u32, i32, Usage, bool),
    /// Time has passed.
    Tick,
}

/// What must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make a container.
    StartContainer(u32, Trade),
    /// Close a container's socket: it ends.
    EndContainer(u32),
    /// Ask this container for a child.
    Prepare(u32, u32, Class),
    /// Hand this request to this child.
    Forward(u32, u32, Request),
    /// Kill this child.
    Kill(u32),
    /// Answer the host; whatever was kept for the id is dropped.
    Answer(u32, Answer),
    /// Answer a datagram that is nobody's request; whatever is kept for the id stays.
    Refuse(u32, Reason, i32),
    /// Look what of this child's memory is its own, for this request.
    Scan(u32, u32, Scan),
    /// This child stands still from now on, or goes on.
    Park(u32, bool),
    /// Answer the host about a request that goes on.
    Tell(u32, Answer),
    /// This child computes on this account's share; 0: on nobody's.
    Share(u32, u32),
    /// Answer STATUS.
    Status(u32),
    /// The child is forgotten.
    Forget(u32),
    /// There will be no programs: the keeper ends.
    GiveUp,
}

/// Figures for READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    /// Children that wait for a program.
    pub(crate) ready: u32,
    /// Children that should.
    pub(crate) size: u32,
    /// Requests that have not ended.
    pub(crate) programs: u32,
    /// Containers of programs so far.
    pub(crate) generation: u32,
}
