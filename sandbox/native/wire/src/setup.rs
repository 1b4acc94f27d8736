//! The setup conversation: what the host says to the runtime before the guest starts.
//!
//! ```text
//! phase      BEGIN    ARGUMENT  ENVIRONMENT  FUNCTION  NODE   CONTENT  RESTORE   GO
//! start      begun
//! begun               begun     environ      function  nodes                     done
//! environ                       environ      function  nodes                     done
//! function                                             nodes                     done
//! nodes                                                nodes                     done
//! file                                                 nodes  file               done
//! resumed                                  called                      restored
//! called                                                               restored
//! restored                                                             restored  done
//! ```
//! `file` is `nodes` after a regular file; `resumed` is `begun` with the flag RESUMED: the state in RESTORE packets has
//! arguments, environment and files in it. An empty field is an error: everything about order lives in this table.
//!
//! Packets are taken from a stream in pieces of any size. Bytes after GO are not touched: they are the guest's.
//! Bounds: one packet is buffered (64 KiB); arguments, environment and function together are at most 1 MiB; nodes and
//! content are handed on at once, counted against the limits that BEGIN named, and kept by whoever takes them. A state
//! may have as many bytes as whoever made the reader allows: none, unless it said so.

use crate::Malformed;
use crate::control::{Begin, FLAG_FILES, FLAG_RESUMED, Kind, Node, NodeType};
use crate::packets::{CODE_CONTROL, DOMAIN_CALL, HEADER, Header};

/// Bytes of setup packets other than NODE and CONTENT: twice Linux's usual size of environment and arguments that
/// programs meet in practice (128 KiB each), with room.
pub const SETUP_MAX: usize = 1 << 20;

/// Everything that was said before GO, but for the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setup {
    /// Flags, limits and identity.
    pub begin: Begin,
    /// argv.
    pub arguments: Vec<Vec<u8>>,
    /// `NAME=value`, in order.
    pub environment: Vec<Vec<u8>>,
    /// Entry function, when one was named.
    pub function: Option<String>,
    /// What a resumed program goes on from: `u32 length of the guide`, guide, state. Empty for others.
    pub restore: Vec<u8>,
}

/// Takes the files of the setup as they come.
pub trait Tree {
    /// A node; its parent came before it.
    fn node(&mut self, node: Node<'_>) -> Result<(), Malformed>;
    /// The next bytes of the last regular file.
    fn content(&mut self, bytes: &[u8]) -> Result<(), Malformed>;
}

/// What a piece of the stream brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that belonged to the setup.
    pub consumed: usize,
    /// GO has been seen: [`SetupReader::finish`].
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Begun,
    Environ,
    Function,
    Nodes,
    File,
    Resumed,
    Called,
    Restored,
    Done,
}

/// The reader of the conversation.
#[derive(Debug)]
pub struct SetupReader {
    phase: Phase,
    packet: Vec<u8>,
    setup: Setup,
    setup_bytes: usize,
    content_bytes: u64,
    restore_max: usize,
    nodes: u32,
}

impl Default for SetupReader {
    fn default() -> Self {
        Self::new()
    }
}

impl SetupReader {
    /// Before BEGIN.
    pub fn new() -> Self {
        SetupReader {
            phase: Phase::Start,
            packet: Vec::new(),
            setup: Setup::default(),
            setup_bytes: 0,
            content_bytes: 0,
            restore_max: 0,
            nodes: 0,
        }
    }

    /// The same for a program that may be resumed, from at most so many bytes of RESTORE packets.
    pub fn resumable(restore_max: usize) -> Self {
        SetupReader { restore_max, ..SetupReader::new() }
    }

    /// Takes bytes of the stream until GO. After an error the conversation is over.
    pub fn feed_untrusted(&mut self, input: &[u8], tree: &mut impl Tree) -> Result<Progress, Malformed> {
        let mut rest = input;
        while self.phase != Phase::Done && !rest.is_empty() {
            let wanted = self.wanted_untrusted()? - self.packet.len();
            let (taken, after) = rest.split_at(wanted.min(rest.len()));
            self.packet.extend_from_slice(taken);
            rest = after;
            if self.packet.len() >= HEADER && self.packet.len() == self.wanted_untrusted()? {
                let packet = std::mem::take(&mut self.packet);
                self.packet_untrusted(&packet, tree)?;
                self.packet = packet;
                self.packet.clear();
            }
        }
        Ok(Progress { consumed: input.len() - rest.len(), done: self.phase == Phase::Done })
    }

    /// The setup, once GO has been seen.
    pub fn finish(self) -> Option<Setup> {
        (self.phase == Phase::Done).then_some(self.setup)
    }

    /// Bytes of the packet that is being gathered: its header, then all of it.
    fn wanted_untrusted(&self) -> Result<usize, Malformed> {
        match self.packet.first_chunk::<HEADER>() {
            None => Ok(HEADER),
            Some(header) => Ok(control_header_untrusted(*header)?.padded()),
        }
    }

