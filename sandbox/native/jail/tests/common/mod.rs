//! A native host: starts a keeper and talks to it. Shared by the tests and by the measuring example.
#![allow(dead_code, unreachable_pub, missing_docs)] // each user needs another part

use gatebus_jail::descriptors::{memfd, memory_memfd, receive, sealed_memfd, send, seqpacket_pair};
use gatebus_wire::Layers;
use gatebus_wire::keeper::{Answer, Compile, Ended, Ready, Request, Start};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub const MIB: u64 = 1 << 20;
/// Nothing here takes a second on an idle machine; the rest is for one with far more to do than processors.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A start with roomy limits.
pub fn start(flags: u32) -> Start {
    Start {
        memory_limit: 16 * MIB,
        data_limit: 256 * MIB,
        cpu_ms: 10_000,
        wall_ms: 20_000,
        table_limit: 1000,
        flags,
        ..Start::default()
    }
}

/// A compilation with roomy limits.
pub fn compile(flags: u32) -> Compile {
    Compile { memory_limit: 1 << 30, max_code: 8 * MIB, cpu_ms: 10_000, wall_ms: 120_000, flags, ..Compile::default() }
}

pub struct Host {
    pub keeper: Child,
    pub socket: OwnedFd,
    pub ready: Ready,
    pub image: OwnedFd,
    next: u32,
    ended: Vec<(u32, Answer)>,
    said: Option<Receiver<()>>,
}

pub struct Program {
    pub id: u32,
    pub packets: UnixStream,
    pub memory: OwnedFd,
}

impl Host {
    /// A keeper of this executable with these words.
    pub fn new(executable: &str, words: &[&str]) -> Host {
        Host::heard(Command::new(executable), words)
    }

    /// What its processes say on standard error is shown when the test fails.
    pub fn heard(mut command: Command, words: &[&str]) -> Host {
        command.stderr(Stdio::piped());
        let (mut keeper, socket) = keeper(command, words);
        let said = keeper.stderr.take().map(pass_on);
        Host::greeted(keeper, socket, b"no image", said)
    }

    pub fn with_image(command: Command, words: &[&str], image: &[u8]) -> Host {
        let (keeper, socket) = keeper(command, words);
        Host::greeted(keeper, socket, image, None)
    }

    fn greeted(keeper: Child, socket: OwnedFd, image: &[u8], said: Option<Receiver<()>>) -> Host {
        let image = sealed_memfd(image).expect("image");
        let mut host = Host { keeper, socket, ready: Ready::default(), image, next: 1, ended: Vec::new(), said };
        match host.next_answer() {
            Some((0, Answer::Ready(ready))) => host.ready = ready,
            other => panic!("the keeper did not say READY but {other:?}"),
        }
        host
    }

    /// The next datagram of the keeper; `None` when it is gone.
    pub fn next_answer(&mut self) -> Option<(u32, Answer)> {
        let mut datagram = [0u8; 256];
        wait_readable(self.socket.as_raw_fd(), 120_000);
        let received = receive(self.socket.as_raw_fd(), &mut datagram, 0).ok()?;
        (received.length > 0).then(|| Answer::decode_untrusted(&datagram[..received.length]).expect("a good answer"))
    }

    pub fn ask(&self, id: u32, request: Request, descriptors: &[RawFd]) {
        send(self.socket.as_raw_fd(), &request.encode(id), descriptors, 0).expect("the keeper reads");
    }

    pub fn start(&mut self, start: Start) -> Program {
        let memory = memory_memfd(start.memory_limit).expect("memory");
        self.start_with(start, memory)
    }

    pub fn start_with(&mut self, start: Start, memory: OwnedFd) -> Program {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        ours.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let on = 1i32;
        // SAFETY: an int. Set before anything is sent, or the kernel does not note who sent it.
        unsafe { libc::setsockopt(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4) };
        let id = self.next;
        self.next += 1;
        self.ask(id, Request::Start(start), &[theirs.as_raw_fd(), self.image.as_raw_fd(), memory.as_raw_fd()]);
        Program { id, packets: ours, memory }
    }

    /// Runs a compile worker; its end, its image and its facts.
    pub fn compile(&mut self, job: Compile, source: &[u8]) -> (Answer, Vec<u8>, Vec<u8>) {
        let (wasm, image, facts) =
            (sealed_memfd(source).expect("source"), memfd().expect("image"), memfd().expect("facts"));
        let id = self.next;
        self.next += 1;
        self.ask(id, Request::Compile(job), &[wasm.as_raw_fd(), image.as_raw_fd(), facts.as_raw_fd()]);
        let answer = self.answer_for(id);
        (answer, content(image), content(facts))
    }

