//! The pool's other half: containers are made, renewed and ended, and children are asked for before they are wanted.

use super::{Child, Container, Phase, Pool, REFILL_MS, trade_of};
use crate::events::Action;
use crate::options::Trade;
use gatebus_wire::keeper::{Reason, Why};
use gatebus_wire::spawner::Class;
use std::collections::VecDeque;

/// Children that are being prepared at once: more than the processors only wait for each other.
pub(super) const PREPARING_MAX: usize = 8;
/// Containers of one trade: a program that runs for ever keeps its old container alive.
pub(super) const CONTAINERS_MAX: usize = 8;
/// Children in a row that ended while they were prepared, after which waiting requests are refused.
const FAILURES_MAX: u32 = 8;
/// Prepared children of accounts that have had more than their part: theirs may wait, and each one takes time from others.
const LOW_SIZE: usize = 1;
/// The pool is nearly empty when no more than this part of it is left.
const LOW: usize = 4;
/// Containers in a row that were lost before they had prepared a child, after which we give up.
pub(super) const LOSSES_MAX: u32 = 5;
impl Pool {
    pub(super) fn standing(&mut self, number: u32) {
        let Some(container) = self.containers.get_mut(&number) else { return };
        container.standing = true;
        let trade = container.trade;
        if trade == Trade::Programs {
            self.generation += 1;
            if !self.containers.values().any(|container| container.trade == Trade::Compiles) {
                self.start_container(Trade::Compiles); // early, so that the first compilation does not wait for it
            }
        }
        self.end_idle_containers();
        self.fill_trade(trade);
    }

    pub(super) fn lost(&mut self, number: u32) {
        let Some(container) = self.containers.remove(&number) else { return };
        let mut tokens: Vec<u32> =
            self.children.iter().filter(|(_, child)| child.container == number).map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        for token in tokens {
            if let Some(id) = self.forget(token) {
                self.answer_failed(id, Reason::SpawnerLost, 0);
            }
        }
        let losses = self.losses.entry(container.trade).or_default();
        *losses += 1;
        if *losses <= LOSSES_MAX {
            if self.current(container.trade).is_none() && !self.is_starting(container.trade) {
                self.start_container(container.trade);
            }
        } else if container.trade == Trade::Programs {
            self.actions.push(Action::GiveUp);
        } else {
            self.refuse_waiting(container.trade, Reason::SpawnerLost, 0);
        }
    }

    pub(super) fn unborn(&mut self, token: u32, errno: i32) {
        let Some(child) = self.children.get(&token) else { return };
        let class = child.class;
        if let Some(id) = self.forget(token) {
            // Born, at work, and now unborn: nonsense of a spawner, but whoever asked must not wait for ever.
            self.answer_failed(id, Reason::NoProcess, errno);
        }
        self.failed_to_prepare(class, errno);
    }

    pub(super) fn failed_to_prepare(&mut self, class: Class, errno: i32) {
        let failures = self.failures.entry(trade_of(class)).or_default();
        *failures += 1;
        if *failures >= FAILURES_MAX {
            self.refuse_waiting(trade_of(class), Reason::NoProcess, errno);
        } else {
            self.fill(class);
        }
    }

    pub(super) fn refuse_waiting(&mut self, trade: Trade, reason: Reason, errno: i32) {
        let queues = self.waiting.iter_mut().filter(|(class, _)| trade_of(**class) == trade);
        let ids: Vec<u32> = queues.flat_map(|(_, queue)| queue.drain(..)).collect();
        for id in ids {
            self.answer_failed(id, reason, errno);
        }
    }

    /// One more try for a trade that had failed: somebody wants it.
    pub(super) fn retry_after_failures(&mut self, trade: Trade) {
        if let Some(failures) = self.failures.get_mut(&trade) {
            *failures = (*failures).min(FAILURES_MAX - 1);
        }
        if !self.containers.values().any(|container| container.trade == trade) {
            self.start_container(trade);
        }
    }

