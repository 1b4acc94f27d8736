//! The tree that a program left, node by node, parents first.

use std::sync::Arc;

use crate::Files;
use crate::node::{Body, Id, Kind};
use crate::resolve::PATH_LIMIT;

/// One node on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The node; read a file's content with [`Files::read_at`].
    pub id: Id,
    /// What it is.
    pub kind: Kind,
    /// Relative path.
    pub path: String,
    /// Last change of its content, ns since 1970.
    pub modified: u64,
    /// Bytes of a file.
    pub size: u64,
    /// Target of a symbolic link.
    pub target: Option<Arc<str>>,
}

/// A walk over the whole tree. A file with several names comes once for each of them.
#[derive(Debug)]
pub struct Export {
    /// Directories that are being walked: node, cookie of the entry last seen, length of its path with `/`.
    above: Vec<(Id, u64, usize)>,
    path: String,
    skipped: u64,
}

impl Export {
    /// From the root on.
    pub fn new(files: &Files) -> Export {
        Export { above: vec![(files.root(), 0, 0)], path: String::new(), skipped: 0 }
    }

    /// Nodes whose path is longer than 4,096 bytes, and so cannot be said. What lies below them is not counted.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next node; None: that was all.
    pub fn next(&mut self, files: &Files) -> Option<Exported> {
        loop {
            let (directory, cookie, len) = self.above.last_mut()?;
            self.path.truncate(*len);
            let Some((next, name, id)) = files.directory(*directory).ok().and_then(|d| d.after(*cookie)) else {
                self.above.pop();
                continue;
            };
            *cookie = next;
            if self.path.len() + name.len() > PATH_LIMIT {
                self.skipped += 1;
                continue;
            }
            self.path.push_str(name);
            return self.leave(files, id);
        }
    }

    fn leave(&mut self, files: &Files, id: Id) -> Option<Exported> {
        let node = files.node(id).ok()?;
        let path = self.path.clone();
        let target = match &node.body {
            Body::Link(target) => Some(Arc::clone(target)),
            _ => None,
        };
        if node.kind() == Kind::Directory {
            self.path.push('/');
            self.above.push((id, 0, self.path.len()));
        }
        Some(Exported { id, kind: node.kind(), path, modified: node.modified, size: node.size(), target })
    }
}
