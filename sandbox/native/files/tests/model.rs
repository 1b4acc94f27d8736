//! Random operations on the file system and on a model that is too simple to be wrong: paths in one sorted map.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use gatebus_files::{Export, Files, Follow, Kind, Open, Problem, Result};
use support::*;

/// Deterministic numbers (xorshift64*): a failure names its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).expect("31 bits") % sides
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.roll(3);
        let parts: Vec<_> = (0..depth).map(|_| ["a", "b", "c", "d"][self.roll(4)]).collect();
        parts.join("/")
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Thing {
    Directory,
    File(usize),
    Link(String),
}

/// Every path that there is; files name their content, so that hard links share it.
#[derive(Default)]
struct Model {
    things: BTreeMap<String, Thing>,
    contents: Vec<Vec<u8>>,
}

impl Model {
    fn parent_of(path: &str) -> Option<&str> {
        path.rsplit_once('/').map(|(above, _)| above)
    }

    fn passes_a_link(&self, path: &str) -> bool {
        path.match_indices('/').any(|(end, _)| matches!(self.things.get(&path[..end]), Some(Thing::Link(_))))
    }

    /// The directories above exist.
    fn check_above(&self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/') {
            match self.things.get(&path[..end]) {
                Some(Thing::Directory) => {}
                Some(_) => return Err(Problem::NotDirectory),
                None => return Err(Problem::NotFound),
            }
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Result<&Thing> {
        self.check_above(path)?;
        self.things.get(path).ok_or(Problem::NotFound)
    }

    fn add(&mut self, path: &str, thing: Thing) -> Result<()> {
        self.check_above(path)?;
        if self.things.contains_key(path) {
            return Err(Problem::Exists);
        }
        self.things.insert(path.to_owned(), thing);
        Ok(())
    }

    fn is_empty(&self, path: &str) -> bool {
        !self.things.keys().any(|other| other.starts_with(&format!("{path}/")))
    }

    fn remove_directory(&mut self, path: &str) -> Result<()> {
        match self.find(path)? {
            Thing::Directory if !self.is_empty(path) => return Err(Problem::NotEmpty),
            Thing::Directory => {}
            _ => return Err(Problem::NotDirectory),
        }
        self.things.remove(path);
        Ok(())
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if *self.find(path)? == Thing::Directory {
            return Err(Problem::IsDirectory);
        }
        self.things.remove(path);
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> Result<()> {
        let thing = self.find(from)?.clone();
        self.check_above(to)?;
        if self.things.contains_key(to) {
            return Err(Problem::Exists);
        }
        if thing == Thing::Directory {
            return Err(Problem::NotPermitted);
        }
        self.add(to, thing)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.check_above(from)?;
        self.check_above(to)?;
        let moved = self.find(from)?.clone();
        let directory = moved == Thing::Directory;
        if directory && to.starts_with(&format!("{from}/")) {
            return Err(Problem::Invalid);
        }
        match self.things.get(to) {
            _ if from == to => return Ok(()),
            Some(Thing::File(there)) if moved == Thing::File(*there) => return Ok(()),
            Some(Thing::Directory) if !directory => return Err(Problem::IsDirectory),
            Some(Thing::Directory) if !self.is_empty(to) => return Err(Problem::NotEmpty),
            Some(Thing::File(_) | Thing::Link(_)) if directory => return Err(Problem::NotDirectory),
            _ => {}
        }
        self.move_all(from, to);
        Ok(())
    }

    fn move_all(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let moving: Vec<_> =
            self.things.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
        for path in moving {
            let thing = self.things.remove(&path).expect("listed");
            self.things.insert(format!("{to}{}", &path[from.len()..]), thing);
        }
    }

    fn open(&mut self, path: &str) -> Result<usize> {
        self.check_above(path)?;
        match self.things.get(path) {
            Some(Thing::File(content)) => Ok(*content),
            Some(Thing::Directory) => Err(Problem::IsDirectory),
            Some(Thing::Link(_)) => Err(Problem::Loop),
            None => {
                self.contents.push(Vec::new());
                self.things.insert(path.to_owned(), Thing::File(self.contents.len() - 1));
                Ok(self.contents.len() - 1)
            }
        }
    }

    fn write(&mut self, path: &str, offset: usize, bytes: &[u8]) -> Result<()> {
        let content = self.open(path)?;
        let content = &mut self.contents[content];
        content.resize(content.len().max(offset + bytes.len()), 0);
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn cut(&mut self, path: &str, size: usize) -> Result<()> {
        let content = self.open(path)?;
        self.contents[content].resize(size, 0);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let of = |thing: &Thing| match thing {
            Thing::Directory => 0,
            Thing::File(content) => self.contents[*content].len() as u64,
            Thing::Link(target) => target.len() as u64,
        };
        self.things.values().map(of).sum()
    }
}

fn write(files: &mut Files, path: &str, offset: usize, bytes: &[u8]) -> Result<()> {
    let how = Open { create: true, write: true, ..Open::existing(Follow::Nothing) };
    let id = files.open(at(files, path), how, NOW)?;
    let written = files.write_at(id, offset as u64, bytes, NOW);
    files.close(id);
    assert_eq!(written, Ok(bytes.len()));
    Ok(())
}

fn cut(files: &mut Files, path: &str, size: usize) -> Result<()> {
    let how = Open { create: true, write: true, ..Open::existing(Follow::Nothing) };
    let id = files.open(at(files, path), how, NOW)?;
    let done = files.set_size(id, size as u64, NOW);
    files.close(id);
    done
}

/// One operation on both; they must agree on the answer.
fn step(files: &mut Files, model: &mut Model, dice: &mut Dice) -> String {
    let (path, other) = (dice.path(), dice.path());
    if model.passes_a_link(&path) || model.passes_a_link(&other) {
        return String::new();
    }
    let size = [0, 1, 255, 4_000, 65_536, 70_000][dice.roll(6)];
    let bytes: Vec<u8> = (0..size / 2 + 1).map(|_| u8::try_from(dice.roll(255)).expect("small") + 1).collect();
    let (what, found, expected) = match dice.roll(9) {
        0 => ("mkdir", files.make_directory(at(files, &path), NOW), model.add(&path, Thing::Directory)),
        1 => ("rmdir", files.remove_directory(at(files, &path), NOW), model.remove_directory(&path)),
        2 => ("unlink", files.unlink(at(files, &path), NOW), model.unlink(&path)),
        3 => ("symlink", files.symlink(&other, at(files, &path), NOW), model.add(&path, Thing::Link(other.clone()))),
        4 => ("link", files.link(at(files, &path), at(files, &other), NOW), model.link(&path, &other)),
        5 | 6 => ("rename", rename(files, &path, &other), model.rename(&path, &other)),
        7 => ("write", write(files, &path, size, &bytes), model.write(&path, size, &bytes)),
        _ => ("cut", cut(files, &path, size), model.cut(&path, size)),
    };
    let text = format!("{what} {path} {other} {size}");
    assert_eq!(found, expected, "{text}");
    text
}

fn compare(files: &Files, model: &Model) {
    let mut export = Export::new(files);
    let mut seen = BTreeSet::new();
    while let Some(node) = export.next(files) {
        match model.things.get(&node.path).expect("the model has it") {
            Thing::Directory => assert_eq!(node.kind, Kind::Directory),
            Thing::Link(target) => assert_eq!(node.target.as_deref(), Some(target.as_str())),
            Thing::File(content) => assert_eq!(get(files, &node.path).as_ref(), Ok(&model.contents[*content])),
        }
        let above = Model::parent_of(&node.path);
        assert!(above.is_none_or(|above| seen.contains(above)), "parents first");
        assert!(seen.insert(node.path), "once");
    }
    assert_eq!(seen.len(), model.things.len());
    assert_eq!((files.names() as usize, files.bytes()), (model.things.len(), model.bytes()));
}

#[test]
fn every_sequence_of_operations_does_what_the_model_does() {
    for seed in 1..=60 {
        let mut dice = Dice(seed * 0x9e37_79b9_7f4a_7c15);
        let (mut files, mut model) = (empty(), Model::default());
        for turn in 0..400 {
            step(&mut files, &mut model, &mut dice);
            if turn % 50 == 49 {
                compare(&files, &model);
            }
        }
    }
}

#[test]
fn after_removing_everything_nothing_is_charged() {
    for seed in 1..=20 {
        let mut dice = Dice(seed * 0x5851_f42d_4c95_7f2d);
        let (mut files, mut model) = (empty(), Model::default());
        for _ in 0..200 {
            step(&mut files, &mut model, &mut dice);
        }
        let paths: Vec<String> = model.things.keys().rev().cloned().collect();
        for path in paths {
            let removed = match model.things[&path] {
                Thing::Directory => files.remove_directory(at(&files, &path), NOW),
                _ => files.unlink(at(&files, &path), NOW),
            };
            assert_eq!(removed, Ok(()), "{path}");
        }
        assert_eq!((files.names(), files.bytes()), (0, 0));
    }
}
