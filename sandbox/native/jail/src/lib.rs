//! The kernel mechanisms that hold a program, one file each, and the processes that are made of them.
//!
//! ```text
//! host --START--> keeper --(namespaces, cgroups)--> spawner --(capabilities, seccomp stage 0)--> child
//!                 keeper.rs: I/O                    container.rs: the list of steps              child.rs: prepare,
//!                 pool.rs: decisions                spawner.rs: fork, wait                       run, lock
//! ```
//! What runs in the child is the business of a [`Workload`].

mod accountgroups;
mod capabilities;
mod cgroups;
mod child;
mod container;
pub mod descriptors;
mod events;
pub mod filters;
mod keeper;
mod landlock;
mod mounts;
mod namespaces;
mod notes;
mod options;
mod placement;
mod pool;
mod probe;
mod rlimits;
pub mod seccomp;
mod shares;
mod signals;
mod spawner;
pub mod sys;
mod workload;

pub use child::{CompileLock, ProgramLock};
pub use workload::{CompileDescriptors, FACTS, IMAGE, PACKET, ProgramDescriptors, StackClass, WASM, Workload};

/// The keeper: `arguments` are the words after `keeper`.
pub fn keeper_main<W: Workload>(arguments: &[String]) -> ! {
    keeper::main(arguments)
}

/// The spawner: `arguments` are the words after `spawner`. Started by the keeper only.
pub fn spawner_main<W: Workload>(arguments: &[String]) -> ! {
    spawner::main::<W>(arguments)
}

/// Prints the layers as JSON: what is on, what is missing, why, and how to get it.
pub fn probe_main() -> ! {
    probe::main()
}
