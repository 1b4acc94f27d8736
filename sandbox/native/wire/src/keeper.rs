//! Host and keeper: datagrams over one SEQPACKET socket. Each starts with `u32 kind, u32 id`.

use crate::Malformed;
use crate::fields::{Reader, Writer};
use crate::layers::Layers;
pub use crate::scan::{SCAN_MOST, SCAN_PAGE, Scan};

/// Version of this conversation, in READY.
pub const VERSION: u32 = 1;
/// No datagram is longer (the longest, START, has 68).
pub const DATAGRAM_MAX: usize = 128;

/// START: a program. Descriptors: packet socket, image, memory; of one that goes on, also the continuation's image; then
/// the files of a memory that it goes on from without a copy: the memory, and what was changed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    /// Bytes of the memory memfd, without the control memory.
    pub memory_limit: u64,
    /// RLIMIT_DATA.
    pub data_limit: u64,
    /// CPU time.
    pub cpu_ms: u32,
    /// Wall time; 0 = no limit.
    pub wall_ms: u32,
    /// Elements of all tables.
    pub table_limit: u32,
    /// 0 = 256 KiB, 1 = 8 MiB.
    pub stack_class: u32,
    /// Reserved for the runtime's own tests.
    pub flags: u32,
    /// Bytes of the control memory, which follow in the memory memfd; 0 = the program cannot be suspended.
    pub control_bytes: u32,
    /// Files of the memory that it goes on from without a copy: 0, 1 or 2.
    pub base_files: u32,
    /// How much of that memory there is, in pages of 64 KiB.
    pub base_pages: u32,
    /// Its account has had more than its part of the processors: it computes on what the others leave, from the start.
    pub low: bool,
}

/// What a compile worker makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Job {
    /// An image of the program as it is.
    #[default]
    Plain = 0,
    /// An image of the program as it can be suspended.
    Suspendable = 1,
    /// An image of the continuation for a set of sites: `u32 count, u32 sites..`, then the program.
    Continue = 2,
    /// No image: who the frames of a state are, for a person. `u32 length, frames`, then the program.
    Show = 3,
    /// No image: a stopped program as one ordinary module. `u32 length, state`, `u32 count`, pieces of memory 0 (`u32 place`, 4,096 bytes), then the program.
    Export = 4,
}

/// COMPILE: a compile worker. Descriptors: wasm (sealed), image (empty), facts (empty).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compile {
    /// RLIMIT_AS.
    pub memory_limit: u64,
    /// Bytes of the image.
    pub max_code: u64,
    /// CPU time.
    pub cpu_ms: u32,
    /// Wall time; 0 = no limit.
    pub wall_ms: u32,
    /// Reserved for the runtime's own tests.
    pub flags: u32,
    /// What is made.
    pub job: Job,
}

/// What the host asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Run a program.
    Start(Start),
    /// End a program or worker.
    Kill,
    /// Compile.
    Compile(Compile),
    /// Say READY again.
    Status,
    /// Write down which pages of its memory a program has changed.
    Scan(Scan),
    /// The program stands still from now on, or goes on; its wall time too.
    Park(bool),
    /// While others want the processors too, this program computes on the share of this account; 0: no longer.
    Share(u32),
}

/// READY: what this keeper has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// Layers that are on.
    pub on: Layers,
    /// Layers that are not.
    pub missing: Layers,
    /// 0 none, 1 v1, 2 v2.
    pub cgroup_mode: u32,
    /// Engine, its settings and the CPU's features.
    pub fingerprint: u64,
    /// Children that wait for a program.
    pub pool_ready: u32,
    /// Children that should wait.
    pub pool_size: u32,
    /// Programs and workers that run.
    pub programs: u32,
    /// How many spawners there have been.
    pub generation: u32,
}

/// Who ended a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Why {
    /// Itself (or the kernel, for a forbidden call).
    #[default]
    Itself = 0,
    /// A KILL request.
    Kill = 1,
    /// The keeper's wall-time back-stop.
    Wall = 2,
    /// Out of memory in its control group.
    Memory = 3,
}

/// ENDED: a program's process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    /// As wait4 gives it.
    pub wait_status: i32,
    /// Who ended it.
    pub why: Why,
    /// CPU time of the program.
    pub user_us: u64,
    /// CPU time of the kernel for it.
    pub system_us: u64,
    /// Most memory at once, in bytes.
    pub max_rss: u64,
}

