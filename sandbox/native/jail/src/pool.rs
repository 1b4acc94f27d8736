//! The keeper's decisions: events in, what must be done out. No I/O, no clock: time is an argument.
//!
//! A child's life: asked for (Preparing) - waits for work (Ready) - has a request (Given) - is locked (Running) - gone.
//! A container's: Starting - current - old (a newer one is current; ends with its last child).
//!
//! The pool is filled again a moment after a child was taken, for several at once: until then the program that was just
//! started needs the processor more. Only a pool that is nearly empty is filled at once. A request that finds no child
//! waits its turn; how many may wait is bounded by the descriptors they hold.

use crate::events::{Action, Event, Figures};
use crate::options::Trade;
use gatebus_wire::keeper::{Answer, Ended, Reason, Request, Why};
use gatebus_wire::spawner::{Class, Usage};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

#[path = "parking.rs"]
mod parking;
#[path = "supply.rs"]
mod supply;

use parking::{Left, deadline};

/// Descriptors of a request that waits or was just given: packet socket, image, memory, a continuation, two of a memory
/// that it goes on from, and the child's.
const WAITING_COST: u64 = 7;
/// Descriptors of a running program: its pidfd.
const RUNNING_COST: u64 = 1;
/// How long the pool's filling is put off: a start has answered after a third of a millisecond, with two processors that
/// were asleep after one.
pub(crate) const REFILL_MS: u64 = 2;
const SIGKILL: i32 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparing,
    Ready,
    Given(u32),
    Running(u32),
    /// Hung up without a program; only its end is waited for.
    Leaving,
}

#[derive(Debug)]
struct Child {
    container: u32,
    class: Class,
    phase: Phase,
    why: Why,
    deadline: Option<u64>,
    /// Of one that is parked: what is left of its wall time.
    parked: Option<Left>,
}

#[derive(Debug)]
struct Container {
    trade: Trade,
    standing: bool,
    starts: u32,
    children: u32,
}

/// How a request stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Waiting(Request),
    With(u32),
}

/// The keeper's memory of what is going on.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    size: usize,
    renew_after: u32,
    descriptors: u64,
    containers: BTreeMap<u32, Container>,
    children: HashMap<u32, Child>,
    requests: HashMap<u32, Place>,
    /// Of requests that wait for a child.
    shares: HashMap<u32, u32>,
    /// Requests that wait for a child and are to stand still when they have one.
    parked: BTreeSet<u32>,
    waiting: BTreeMap<Class, VecDeque<u32>>,
    ready: BTreeMap<Class, VecDeque<u32>>,
    preparing: BTreeMap<Class, usize>,
    deadlines: BTreeSet<(u64, u32)>,
    /// When the pool is filled again.
    refill: Option<u64>,
    used_large: bool,
    /// Whether there is a place for programs that compute on what others leave.
    has_low: bool,
    running: u64,
    failures: BTreeMap<Trade, u32>,
    losses: BTreeMap<Trade, u32>,
    next_container: u32,
    next_child: u32,
    generation: u32,
    actions: Vec<Action>,
}

fn trade_of(class: Class) -> Trade {
    match class {
        Class::Small | Class::Large => Trade::Programs,
        Class::LowSmall | Class::LowLarge => Trade::Low,
        Class::Compile => Trade::Compiles,
    }
}

impl Pool {
    /// `size` prepared children; a new container after `renew_after` starts; `descriptors` may be held for programs.
    pub(crate) fn new(size: usize, renew_after: u32, descriptors: u64) -> Pool {
        Pool { size, renew_after, descriptors, ..Pool::default() }
    }

    /// Programs that are to compute on what others leave get a container of their own, once there is one of them.
    pub(crate) fn with_low(self, has_low: bool) -> Pool {
        Pool { has_low, ..self }
    }

    /// The first thing to do.
    pub(crate) fn begin(&mut self) -> Vec<Action> {
        self.start_container(Trade::Programs);
        std::mem::take(&mut self.actions)
    }

    /// What must be done now that this has happened, in this order.
    pub(crate) fn decide(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        match event {
            Event::Asked(id, request) => self.asked(now_ms, id, request),
            Event::Nonsense(id) => self.actions.push(Action::Refuse(id, Reason::BadRequest, 0)),
            Event::Standing(container) => self.standing(container),
            Event::Lost(container) => self.lost(container),
            Event::Prepared(child) => self.prepared(now_ms, child),
            Event::HungUp(child) => self.hung_up(child),
            Event::Unborn(child, errno) => self.unborn(child, errno),
            Event::NotForwarded(child, request) => self.not_forwarded(now_ms, child, request),
            Event::Gone(child, status, usage, memory) => self.gone(now_ms, child, status, usage, memory),
            Event::Tick => self.tick(now_ms),
        }
        std::mem::take(&mut self.actions)
    }

