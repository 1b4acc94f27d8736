//! A private file system in memory: what a program sees as `/`, and nobody else ever.
//!
//! On the path of a program this stands behind the WASI functions. In come names, offsets and bytes chosen by the guest
//! (hostile) and the nodes of a tree that the host sends before the start; out go bytes, a [`Problem`] with the meaning of
//! an errno, and at the end the nodes of the tree that the program left. No clock, no descriptor of the real system: time
//! is an argument, and a name can only ever lead to a node in here.
//!
//! # Theory of operation
//!
//! Nodes (directories, regular files, symbolic links) stand in a slab and are named by [`Id`]. A directory keeps its
//! entries twice: by name, and by the order in which they were made, whose numbers are the cookies of `readdir`: stable
//! whatever is added or removed meanwhile. A node lives while it has a name or is open.
//!
//! Paths are walked from a base directory and never leave it: `..` at the base and absolute paths answer
//! [`Problem::NotCapable`]. Only from the root, whose name is `/` for the guest, an absolute symbolic link has a meaning.
//!
//! Limits, each answered with its own problem: bytes ([`Problem::NoSpace`]), names ([`Problem::NoSpace`]), open nodes
//! ([`Problem::TooManyOpen`]). Bytes are counted by size, holes included and once per name of a file, because that is what
//! leaves for the host at the end (a hole leaves as zeros, a hard link as a second copy), so what leaves is bounded too. In memory
//! holes cost nothing and links nothing but their name.
//!
//! What is lost on the way out and in again: hard links become separate files; owners and modes do not exist here.
#![forbid(unsafe_code)]

mod change;
mod content;
mod export;
mod import;
mod node;
mod open;
mod problem;
mod rename;
mod resolve;
mod state;
mod tree;

pub use export::{Export, Exported};
pub use node::{DirectoryEntry, Id, Kind, Stat};
pub use open::Open;
pub use problem::Problem;
pub use resolve::{At, Follow, NAME_LIMIT, PATH_LIMIT, SYMLINK_LIMIT};
pub use tree::{Files, Limits};

/// What almost every function here answers.
pub type Result<T> = std::result::Result<T, Problem>;
