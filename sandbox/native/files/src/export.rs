//! The tree that a program left, node by node, parents first.

use std::sync::Arc;

use crate::Files;
use crate::node::{Body, Id, Kind};

/// The host takes no longer path and no longer target (Linux's limit without its NUL), ...
const PATH_OUT: usize = 4_095;
/// ... no deeper one, ...
const DEPTH_OUT: usize = 256;
/// ... and of both so many bytes per name of the limit on average (PROTOCOL.md).
const NAME_BYTES: u64 = 1_024;

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
    name_bytes: u64,
    skipped: u64,
}

impl Export {
    /// From the root on.
    pub fn new(files: &Files) -> Export {
        let name_bytes = u64::from(files.limits.names) * NAME_BYTES;
        Export { above: vec![(files.root(), 0, 0)], path: String::new(), name_bytes, skipped: 0 }
    }

    /// Nodes whose path or target is too long or too deep for the host. What lies below them is not counted.
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
            if !self.can_be_said(files, name, id) {
                self.skipped += 1;
                continue;
            }
            self.path.push_str(name);
            return self.leave(files, id);
        }
    }

    /// Takes what it costs from what there is for names.
    fn can_be_said(&mut self, files: &Files, name: &str, id: Id) -> bool {
        let target = match files.node(id).map(|node| &node.body) {
            Ok(Body::Link(target)) => target.len(),
            _ => 0,
        };
        let path = self.path.len() + name.len();
        let left = self.name_bytes.checked_sub((path + target) as u64);
        let fits = path <= PATH_OUT && target <= PATH_OUT && self.above.len() <= DEPTH_OUT;
        self.name_bytes = left.filter(|_| fits).unwrap_or(self.name_bytes);
        fits && left.is_some()
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
