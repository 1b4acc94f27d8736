//! Names come and go: directories, links, removal.

use std::sync::Arc;

use crate::node::{Body, Directory, Id, Kind};
use crate::resolve::{Place, check_text};
use crate::{At, Files, Follow, Problem, Result};

/// Names of one file: a 16-bit number on many systems; bounds the weight of its bytes.
pub(crate) const LINKS: u32 = 65_000;

impl Files {
    /// Makes a node and its name. Charges the name, and the bytes of the body.
    pub(crate) fn add(&mut self, place: &Place, body: Body, now: u64) -> Result<Id> {
        let name = Arc::clone(place.free()?);
        self.check_alive(place.parent)?;
        self.check_name_limit()?;
        let bytes = if let Body::Link(target) = &body { target.len() as u64 } else { 0 };
        self.charge(bytes)?;
        let id = self.insert(body, now).inspect_err(|_| self.bytes = self.bytes.saturating_sub(bytes))?;
        self.attach(place.parent, name, id, now)?;
        Ok(id)
    }

    /// Puts a name into a directory that is known to live.
    pub(crate) fn attach(&mut self, parent: Id, name: Arc<str>, id: Id, now: u64) -> Result<()> {
        self.directory_mut(parent)?.insert(name, id);
        self.names += 1;
        self.touch(parent, now)
    }

    /// Takes a name out of its directory; the node keeps its count.
    pub(crate) fn detach(&mut self, parent: Id, name: &str, now: u64) -> Result<Id> {
        let id = self.directory_mut(parent)?.remove(name).ok_or(Problem::NotFound)?;
        self.names = self.names.saturating_sub(1);
        self.touch(parent, now)?;
        Ok(id)
    }

    /// One name less for a node; with the last one it goes, unless it is held.
    pub(crate) fn drop_link(&mut self, id: Id, now: u64) -> Result<()> {
        let before = self.charged(id)?;
        let node = self.node_mut(id)?;
        node.links = node.links.saturating_sub(1);
        node.changed = now;
        if let Body::Directory(directory) = &mut node.body {
            // Removed: nothing leads up from here any more.
            directory.parent = id;
        }
        let after = self.charged(id)?;
        self.bytes = self.bytes.saturating_sub(before.saturating_sub(after));
        self.collect(id);
        Ok(())
    }

    fn charged(&self, id: Id) -> Result<u64> {
        let node = self.node(id)?;
        Ok(node.size().saturating_mul(node.weight()))
    }

    /// A removed directory takes no new names.
    pub(crate) fn check_alive(&self, parent: Id) -> Result<()> {
        if self.node(parent)?.links == 0 { Err(Problem::NotFound) } else { Ok(()) }
    }

    fn check_name_limit(&self) -> Result<()> {
        if self.names >= self.limits.names { Err(Problem::NoSpace) } else { Ok(()) }
    }

    /// Makes a directory.
    pub fn make_directory(&mut self, at: At<'_>, now: u64) -> Result<()> {
        let place = self.resolve_untrusted(at, Follow::Nothing)?;
        let directory = Directory::new(place.parent);
        self.add(&place, Body::Directory(directory), now)?;
        Ok(())
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, at: At<'_>, now: u64) -> Result<()> {
        let place = self.resolve_untrusted(at, Follow::Nothing)?;
        let id = place.found()?;
        let empty = self.directory(id)?.is_empty();
        let name = place.name.as_ref().ok_or(if id == self.root() { Problem::Busy } else { Problem::Invalid })?;
        if !empty {
            return Err(Problem::NotEmpty);
        }
        self.detach(place.parent, name, now)?;
        self.drop_link(id, now)
    }

    /// Removes the name of a file or link.
    pub fn unlink(&mut self, at: At<'_>, now: u64) -> Result<()> {
        let place = self.resolve_untrusted(at, Follow::Nothing)?;
        let id = place.found()?;
        if self.node(id)?.kind() == Kind::Directory {
            return Err(Problem::IsDirectory);
        }
        let name = place.name.as_ref().ok_or(Problem::IsDirectory)?;
        self.detach(place.parent, name, now)?;
        self.drop_link(id, now)
    }

    /// Makes a symbolic link. Its target is a text and need not exist.
    pub fn symlink(&mut self, target: &str, at: At<'_>, now: u64) -> Result<()> {
        check_text(target)?;
        let place = self.resolve_untrusted(at, Follow::Nothing)?;
        place.free()?;
        if place.slash {
            return Err(Problem::NotFound);
        }
        self.add(&place, Body::Link(Arc::from(target)), now)?;
        Ok(())
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, at: At<'_>) -> Result<&str> {
        let id = self.find(at, Follow::Nothing)?;
        match &self.node(id)?.body {
            Body::Link(target) => Ok(target),
            _ => Err(Problem::Invalid),
        }
    }

    /// Gives a file (or a symbolic link, not followed) another name.
    pub fn link(&mut self, from: At<'_>, to: At<'_>, now: u64) -> Result<()> {
        let id = self.find(from, Follow::Nothing)?;
        let place = self.resolve_untrusted(to, Follow::Nothing)?;
        let name = Arc::clone(place.free()?);
        if self.node(id)?.kind() == Kind::Directory {
            return Err(Problem::NotPermitted);
        }
        if place.slash {
            return Err(Problem::NotFound);
        }
        self.check_alive(place.parent)?;
        self.check_name_limit()?;
        self.add_link(id, now)?;
        self.attach(place.parent, name, id, now)
    }

    fn add_link(&mut self, id: Id, now: u64) -> Result<()> {
        let node = self.node(id)?;
        if node.links >= LINKS {
            return Err(Problem::TooManyLinks);
        }
        self.charge(node.size())?;
        let node = self.node_mut(id)?;
        node.links += 1;
        node.changed = now;
        Ok(())
    }
}
