//! The keeper: between the host and the container. It does what `pool.rs` decides, and reads everything that the others
//! write as untrusted.
//!
//! One thread, one poll. It never waits for a write: a keeper that waits for a spawner that waits for it is a deadlock
//! (met in the laboratory after 200 children). What cannot be written now is queued; every queue has a bound that
//! follows from the number of programs.
//!
//! Descriptors per running program: one (its pidfd). Per waiting one: three of the request, one of the child.

use crate::cgroups::{Group, Groups};
use crate::descriptors::{raise_limit, receive, send, seqpacket_pair};
use crate::namespaces::{self, Container};
use crate::options::{KeeperOptions, SpawnerOptions, Trade};
use crate::pool::{Action, Event, Pool};
use crate::sys::{Failure, check, now_ms, syscall};
use gatebus_wire::Layers;
use gatebus_wire::keeper::{Answer, DATAGRAM_MAX, Ready, Request};
use gatebus_wire::spawner::{self, Class, News, PREPARED, Prepare};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The socket to the host.
const HOST: RawFd = 3;
/// Datagrams that are read from one socket before the others get their turn.
const TURN: usize = 32;
/// Answers that may wait for a host that does not read; above, its requests wait too. Each answer is 48 bytes.
const ANSWERS_MAX: usize = 4096;
/// Descriptors of the keeper itself: sockets, containers, files that are open for a moment.
const OWN_DESCRIPTORS: u64 = 256;
/// How long the end may take before the keeper leaves what is left to the kernel.
const END_MS: u64 = 5000;

/// The keeper's life.
pub(crate) fn main(words: &[String]) -> ! {
    let options = KeeperOptions::parse(words).unwrap_or_else(|text| leave(&text));
    // SAFETY: the host gives us its socket as 3 and nobody else uses the number.
    let host = unsafe { OwnedFd::from_raw_fd(HOST) };
    let mut keeper = Keeper::new(host, options);
    let actions = keeper.pool.begin();
    keeper.act(actions);
    while keeper.end.is_none() {
        keeper.turn();
    }
    keeper.close();
    match keeper.end.take() {
        Some(End::Broken(text)) => leave(&text),
        _ => std::process::exit(0),
    }
}

/// The last line on stderr is for the operator; 78 is EX_CONFIG.
fn leave(text: &str) -> ! {
    eprintln!("gatebus-sandbox keeper: {text}");
    std::process::exit(78)
}

#[derive(Debug)]
enum End {
    HostGone,
    Broken(String),
}

#[derive(Debug)]
struct HeldContainer {
    container: Container,
    /// PREPARE datagrams that did not fit into the socket; at most as many as children are prepared at once.
    unsent: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

#[derive(Debug, Default)]
struct Child {
    pidfd: Option<OwnedFd>,
    group: Option<Group>,
    kill_when_born: bool,
}

/// A request with its descriptors, until a child has it.
type Held = (Vec<u8>, Vec<OwnedFd>);

struct Keeper {
    host: OwnedFd,
    options: KeeperOptions,
    pool: Pool,
    groups: Groups,
    containers: BTreeMap<u32, HeldContainer>,
    children: HashMap<u32, Child>,
    private: BTreeMap<u32, OwnedFd>,
    held: HashMap<u32, Held>,
    answers: VecDeque<Vec<u8>>,
    /// Unset until the first container stands.
    ready: Option<Ready>,
    broken: Option<String>,
    end: Option<End>,
}

/// What a pollfd stands for.
#[derive(Clone, Copy)]
enum Source {
    Host,
    Container(u32),
    Child(u32),
}

impl Keeper {
    fn new(host: OwnedFd, options: KeeperOptions) -> Keeper {
        let descriptors = raise_limit().saturating_sub(OWN_DESCRIPTORS);
        let groups = Groups::open(options.wanted());
        Keeper {
            pool: Pool::new(options.pool, options.renew_after, descriptors),
            host,
            groups,
            options,
            containers: BTreeMap::new(),
            children: HashMap::new(),
            private: BTreeMap::new(),
            held: HashMap::new(),
            answers: VecDeque::new(),
            ready: None,
            broken: None,
            end: None,
        }
    }

