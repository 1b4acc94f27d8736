//! The keeper: between the host and the container. It does what `pool.rs` decides, and reads everything that the others
//! write as untrusted.
//!
//! One thread, one poll. It never waits for a write: a keeper that waits for a spawner that waits for it is a deadlock
//! (met in the laboratory after 200 children). What cannot be written now is queued; every queue has a bound that
//! follows from the number of programs.
//!
//! Descriptors per running program: one (its pidfd). Per waiting one: three of the request, one of the child.

use crate::capabilities;
use crate::cgroups::{Group, Groups};
use crate::descriptors::{raise_limit, receive, send};
use crate::events::{Action, Event};
use crate::namespaces::Container;
use crate::notes::note;
use crate::options::KeeperOptions;
use crate::pool::Pool;
use crate::shares::Shares;
use crate::sys::{Failure, check, now_ms, syscall};
use gatebus_wire::Layers;
use gatebus_wire::keeper::{Answer, DATAGRAM_MAX, Ready, Request};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

#[path = "scanning.rs"]
mod scanning;
#[path = "sharing.rs"]
mod sharing;
#[path = "wards.rs"]
mod wards;

/// The socket to the host.
const HOST: RawFd = 3;
/// Datagrams that are read from one socket before the others get their turn.
const TURN: usize = 32;
/// Answers that may wait for a host that does not read; above, its requests wait too. Each answer is 48 bytes.
const ANSWERS_MAX: usize = 4096;
/// Descriptors of the keeper itself: sockets, containers, files of control groups, files that are open for a moment.
const OWN_DESCRIPTORS: u64 = 512;
/// How long the end may take before the keeper leaves what is left to the kernel.
const END_MS: u64 = 5000;

/// The keeper's life.
pub(crate) fn main(words: &[String]) -> ! {
    let options = KeeperOptions::parse(words).unwrap_or_else(|text| leave(&text));
    // SAFETY: the host gives us its socket as 3 and nobody else uses the number.
    let host = unsafe { OwnedFd::from_raw_fd(HOST) };
    let rooted = options.wanted().has(Layers::USER) && is_root();
    let mut keeper = Keeper::new(host, options);
    if rooted && let Err(failure) = capabilities::keep_what_a_keeper_needs() {
        leave(&failure.to_string());
    }
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

/// Others have no capabilities that could be given up.
fn is_root() -> bool {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The last line on stderr is for the operator; 78 is EX_CONFIG.
fn leave(text: &str) -> ! {
    note(&format!("keeper: {text}"));
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

#[derive(Debug)]
struct Child {
    /// Only its own container's spawner is believed about it.
    container: u32,
    pidfd: Option<OwnedFd>,
    group: Option<Group>,
    kill_when_born: bool,
    parked: bool,
    /// Prepared for a program whose account has had more than its part.
    low: bool,
    /// When it was given its program.
    since_ms: u64,
    /// Found when its CPU time is looked at first.
    clock: Option<libc::clockid_t>,
}

/// A request with its descriptors, until a child has it.
type Held = (Vec<u8>, Vec<OwnedFd>);

struct Keeper {
    host: OwnedFd,
    options: KeeperOptions,
    pool: Pool,
    shares: Shares,
    groups: Groups,
    containers: BTreeMap<u32, HeldContainer>,
    children: HashMap<u32, Child>,
    private: BTreeMap<u32, OwnedFd>,
    held: HashMap<u32, Held>,
    /// Children that were just given a program: nobody looks whether they have hung up before this time. Being woken
    /// for it would cost the program the processor, or the interrupt that wakes another one.
    starting: (u64, HashSet<u32>),
    answers: VecDeque<Vec<u8>>,
    /// Unset until the first container stands.
    ready: Option<Ready>,
    broken: Option<String>,
    /// Where the list goes that the present request asks for.
    list: Option<OwnedFd>,
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
            pool: Pool::new(options.pool, options.renew_after, descriptors).with_low(groups.can_share()),
            shares: Shares::default(),
            host,
            groups,
            options,
            containers: BTreeMap::new(),
            children: HashMap::new(),
            private: BTreeMap::new(),
            held: HashMap::new(),
            starting: (0, HashSet::new()),
            answers: VecDeque::new(),
            ready: None,
            broken: None,
            list: None,
            end: None,
        }
    }

    fn turn(&mut self) {
        if self.starting.0 <= now_ms() {
            self.starting.1.clear();
        }
        let (mut polled, sources) = self.interests();
        let look = (!self.starting.1.is_empty()).then_some(self.starting.0);
        let shares = self.shares.next_look();
        if wait(&mut polled, self.pool.next_deadline().into_iter().chain(look).chain(shares).min()).is_err() {
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
        self.look_at_shares();
    }

    fn interests(&self) -> (Vec<libc::pollfd>, Vec<Source>) {
        let reads = if self.answers.len() < ANSWERS_MAX { libc::POLLIN } else { 0 };
        let writes = |waiting: bool| if waiting { libc::POLLOUT } else { 0 };
        let host = (self.host.as_raw_fd(), reads | writes(!self.answers.is_empty()), Source::Host);
        let containers = self.containers.iter().map(|(number, one)| {
            (
                one.container.control.as_raw_fd(),
                libc::POLLIN | writes(!one.unsent.is_empty()),
                Source::Container(*number),
            )
        });
        let children = self.private.iter().filter(|(token, _)| !self.starting.1.contains(token));
        let children = children.map(|(token, socket)| (socket.as_raw_fd(), libc::POLLIN, Source::Child(*token)));
        // Spawners first: their news make room; the host last.
        let all = containers.chain(children).chain([host]);
        all.map(|(fd, events, source)| (libc::pollfd { fd, events, revents: 0 }, source)).unzip()
    }

    fn decide(&mut self, event: Event) {
        let actions = self.pool.decide(now_ms(), event);
        self.act(actions);
    }

    fn host_turn(&mut self, events: i16) {
        self.flush_answers();
        if events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) == 0 {
            return;
        }
        for _ in 0..TURN {
            let mut datagram = [0u8; DATAGRAM_MAX];
            match receive(self.host.as_raw_fd(), &mut datagram, libc::MSG_DONTWAIT) {
                Ok(received) if received.length == 0 && received.descriptors.is_empty() => {
                    return self.end = Some(End::HostGone);
                }
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
            Ok((id, request)) if request.is_work() && self.pool.has(id) => self.decide(Event::Nonsense(id)),
            Ok((id, request)) => {
                if request.is_work() {
                    self.held.insert(id, (datagram.to_vec(), descriptors));
                } else {
                    self.list = descriptors.into_iter().next();
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
        let ready = Ready {
            pool_ready: figures.ready,
            pool_size: figures.size,
            programs: figures.programs,
            generation: figures.generation,
            ..ready
        };
        self.answer(id, &Answer::Ready(ready));
    }

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
                Action::Share(token, account) => self.share(token, account),
                Action::Scan(token, id, scan) => self.scan(token, id, scan),
                Action::Park(token, parked) => self.park(token, parked),
                Action::Tell(id, answer) => self.answer(id, &answer),
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

fn kill(pidfd: &OwnedFd) {
    signal(pidfd, libc::SIGKILL);
}

fn signal(pidfd: &OwnedFd, number: libc::c_int) {
    // SAFETY: a call with numbers only; a process that is gone already is no matter.
    unsafe { syscall!(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, 0, 0) };
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

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
