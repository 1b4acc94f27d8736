//! Receiving the setup: everything the host says before GO, with the files put into the tree at once.

use gatebus_files::{Files, Id, Limits};
use gatebus_wire::control::{Begin, Node, NodeType};
use gatebus_wire::setup::{SetupReader, Tree};
use gatebus_wire::{Malformed, status};

use crate::link::Link;
use crate::{Channel, Clock, Exit};

/// Descriptors of a program: what a shell gives by default. Each may keep one node alive.
pub(crate) const OPEN: u32 = 1024;

/// What a program starts with.
#[derive(Debug)]
pub struct Setup {
    /// The words: limits, arguments, environment, entry function.
    pub words: gatebus_wire::Setup,
    pub(crate) files: Files,
    /// Bytes after GO, which are already the guest's.
    pub(crate) link: Link,
    /// The channel's monotonic clock at GO.
    pub(crate) started: u64,
}

impl Setup {
    /// Reads until GO. Blocks; ends with status 74 if the host breaks the rules, 75 if it is gone.
    pub fn receive_untrusted(channel: &mut dyn Channel) -> Result<Setup, Exit> {
        Setup::receive_resumable_untrusted(channel, 0)
    }

    /// The same for a program that may go on from a state of at most so many bytes.
    pub fn receive_resumable_untrusted(channel: &mut dyn Channel, state_max: usize) -> Result<Setup, Exit> {
        let now = channel.clock(Clock::Realtime);
        let mut reader = SetupReader::resumable(state_max);
        let mut link = Link::new();
        let mut tree = Planting::new(now);
        loop {
            let progress = reader.feed_untrusted(link.unread(), &mut tree).map_err(refuse)?;
            link.consume(progress.consumed);
            if progress.done {
                break;
            }
            while !link.fill(channel)? {
                channel.wait(true, false, None);
            }
        }
        let words = reader.finish().ok_or_else(|| refuse(Malformed("the setup has no end")))?;
        let mut files = tree.files;
        files.set_limits(limits(&words));
        Ok(Setup { words, files, link, started: channel.clock(Clock::Monotonic) })
    }

    /// Without a host, and without limits of its own: for a state that is only looked at.
    pub(crate) fn of_nobody() -> Setup {
        let begin = Begin { files_limit: u64::MAX, nodes_limit: u32::MAX, ..Begin::default() };
        let words = gatebus_wire::Setup { begin, ..gatebus_wire::Setup::default() };
        let files = Files::new(limits(&words), 0);
        Setup { words, files, link: Link::new(), started: 0 }
    }

    /// Resolution of the guest's clocks in ns; zero means the finest.
    pub(crate) fn resolution(&self) -> u64 {
        u64::from(self.words.begin.clock_ms) * 1_000_000 + u64::from(self.words.begin.clock_ns)
    }

    /// Is this flag of BEGIN set?
    pub(crate) fn flag(&self, flag: u32) -> bool {
        self.words.begin.flags & flag != 0
    }
}

/// What the host allows the file system.
pub(crate) fn limits(words: &gatebus_wire::Setup) -> Limits {
    Limits { bytes: words.begin.files_limit, names: words.begin.nodes_limit, open: OPEN }
}

fn refuse(malformed: Malformed) -> Exit {
    Exit::because(u32::from(status::SETUP_MALFORMED), malformed.0)
}

/// Puts nodes into the tree as they come. The reader has counted them against the limits of BEGIN.
struct Planting {
    files: Files,
    last: Option<Id>,
}

impl Planting {
    fn new(now: u64) -> Planting {
        let unlimited = Limits { bytes: u64::MAX, names: u32::MAX, open: OPEN };
        Planting { files: Files::new(unlimited, now), last: None }
    }
}

impl Tree for Planting {
    fn node(&mut self, node: Node<'_>) -> Result<(), Malformed> {
        let path = str::from_utf8(node.path).map_err(|_| Malformed("a path of the tree is not UTF-8"))?;
        let target = str::from_utf8(node.target).map_err(|_| Malformed("a link's target is not UTF-8"))?;
        self.last = None;
        let done = match node.kind {
            NodeType::Directory => self.files.import_directory(path, node.modified),
            NodeType::Link => self.files.import_link(path, target, node.modified),
            NodeType::File => self.files.import_file(path, node.modified).map(|id| self.last = Some(id)),
        };
        done.map_err(|_| Malformed("a node of the tree has no place: its parent is missing or its name is taken"))
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let file = self.last.ok_or(Malformed("content without a file"))?;
        self.files.import_content(file, bytes).map_err(|_| Malformed("a file of the tree does not fit"))
    }
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
