//! The pool's third part: programs that stand still for a while, and wall time, which stands still with them.

use super::{Place, Pool};
use crate::events::Action;
use gatebus_wire::keeper::{Answer, Request, Scan};

/// What is left of a wall time, in milliseconds, if there is a limit.
pub(super) type Left = Option<u64>;

/// Wall time is the keeper's: what is parked has no time of its own.
pub(super) fn deadline(now_ms: u64, request: &Request) -> Option<u64> {
    match request {
        Request::Start(start) if start.wall_ms > 0 => Some(now_ms + u64::from(start.wall_ms)),
        Request::Compile(job) if job.wall_ms > 0 => Some(now_ms + u64::from(job.wall_ms)),
        _ => None,
    }
}

impl Pool {
    /// Of one that is gone or has not begun nothing is known.
    pub(super) fn scan(&mut self, id: u32, scan: Scan) {
        self.actions.push(match self.requests.get(&id) {
            Some(Place::With(token)) => Action::Scan(*token, id, scan),
            _ => Action::Tell(id, Answer::Scanned(None)),
        });
    }

    /// One that waits for a child stands still as soon as it has one. Nothing is answered about one that has ended
    /// meanwhile.
    pub(super) fn park(&mut self, now_ms: u64, id: u32, parked: bool) {
        match self.requests.get(&id).copied() {
            Some(Place::With(token)) => {
                self.stop_clock(now_ms, token, parked);
                self.actions.push(Action::Park(token, parked));
            }
            Some(Place::Waiting(_)) if parked => _ = self.parked.insert(id),
            Some(Place::Waiting(_)) => _ = self.parked.remove(&id),
            None => return,
        }
        self.actions.push(Action::Tell(id, Answer::Parked(parked)));
    }

    /// The wall time of a program that stands still does not pass.
    pub(super) fn stop_clock(&mut self, now_ms: u64, token: u32, parked: bool) {
        let Some(child) = self.children.get_mut(&token) else { return };
        if parked && child.parked.is_none() {
            let deadline = child.deadline.take();
            child.parked = Some(deadline.map(|deadline| deadline.saturating_sub(now_ms)));
            if let Some(deadline) = deadline {
                self.deadlines.remove(&(deadline, token));
            }
        } else if !parked && let Some(left) = child.parked.take() {
            child.deadline = left.map(|left| now_ms + left);
            self.deadlines.extend(child.deadline.map(|deadline| (deadline, token)));
        }
    }
}
