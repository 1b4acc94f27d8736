//! A host in Rust, as small as can be: for `bench-spawn` and for the tests of the whole chain. The product's is Python.

use gatebus_jail::descriptors::{memfd, memory_memfd, receive, sealed_memfd, send, seqpacket_pair};
use gatebus_wire::control::{Begin, Kind, Report, encode};
use gatebus_wire::keeper::{Answer, Compile, DATAGRAM_MAX, Ended, Ready, Request, Start};
use gatebus_wire::packets::{CODE_CONTROL, HEADER, Header};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Nothing here takes longer than this unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What went wrong, for a person.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A keeper and what it has said.
pub struct Client {
    keeper: Child,
    socket: OwnedFd,
    /// The keeper's first words.
    pub ready: Ready,
    next: u32,
    answers: HashMap<u32, Answer>,
}

/// A program that was started.
pub struct Program {
    id: u32,
    /// Its packets.
    pub packets: UnixStream,
}

/// One packet: header and content.
pub type Packet = (Header, Vec<u8>);

/// Limits like those of the product's defaults.
pub fn start() -> Start {
    let (memory_limit, data_limit) = (64 * MIB, 96 * MIB);
    let (cpu_ms, wall_ms) = (30_000, 300_000);
    Start { memory_limit, data_limit, cpu_ms, wall_ms, table_limit: 65_536, ..Start::default() }
}

/// The same for a compile worker.
pub fn compile() -> Compile {
    Compile { memory_limit: 1024 * MIB, max_code: 64 * MIB, cpu_ms: 60_000, wall_ms: 120_000, ..Compile::default() }
}

/// The setup packets of a program with these words.
pub fn setup(begin: &Begin, arguments: &[&str], function: Option<&str>) -> Vec<u8> {
    let mut packets = encode(Kind::Begin, &begin.encode()).unwrap_or_default();
    for argument in arguments {
        packets.extend(encode(Kind::Argument, argument.as_bytes()).unwrap_or_default());
    }
    if let Some(function) = function {
        packets.extend(encode(Kind::Function, function.as_bytes()).unwrap_or_default());
    }
    packets.extend(encode(Kind::Go, &[]).unwrap_or_default());
    packets
}

/// BEGIN as an ordinary program gets it.
pub fn begin() -> Begin {
    Begin {
        log_limit: MIB,
        files_limit: 32 * MIB,
        nodes_limit: 4096,
        clock_ms: 10,
        origin_credit: 65_536,
        flags: 4,
        ..Begin::default()
    }
}

impl Client {
    /// Starts the keeper `executable keeper WORDS`.
    pub fn new(executable: &Path, words: &[&str]) -> Result<Client> {
        let (ours, theirs) = seqpacket_pair()?;
        let number = theirs.as_raw_fd();
        let mut command = Command::new(executable);
        command.arg("keeper").args(words).stdin(Stdio::null());
        let place = move || if unsafe_dup(number) { Ok(()) } else { Err(std::io::Error::last_os_error()) };
        // SAFETY: between fork and exec only dup2 is called.
        unsafe { command.pre_exec(place) };
        let keeper = command.spawn()?;
        drop(theirs);
        let mut client = Client { keeper, socket: ours, ready: Ready::default(), next: 1, answers: HashMap::new() };
        match client.answer(0)? {
            Answer::Ready(ready) => client.ready = ready,
            other => return Err(format!("the keeper says {other:?}").into()),
        }
        Ok(client)
    }

