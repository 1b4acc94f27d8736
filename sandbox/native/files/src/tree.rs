//! The slab of nodes, the counts that the limits bound, and everything that works on one open node.

use crate::content::Content;
use crate::node::{Body, Directory, DirectoryEntry, Id, Node, Stat};
use crate::{Problem, Result};

/// What a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of content and of link targets, holes included, once per name: what leaves at the end.
    pub bytes: u64,
    /// Names (directories, files, links): each costs a node and its name in memory.
    pub names: u32,
    /// Nodes held open, counted per descriptor: each may keep a node that no name keeps.
    pub open: u32,
}

/// The file system of one program.
#[derive(Debug)]
pub struct Files {
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    next_serial: u64,
    pub(crate) limits: Limits,
    pub(crate) bytes: u64,
    pub(crate) names: u32,
    opens: u32,
}

const ROOT: Id = Id(0);

impl Files {
    /// An empty root, made at `now`.
    pub fn new(limits: Limits, now: u64) -> Files {
        let mut files =
            Files { nodes: Vec::new(), free: Vec::new(), next_serial: 1, limits, bytes: 0, names: 0, opens: 0 };
        let root = files.insert(Body::Directory(Directory::new(ROOT)), now);
        debug_assert_eq!(root, Ok(ROOT));
        files
    }

    /// These nodes, at the places where they stand; nothing is counted yet.
    pub(crate) fn of_nodes(nodes: Vec<Node>, next_serial: u64, limits: Limits) -> Files {
        let nodes = nodes.into_iter().map(Some).collect();
        Files { nodes, free: Vec::new(), next_serial, limits, bytes: 0, names: 0, opens: 0 }
    }

    pub(crate) fn set_opens(&mut self, opens: u32) {
        self.opens = opens;
    }

    /// All nodes there are.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (Id, &Node)> {
        let slots = self.nodes.iter().zip(0u32..);
        slots.filter_map(|(slot, number)| slot.as_ref().map(|node| (Id(number), node)))
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// Other limits from now on. What is there already stays.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The directory that the guest knows as `/`.
    pub fn root(&self) -> Id {
        ROOT
    }

    /// Bytes charged now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Names there are now.
    pub fn names(&self) -> u32 {
        self.names
    }

    pub(crate) fn node(&self, id: Id) -> Result<&Node> {
        let slot = self.nodes.get(id.0 as usize).and_then(Option::as_ref);
        slot.ok_or(Problem::Stale)
    }

    pub(crate) fn node_mut(&mut self, id: Id) -> Result<&mut Node> {
        let slot = self.nodes.get_mut(id.0 as usize).and_then(Option::as_mut);
        slot.ok_or(Problem::Stale)
    }

