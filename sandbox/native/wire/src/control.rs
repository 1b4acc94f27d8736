//! Control packets (code -2, kind in `index`): what host and runtime say to each other on the program's own socket.
//!
//! Encoders for both directions, because tests speak for both; decoders for what the other side wrote.

use crate::Malformed;
use crate::fields::{Reader, Writer};
use crate::packets::{CODE_CONTROL, DOMAIN_CALL, packet};

/// Version of the setup conversation.
pub const VERSION: u32 = 1;
/// BEGIN flag: files follow and are wanted back.
pub const FLAG_FILES: u32 = 1;
/// BEGIN flag: the program goes on from the state in RESTORE packets, which stand in the place of arguments,
/// environment, function and files.
pub const FLAG_RESUMED: u32 = 2;
/// BEGIN flag: the debug log is wanted.
pub const FLAG_DEBUG_LOG: u32 = 4;
/// BEGIN flag: nobody reads the output line by line, so it need not look like a terminal.
pub const FLAG_PLAIN_OUTPUT: u32 = 8;
/// BEGIN flag: when the entry function has returned, the state comes before the report.
pub const FLAG_KEEP: u32 = 64;
/// BEGIN flags, bits 4 and 5: how the program came to run: 0 from its beginning, 1 resumed, 2 restored, 3 a copy.
const LIFECYCLE_SHIFT: u32 = 4;
const LIFECYCLE_MASK: u32 = 3;
const FLAGS: u32 =
    FLAG_FILES | FLAG_RESUMED | FLAG_DEBUG_LOG | FLAG_PLAIN_OUTPUT | FLAG_KEEP | LIFECYCLE_MASK << LIFECYCLE_SHIFT;
/// Longest text in REPORT; it is shown to a person in one line.
pub const REPORT_TEXT_MAX: usize = 200;
/// Most bytes of a file in one CONTENT packet.
pub const CONTENT_MAX: usize = crate::packets::PACKET_MAX - crate::packets::HEADER;
/// Most bytes of the state in one STATE or RESTORE packet.
pub const STATE_MAX: usize = CONTENT_MAX;
/// Most bytes of log in one LOG packet.
pub const LOG_MAX: usize = CONTENT_MAX - 1;

/// Kind of a control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// First: version, limits, identity.
    Begin = 0,
    /// One argument.
    Argument = 1,
    /// One `NAME=value`.
    Environment = 2,
    /// The entry function's name.
    Function = 3,
    /// A directory, file or link.
    Node = 4,
    /// Bytes for the last regular file.
    Content = 5,
    /// The guest starts.
    Go = 6,
    /// Bytes of the debug log.
    Log = 7,
    /// How the guest ended; last.
    Report = 8,
    /// The host asks the program to stop and be saved; the last thing that it says.
    Suspend = 9,
    /// The next bytes of the saved state, before the report.
    State = 10,
    /// The next bytes of what a resumed program goes on from.
    Restore = 11,
    /// A program that goes on from a shared memory has told its state and waits: the host finds out what it has changed.
    Held = 12,
    /// It copies what it has changed into its file, and reports.
    Take = 13,
}

impl Kind {
    /// The kind of this number; 14 and 15 are reserved, the rest unknown.
    pub fn from_untrusted(number: u8) -> Result<Kind, Malformed> {
        use Kind::*;
        const ALL: [Kind; 14] = [
            Begin,
            Argument,
            Environment,
            Function,
            Node,
            Content,
            Go,
            Log,
            Report,
            Suspend,
            State,
            Restore,
            Held,
            Take,
        ];
        ALL.get(usize::from(number)).copied().ok_or(Malformed("unknown kind of control packet"))
    }
}

/// A control packet of this kind. `None` when the content is too large.
pub fn encode(kind: Kind, content: &[u8]) -> Option<Vec<u8>> {
    packet(CODE_CONTROL, DOMAIN_CALL, kind as u8, content)
}

/// BEGIN: `u32 version, u32 flags, u64 log_limit, u64 files_limit, u32 nodes_limit, u32 clock_ms, u32 origin_credit,
/// u32 clock_ns, [16] instance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// FLAG_...
    pub flags: u32,
    /// Bytes of log in total.
    pub log_limit: u64,
    /// Bytes of file content at the start, and at any time.
    pub files_limit: u64,
    /// Files, directories and links at any time.
    pub nodes_limit: u32,
    /// Resolution of the guest's clocks, whole milliseconds.
    pub clock_ms: u32,
    /// The part of it below a millisecond, in nanoseconds.
    pub clock_ns: u32,
    /// Bytes that a WASI program may send on the origin stream at once.
    pub origin_credit: u32,
    /// The instance's id.
    pub instance: [u8; 16],
}

impl Begin {
    /// How the program came to run.
    pub fn lifecycle(&self) -> u32 {
        self.flags >> LIFECYCLE_SHIFT & LIFECYCLE_MASK
    }

    /// Content of the packet.
    pub fn encode(&self) -> Vec<u8> {
        let head = Writer::default().u32(VERSION).u32(self.flags).u64(self.log_limit).u64(self.files_limit);
        head.u32(self.nodes_limit)
            .u32(self.clock_ms)
            .u32(self.origin_credit)
            .u32(self.clock_ns)
            .bytes(&self.instance)
            .done()
    }

