//! From a path to an open node.

use crate::content::Content;
use crate::node::{Body, Id, Kind};
use crate::resolve::Place;
use crate::{At, Files, Follow, Problem, Result};

/// How a path is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// What to do at a symbolic link in the last place.
    pub follow: Follow,
    /// A missing file is made.
    pub create: bool,
    /// With `create`: it must be missing.
    pub exclusive: bool,
    /// Only a directory will do.
    pub directory: bool,
    /// A file is cut to nothing.
    pub truncate: bool,
    /// It is to be written, which no directory can be.
    pub write: bool,
}

impl Open {
    /// Just look, as `stat` does.
    pub const fn existing(follow: Follow) -> Open {
        Open { follow, create: false, exclusive: false, directory: false, truncate: false, write: false }
    }
}

impl Files {
    /// The node that a path leads to. Not held: use it before the next change.
    pub fn find(&self, at: At<'_>, follow: Follow) -> Result<Id> {
        self.resolve_untrusted(at, follow)?.found()
    }

    /// Opens (and makes, or cuts) what a path leads to. The node is held.
    pub fn open(&mut self, at: At<'_>, how: Open, now: u64) -> Result<Id> {
        if how.create && how.directory {
            return Err(Problem::Invalid);
        }
        let follow = if how.create && how.exclusive { Follow::Nothing } else { how.follow };
        let place = self.resolve_untrusted(at, follow)?;
        // Before anything is changed: the call must not fail half way.
        self.check_open_limit()?;
        let id = match place.node {
            Some(id) => self.open_existing(id, how, now)?,
            None if how.create => self.create(&place, now)?,
            None => return Err(Problem::NotFound),
        };
        self.hold(id)?;
        Ok(id)
    }

    fn open_existing(&mut self, id: Id, how: Open, now: u64) -> Result<Id> {
        if how.create && how.exclusive {
            return Err(Problem::Exists);
        }
        match self.node(id)?.kind() {
            Kind::Link if !how.directory => return Err(Problem::Loop),
            Kind::Link | Kind::File if how.directory => return Err(Problem::NotDirectory),
            Kind::Directory if how.create || how.truncate || how.write => return Err(Problem::IsDirectory),
            Kind::File if how.truncate => self.set_size(id, 0, now)?,
            _ => {}
        }
        Ok(id)
    }

    fn create(&mut self, place: &Place, now: u64) -> Result<Id> {
        if place.slash {
            return Err(Problem::IsDirectory);
        }
        self.add(place, Body::File(Content::default()), now)
    }
}