    fn packet_untrusted(&mut self, packet: &[u8], tree: &mut impl Tree) -> Result<(), Malformed> {
        let (head, _) = packet.split_first_chunk::<HEADER>().ok_or(Malformed("too short"))?;
        let header = control_header_untrusted(*head)?;
        let (content, padding) = packet[HEADER..].split_at(header.size as usize - HEADER);
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Malformed("padding is not zero"));
        }
        let kind = Kind::from_untrusted(header.index)?;
        self.phase = next_phase(self.phase, kind)?;
        if !matches!(kind, Kind::Node | Kind::Content | Kind::Restore) {
            self.setup_bytes += packet.len();
            if self.setup_bytes > SETUP_MAX {
                return Err(Malformed("the setup is larger than 1 MiB"));
            }
        }
        self.take_untrusted(kind, content, tree)
    }

    fn take_untrusted(&mut self, kind: Kind, content: &[u8], tree: &mut impl Tree) -> Result<(), Malformed> {
        match kind {
            Kind::Begin => self.begin_untrusted(content)?,
            Kind::Argument => self.setup.arguments.push(text_untrusted(content)?),
            Kind::Environment => self.setup.environment.push(variable_untrusted(content)?),
            Kind::Function => {
                let name = str::from_utf8(content).map_err(|_| Malformed("the function's name is not UTF-8"))?;
                self.setup.function = Some(name.to_owned());
            }
            Kind::Node => self.node_untrusted(Node::decode_untrusted(content)?, tree)?,
            Kind::Content => self.content_untrusted(content, tree)?,
            Kind::Restore => self.restore_untrusted(content)?,
            Kind::Go if content.is_empty() => {}
            // `next_phase` has refused all of them but GO.
            _ => return Err(Malformed("too long")),
        }
        Ok(())
    }

    fn begin_untrusted(&mut self, content: &[u8]) -> Result<(), Malformed> {
        self.setup.begin = Begin::decode_untrusted(content)?;
        if self.setup.begin.flags & FLAG_RESUMED != 0 {
            self.phase = Phase::Resumed;
        }
        Ok(())
    }

    fn restore_untrusted(&mut self, content: &[u8]) -> Result<(), Malformed> {
        let state = &mut self.setup.restore;
        if content.len() > self.restore_max.saturating_sub(state.len()) {
            return Err(Malformed("the state is larger than the limit"));
        }
        state.try_reserve(content.len()).map_err(|_| Malformed("the state is larger than the memory"))?;
        state.extend_from_slice(content);
        Ok(())
    }

    fn node_untrusted(&mut self, node: Node<'_>, tree: &mut impl Tree) -> Result<(), Malformed> {
        self.wants_files()?;
        self.nodes += 1;
        if self.nodes > self.setup.begin.nodes_limit {
            return Err(Malformed("more files and directories than the limit"));
        }
        if node.kind == NodeType::File {
            self.phase = Phase::File;
        }
        tree.node(node)
    }

    fn content_untrusted(&mut self, content: &[u8], tree: &mut impl Tree) -> Result<(), Malformed> {
        self.content_bytes += content.len() as u64;
        if self.content_bytes > self.setup.begin.files_limit {
            return Err(Malformed("more bytes in files than the limit"));
        }
        tree.content(content)
    }

    fn wants_files(&self) -> Result<(), Malformed> {
        if self.setup.begin.flags & FLAG_FILES == 0 {
            return Err(Malformed("files without the flag that announces them"));
        }
        Ok(())
    }
}

fn next_phase(phase: Phase, kind: Kind) -> Result<Phase, Malformed> {
    use Phase::*;
    match (phase, kind) {
        (Start, Kind::Begin) => Ok(Begun),
        (Begun, Kind::Argument) => Ok(Begun),
        (Begun | Environ, Kind::Environment) => Ok(Environ),
        (Begun | Environ, Kind::Function) => Ok(Function),
        (Begun | Environ | Function | Nodes | File, Kind::Node) => Ok(Nodes),
        (File, Kind::Content) => Ok(File),
        (Resumed, Kind::Function) => Ok(Called),
        (Resumed | Called | Restored, Kind::Restore) => Ok(Restored),
        (Begun | Environ | Function | Nodes | File | Restored, Kind::Go) => Ok(Done),
        _ => Err(Malformed("setup packet out of order")),
    }
}

fn control_header_untrusted(bytes: [u8; HEADER]) -> Result<Header, Malformed> {
    let header = Header::decode_untrusted(bytes)?;
    if header.code != CODE_CONTROL || header.domain != DOMAIN_CALL {
        return Err(Malformed("not a control packet"));
    }
    Ok(header)
}

/// An argument.
pub fn text_untrusted(content: &[u8]) -> Result<Vec<u8>, Malformed> {
    if content.contains(&0) {
        return Err(Malformed("an argument or variable has no zero byte"));
    }
    Ok(content.to_vec())
}

/// A variable, `NAME=value`.
pub fn variable_untrusted(content: &[u8]) -> Result<Vec<u8>, Malformed> {
    match content.iter().position(|&byte| byte == b'=') {
        Some(1..) => text_untrusted(content),
        _ => Err(Malformed("a variable is NAME=value")),
    }
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
