//! The whole file system as bytes and back, for a program that is stopped here and goes on elsewhere.
//!
//! The format is STATE.md's. Nodes come in the order of their serial numbers and are named by their place in it, so the
//! same tree is always the same bytes, whatever the slab looks like. What follows from something else is not in them: the
//! number of names, parents, what is charged; it is counted anew, and so are the limits of whoever goes on.

use std::sync::Arc;

use gatebus_wire::Malformed;
use gatebus_wire::fields::{Reader, Writer};

use crate::content::Content;
use crate::node::{Body, Directory, Id, Kind, Node};
use crate::resolve::{NAME_LIMIT, check_text};
use crate::{Files, Limits, change::LINKS};

const TOO_MANY: Malformed = Malformed("more files and directories than the limit");
const TOO_LARGE: Malformed = Malformed("more bytes in files than the limit");

type Checked<T> = std::result::Result<T, Malformed>;

impl Files {
    /// All nodes in the order in which they are saved.
    pub fn order(&self) -> Vec<Id> {
        let mut found: Vec<_> = self.nodes().map(|(id, node)| (node.serial, id)).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Everything but who holds which node open. `order` is [`Files::order`].
    pub fn save(&self, order: &[Id], into: Writer) -> Writer {
        let count = u32::try_from(order.len()).unwrap_or(u32::MAX);
        let head = into.u64(self.next_serial()).u32(count);
        // By slot of the slab: looking each entry up in `order` would be quadratic.
        let slots = order.iter().map(|id| id.0).max().map_or(0, |most| most as usize + 1);
        let mut places = vec![0; slots];
        for (number, id) in order.iter().enumerate() {
            if let Some(slot) = places.get_mut(id.0 as usize) {
                *slot = u32::try_from(number).unwrap_or(0);
            }
        }
        let place = |id: Id| places.get(id.0 as usize).copied().unwrap_or(0);
        order.iter().filter_map(|id| self.node(*id).ok()).fold(head, |into, node| save_node(node, &place, into))
    }

    /// What [`Files::save`] wrote, with these limits; `held` are the places of nodes that are open, once for each time.
    pub fn restore_untrusted(fields: &mut Reader<'_>, limits: Limits, held: &[u32]) -> Checked<Files> {
        let next_serial = fields.u64()?;
        let count = fields.u32()?;
        // A node is named, or open, or the root.
        if u64::from(count) > u64::from(limits.names) + u64::from(limits.open) + 1 {
            return Err(TOO_MANY);
        }
        let mut nodes = Vec::new();
        let mut before = 0;
        let mut room = Room { nodes: count, names: limits.names, bytes: limits.bytes };
        for _ in 0..count {
            let node = node_untrusted(fields, &mut room)?;
            if node.serial <= before || node.serial >= next_serial {
                return Err(Malformed("nodes out of order"));
            }
            before = node.serial;
            nodes.push(node);
        }
        Loaded { nodes }.connect_untrusted(held)?.finish_untrusted(next_serial, limits)
    }

    /// The node at this place of the saved order, right after [`Files::restore_untrusted`].
    pub fn restored(&self, place: u32) -> Option<(Id, Kind)> {
        let id = Id(place);
        self.node(id).ok().map(|node| (id, node.kind()))
    }
}

fn save_node(node: &Node, place: &impl Fn(Id) -> u32, into: Writer) -> Writer {
    let head = into.u64(node.serial).u8(node.kind() as u8).bytes(&[0; 3]);
    let times = |into: Writer| into.u64(node.accessed).u64(node.modified).u64(node.changed);
    match &node.body {
        Body::Directory(directory) => {
            let count = directory.entries().count();
            let head = times(head.u32(u32::try_from(count).unwrap_or(u32::MAX))).u64(directory.next_cookie());
            directory.entries().fold(head, |into, (cookie, name, id)| {
                let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
                into.u64(cookie).u32(place(id)).u8(len).bytes(name.as_bytes())
            })
        }
        Body::File(content) => {
            let count = content.stored().count();
            let head = times(head.u32(u32::try_from(count).unwrap_or(u32::MAX))).u64(content.size());
            content.stored().fold(head, |into, (index, bytes)| {
                into.u64(index).u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).bytes(bytes)
            })
        }
        Body::Link(target) => times(head.u32(u32::try_from(target.len()).unwrap_or(u32::MAX))).bytes(target.as_bytes()),
    }
}