    /// The answer to request `id`.
    pub fn answer(&mut self, id: u32) -> Result<Answer> {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            let mut datagram = [0u8; DATAGRAM_MAX];
            let received = receive(self.socket.as_raw_fd(), &mut datagram, 0)?;
            if received.length == 0 {
                return Err("the keeper is gone".into());
            }
            let (id, answer) = Answer::decode_untrusted(&datagram[..received.length])?;
            self.answers.insert(id, answer);
        }
    }

    fn new_id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Compiles a module: how the worker ended, the image and the facts.
    pub fn compile(&mut self, job: Compile, source: &[u8]) -> Result<(Answer, Vec<u8>, String)> {
        let (wasm, image, facts) = (sealed_memfd(source)?, memfd()?, memfd()?);
        let id = self.new_id();
        let descriptors = [wasm.as_raw_fd(), image.as_raw_fd(), facts.as_raw_fd()];
        send(self.socket.as_raw_fd(), &Request::Compile(job).encode(id), &descriptors, 0)?;
        let answer = self.answer(id)?;
        Ok((answer, content(&image)?, String::from_utf8(content(&facts)?)?))
    }

    /// Starts a program; the setup is written before the request, as the product does.
    pub fn start(&mut self, start: Start, image: &OwnedFd, setup: &[u8]) -> Result<Program> {
        // As the product does: the kernel counts the image, which is mapped privately, as data.
        let size = std::fs::File::from(image.try_clone()?).metadata()?.len();
        let start = Start { data_limit: start.data_limit + size, ..start };
        let memory = memory_memfd(start.memory_limit)?;
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.write_all(setup)?;
        let id = self.new_id();
        let descriptors = [theirs.as_raw_fd(), image.as_raw_fd(), memory.as_raw_fd()];
        send(self.socket.as_raw_fd(), &Request::Start(start).encode(id), &descriptors, 0)?;
        Ok(Program { id, packets: ours })
    }

    /// Waits for the end of a program.
    pub fn end(&mut self, program: &Program) -> Result<Ended> {
        match self.answer(program.id)? {
            Answer::Ended(ended) => Ok(ended),
            other => Err(format!("not ended but {other:?}").into()),
        }
    }

    /// The first bytes of its packets. Waits by poll: the program's reading of its setup makes this socket writable,
    /// and would wake a reader that sleeps in the call for data itself.
    pub fn first_bytes(&self, program: &mut Program, bytes: &mut [u8]) -> Result<()> {
        let mut waited = [libc::pollfd { fd: program.packets.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        // SAFETY: one pollfd, which lives until the call returns.
        unsafe { libc::poll(waited.as_mut_ptr(), 1, i32::try_from(PATIENCE.as_millis())?) };
        Ok(program.packets.read_exact(bytes)?)
    }

    /// Kills a program.
    pub fn kill(&mut self, program: &Program) -> Result<()> {
        Ok(send(self.socket.as_raw_fd(), &Request::Kill.encode(program.id), &[], 0)?)
    }

    /// What the keeper has now.
    pub fn status(&mut self) -> Result<Ready> {
        let id = self.new_id();
        send(self.socket.as_raw_fd(), &Request::Status.encode(id), &[], 0)?;
        match self.answer(id)? {
            Answer::Ready(ready) => Ok(ready),
            other => Err(format!("the keeper says {other:?}").into()),
        }
    }

    /// The keeper's process.
    pub fn keeper_pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Waits until the pool is full and nothing runs.
    pub fn settle(&mut self) -> Result<()> {
        for _ in 0..2000 {
            let ready = self.status()?;
            if ready.pool_ready >= ready.pool_size && ready.programs == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err("the pool does not fill".into())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn unsafe_dup(number: i32) -> bool {
    // SAFETY: plain system call on numbers.
    unsafe { libc::dup2(number, 3) == 3 }
}

fn content(file: &OwnedFd) -> Result<Vec<u8>> {
    Ok(std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
}

impl Program {
    /// All packets until the end of the stream.
    pub fn listen(&mut self) -> Result<Vec<Packet>> {
        let mut bytes = Vec::new();
        loop {
            match self.packets.read_to_end(&mut bytes) {
                Ok(_) => return packets_untrusted(&bytes),
                // The program ended with unread input; what it sent is still queued.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => continue,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Cuts a stream into packets; a broken-off last one is left out.
pub fn packets_untrusted(mut bytes: &[u8]) -> Result<Vec<Packet>> {
    let mut packets = Vec::new();
    while let Some(head) = bytes.first_chunk::<HEADER>() {
        let header = Header::decode_untrusted(*head)?;
        let Some((packet, rest)) = bytes.split_at_checked(header.padded()) else { break };
        packets.push((header, packet[HEADER..header.size as usize].to_vec()));
        bytes = rest;
    }
    Ok(packets)
}

/// The report among the packets, which is the last one.
pub fn report(packets: &[Packet]) -> Option<Report> {
    let (header, content) = packets.last()?;
    let is_report = header.code == CODE_CONTROL && header.index == Kind::Report as u8;
    if is_report { Report::decode_untrusted(content).ok() } else { None }
}
