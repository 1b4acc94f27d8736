//! Moving a name: every case that POSIX lists, checked before anything is changed.

use std::sync::Arc;

use crate::node::{Body, Id, Kind};
use crate::resolve::Place;
use crate::{At, Files, Follow, Problem, Result};

impl Files {
    /// Moves a name, over another one if need be.
    pub fn rename(&mut self, from: At<'_>, to: At<'_>, now: u64) -> Result<()> {
        let old = self.resolve_untrusted(from, Follow::Nothing)?;
        let new = self.resolve_untrusted(to, Follow::Nothing)?;
        let moved = old.found()?;
        let (Some(old_name), Some(new_name)) = (&old.name, &new.name) else {
            return Err(Problem::Busy);
        };
        self.check_move(moved, &new)?;
        if new.node == Some(moved) {
            return Ok(());
        }
        if let Some(target) = new.node {
            self.check_replace(moved, target)?;
            self.detach(new.parent, new_name, now)?;
            self.drop_link(target, now)?;
        }
        self.detach(old.parent, old_name, now)?;
        self.attach(new.parent, Arc::clone(new_name), moved, now)?;
        self.arrived(moved, new.parent, now)
    }

    fn check_move(&self, moved: Id, new: &Place) -> Result<()> {
        self.check_alive(new.parent)?;
        let directory = self.node(moved)?.kind() == Kind::Directory;
        if new.slash && !directory {
            return Err(Problem::NotDirectory);
        }
        if directory && self.lies_within(new.parent, moved)? {
            return Err(Problem::Invalid);
        }
        Ok(())
    }

    fn check_replace(&self, moved: Id, target: Id) -> Result<()> {
        let directory = self.node(moved)?.kind() == Kind::Directory;
        match &self.node(target)?.body {
            Body::Directory(_) if !directory => Err(Problem::IsDirectory),
            Body::Directory(there) if !there.is_empty() => Err(Problem::NotEmpty),
            Body::File(_) | Body::Link(_) if directory => Err(Problem::NotDirectory),
            _ => Ok(()),
        }
    }

    /// Is `inner` the directory `outer`, or somewhere below it?
    fn lies_within(&self, inner: Id, outer: Id) -> Result<bool> {
        let mut here = inner;
        while here != outer {
            let parent = self.directory(here)?.parent;
            if parent == here {
                return Ok(false);
            }
            here = parent;
        }
        Ok(true)
    }

    fn arrived(&mut self, moved: Id, parent: Id, now: u64) -> Result<()> {
        let node = self.node_mut(moved)?;
        node.changed = now;
        if let Body::Directory(directory) = &mut node.body {
            directory.parent = parent;
        }
        Ok(())
    }
}