/// Why there is no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// The datagram or its descriptors.
    BadRequest = 1,
    /// No process could be made.
    NoProcess = 2,
    /// More programs than the keeper holds.
    TooMany = 3,
    /// The spawner died, and every program of its container.
    SpawnerLost = 4,
    /// No such class of stack.
    NoStackClass = 5,
}

/// What the keeper answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// First of all, and to STATUS.
    Ready(Ready),
    /// The last word about a program.
    Ended(Ended),
    /// The only word about a program; `errno` or 0.
    Failed(Reason, i32),
    /// A program stands still, or goes on: PARK was obeyed.
    Parked(bool),
    /// SCAN was done: so many entries. None: it is not known, here or of this program.
    Scanned(Option<u32>),
}

/// A request that is not one, with its id as far as there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRequest {
    /// 0 when the datagram is shorter than eight bytes.
    pub id: u32,
    /// For the log.
    pub text: &'static str,
}

const START: u32 = 1;
const KILL: u32 = 2;
const COMPILE: u32 = 3;
const STATUS: u32 = 4;
const SHARE: u32 = 5;
const PARK: u32 = 6;
const SCAN: u32 = 7;
const READY: u32 = 16;
const ENDED: u32 = 17;
const FAILED: u32 = 18;
const PARKED: u32 = 19;
const SCANNED: u32 = 20;
/// In SCANNED.
const UNKNOWN: u32 = u32::MAX;

impl Request {
    /// It is about a process to be: descriptors come with it, and its id stays taken until that one has ended.
    pub fn is_work(&self) -> bool {
        matches!(self, Request::Start(_) | Request::Compile(_))
    }

    /// How many descriptors may come with it.
    pub fn descriptors(&self) -> std::ops::RangeInclusive<usize> {
        match self {
            Request::Start(start) => {
                let base = start.base_files as usize;
                3 + base..=4 + base
            }
            Request::Scan(_) => 1..=1,
            Request::Compile(_) => 3..=3,
            Request::Kill | Request::Status | Request::Share(_) | Request::Park(_) => 0..=0,
        }
    }

    /// The datagram.
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let head = |kind| Writer::default().u32(kind).u32(id);
        match *self {
            Request::Start(start) => {
                let head =
                    head(START).u64(start.memory_limit).u64(start.data_limit).u32(start.cpu_ms).u32(start.wall_ms);
                head.u32(start.table_limit)
                    .u32(start.stack_class)
                    .u32(start.flags)
                    .u32(start.control_bytes)
                    .u32(start.base_files)
                    .u32(start.base_pages)
                    .u32(start.low.into())
                    .done()
            }
            Request::Kill => head(KILL).done(),
            Request::Compile(job) => {
                let head = head(COMPILE).u64(job.memory_limit).u64(job.max_code).u32(job.cpu_ms).u32(job.wall_ms);
                head.u32(job.flags).u32(job.job as u32).done()
            }
            Request::Status => head(STATUS).done(),
            Request::Share(account) => head(SHARE).u32(account).done(),
            Request::Scan(scan) => head(SCAN).u64(scan.address).u64(scan.length).u64(scan.list_at).done(),
            Request::Park(parked) => head(PARK).u32(parked.into()).done(),
        }
    }

    /// What a datagram with this many descriptors asks.
    pub fn decode_untrusted(datagram: &[u8], descriptors: usize) -> Result<(u32, Request), BadRequest> {
        let mut fields = Reader::new(datagram);
        let (Ok(kind), Ok(id)) = (fields.u32(), fields.u32()) else {
            return Err(BadRequest { id: 0, text: "too short" });
        };
        let request = request_untrusted(kind, fields).map_err(|malformed| BadRequest { id, text: malformed.0 })?;
        if !request.descriptors().contains(&descriptors) {
            return Err(BadRequest { id, text: "wrong number of descriptors" });
        }
        Ok((id, request))
    }
}

