//! The keeper's other half: what it does with containers and children, and what it hears from them.

use super::{Child, End, HeldContainer, Keeper, TURN, kill, reap, signal};
use crate::descriptors::{receive, send, seqpacket_pair};
use crate::events::Event;
use crate::namespaces;
use crate::notes::note;
use crate::options::{SpawnerOptions, Trade};
use crate::pool::REFILL_MS;
use crate::sys::{Failure, now_ms};
use gatebus_wire::Layers;
use gatebus_wire::keeper::{Ready, Request};
use gatebus_wire::spawner::{self, Class, News, PREPARED, Prepare};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

impl Keeper {
    pub(super) fn start_container(&mut self, number: u32, trade: Trade) {
        let wanted = self.options.wanted().without(Layers::CGROUPS);
        let optional = wanted.without(self.options.require);
        let started = namespaces::start(&SpawnerOptions { trade, wanted, optional });
        match started {
            Ok(container) => {
                if self.groups.adopt(container.pid, trade == Trade::Low).is_err() {
                    note("keeper: the spawner could not enter its control group");
                }
                self.containers.insert(number, HeldContainer { container, unsent: VecDeque::new() });
            }
            Err(failure) => self.container_broke(number, failure.to_string()),
        }
    }

    pub(super) fn container_broke(&mut self, number: u32, text: String) {
        note(&format!("keeper: container: {text}"));
        self.broken = Some(text);
        self.decide(Event::Lost(number));
    }

    pub(super) fn container_turn(&mut self, number: u32, events: i16) {
        self.flush_orders(number);
        if events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) == 0 {
            return;
        }
        for _ in 0..TURN {
            let Some(one) = self.containers.get(&number) else { return };
            let mut datagram = [0u8; spawner::DATAGRAM_MAX];
            match receive(one.container.control.as_raw_fd(), &mut datagram, libc::MSG_DONTWAIT) {
                Ok(received) if received.length > 0 => {
                    self.news_untrusted(number, &datagram[..received.length], received.descriptors)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => return self.container_gone(number),
            }
        }
    }

    pub(super) fn news_untrusted(&mut self, number: u32, datagram: &[u8], descriptors: Vec<OwnedFd>) {
        let Ok(news) = News::decode_untrusted(datagram) else {
            return log_words("spawner", datagram);
        };
        if let Some(token) = subject(&news)
            && self.children.get(&token).is_none_or(|child| child.container != number)
        {
            return; // forgotten meanwhile, or a spawner that speaks of others' children
        }
        match news {
            News::Ready { on, missing, fingerprint } => self.container_stands(number, on, missing, fingerprint),
            News::Born { token } => self.born(token, descriptors),
            News::Unborn { token, errno } => self.decide(Event::Unborn(token, errno)),
            News::Gone { token, wait_status, usage } => {
                if wait_status != 0 {
                    self.child_turn(token); // why it ended before its lock, perhaps
                }
                self.shares.gone(now_ms(), token, usage.user_us.saturating_add(usage.system_us));
                let memory = wait_status & 0x7f == libc::SIGKILL && self.ran_out_of_memory(token);
                self.decide(Event::Gone(token, wait_status, usage, memory));
            }
            News::Lacking { layer, errno } => {
                if self.ready.is_none() {
                    let why = io::Error::from_raw_os_error(errno);
                    note(&format!("keeper: layer {layer} is missing: {why}"));
                }
            }
            News::Broken { text } => {
                note(&format!("keeper: container: {text}"));
                self.broken = Some(text);
            }
        }
    }

    pub(super) fn container_stands(&mut self, number: u32, on: Layers, missing: Layers, fingerprint: u64) {
        let first = self.ready.is_none();
        if first {
            let groups = self.groups.layers();
            let wanted_groups = self.options.wanted().and(Layers::CGROUPS);
            let ready = Ready {
                on: on.with(groups),
                missing: missing.with(wanted_groups.without(groups)).with(self.options.without),
                cgroup_mode: self.groups.mode() as u32,
                fingerprint,
                ..Ready::default()
            };
            self.ready = Some(ready);
        }
        self.decide(Event::Standing(number));
        if first {
            self.say_ready(0);
            self.insist();
        }
    }

    /// The host has been told what is missing; without a required layer there are no programs.
    pub(super) fn insist(&mut self) {
        let lacking = self.options.require.without(self.ready.map_or(Layers::NONE, |ready| ready.on));
        if !lacking.is_empty() {
            self.end = Some(End::Broken(format!("required layers are missing: {lacking}")));
        }
    }

    pub(super) fn container_gone(&mut self, number: u32) {
        if let Some(one) = self.containers.remove(&number) {
            reap(&one.container);
        }
        self.decide(Event::Lost(number));
    }

    pub(super) fn flush_orders(&mut self, number: u32) {
        let Some(one) = self.containers.get_mut(&number) else { return };
        while let Some((datagram, descriptors)) = one.unsent.front() {
            let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            if send(one.container.control.as_raw_fd(), datagram, &numbers, libc::MSG_DONTWAIT).is_err() {
                return; // full, or gone: then it is seen when its socket is read
            }
            one.unsent.pop_front();
        }
    }

    pub(super) fn prepare(&mut self, token: u32, container: u32, class: Class) {
        let result = self.order_child(token, container, class);
        if let Err(error) = result {
            self.decide(Event::Unborn(token, error.raw_os_error().unwrap_or(0)));
        }
    }