    pub fn kill(&self, program: &Program) {
        self.ask(program.id, Request::Kill, &[]);
    }

    /// The last word about a program.
    pub fn answer_for(&mut self, id: u32) -> Answer {
        loop {
            if let Some(position) = self.ended.iter().position(|(other, _)| *other == id) {
                return self.ended.swap_remove(position).1;
            }
            match self.next_answer() {
                Some(answer) => self.ended.push(answer),
                None => panic!("the keeper is gone"),
            }
        }
    }

    pub fn end_of(&mut self, program: &Program) -> Ended {
        match self.answer_for(program.id) {
            Answer::Ended(ended) => ended,
            other => panic!("not ended but {other:?}"),
        }
    }

    /// Everything a program says until it ends, and how it ended.
    pub fn run(&mut self, start: Start) -> (String, Ended) {
        let program = self.start(start);
        let words = listen(&program);
        (words, self.end_of(&program))
    }

    pub fn status(&mut self) -> Ready {
        let id = self.next;
        self.next += 1;
        self.ask(id, Request::Status, &[]);
        match self.answer_for(id) {
            Answer::Ready(ready) => ready,
            other => panic!("not READY but {other:?}"),
        }
    }

    /// Waits until the pool is full again.
    pub fn settle(&mut self) {
        let begin = std::time::Instant::now();
        while begin.elapsed() < PATIENCE {
            let ready = self.status();
            if ready.pool_ready >= ready.pool_size && ready.programs == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the pool does not fill");
    }

    /// Ends the keeper and gives its exit code.
    pub fn close(mut self) -> Option<i32> {
        drop(std::mem::replace(&mut self.socket, memfd().expect("placeholder")));
        self.keeper.wait().expect("keeper").code()
    }

    pub fn has(&self, layers: Layers) -> bool {
        self.ready.on.has(layers)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        if let Some(said) = self.said.take().filter(|_| std::thread::panicking()) {
            let _ = said.recv_timeout(Duration::from_secs(5)); // its last words are part of what the test says
        }
    }
}

/// A process of this command that has the other end of the socket.
fn keeper(mut command: Command, words: &[&str]) -> (Child, OwnedFd) {
    let (ours, theirs) = seqpacket_pair().expect("socketpair");
    let number = theirs.as_raw_fd();
    command.arg("keeper").args(words).stdin(Stdio::null());
    // SAFETY: dup2 is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            if libc::dup2(number, 3) == 3 && libc::fcntl(3, libc::F_SETFD, 0) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        })
    };
    (command.spawn().expect("keeper"), ours)
}

/// The harness keeps what a test's threads print, not what its processes do. Says when everything has been passed on.
fn pass_on(stderr: ChildStderr) -> Receiver<()> {
    let (over, said) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stderr).split(b'\n').map_while(Result::ok);
        lines.for_each(|line| eprintln!("{}", String::from_utf8_lossy(&line)));
        let _ = over.send(());
    });
    said
}

/// All words of a program.
pub fn listen(program: &Program) -> String {
    let mut words = Vec::new();
    let mut packets = &program.packets;
    loop {
        let mut piece = [0u8; 4096];
        match packets.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => words.extend_from_slice(&piece[..count]),
            // The peer closed with unread input: what it sent is still queued.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => continue,
            // A read with a time limit ends so when the machine was stopped for a moment and went on.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => panic!("the program says nothing: {error}"),
        }
    }
    String::from_utf8_lossy(&words).into_owned()
}

/// Waits for the first word.
pub fn first_word(program: &Program) -> Vec<u8> {
    let mut word = [0u8; 64];
    let count = (&program.packets).read(&mut word).expect("a word");
    word[..count].to_vec()
}

pub fn tell(program: &Program, bytes: &[u8]) {
    (&program.packets).write_all(bytes).expect("the program's socket takes it");
}

fn content(memfd: OwnedFd) -> Vec<u8> {
    let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
    std::fs::read(path).expect("memfd")
}

pub fn wait_readable(socket: RawFd, timeout_ms: i32) {
    let mut polled = libc::pollfd { fd: socket, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    let ready = unsafe { libc::poll(&mut polled, 1, timeout_ms) };
    assert!(ready > 0, "nothing came within {timeout_ms} ms");
}

/// Exit status, or the signal as a negative number.
pub fn end(ended: &Ended) -> i32 {
    let status = ended.wait_status;
    if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}