    /// What the content of a BEGIN packet says.
    pub fn decode_untrusted(content: &[u8]) -> Result<Begin, Malformed> {
        let mut fields = Reader::new(content);
        if fields.u32()? != VERSION {
            return Err(Malformed("unknown version of the setup"));
        }
        let begin = Begin {
            flags: fields.u32()?,
            log_limit: fields.u64()?,
            files_limit: fields.u64()?,
            nodes_limit: fields.u32()?,
            clock_ms: fields.u32()?,
            origin_credit: fields.u32()?,
            clock_ns: fields.u32()?,
            instance: fields.array()?,
        };
        fields.end()?;
        if begin.clock_ns >= 1_000_000 {
            return Err(Malformed("the resolution of clocks below a millisecond is a millisecond or more"));
        }
        if begin.flags & !FLAGS != 0 {
            return Err(Malformed("unknown flag in the setup"));
        }
        Ok(begin)
    }
}

/// What a node is. The numbers are WASI's file types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeType {
    /// A directory.
    Directory = 3,
    /// A regular file; CONTENT packets follow.
    File = 4,
    /// A symbolic link.
    Link = 7,
}

/// NODE: `u8 type, u8[3] 0, u32 path length, u64 modified, path, [link target]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    /// Directory, file or link.
    pub kind: NodeType,
    /// Nanoseconds since 1970.
    pub modified: u64,
    /// Relative, `/`-separated, without `.`, `..` and empty parts.
    pub path: &'a [u8],
    /// Where a link points; empty for the others.
    pub target: &'a [u8],
}

impl<'a> Node<'a> {
    /// Content of the packet. `None` when path and target together do not fit.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let length = u32::try_from(self.path.len()).ok()?;
        let head = Writer::default().u8(self.kind as u8).bytes(&[0; 3]).u32(length).u64(self.modified);
        let content = head.bytes(self.path).bytes(self.target).done();
        (content.len() <= CONTENT_MAX).then_some(content)
    }

    /// What the content of a NODE packet says.
    pub fn decode_untrusted(content: &'a [u8]) -> Result<Node<'a>, Malformed> {
        let mut fields = Reader::new(content);
        let kind = match fields.u8()? {
            3 => NodeType::Directory,
            4 => NodeType::File,
            7 => NodeType::Link,
            _ => return Err(Malformed("unknown type of node")),
        };
        if fields.bytes(3)? != [0; 3] {
            return Err(Malformed("reserved field is not zero"));
        }
        let length = usize::try_from(fields.u32()?).map_err(|_| Malformed("too short"))?;
        let modified = fields.u64()?;
        let node = Node { kind, modified, path: fields.bytes(length)?, target: fields.rest() };
        check_path_untrusted(node.path)?;
        if (kind == NodeType::Link) == node.target.is_empty() {
            return Err(Malformed("a link has a target, other nodes have none"));
        }
        if node.target.contains(&0) {
            return Err(Malformed("a link's target has no zero byte"));
        }
        Ok(node)
    }
}

/// Relative, `/`-separated, no `.`, `..`, empty part or zero byte.
pub fn check_path_untrusted(path: &[u8]) -> Result<(), Malformed> {
    let bad = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
    if path.split(|&byte| byte == b'/').any(bad) {
        return Err(Malformed("a path is relative and has no empty, `.` or `..` part"));
    }
    Ok(())
}

/// REPORT: `u32 status, i32 result, u64 memory, u64 log_dropped, text`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// A number of the status table.
    pub status: u32,
    /// What the entry function or proc_exit gave.
    pub result: i32,
    /// Bytes of all linear memories at the end.
    pub memory: u64,
    /// Bytes of log that were over the limit.
    pub log_dropped: u64,
    /// For a person; at most [`REPORT_TEXT_MAX`] bytes.
    pub text: String,
}

impl Report {
    /// The whole packet; a longer text is cut at a character.
    pub fn packet(&self) -> Vec<u8> {
        let text = &self.text[..self.text.floor_char_boundary(REPORT_TEXT_MAX)];
        let head = Writer::default().u32(self.status).i32(self.result).u64(self.memory).u64(self.log_dropped);
        encode(Kind::Report, &head.bytes(text.as_bytes()).done()).unwrap_or_default()
    }

    /// What the content of a REPORT packet says.
    pub fn decode_untrusted(content: &[u8]) -> Result<Report, Malformed> {
        let mut fields = Reader::new(content);
        let (status, result, memory, log_dropped) = (fields.u32()?, fields.i32()?, fields.u64()?, fields.u64()?);
        let text = fields.rest();
        if text.len() > REPORT_TEXT_MAX {
            return Err(Malformed("a report's text has at most 200 bytes"));
        }
        let text = std::str::from_utf8(text).map_err(|_| Malformed("a report's text is not UTF-8"))?.to_owned();
        Ok(Report { status, result, memory, log_dropped, text })
    }
}

/// LOG: `u8 stream (1 or 2), bytes`. `None` when there are more bytes than [`LOG_MAX`].
pub fn log_packet(stream: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    encode(Kind::Log, &Writer::default().u8(stream).bytes(bytes).done())
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