    pub(super) fn order_child(&mut self, token: u32, container: u32, class: Class) -> io::Result<()> {
        let errno = |failure: Failure| io::Error::from_raw_os_error(failure.errno);
        let (ours, theirs) = seqpacket_pair().map_err(errno)?;
        let mut child = Child {
            container,
            pidfd: None,
            group: None,
            kill_when_born: false,
            parked: false,
            low: matches!(class, Class::LowSmall | Class::LowLarge),
            since_ms: 0,
            clock: None,
        };
        let mut descriptors = vec![theirs];
        if !self.groups.layers().is_empty() {
            let (group, procs) = self.groups.take(child.low)?;
            child.group = Some(group);
            descriptors.extend(procs);
        }
        self.children.insert(token, child);
        self.private.insert(token, ours);
        if let Some(one) = self.containers.get_mut(&container) {
            one.unsent.push_back((Prepare { token, class }.encode(), descriptors));
        }
        self.flush_orders(container);
        Ok(())
    }

    pub(super) fn born(&mut self, token: u32, mut descriptors: Vec<OwnedFd>) {
        let Some(child) = self.children.get_mut(&token) else { return };
        child.pidfd = descriptors.pop();
        if child.kill_when_born {
            self.kill(token);
        } else if child.parked {
            self.stand_still(token);
        }
    }

    pub(super) fn child_turn(&mut self, token: u32) {
        for _ in 0..TURN {
            let Some(socket) = self.private.get(&token) else { return };
            let mut words = [0u8; 256];
            match receive(socket.as_raw_fd(), &mut words, libc::MSG_DONTWAIT) {
                Ok(received) if &words[..received.length] == PREPARED => self.decide(Event::Prepared(token)),
                Ok(received) if received.length > 0 => log_words("child", &words[..received.length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => {
                    self.private.remove(&token);
                    return self.decide(Event::HungUp(token));
                }
            }
        }
    }

    pub(super) fn forward(&mut self, token: u32, id: u32, request: Request) {
        let Some((datagram, descriptors)) = self.held.remove(&id) else { return };
        self.limit_memory(token, &request);
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let sent = self
            .private
            .get(&token)
            .is_some_and(|socket| send(socket.as_raw_fd(), &datagram, &numbers, libc::MSG_DONTWAIT).is_ok());
        if sent {
            if let Some(child) = self.children.get_mut(&token) {
                child.since_ms = now_ms();
            }
            if self.starting.1.is_empty() {
                self.starting.0 = now_ms() + REFILL_MS;
            }
            self.starting.1.insert(token);
        } else {
            self.held.insert(id, (datagram, descriptors));
            self.private.remove(&token);
            self.decide(Event::NotForwarded(token, request));
        }
    }

    /// The back-stop behind the engine's own limit: all that the limits of the process allow, and some kernel memory.
    pub(super) fn limit_memory(&mut self, token: u32, request: &Request) {
        let bytes = match request {
            Request::Start(start) => start.memory_limit.saturating_add(start.data_limit),
            Request::Compile(job) => job.memory_limit.saturating_add(job.max_code),
            _ => return,
        };
        let group = self.children.get_mut(&token).and_then(|child| child.group.as_mut());
        if let Some(group) = group {
            // It keeps its former limit when this fails: the process's own limits still hold.
            let _ = self.groups.limit(group, bytes);
        }
    }

    pub(super) fn ran_out_of_memory(&mut self, token: u32) -> bool {
        let group = self.children.get_mut(&token).and_then(|child| child.group.as_mut());
        group.is_some_and(|group| self.groups.ran_out_of_memory(group))
    }

    /// By its pidfd: a signal cannot be blocked, is obeyed before the next instruction, and needs nobody's help but the
    /// kernel's. (Version 1's freezer lets nobody kill what it holds: threat T16.) Nobody else can let it go on: Landlock
    /// keeps siblings' signals away, and the spawner's filter knows no call that sends one.
    pub(super) fn park(&mut self, token: u32, parked: bool) {
        if let Some(child) = self.children.get_mut(&token) {
            child.parked = parked;
            self.stand_still(token);
        }
    }

    fn stand_still(&mut self, token: u32) {
        let Some(child) = self.children.get(&token) else { return };
        if let Some(pidfd) = &child.pidfd {
            signal(pidfd, if child.parked { libc::SIGSTOP } else { libc::SIGCONT });
        }
    }

    pub(super) fn kill(&mut self, token: u32) {
        let Some(child) = self.children.get_mut(&token) else { return };
        match &child.pidfd {
            Some(pidfd) => kill(pidfd),
            None => child.kill_when_born = true,
        }
    }

    pub(super) fn forget(&mut self, token: u32) {
        self.private.remove(&token);
        self.starting.1.remove(&token);
        if let Some(group) = self.children.remove(&token).and_then(|child| child.group) {
            self.groups.give_back(group);
        }
    }
}

/// The child that these news are about.
fn subject(news: &News) -> Option<u32> {
    match *news {
        News::Born { token } | News::Unborn { token, .. } | News::Gone { token, .. } => Some(token),
        News::Ready { .. } | News::Lacking { .. } | News::Broken { .. } => None,
    }
}

/// Words of a process of ours that is not locked yet: a step that failed, a panic.
fn log_words(who: &str, words: &[u8]) {
    note(&format!("{who}: {}", String::from_utf8_lossy(words)));
}