/// What there may be, so that a state never becomes more than a few times itself in memory.
struct Room {
    nodes: u32,
    names: u32,
    bytes: u64,
}

fn node_untrusted(fields: &mut Reader<'_>, room: &mut Room) -> Checked<Node> {
    let serial = fields.u64()?;
    let kind = fields.u8()?;
    if fields.bytes(3)? != [0; 3] {
        return Err(Malformed("reserved field is not zero"));
    }
    let count = fields.u32()?;
    let (accessed, modified, changed) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let body = match kind {
        3 => Body::Directory(directory_untrusted(fields, count, room)?),
        4 => Body::File(content_untrusted(fields, count, room)?),
        7 => Body::Link(target_untrusted(fields.bytes(count as usize)?)?),
        _ => return Err(Malformed("unknown type of node")),
    };
    Ok(Node { serial, body, links: 0, opens: 0, accessed, modified, changed })
}

fn directory_untrusted(fields: &mut Reader<'_>, count: u32, room: &mut Room) -> Checked<Directory> {
    let next_cookie = fields.u64()?;
    room.names = room.names.checked_sub(count).ok_or(TOO_MANY)?;
    let mut directory = Directory::new(Id(0));
    for _ in 0..count {
        let (cookie, place, len) = (fields.u64()?, fields.u32()?, fields.u8()?);
        let name = name_untrusted(fields.bytes(usize::from(len))?)?;
        if place == 0 || place >= room.nodes || !directory.insert_at(cookie, name, Id(place)) {
            return Err(Malformed("a directory has an impossible entry"));
        }
    }
    if !directory.set_next_cookie(next_cookie) {
        return Err(Malformed("a directory has an impossible entry"));
    }
    Ok(directory)
}

fn name_untrusted(bytes: &[u8]) -> Checked<Arc<str>> {
    let name = str::from_utf8(bytes).map_err(|_| Malformed("a name is not UTF-8"))?;
    let bad = matches!(name, "" | "." | "..") || name.contains(['/', '\0']) || name.len() > NAME_LIMIT;
    if bad { Err(Malformed("a name that no entry can have")) } else { Ok(Arc::from(name)) }
}

fn target_untrusted(bytes: &[u8]) -> Checked<Arc<str>> {
    let target = str::from_utf8(bytes).map_err(|_| Malformed("a link's target is not UTF-8"))?;
    check_text(target).map_err(|_| Malformed("a target that no link can have"))?;
    Ok(Arc::from(target))
}

fn content_untrusted(fields: &mut Reader<'_>, count: u32, room: &Room) -> Checked<Content> {
    let size = fields.u64()?;
    let mut content = Content::default();
    for _ in 0..count {
        let (index, len) = (fields.u64()?, fields.u32()?);
        if !content.put_stored(index, fields.bytes(len as usize)?) {
            return Err(Malformed("a file has an impossible piece"));
        }
        // Pieces lie 64 KiB apart: this bounds their number too.
        if content.size() > room.bytes {
            return Err(TOO_LARGE);
        }
    }
    if i64::try_from(size).is_err() || content.size() > size {
        return Err(Malformed("a file has an impossible size"));
    }
    content.set_size(size);
    Ok(content)
}

/// Nodes that know nothing of each other yet.
struct Loaded {
    nodes: Vec<Node>,
}