fn request_untrusted(kind: u32, mut fields: Reader<'_>) -> Result<Request, Malformed> {
    let request = match kind {
        START => Request::Start(Start {
            memory_limit: fields.u64()?,
            data_limit: fields.u64()?,
            cpu_ms: fields.u32()?,
            wall_ms: fields.u32()?,
            table_limit: fields.u32()?,
            stack_class: fields.u32()?,
            flags: fields.u32()?,
            control_bytes: fields.u32()?,
            base_files: files_untrusted(fields.u32()?)?,
            base_pages: fields.u32()?,
            low: flag_untrusted(fields.u32()?)?,
        }),
        COMPILE => Request::Compile(Compile {
            memory_limit: fields.u64()?,
            max_code: fields.u64()?,
            cpu_ms: fields.u32()?,
            wall_ms: fields.u32()?,
            flags: fields.u32()?,
            job: job_untrusted(fields.u32()?)?,
        }),
        KILL => Request::Kill,
        STATUS => Request::Status,
        SHARE => Request::Share(fields.u32()?),
        SCAN => Request::Scan(Scan { address: fields.u64()?, length: fields.u64()?, list_at: fields.u64()? }),
        PARK => Request::Park(flag_untrusted(fields.u32()?)?),
        _ => return Err(Malformed("unknown kind of request")),
    };
    fields.end()?;
    Ok(request)
}

fn files_untrusted(number: u32) -> Result<u32, Malformed> {
    if number <= 2 { Ok(number) } else { Err(Malformed("too many files of one memory")) }
}

fn flag_untrusted(number: u32) -> Result<bool, Malformed> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("neither yes nor no")),
    }
}

fn job_untrusted(number: u32) -> Result<Job, Malformed> {
    use Job::*;
    [Plain, Suspendable, Continue, Show, Export]
        .into_iter()
        .find(|job| *job as u32 == number)
        .ok_or(Malformed("unknown job"))
}

impl Answer {
    /// The datagram.
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let head = |kind| Writer::default().u32(kind).u32(id);
        match *self {
            Answer::Ready(ready) => {
                let head = head(READY)
                    .u32(VERSION)
                    .u32(ready.on.0)
                    .u32(ready.missing.0)
                    .u32(ready.cgroup_mode)
                    .u64(ready.fingerprint);
                head.u32(ready.pool_ready).u32(ready.pool_size).u32(ready.programs).u32(ready.generation).done()
            }
            Answer::Ended(ended) => {
                let head = head(ENDED).i32(ended.wait_status).u32(ended.why as u32);
                head.u64(ended.user_us).u64(ended.system_us).u64(ended.max_rss).done()
            }
            Answer::Parked(parked) => head(PARKED).u32(parked.into()).done(),
            Answer::Scanned(count) => head(SCANNED).u32(count.unwrap_or(UNKNOWN)).done(),
            Answer::Failed(reason, errno) => head(FAILED).u32(reason as u32).i32(errno).done(),
        }
    }

    /// What a keeper's datagram says (native clients and tests).
    pub fn decode_untrusted(datagram: &[u8]) -> Result<(u32, Answer), Malformed> {
        let mut fields = Reader::new(datagram);
        let (kind, id) = (fields.u32()?, fields.u32()?);
        let answer = match kind {
            READY => Answer::Ready(ready_untrusted(&mut fields)?),
            ENDED => Answer::Ended(Ended {
                wait_status: fields.i32()?,
                why: why_untrusted(fields.u32()?)?,
                user_us: fields.u64()?,
                system_us: fields.u64()?,
                max_rss: fields.u64()?,
            }),
            PARKED => Answer::Parked(flag_untrusted(fields.u32()?)?),
            SCANNED => Answer::Scanned(Some(fields.u32()?).filter(|count| *count != UNKNOWN)),
            FAILED => Answer::Failed(reason_untrusted(fields.u32()?)?, fields.i32()?),
            _ => return Err(Malformed("unknown kind of answer")),
        };
        fields.end()?;
        Ok((id, answer))
    }
}

fn ready_untrusted(fields: &mut Reader<'_>) -> Result<Ready, Malformed> {
    if fields.u32()? != VERSION {
        return Err(Malformed("unknown version of the keeper"));
    }
    Ok(Ready {
        on: Layers(fields.u32()?),
        missing: Layers(fields.u32()?),
        cgroup_mode: fields.u32()?,
        fingerprint: fields.u64()?,
        pool_ready: fields.u32()?,
        pool_size: fields.u32()?,
        programs: fields.u32()?,
        generation: fields.u32()?,
    })
}

fn why_untrusted(number: u32) -> Result<Why, Malformed> {
    [Why::Itself, Why::Kill, Why::Wall, Why::Memory]
        .into_iter()
        .find(|why| *why as u32 == number)
        .ok_or(Malformed("unknown why"))
}

fn reason_untrusted(number: u32) -> Result<Reason, Malformed> {
    use Reason::*;
    let all = [BadRequest, NoProcess, TooMany, SpawnerLost, NoStackClass];
    all.into_iter().find(|reason| *reason as u32 == number).ok_or(Malformed("unknown reason"))
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