    pub(super) fn fill_trade(&mut self, trade: Trade) {
        for class in [Class::Small, Class::Large, Class::LowSmall, Class::LowLarge, Class::Compile] {
            if trade_of(class) == trade {
                self.fill(class);
            }
        }
    }

    /// Fills the pool in a moment; at once when hardly anything is left of it.
    pub(super) fn fill_later(&mut self, now_ms: u64, class: Class) {
        let (target, ready) = (self.target(class), self.ready.get(&class).map_or(0, VecDeque::len));
        let preparing = self.preparing.get(&class).copied().unwrap_or(0);
        if ready + preparing <= target / LOW {
            self.fill(class);
        } else if ready + preparing < target {
            self.refill.get_or_insert(now_ms + REFILL_MS);
        }
    }

    /// Asks for as many children as should wait, and one for each request that does.
    pub(super) fn fill(&mut self, class: Class) {
        let trade = trade_of(class);
        if self.failures.get(&trade).is_some_and(|failures| *failures >= FAILURES_MAX) {
            return;
        }
        let Some(container) = self.current(trade) else { return };
        let wanted = self.target(class) + self.waiting.get(&class).map_or(0, VecDeque::len);
        let ready = self.ready.get(&class).map_or(0, VecDeque::len);
        let preparing = self.preparing.entry(class).or_default();
        let missing = wanted.saturating_sub(ready + *preparing).min(PREPARING_MAX.saturating_sub(*preparing));
        *preparing += missing;
        for _ in 0..missing {
            let token = self.next_child;
            self.next_child = self.next_child.wrapping_add(1);
            let child =
                Child { container, class, phase: Phase::Preparing, why: Why::Itself, deadline: None, parked: None };
            self.children.insert(token, child);
            if let Some(container) = self.containers.get_mut(&container) {
                container.starts += 1;
                container.children += 1;
            }
            self.actions.push(Action::Prepare(token, container, class));
        }
        self.renew(trade, container);
    }

    /// A container that has forked often gets a successor, with another address layout.
    pub(super) fn renew(&mut self, trade: Trade, current: u32) {
        let due = self.containers.get(&current).is_some_and(|container| container.starts >= self.renew_after);
        let count = self.containers.values().filter(|container| container.trade == trade).count();
        if due && count < CONTAINERS_MAX && !self.is_starting(trade) {
            self.start_container(trade);
        }
    }

    pub(super) fn target(&self, class: Class) -> usize {
        match class {
            Class::Small => self.size,
            Class::Large => usize::from(self.used_large),
            Class::LowSmall => LOW_SIZE,
            Class::LowLarge => 0,
            Class::Compile => 1,
        }
    }

    pub(super) fn not_preparing(&mut self, class: Class) {
        if let Some(preparing) = self.preparing.get_mut(&class) {
            *preparing = preparing.saturating_sub(1);
        }
    }

    /// The newest container that stands.
    pub(super) fn current(&self, trade: Trade) -> Option<u32> {
        self.containers
            .iter()
            .rev()
            .find(|(_, container)| container.trade == trade && container.standing)
            .map(|(number, _)| *number)
    }

    pub(super) fn is_starting(&self, trade: Trade) -> bool {
        self.containers.values().any(|container| container.trade == trade && !container.standing)
    }

    pub(super) fn start_container(&mut self, trade: Trade) {
        let number = self.next_container;
        self.next_container += 1;
        self.containers.insert(number, Container { trade, standing: false, starts: 0, children: 0 });
        self.actions.push(Action::StartContainer(number, trade));
    }

    pub(super) fn end_idle_containers(&mut self) {
        let idle: Vec<u32> = self
            .containers
            .iter()
            .filter(|(number, container)| {
                container.standing && container.children == 0 && self.current(container.trade) != Some(**number)
            })
            .map(|(number, _)| *number)
            .collect();
        for number in idle {
            self.containers.remove(&number);
            self.actions.push(Action::EndContainer(number));
        }
    }
}