    pub(crate) fn directory(&self, id: Id) -> Result<&Directory> {
        match &self.node(id)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Problem::NotDirectory),
        }
    }

    pub(crate) fn directory_mut(&mut self, id: Id) -> Result<&mut Directory> {
        match &mut self.node_mut(id)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Problem::NotDirectory),
        }
    }

    fn content(&self, id: Id) -> Result<&Content> {
        match &self.node(id)?.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Problem::IsDirectory),
            Body::Link(_) => Err(Problem::Invalid),
        }
    }

    fn content_mut(&mut self, id: Id) -> Result<&mut Content> {
        match &mut self.node_mut(id)?.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Problem::IsDirectory),
            Body::Link(_) => Err(Problem::Invalid),
        }
    }

    /// A node with one name to come.
    pub(crate) fn insert(&mut self, body: Body, now: u64) -> Result<Id> {
        let serial = self.next_serial;
        let node = Node { serial, body, links: 1, opens: 0, accessed: now, modified: now, changed: now };
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.nodes.try_reserve(1).map_err(|_| Problem::NoSpace)?;
                self.nodes.push(None);
                u32::try_from(self.nodes.len() - 1).map_err(|_| Problem::NoSpace)?
            }
        };
        if let Some(slot) = self.nodes.get_mut(id as usize) {
            *slot = Some(node);
        }
        self.next_serial += 1;
        Ok(Id(id))
    }

    /// Takes back a node that nothing names and nobody holds open.
    pub(crate) fn collect(&mut self, id: Id) {
        let unused = self.node(id).is_ok_and(|node| node.links == 0 && node.opens == 0);
        if !unused {
            return;
        }
        if let Some(node) = self.nodes.get_mut(id.0 as usize).and_then(Option::take) {
            self.bytes = self.bytes.saturating_sub(node.size());
            self.free.push(id.0);
        }
    }

    /// Charges `more` bytes, or says that there is no room.
    pub(crate) fn charge(&mut self, more: u64) -> Result<()> {
        let total = self.bytes.checked_add(more).ok_or(Problem::NoSpace)?;
        if total > self.limits.bytes {
            return Err(Problem::NoSpace);
        }
        self.bytes = total;
        Ok(())
    }

    pub(crate) fn check_open_limit(&self) -> Result<()> {
        if self.opens >= self.limits.open { Err(Problem::TooManyOpen) } else { Ok(()) }
    }

    /// Holds a node; each call needs its [`Files::close`].
    pub fn hold(&mut self, id: Id) -> Result<()> {
        self.check_open_limit()?;
        self.node_mut(id)?.opens += 1;
        self.opens += 1;
        Ok(())
    }

    /// Lets a held node go; without a name it is gone.
    pub fn close(&mut self, id: Id) {
        if let Ok(node) = self.node_mut(id)
            && node.opens > 0
        {
            node.opens -= 1;
            self.opens = self.opens.saturating_sub(1);
        }
        self.collect(id);
    }

    /// What is known about a node.
    pub fn stat(&self, id: Id) -> Result<Stat> {
        Ok(self.node(id)?.stat())
    }

    /// Reads from a file; fewer bytes than asked only at its end.
    pub fn read_at(&self, id: Id, offset: u64, into: &mut [u8]) -> Result<usize> {
        Ok(self.content(id)?.read_at(offset, into))
    }

    /// Writes to a file. Fewer bytes than given: no room for more.
    pub fn write_at(&mut self, id: Id, offset: u64, from: &[u8], now: u64) -> Result<usize> {
        let old = self.content(id)?.size();
        if from.is_empty() {
            return Ok(0);
        }
        let end = largest(offset, from.len() as u64)?;
        let end = end.min(self.reachable(id, old)?);
        let allowed = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(from.len());
        if allowed == 0 {
            return Err(Problem::NoSpace);
        }
        let written = self.content_mut(id)?.write_at(offset, from.get(..allowed).unwrap_or_default());
        self.grown(id, old)?;
        written?;
        self.touch(id, now)?;
        Ok(allowed)
    }

    /// The size that the limit lets this file have.
    fn reachable(&self, id: Id, size: u64) -> Result<u64> {
        let room = self.limits.bytes.saturating_sub(self.bytes) / self.node(id)?.weight();
        Ok(size.saturating_add(room))
    }

    /// Accounts for a file that is now larger (also after a write that ended half way).
    fn grown(&mut self, id: Id, old: u64) -> Result<()> {
        let node = self.node(id)?;
        let more = node.size().saturating_sub(old).saturating_mul(node.weight());
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// Cuts a file or grows it by a hole.
    pub fn set_size(&mut self, id: Id, size: u64, now: u64) -> Result<()> {
        let old = self.content(id)?.size();
        largest(size, 0)?;
        let weight = self.node(id)?.weight();
        if size > old {
            self.charge((size - old).checked_mul(weight).ok_or(Problem::NoSpace)?)?;
        } else {
            self.bytes = self.bytes.saturating_sub((old - size).saturating_mul(weight));
        }
        self.content_mut(id)?.set_size(size);
        self.touch(id, now)
    }

    /// Makes sure that the file reaches at least this far.
    pub fn allocate(&mut self, id: Id, offset: u64, len: u64, now: u64) -> Result<()> {
        let end = largest(offset, len)?;
        if end > self.content(id)?.size() {
            self.set_size(id, end, now)?;
        }
        Ok(())
    }

    /// Sets the times that are given.
    pub fn set_times(&mut self, id: Id, accessed: Option<u64>, modified: Option<u64>, now: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        node.accessed = accessed.unwrap_or(node.accessed);
        node.modified = modified.unwrap_or(node.modified);
        node.changed = now;
        Ok(())
    }

    pub(crate) fn touch(&mut self, id: Id, now: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        node.modified = now;
        node.changed = now;
        Ok(())
    }

    /// The entry after this cookie (0: the first). `.` and `..` are the first two.
    pub fn entry_after(&self, id: Id, cookie: u64) -> Result<Option<DirectoryEntry>> {
        let Some((cookie, name, child)) = self.directory(id)?.after_with_dots(cookie, id) else {
            return Ok(None);
        };
        // The parent of a removed directory may be gone: what is left of it stands for it.
        let node = self.node(child).or_else(|_| self.node(id))?;
        Ok(Some(DirectoryEntry { cookie, serial: node.serial, kind: node.kind(), name }))
    }
}

/// End of a range, or EFBIG: offsets are signed 64-bit numbers everywhere else.
fn largest(offset: u64, len: u64) -> Result<u64> {
    let end = offset.checked_add(len).ok_or(Problem::TooBig)?;
    i64::try_from(end).map_err(|_| Problem::TooBig)?;
    Ok(end)
}