impl Loaded {
    /// Counts names and holders, and finds parents.
    fn connect_untrusted(mut self, held: &[u32]) -> Checked<Loaded> {
        let mut edges = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let Body::Directory(directory) = &node.body else { continue };
            let parent = Id(u32::try_from(place).unwrap_or(0));
            edges.extend(directory.entries().map(|(_, _, child)| (parent, child)));
        }
        for place in held {
            self.node_mut(Id(*place))?.opens += 1;
        }
        // The root has its one name from nobody.
        self.node_mut(Id(0))?.links = 1;
        for (parent, child) in edges {
            let node = self.node_mut(child)?;
            node.links += 1;
            match &mut node.body {
                Body::Directory(_) if node.links > 1 => return Err(Malformed("a directory with two names")),
                Body::Directory(directory) => directory.parent = parent,
                _ if node.links > LINKS => return Err(Malformed("a file with too many names")),
                _ => {}
            }
        }
        Ok(self)
    }

    fn node_mut(&mut self, id: Id) -> Checked<&mut Node> {
        self.nodes.get_mut(id.0 as usize).ok_or(Malformed("a node that is not there"))
    }

    fn finish_untrusted(mut self, next_serial: u64, limits: Limits) -> Checked<Files> {
        for (place, node) in self.nodes.iter_mut().enumerate() {
            check_alone(place, node)?;
        }
        self.check_tree()?;
        let names = self.nodes.iter().map(|node| u64::from(node.links)).sum::<u64>() - 1;
        let names = u32::try_from(names).ok().filter(|names| *names <= limits.names);
        let names = names.ok_or(TOO_MANY)?;
        let mut charged = self.nodes.iter().map(|node| node.size().checked_mul(node.weight()));
        let bytes = charged.try_fold(0u64, |sum, one| sum.checked_add(one?)).filter(|sum| *sum <= limits.bytes);
        let bytes = bytes.ok_or(TOO_LARGE)?;
        let opens = self.nodes.iter().map(|node| u64::from(node.opens)).sum::<u64>();
        let opens = u32::try_from(opens).ok().filter(|opens| *opens <= limits.open);
        let opens = opens.ok_or(Malformed("more open files than the limit"))?;
        let mut files = Files::of_nodes(self.nodes, next_serial, limits);
        (files.bytes, files.names) = (bytes, names);
        files.set_opens(opens);
        Ok(files)
    }

    /// Every named directory hangs on the root: none is its own ancestor.
    fn check_tree(&self) -> Checked<()> {
        let named = self.nodes.iter().filter(|node| node.kind() == Kind::Directory && node.links > 0).count();
        let mut ahead = vec![Id(0)];
        let mut seen = 0;
        while let Some(id) = ahead.pop() {
            let Some(Body::Directory(directory)) = self.nodes.get(id.0 as usize).map(|node| &node.body) else {
                continue;
            };
            seen += 1;
            ahead.extend(directory.entries().map(|(_, _, child)| child).filter(|child| self.is_directory(*child)));
        }
        if seen == named { Ok(()) } else { Err(Malformed("a directory that nothing leads to")) }
    }

    fn is_directory(&self, id: Id) -> bool {
        self.nodes.get(id.0 as usize).is_some_and(|node| node.kind() == Kind::Directory)
    }
}

/// The root is a directory; without a name a node is open, and a directory is empty and leads nowhere.
fn check_alone(place: usize, node: &mut Node) -> Checked<()> {
    if place == 0 && node.kind() != Kind::Directory {
        return Err(Malformed("the root is no directory"));
    }
    if node.links > 0 {
        return Ok(());
    }
    if node.opens == 0 {
        return Err(Malformed("a node without a name is not open"));
    }
    if let Body::Directory(directory) = &mut node.body {
        if !directory.is_empty() {
            return Err(Malformed("a removed directory has entries"));
        }
        directory.parent = Id(u32::try_from(place).unwrap_or(0));
    }
    Ok(())
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
