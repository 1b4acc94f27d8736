//! From a path to a place: the directory and the name that it ends in, and the node there, if any.

use std::sync::Arc;

use crate::node::{Body, Id};
use crate::{Files, Problem, Result};

/// Longest name of an entry, in bytes, as on Linux.
pub const NAME_LIMIT: usize = 255;
/// Longest path and longest target of a symbolic link, in bytes, as on Linux.
pub const PATH_LIMIT: usize = 4096;
/// Symbolic links followed in one path, as on Linux: bounds the work of one call.
pub const SYMLINK_LIMIT: usize = 40;

/// A path, and the directory that it starts from and cannot leave.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// A held directory.
    pub base: Id,
    /// Relative path.
    pub path: &'a str,
}

/// What happens at a symbolic link in the last place. (Before the last place, and before a `/`, links are followed.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// It is followed.
    Links,
    /// It is the place.
    Nothing,
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) parent: Id,
    /// None: the path ends in `.` or `..`, which cannot be made, removed or moved.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) node: Option<Id>,
    /// The path ends in `/`: only a directory will do.
    pub(crate) slash: bool,
}

impl Place {
    /// The node, which must be there.
    pub(crate) fn found(&self) -> Result<Id> {
        self.node.ok_or(Problem::NotFound)
    }

    /// The name, free for a new entry.
    pub(crate) fn free(&self) -> Result<&Arc<str>> {
        match (&self.name, self.node) {
            (Some(name), None) => Ok(name),
            _ => Err(Problem::Exists),
        }
    }
}

/// One step of a walk.
struct Step<'a> {
    name: &'a str,
    last: bool,
    slash: bool,
}

/// Texts still to be walked, the next one on top: the path, and above it the targets of links that were met.
struct Ahead<'a>(Vec<&'a str>);

impl<'a> Ahead<'a> {
    fn step(&mut self) -> Option<Step<'a>> {
        loop {
            let text = self.0.pop()?.trim_start_matches('/');
            if text.is_empty() {
                continue;
            }
            let end = text.find('/').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if !rest.is_empty() {
                self.0.push(rest);
            }
            let last = self.0.iter().all(|text| text.bytes().all(|byte| byte == b'/'));
            let slash = self.0.iter().any(|text| text.starts_with('/'));
            return Some(Step { name, last, slash });
        }
    }
}

impl Files {
    /// Walks a path that the guest gave.
    pub(crate) fn resolve_untrusted(&self, at: At<'_>, follow: Follow) -> Result<Place> {
        check_text(at.path)?;
        if at.path.starts_with('/') {
            return Err(Problem::NotCapable);
        }
        self.directory(at.base)?;
        self.walk(at.base, Ahead(vec![at.path]), follow)
    }

    fn walk<'a>(&'a self, base: Id, mut ahead: Ahead<'a>, follow: Follow) -> Result<Place> {
        let mut here = base;
        let mut links = 0;
        while let Some(step) = ahead.step() {
            if matches!(step.name, "." | "..") {
                here = if step.name == "." { here } else { self.up(base, here)? };
                if step.last {
                    return Ok(Place { parent: here, name: None, node: Some(here), slash: true });
                }
                continue;
            }
            let child = self.child(here, step.name)?;
            let stays = step.last && follow == Follow::Nothing && !step.slash;
            if let Some(target) = self.target(child).filter(|_| !stays) {
                links += 1;
                here = self.follow(base, here, target, links)?;
                ahead.0.push(target);
            } else if step.last {
                return self.arrive(here, &step, child);
            } else {
                here = child.ok_or(Problem::NotFound)?;
                self.directory(here)?;
            }
        }
        // Only reached by a link to "/": links to "" cannot be made.
        Ok(Place { parent: here, name: None, node: Some(here), slash: true })
    }

    fn arrive(&self, parent: Id, step: &Step<'_>, node: Option<Id>) -> Result<Place> {
        if let Some(node) = node.filter(|_| step.slash) {
            self.directory(node)?;
        }
        Ok(Place { parent, name: Some(Arc::from(step.name)), node, slash: step.slash })
    }

    fn up(&self, base: Id, here: Id) -> Result<Id> {
        if here == base { Err(Problem::NotCapable) } else { Ok(self.directory(here)?.parent) }
    }

    fn child(&self, here: Id, name: &str) -> Result<Option<Id>> {
        if name.len() > NAME_LIMIT {
            return Err(Problem::NameTooLong);
        }
        Ok(self.directory(here)?.find(name))
    }

    fn target(&self, child: Option<Id>) -> Option<&str> {
        match &self.node(child?).ok()?.body {
            Body::Link(target) => Some(target),
            _ => None,
        }
    }

    /// Where the target of a link starts.
    fn follow(&self, base: Id, here: Id, target: &str, links: usize) -> Result<Id> {
        if links > SYMLINK_LIMIT {
            return Err(Problem::Loop);
        }
        match (target.starts_with('/'), base == self.root()) {
            (false, _) => Ok(here),
            (true, true) => Ok(self.root()),
            (true, false) => Err(Problem::NotCapable),
        }
    }
}

/// What holds for every path and link target.
pub(crate) fn check_text(text: &str) -> Result<()> {
    match text {
        "" => Err(Problem::NotFound),
        _ if text.len() > PATH_LIMIT => Err(Problem::NameTooLong),
        _ if text.contains('\0') => Err(Problem::Invalid),
        _ => Ok(()),
    }
}