    /// Whether this id belongs to a request that has not ended.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.requests.contains_key(&id)
    }

    /// When `Tick` is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let killing = self.deadlines.first().map(|(deadline, _)| *deadline);
        killing.into_iter().chain(self.refill).min()
    }

    /// For READY.
    pub(crate) fn figures(&self) -> Figures {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Figures {
            ready: count(self.ready.get(&Class::Small).map_or(0, VecDeque::len)),
            size: count(self.size),
            programs: count(self.requests.len()),
            generation: self.generation,
        }
    }

    fn asked(&mut self, now_ms: u64, id: u32, request: Request) {
        match request {
            Request::Status => self.actions.push(Action::Status(id)),
            Request::Share(account) => self.share(id, account),
            Request::Park(parked) => self.park(now_ms, id, parked),
            Request::Scan(scan) => self.scan(id, scan),
            Request::Kill => self.kill(id),
            Request::Start(start) => match Class::of_stack(start.stack_class, start.low && self.has_low) {
                Some(class) => self.admit(now_ms, id, request, class),
                None => self.actions.push(Action::Refuse(id, Reason::NoStackClass, 0)),
            },
            Request::Compile(_) => self.admit(now_ms, id, request, Class::Compile),
        }
    }

    fn admit(&mut self, now_ms: u64, id: u32, request: Request, class: Class) {
        if self.requests.contains_key(&id) {
            return self.actions.push(Action::Refuse(id, Reason::BadRequest, libc::EEXIST));
        }
        let waiting = self.requests.len() as u64 - self.running;
        if (waiting + 1) * WAITING_COST + self.running * RUNNING_COST > self.descriptors {
            return self.actions.push(Action::Refuse(id, Reason::TooMany, 0));
        }
        self.used_large |= class == Class::Large;
        self.requests.insert(id, Place::Waiting(request));
        self.waiting.entry(class).or_default().push_back(id);
        self.serve(now_ms, class);
        if self.waiting.get(&class).is_some_and(|queue| !queue.is_empty()) {
            self.retry_after_failures(trade_of(class));
            self.fill(class);
        }
    }

    /// Brings waiting requests and waiting children together.
    fn serve(&mut self, now_ms: u64, class: Class) {
        loop {
            let (Some(queue), Some(ready)) = (self.waiting.get_mut(&class), self.ready.get_mut(&class)) else { return };
            let (Some(&id), Some(&token)) = (queue.front(), ready.front()) else { return };
            queue.pop_front();
            ready.pop_front();
            let (Some(Place::Waiting(request)), Some(child)) =
                (self.requests.get(&id).copied(), self.children.get_mut(&token))
            else {
                continue;
            };
            child.phase = Phase::Given(id);
            child.deadline = deadline(now_ms, &request);
            if let Some(deadline) = child.deadline {
                self.deadlines.insert((deadline, token));
            }
            self.requests.insert(id, Place::With(token));
            if self.parked.remove(&id) {
                self.stop_clock(now_ms, token, true);
                self.actions.push(Action::Park(token, true));
            }
            self.actions.push(Action::Forward(token, id, request));
            if let Some(account) = self.shares.remove(&id) {
                self.actions.push(Action::Share(token, account));
            }
            self.fill_later(now_ms, class);
        }
    }

    /// Nothing is answered: a program that has ended meanwhile needs no share.
    fn share(&mut self, id: u32, account: u32) {
        match self.requests.get(&id) {
            Some(Place::With(token)) => self.actions.push(Action::Share(*token, account)),
            Some(Place::Waiting(_)) => {
                self.shares.insert(id, account);
            }
            None => {}
        }
    }

    fn kill(&mut self, id: u32) {
        match self.requests.get(&id) {
            Some(Place::Waiting(_)) => {
                self.waiting.values_mut().for_each(|queue| queue.retain(|&other| other != id));
                let ended = Ended { wait_status: SIGKILL, why: Why::Kill, ..Ended::default() };
                self.answer(id, Answer::Ended(ended));
            }
            Some(Place::With(token)) => self.kill_child(*token, Why::Kill),
            None => {} // it ended meanwhile, and its last word is on the way
        }
    }

    fn kill_child(&mut self, token: u32, why: Why) {
        if let Some(child) = self.children.get_mut(&token) {
            if child.why == Why::Itself {
                child.why = why;
            }
            self.actions.push(Action::Kill(token));
        }
    }

    fn prepared(&mut self, now_ms: u64, token: u32) {
        let Some(child) = self.children.get_mut(&token) else { return };
        if child.phase != Phase::Preparing {
            return;
        }
        child.phase = Phase::Ready;
        let class = child.class;
        self.not_preparing(class);
        self.failures.remove(&trade_of(class));
        self.losses.remove(&trade_of(class));
        self.ready.entry(class).or_default().push_back(token);
        self.serve(now_ms, class);
        if self.waiting.get(&class).is_some_and(|queue| !queue.is_empty()) {
            self.fill(class);
        } else {
            self.fill_later(now_ms, class);
        }
    }

    fn hung_up(&mut self, token: u32) {
        let Some(child) = self.children.get_mut(&token) else { return };
        let class = child.class;
        match child.phase {
            Phase::Given(id) => {
                child.phase = Phase::Running(id);
                self.running += 1;
                return;
            }
            Phase::Preparing => {
                child.phase = Phase::Leaving;
                self.not_preparing(class);
            }
            Phase::Ready => {
                child.phase = Phase::Leaving;
                self.ready.values_mut().for_each(|queue| queue.retain(|&other| other != token));
            }
            Phase::Running(_) | Phase::Leaving => return,
        }
        self.fill(class);
    }

    /// The child died between being ready and being asked: the request is first in the queue again.
    fn not_forwarded(&mut self, now_ms: u64, token: u32, request: Request) {
        let Some(child) = self.children.get_mut(&token) else { return };
        let Phase::Given(id) = child.phase else { return };
        child.phase = Phase::Leaving;
        let class = child.class;
        if let Some(deadline) = child.deadline.take() {
            self.deadlines.remove(&(deadline, token));
        }
        if child.parked.take().is_some() {
            self.parked.insert(id);
        }
        self.kill_child(token, Why::Kill);
        self.requests.insert(id, Place::Waiting(request));
        self.waiting.entry(class).or_default().push_front(id);
        self.serve(now_ms, class);
        self.fill(class);
    }

    fn gone(&mut self, now_ms: u64, token: u32, wait_status: i32, usage: Usage, out_of_memory: bool) {
        let Some(child) = self.children.get(&token) else { return };
        let (class, phase, marked) = (child.class, child.phase, child.why);
        let id = self.forget(token);
        if let Some(id) = id {
            let why = why(wait_status, marked, out_of_memory);
            let ended =
                Ended { wait_status, why, user_us: usage.user_us, system_us: usage.system_us, max_rss: usage.max_rss };
            self.answer(id, Answer::Ended(ended));
        } else if phase != Phase::Ready {
            return self.failed_to_prepare(class, 0);
        }
        self.end_idle_containers();
        self.fill_later(now_ms, class);
    }

    fn tick(&mut self, now_ms: u64) {
        if self.refill.is_some_and(|due| due <= now_ms) {
            self.refill = None;
            [Trade::Programs, Trade::Low, Trade::Compiles].into_iter().for_each(|trade| self.fill_trade(trade));
        }
        while let Some(&(deadline, token)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now_ms) {
            self.deadlines.remove(&(deadline, token));
            self.kill_child(token, Why::Wall);
        }
    }

    /// Takes a child out of everything; the request it had, if any.
    fn forget(&mut self, token: u32) -> Option<u32> {
        let child = self.children.remove(&token)?;
        self.actions.push(Action::Forget(token));
        if let Some(container) = self.containers.get_mut(&child.container) {
            container.children -= 1;
        }
        if let Some(deadline) = child.deadline {
            self.deadlines.remove(&(deadline, token));
        }
        match child.phase {
            Phase::Preparing => self.not_preparing(child.class),
            Phase::Ready => self.ready.values_mut().for_each(|queue| queue.retain(|&other| other != token)),
            Phase::Running(id) => {
                self.running -= 1;
                return Some(id);
            }
            Phase::Given(id) => return Some(id),
            Phase::Leaving => {}
        }
        None
    }

    fn answer_failed(&mut self, id: u32, reason: Reason, errno: i32) {
        self.answer(id, Answer::Failed(reason, errno));
    }

    fn answer(&mut self, id: u32, answer: Answer) {
        self.requests.remove(&id);
        self.shares.remove(&id);
        self.parked.remove(&id);
        self.actions.push(Action::Answer(id, answer));
    }
}

/// Only an end by SIGKILL can have been somebody else's will.
fn why(wait_status: i32, marked: Why, out_of_memory: bool) -> Why {
    if wait_status & 0x7f != SIGKILL {
        Why::Itself
    } else if marked != Why::Itself {
        marked
    } else if out_of_memory {
        Why::Memory
    } else {
        Why::Itself
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