    fn turn(&mut self) {
        let (mut polled, sources) = self.interests();
        if wait(&mut polled, self.pool.next_deadline()).is_err() {
            return;
        }
        for (polled, source) in polled.iter().zip(sources).filter(|(polled, _)| polled.revents != 0) {
            match source {
                Source::Host => self.host_turn(polled.revents),
                Source::Container(number) => self.container_turn(number, polled.revents),
                Source::Child(token) => self.child_turn(token),
            }
        }
        self.decide(Event::Tick);
    }

    fn interests(&self) -> (Vec<libc::pollfd>, Vec<Source>) {
        let reads = if self.answers.len() < ANSWERS_MAX { libc::POLLIN } else { 0 };
        let writes = |waiting: bool| if waiting { libc::POLLOUT } else { 0 };
        let host = (self.host.as_raw_fd(), reads | writes(!self.answers.is_empty()), Source::Host);
        let containers = self.containers.iter().map(|(number, one)| {
            (one.container.control.as_raw_fd(), libc::POLLIN | writes(!one.unsent.is_empty()), Source::Container(*number))
        });
        let children = self.private.iter().map(|(token, socket)| (socket.as_raw_fd(), libc::POLLIN, Source::Child(*token)));
        // Spawners first: their news make room; the host last.
        let all = containers.chain(children).chain([host]);
        all.map(|(fd, events, source)| (libc::pollfd { fd, events, revents: 0 }, source)).unzip()
    }

    fn decide(&mut self, event: Event) {
        let actions = self.pool.decide(now_ms(), event);
        self.act(actions);
    }

    // ---- the host

    fn host_turn(&mut self, events: i16) {
        self.flush_answers();
        if events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) == 0 {
            return;
        }
        for _ in 0..TURN {
            let mut datagram = [0u8; DATAGRAM_MAX];
            match receive(self.host.as_raw_fd(), &mut datagram, libc::MSG_DONTWAIT) {
                Ok(received) if received.length == 0 && received.descriptors.is_empty() => return self.end = Some(End::HostGone),
                Ok(received) => {
                    let count = if received.cut { usize::MAX } else { received.descriptors.len() };
                    self.request_untrusted(&datagram[..received.length], count, received.descriptors);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.end = Some(End::HostGone),
            }
        }
    }

    fn request_untrusted(&mut self, datagram: &[u8], count: usize, descriptors: Vec<OwnedFd>) {
        match Request::decode_untrusted(datagram, count) {
            Err(bad) => self.decide(Event::Nonsense(bad.id)),
            Ok((id, request)) if request.descriptors() > 0 && self.pool.has(id) => self.decide(Event::Nonsense(id)),
            Ok((id, request)) => {
                if request.descriptors() > 0 {
                    self.held.insert(id, (datagram.to_vec(), descriptors));
                }
                self.decide(Event::Asked(id, request));
            }
        }
    }

    fn answer(&mut self, id: u32, answer: &Answer) {
        self.answers.push_back(answer.encode(id));
        self.flush_answers();
    }

    fn flush_answers(&mut self) {
        while let Some(datagram) = self.answers.front() {
            if send(self.host.as_raw_fd(), datagram, &[], libc::MSG_DONTWAIT).is_err() {
                return; // full; a host that is gone is seen when its socket is read
            }
            self.answers.pop_front();
        }
    }

    fn say_ready(&mut self, id: u32) {
        let figures = self.pool.figures();
        let Some(ready) = self.ready else { return };
        let ready = Ready { pool_ready: figures.ready, pool_size: figures.size, programs: figures.programs, generation: figures.generation, ..ready };
        self.answer(id, &Answer::Ready(ready));
    }

    // ---- containers

    fn start_container(&mut self, number: u32, trade: Trade) {
        let wanted = self.options.wanted().without(Layers::CGROUPS);
        let started = namespaces::start(&SpawnerOptions { trade, wanted, optional: wanted.without(self.options.require) });
        match started {
            Ok(container) => {
                if self.groups.adopt(container.pid).is_err() {
                    eprintln!("gatebus-sandbox keeper: the spawner could not enter its control group");
                }
                self.containers.insert(number, HeldContainer { container, unsent: VecDeque::new() });
            }
            Err(failure) => self.container_broke(number, failure.to_string()),
        }
    }

    fn container_broke(&mut self, number: u32, text: String) {
        eprintln!("gatebus-sandbox keeper: container: {text}");
        self.broken = Some(text);
        self.decide(Event::Lost(number));
    }

