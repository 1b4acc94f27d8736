//! One node: what it is, what is known about it, and the two orders of a directory's entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::content::Content;

/// Names a node while it lives. Whoever holds one across other operations must hold it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub(crate) u32);

/// Kinds of nodes, with the numbers that WASI and the NODE packet use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A directory.
    Directory = 3,
    /// A regular file.
    File = 4,
    /// A symbolic link.
    Link = 7,
}

/// What is known about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Serial number, never used twice.
    pub serial: u64,
    /// What it is.
    pub kind: Kind,
    /// Names it has. A directory has one ("not known" by old custom: subdirectories are not counted).
    pub links: u32,
    /// Bytes of a file, length of a link's target, 0 for a directory.
    pub size: u64,
    /// Last read, ns since 1970. Kept as set: reading does not change it (as with Linux's `noatime`).
    pub accessed: u64,
    /// Last change of the content.
    pub modified: u64,
    /// Last change of anything.
    pub changed: u64,
}

/// One entry as `readdir` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Give this to see what follows.
    pub cookie: u64,
    /// Serial number of the node.
    pub serial: u64,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) serial: u64,
    pub(crate) body: Body,
    pub(crate) links: u32,
    pub(crate) opens: u32,
    pub(crate) accessed: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
}

#[derive(Debug)]
pub(crate) enum Body {
    Directory(Directory),
    File(Content),
    Link(Arc<str>),
}

#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) parent: Id,
    by_name: BTreeMap<Arc<str>, u64>,
    by_cookie: BTreeMap<u64, (Arc<str>, Id)>,
    next_cookie: u64,
}

/// Cookies of `.` and `..`; entries follow. A cookie names what comes after it, so 0 is the start.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;

impl Directory {
    pub(crate) fn new(parent: Id) -> Directory {
        Directory { parent, by_name: BTreeMap::new(), by_cookie: BTreeMap::new(), next_cookie: DOT_DOT + 1 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Id> {
        let cookie = self.by_name.get(name)?;
        self.by_cookie.get(cookie).map(|(_, id)| *id)
    }

    /// The name must be free.
    pub(crate) fn insert(&mut self, name: Arc<str>, id: Id) {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.by_name.insert(Arc::clone(&name), cookie);
        self.by_cookie.insert(cookie, (name, id));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Id> {
        let cookie = self.by_name.remove(name)?;
        self.by_cookie.remove(&cookie).map(|(_, id)| id)
    }

    /// All entries in the order in which they were made: cookie, name and node.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, &Arc<str>, Id)> {
        self.by_cookie.iter().map(|(cookie, (name, id))| (*cookie, name, *id))
    }

    /// The cookie of the next entry.
    pub(crate) fn next_cookie(&self) -> u64 {
        self.next_cookie
    }

    /// Puts an entry behind all others. False: there is a later one, or the name is taken.
    pub(crate) fn insert_at(&mut self, cookie: u64, name: Arc<str>, id: Id) -> bool {
        let good = cookie >= self.next_cookie && cookie < u64::MAX && !self.by_name.contains_key(&name);
        if good {
            self.next_cookie = cookie;
            self.insert(name, id);
        }
        good
    }

    /// Skips the cookies of entries that were removed. False: there are later ones.
    pub(crate) fn set_next_cookie(&mut self, next: u64) -> bool {
        let good = next >= self.next_cookie && next < u64::MAX;
        self.next_cookie = next.max(self.next_cookie);
        good
    }

    /// The first entry after this cookie: its own cookie, name and node.
    pub(crate) fn after(&self, cookie: u64) -> Option<(u64, &Arc<str>, Id)> {
        let from = cookie.max(DOT_DOT).checked_add(1)?;
        self.by_cookie.range(from..).next().map(|(cookie, (name, id))| (*cookie, name, *id))
    }

    /// The same with `.` and `..` before all others; `own` is this directory.
    pub(crate) fn after_with_dots(&self, cookie: u64, own: Id) -> Option<(u64, Arc<str>, Id)> {
        match cookie {
            0 => Some((DOT, Arc::from("."), own)),
            DOT => Some((DOT_DOT, Arc::from(".."), self.parent)),
            _ => self.after(cookie).map(|(cookie, name, id)| (cookie, Arc::clone(name), id)),
        }
    }
}

impl Node {
    pub(crate) fn kind(&self) -> Kind {
        match self.body {
            Body::Directory(_) => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Link(_) => Kind::Link,
        }
    }

    /// Bytes that one name of this node is charged for.
    pub(crate) fn size(&self) -> u64 {
        match &self.body {
            Body::Directory(_) => 0,
            Body::File(content) => content.size(),
            Body::Link(target) => target.len() as u64,
        }
    }

    /// How often its size is charged: once per name, and once while it is only open.
    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.links.max(1))
    }

    pub(crate) fn stat(&self) -> Stat {
        Stat {
            serial: self.serial,
            kind: self.kind(),
            links: self.links,
            size: self.size(),
            accessed: self.accessed,
            modified: self.modified,
            changed: self.changed,
        }
    }
}
