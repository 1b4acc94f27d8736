//! Filling the tree before the start, from nodes that the host sends: parents first, plain names only.

use std::sync::Arc;

use crate::content::Content;
use crate::node::{Body, Directory, Id};
use crate::resolve::{NAME_LIMIT, Place, check_text};
use crate::{Files, Problem, Result};

impl Files {
    /// A directory of the tree at the start.
    pub fn import_directory(&mut self, path: &str, modified: u64) -> Result<()> {
        let place = self.import_place(path)?;
        let directory = Directory::new(place.parent);
        self.import(&place, Body::Directory(directory), modified)?;
        Ok(())
    }

    /// An empty file of the tree at the start; its content follows by [`Files::import_content`].
    pub fn import_file(&mut self, path: &str, modified: u64) -> Result<Id> {
        let place = self.import_place(path)?;
        self.import(&place, Body::File(Content::default()), modified)
    }

    /// A symbolic link of the tree at the start.
    pub fn import_link(&mut self, path: &str, target: &str, modified: u64) -> Result<()> {
        check_text(target)?;
        let place = self.import_place(path)?;
        self.import(&place, Body::Link(Arc::from(target)), modified)?;
        Ok(())
    }

    /// The next bytes of an imported file. All of them fit, or it is an error.
    pub fn import_content(&mut self, file: Id, bytes: &[u8]) -> Result<()> {
        let stat = self.stat(file)?;
        let written = self.write_at(file, stat.size, bytes, stat.modified)?;
        if written == bytes.len() { Ok(()) } else { Err(Problem::NoSpace) }
    }

    /// What is put into a directory does not change the time that was said for it.
    fn import(&mut self, place: &Place, body: Body, modified: u64) -> Result<Id> {
        let above = self.stat(place.parent)?;
        let id = self.add(place, body, modified)?;
        self.set_times(place.parent, None, Some(above.modified), above.changed)?;
        Ok(id)
    }

    /// No `.`, no `..`, no empty name, and no link is followed: the host's tree says exactly where things are.
    fn import_place(&self, path: &str) -> Result<Place> {
        check_text(path)?;
        let (directories, name) = path.rsplit_once('/').map_or((None, path), |(above, name)| (Some(above), name));
        let mut parent = self.root();
        for part in directories.into_iter().flat_map(|text| text.split('/')) {
            check_part(part)?;
            parent = self.directory(parent)?.find(part).ok_or(Problem::NotFound)?;
        }
        check_part(name)?;
        let node = self.directory(parent)?.find(name);
        Ok(Place { parent, name: Some(Arc::from(name)), node, slash: false })
    }
}

fn check_part(part: &str) -> Result<()> {
    match part {
        "" | "." | ".." => Err(Problem::Invalid),
        _ if part.len() > NAME_LIMIT => Err(Problem::NameTooLong),
        _ => Ok(()),
    }
}