    fn container_turn(&mut self, number: u32, events: i16) {
        self.flush_orders(number);
        if events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) == 0 {
            return;
        }
        for _ in 0..TURN {
            let Some(one) = self.containers.get(&number) else { return };
            let mut datagram = [0u8; spawner::DATAGRAM_MAX];
            match receive(one.container.control.as_raw_fd(), &mut datagram, libc::MSG_DONTWAIT) {
                Ok(received) if received.length > 0 => self.news_untrusted(number, &datagram[..received.length], received.descriptors),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => return self.container_gone(number),
            }
        }
    }

    fn news_untrusted(&mut self, number: u32, datagram: &[u8], descriptors: Vec<OwnedFd>) {
        let Ok(news) = News::decode_untrusted(datagram) else {
            return log_words("spawner", datagram);
        };
        match news {
            News::Ready { on, missing, fingerprint } => self.container_stands(number, on, missing, fingerprint),
            News::Born { token } => self.born(token, descriptors),
            News::Unborn { token, errno } => self.decide(Event::Unborn(token, errno)),
            News::Gone { token, wait_status, usage } => {
                let memory = wait_status & 0x7f == libc::SIGKILL && self.ran_out_of_memory(token);
                self.decide(Event::Gone(token, wait_status, usage, memory));
            }
            News::Lacking { layer, errno } => {
                if self.ready.is_none() {
                    eprintln!("gatebus-sandbox keeper: layer {layer} is missing: {}", io::Error::from_raw_os_error(errno));
                }
            }
            News::Broken { text } => {
                eprintln!("gatebus-sandbox keeper: container: {text}");
                self.broken = Some(text);
            }
        }
    }

    fn container_stands(&mut self, number: u32, on: Layers, missing: Layers, fingerprint: u64) {
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
    fn insist(&mut self) {
        let lacking = self.options.require.without(self.ready.map_or(Layers::NONE, |ready| ready.on));
        if !lacking.is_empty() {
            self.end = Some(End::Broken(format!("required layers are missing: {lacking}")));
        }
    }

    fn container_gone(&mut self, number: u32) {
        if let Some(one) = self.containers.remove(&number) {
            reap(&one.container);
        }
        self.decide(Event::Lost(number));
    }

    fn flush_orders(&mut self, number: u32) {
        let Some(one) = self.containers.get_mut(&number) else { return };
        while let Some((datagram, descriptors)) = one.unsent.front() {
            let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            if send(one.container.control.as_raw_fd(), datagram, &numbers, libc::MSG_DONTWAIT).is_err() {
                return; // full, or gone: then it is seen when its socket is read
            }
            one.unsent.pop_front();
        }
    }

    // ---- children

    fn prepare(&mut self, token: u32, container: u32, class: Class) {
        let result = self.order_child(token, container, class);
        if let Err(error) = result {
            self.decide(Event::Unborn(token, error.raw_os_error().unwrap_or(0)));
        }
    }

    fn order_child(&mut self, token: u32, container: u32, class: Class) -> io::Result<()> {
        let errno = |failure: Failure| io::Error::from_raw_os_error(failure.errno);
        let (ours, theirs) = seqpacket_pair().map_err(errno)?;
        let mut child = Child::default();
        let mut descriptors = vec![theirs];
        if !self.groups.layers().is_empty() {
            let (group, procs) = self.groups.take()?;
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

    fn born(&mut self, token: u32, mut descriptors: Vec<OwnedFd>) {
        let Some(child) = self.children.get_mut(&token) else { return };
        child.pidfd = descriptors.pop();
        if child.kill_when_born {
            self.kill(token);
        }
    }

    fn child_turn(&mut self, token: u32) {
        loop {
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

    fn forward(&mut self, token: u32, id: u32, request: Request) {
        let Some((datagram, descriptors)) = self.held.remove(&id) else { return };
        self.limit_memory(token, &request);
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let sent = self.private.get(&token).is_some_and(|socket| send(socket.as_raw_fd(), &datagram, &numbers, libc::MSG_DONTWAIT).is_ok());
        if !sent {
            self.held.insert(id, (datagram, descriptors));
            self.private.remove(&token);
            self.decide(Event::NotForwarded(token, request));
        }
    }

    /// The back-stop behind the engine's own limit: all that the limits of the process allow, and some kernel memory.
    fn limit_memory(&mut self, token: u32, request: &Request) {
        let bytes = match request {
            Request::Start(start) => start.memory_limit.saturating_add(start.data_limit),
            Request::Compile(job) => job.memory_limit.saturating_add(job.max_code),
            Request::Kill | Request::Status => return,
        };
        let group = self.children.get_mut(&token).and_then(|child| child.group.as_mut());
        if let Some(group) = group {
            // It keeps its former limit when this fails: the process's own limits still hold.
            let _ = self.groups.limit(group, bytes);
        }
    }

    fn ran_out_of_memory(&mut self, token: u32) -> bool {
        let group = self.children.get_mut(&token).and_then(|child| child.group.as_mut());
        group.is_some_and(|group| self.groups.ran_out_of_memory(group))
    }

    fn kill(&mut self, token: u32) {
        let Some(child) = self.children.get_mut(&token) else { return };
        match &child.pidfd {
            Some(pidfd) => kill(pidfd),
            None => child.kill_when_born = true,
        }
    }

    fn forget(&mut self, token: u32) {
        self.private.remove(&token);
        if let Some(group) = self.children.remove(&token).and_then(|child| child.group) {
            self.groups.give_back(group);
        }
    }

    // ---- what was decided

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartContainer(number, trade) => self.start_container(number, trade),
                Action::EndContainer(number) => self.end_container(number),
                Action::Prepare(token, container, class) => self.prepare(token, container, class),
                Action::Forward(token, id, request) => self.forward(token, id, request),
                Action::Kill(token) => self.kill(token),
                Action::Answer(id, answer) => {
                    self.held.remove(&id);
                    self.answer(id, &answer);
                }
                Action::Refuse(id, reason, errno) => {
                    if !self.pool.has(id) {
                        self.held.remove(&id);
                    }
                    self.answer(id, &Answer::Failed(reason, errno));
                }
                Action::Status(id) => self.say_ready(id),
                Action::Forget(token) => self.forget(token),
                Action::GiveUp => {
                    let text = self.broken.take().unwrap_or_else(|| "the container does not stay up".to_owned());
                    self.end = Some(End::Broken(text));
                }
            }
        }
    }

    fn end_container(&mut self, number: u32) {
        if let Some(one) = self.containers.remove(&number) {
            kill(&one.container.pidfd);
            reap(&one.container);
        }
    }

    /// Ends everything that is inside, then removes what the kernel keeps for us.
    fn close(&mut self) {
        for one in self.containers.values() {
            kill(&one.container.pidfd);
        }
        let until = now_ms() + END_MS;
        for one in self.containers.values() {
            let mut gone = [libc::pollfd { fd: one.container.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
            let _ = wait(&mut gone, Some(until));
            reap(&one.container);
        }
        for group in std::mem::take(&mut self.children).into_values().filter_map(|child| child.group) {
            self.groups.give_back(group);
        }
        self.groups.close();
    }
}

/// Words of a process of ours that is not locked yet: a step that failed, a panic. Short, printable, to the operator.
fn log_words(who: &str, words: &[u8]) {
    let text: String = String::from_utf8_lossy(words).chars().filter(|letter| !letter.is_control()).take(200).collect();
    eprintln!("gatebus-sandbox {who}: {text}");
}

fn kill(pidfd: &OwnedFd) {
    // SAFETY: a call with numbers only; a process that is gone already is no matter.
    unsafe { syscall!(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, 0, 0) };
}

/// Waits for a spawner that has been killed or has hung up: its end does not depend on anybody.
fn reap(container: &Container) {
    kill(&container.pidfd);
    let mut status = 0;
    // SAFETY: our own child, waited for once; `status` is where its end is written.
    unsafe { libc::waitpid(container.pid, &mut status, 0) };
}

/// Polls until something happens or the deadline comes.
fn wait(polled: &mut [libc::pollfd], deadline: Option<u64>) -> Result<(), Failure> {
    let timeout = deadline.map_or(-1, |deadline| i32::try_from(deadline.saturating_sub(now_ms())).unwrap_or(i32::MAX));
    // SAFETY: the slice is valid for its length.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    check("poll", ready).map(|_| ())
}
