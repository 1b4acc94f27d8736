//! The functions that a guest may import: one list for each personality, from which everything else is made.
//!
//! On the path of a program this stands at two places: admission checks a module's imports against the lists before the
//! engine compiles it, and the program's process binds the same rows to methods right before the guest starts. Each row is
//!
//! ```text
//! "module" "function" => method(parameter: type, ...) -> result;
//! ```
//!
//! `wasi_table!(m)` and `gate_table!(m)` hand all rows to the macro `m`, which matches them with
//! `$($module:literal $name:literal => $method:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*`.
//! `u32` is WebAssembly's i32 and `u64` its i64; a result `i32` is an errno, `()` is no result. The method is
//! `Wasi::method` or `Gate::method`, with the guest's memory and the channel before the parameters.
//!
//! A row of Gate's list stands for more than one import: [`gate_function`] says which names reach it.

/// A type of WebAssembly that occurs in signatures here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// One row of a table, for checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Module that it is imported from.
    pub module: &'static str,
    /// Name within the module.
    pub name: &'static str,
    /// Parameters, in order.
    pub parameters: &'static [Kind],
    /// Result, if there is one.
    pub result: Option<Kind>,
}

/// Which rules a program runs by. Chosen at admission, from its imports alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// WASI preview 1, and no imports at all.
    Wasi,
    /// Gate's: anything that imports from `gate` or `env`.
    Gate,
}

/// Rust type of a parameter or result -> type of WebAssembly.
pub trait Slot {
    /// None for no result.
    const KIND: Option<Kind>;
    /// For places that need one; I32 for no result, which has no such place.
    const PARAMETER: Kind;
}

impl Slot for u32 {
    const KIND: Option<Kind> = Some(Kind::I32);
    const PARAMETER: Kind = Kind::I32;
}

impl Slot for i32 {
    const KIND: Option<Kind> = Some(Kind::I32);
    const PARAMETER: Kind = Kind::I32;
}

impl Slot for u64 {
    const KIND: Option<Kind> = Some(Kind::I64);
    const PARAMETER: Kind = Kind::I64;
}

impl Slot for () {
    const KIND: Option<Kind> = None;
    const PARAMETER: Kind = Kind::I32;
}

/// All rows of the WASI personality: preview 1 (46 functions) and its predecessor (45).
///
/// Where `wasi_unstable` differs (layout of file status and of poll subscriptions, numbers of `whence`) its row names
/// another method, `unstable_...`.
#[macro_export]
macro_rules! wasi_table {
    ($rows:ident) => { $rows! {
        "wasi_snapshot_preview1" "args_get" => args_get(argv: u32, buffer: u32) -> i32;
        "wasi_snapshot_preview1" "args_sizes_get" => args_sizes_get(count: u32, size: u32) -> i32;
        "wasi_snapshot_preview1" "clock_res_get" => clock_res_get(clock: u32, resolution: u32) -> i32;
        "wasi_snapshot_preview1" "clock_time_get" => clock_time_get(clock: u32, precision: u64, time: u32) -> i32;
        "wasi_snapshot_preview1" "environ_get" => environ_get(environ: u32, buffer: u32) -> i32;
        "wasi_snapshot_preview1" "environ_sizes_get" => environ_sizes_get(count: u32, size: u32) -> i32;
        "wasi_snapshot_preview1" "fd_advise" => fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32;
        "wasi_snapshot_preview1" "fd_allocate" => fd_allocate(fd: u32, offset: u64, len: u64) -> i32;
        "wasi_snapshot_preview1" "fd_close" => fd_close(fd: u32) -> i32;
        "wasi_snapshot_preview1" "fd_datasync" => fd_datasync(fd: u32) -> i32;
        "wasi_snapshot_preview1" "fd_fdstat_get" => fd_fdstat_get(fd: u32, stat: u32) -> i32;
        "wasi_snapshot_preview1" "fd_fdstat_set_flags" => fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        "wasi_snapshot_preview1" "fd_fdstat_set_rights" => fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> i32;
        "wasi_snapshot_preview1" "fd_filestat_get" => fd_filestat_get(fd: u32, stat: u32) -> i32;
        "wasi_snapshot_preview1" "fd_filestat_set_size" => fd_filestat_set_size(fd: u32, size: u64) -> i32;
        "wasi_snapshot_preview1" "fd_filestat_set_times" => fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32) -> i32;
        "wasi_snapshot_preview1" "fd_pread" => fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, nread: u32) -> i32;
        "wasi_snapshot_preview1" "fd_prestat_dir_name" => fd_prestat_dir_name(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "fd_prestat_get" => fd_prestat_get(fd: u32, prestat: u32) -> i32;
        "wasi_snapshot_preview1" "fd_pwrite" => fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, nwritten: u32) -> i32;
        "wasi_snapshot_preview1" "fd_read" => fd_read(fd: u32, iovs: u32, count: u32, nread: u32) -> i32;
        "wasi_snapshot_preview1" "fd_readdir" => fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, used: u32) -> i32;
        "wasi_snapshot_preview1" "fd_renumber" => fd_renumber(from: u32, to: u32) -> i32;
        "wasi_snapshot_preview1" "fd_seek" => fd_seek(fd: u32, offset: u64, whence: u32, position: u32) -> i32;
        "wasi_snapshot_preview1" "fd_sync" => fd_sync(fd: u32) -> i32;
        "wasi_snapshot_preview1" "fd_tell" => fd_tell(fd: u32, position: u32) -> i32;
        "wasi_snapshot_preview1" "fd_write" => fd_write(fd: u32, iovs: u32, count: u32, nwritten: u32) -> i32;
        "wasi_snapshot_preview1" "path_create_directory" => path_create_directory(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "path_filestat_get" => path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, stat: u32) -> i32;
        "wasi_snapshot_preview1" "path_filestat_set_times" => path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, times: u32) -> i32;
        "wasi_snapshot_preview1" "path_link" => path_link(old_fd: u32, flags: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        "wasi_snapshot_preview1" "path_open" => path_open(fd: u32, flags: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32, opened: u32) -> i32;
        "wasi_snapshot_preview1" "path_readlink" => path_readlink(fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, used: u32) -> i32;
        "wasi_snapshot_preview1" "path_remove_directory" => path_remove_directory(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "path_rename" => path_rename(old_fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        "wasi_snapshot_preview1" "path_symlink" => path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "path_unlink_file" => path_unlink_file(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "poll_oneoff" => poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32) -> i32;
        "wasi_snapshot_preview1" "proc_exit" => proc_exit(code: u32) -> ();
        "wasi_snapshot_preview1" "proc_raise" => proc_raise(signal: u32) -> i32;
        "wasi_snapshot_preview1" "random_get" => random_get(buffer: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "sched_yield" => sched_yield() -> i32;
        "wasi_snapshot_preview1" "sock_accept" => sock_accept(fd: u32, flags: u32, opened: u32) -> i32;
        "wasi_snapshot_preview1" "sock_recv" => sock_recv(fd: u32, iovs: u32, count: u32, flags: u32, nread: u32, out_flags: u32) -> i32;
        "wasi_snapshot_preview1" "sock_send" => sock_send(fd: u32, iovs: u32, count: u32, flags: u32, nwritten: u32) -> i32;
        "wasi_snapshot_preview1" "sock_shutdown" => sock_shutdown(fd: u32, how: u32) -> i32;
        "wasi_unstable" "args_get" => args_get(argv: u32, buffer: u32) -> i32;
        "wasi_unstable" "args_sizes_get" => args_sizes_get(count: u32, size: u32) -> i32;
        "wasi_unstable" "clock_res_get" => clock_res_get(clock: u32, resolution: u32) -> i32;
        "wasi_unstable" "clock_time_get" => clock_time_get(clock: u32, precision: u64, time: u32) -> i32;
        "wasi_unstable" "environ_get" => environ_get(environ: u32, buffer: u32) -> i32;
        "wasi_unstable" "environ_sizes_get" => environ_sizes_get(count: u32, size: u32) -> i32;
        "wasi_unstable" "fd_advise" => fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32;
        "wasi_unstable" "fd_allocate" => fd_allocate(fd: u32, offset: u64, len: u64) -> i32;
        "wasi_unstable" "fd_close" => fd_close(fd: u32) -> i32;
        "wasi_unstable" "fd_datasync" => fd_datasync(fd: u32) -> i32;
        "wasi_unstable" "fd_fdstat_get" => fd_fdstat_get(fd: u32, stat: u32) -> i32;
        "wasi_unstable" "fd_fdstat_set_flags" => fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        "wasi_unstable" "fd_fdstat_set_rights" => fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> i32;
        "wasi_unstable" "fd_filestat_get" => unstable_fd_filestat_get(fd: u32, stat: u32) -> i32;
        "wasi_unstable" "fd_filestat_set_size" => fd_filestat_set_size(fd: u32, size: u64) -> i32;
        "wasi_unstable" "fd_filestat_set_times" => fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32) -> i32;
        "wasi_unstable" "fd_pread" => fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, nread: u32) -> i32;
        "wasi_unstable" "fd_prestat_dir_name" => fd_prestat_dir_name(fd: u32, path: u32, len: u32) -> i32;
        "wasi_unstable" "fd_prestat_get" => fd_prestat_get(fd: u32, prestat: u32) -> i32;
        "wasi_unstable" "fd_pwrite" => fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, nwritten: u32) -> i32;
        "wasi_unstable" "fd_read" => fd_read(fd: u32, iovs: u32, count: u32, nread: u32) -> i32;
        "wasi_unstable" "fd_readdir" => fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, used: u32) -> i32;
        "wasi_unstable" "fd_renumber" => fd_renumber(from: u32, to: u32) -> i32;
        "wasi_unstable" "fd_seek" => unstable_fd_seek(fd: u32, offset: u64, whence: u32, position: u32) -> i32;
        "wasi_unstable" "fd_sync" => fd_sync(fd: u32) -> i32;
        "wasi_unstable" "fd_tell" => fd_tell(fd: u32, position: u32) -> i32;
        "wasi_unstable" "fd_write" => fd_write(fd: u32, iovs: u32, count: u32, nwritten: u32) -> i32;
        "wasi_unstable" "path_create_directory" => path_create_directory(fd: u32, path: u32, len: u32) -> i32;
        "wasi_unstable" "path_filestat_get" => unstable_path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, stat: u32) -> i32;
        "wasi_unstable" "path_filestat_set_times" => path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, times: u32) -> i32;
        "wasi_unstable" "path_link" => path_link(old_fd: u32, flags: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        "wasi_unstable" "path_open" => path_open(fd: u32, flags: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32, opened: u32) -> i32;
        "wasi_unstable" "path_readlink" => path_readlink(fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, used: u32) -> i32;
        "wasi_unstable" "path_remove_directory" => path_remove_directory(fd: u32, path: u32, len: u32) -> i32;
        "wasi_unstable" "path_rename" => path_rename(old_fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        "wasi_unstable" "path_symlink" => path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32) -> i32;
        "wasi_unstable" "path_unlink_file" => path_unlink_file(fd: u32, path: u32, len: u32) -> i32;
        "wasi_unstable" "poll_oneoff" => unstable_poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32) -> i32;
        "wasi_unstable" "proc_exit" => proc_exit(code: u32) -> ();
        "wasi_unstable" "proc_raise" => proc_raise(signal: u32) -> i32;
        "wasi_unstable" "random_get" => random_get(buffer: u32, len: u32) -> i32;
        "wasi_unstable" "sched_yield" => sched_yield() -> i32;
        "wasi_unstable" "sock_recv" => sock_recv(fd: u32, iovs: u32, count: u32, flags: u32, nread: u32, out_flags: u32) -> i32;
        "wasi_unstable" "sock_send" => sock_send(fd: u32, iovs: u32, count: u32, flags: u32, nwritten: u32) -> i32;
        "wasi_unstable" "sock_shutdown" => sock_shutdown(fd: u32, how: u32) -> i32;
    } };
}

/// All rows of Gate's personality: its own two functions and the 45 of WASI that Gate knows (`sock_accept` is not one).
///
/// The names `fd` and `io` stand for `fd_N` and `io_N`, `wasi_snapshot_preview1` also for `wasi_unstable`.
#[macro_export]
macro_rules! gate_table {
    ($rows:ident) => { $rows! {
        "gate" "fd" => fd() -> i32;
        "gate" "io" => io(received: u32, received_count: u32, nreceived: u32, sent: u32, sent_count: u32, nsent: u32, timeout: u64, flags: u32) -> ();
        "wasi_snapshot_preview1" "args_get" => args_get(argv: u32, buffer: u32) -> i32;
        "wasi_snapshot_preview1" "args_sizes_get" => args_sizes_get(count: u32, size: u32) -> i32;
        "wasi_snapshot_preview1" "clock_res_get" => clock_res_get(clock: u32, resolution: u32) -> i32;
        "wasi_snapshot_preview1" "clock_time_get" => clock_time_get(clock: u32, precision: u64, time: u32) -> i32;
        "wasi_snapshot_preview1" "environ_get" => environ_get(environ: u32, buffer: u32) -> i32;
        "wasi_snapshot_preview1" "environ_sizes_get" => environ_sizes_get(count: u32, size: u32) -> i32;
        "wasi_snapshot_preview1" "fd_advise" => fd_advise(fd: u32, offset: u64, len: u64, advice: u32) -> i32;
        "wasi_snapshot_preview1" "fd_allocate" => fd_allocate(fd: u32, offset: u64, len: u64) -> i32;
        "wasi_snapshot_preview1" "fd_close" => fd_close(fd: u32) -> i32;
        "wasi_snapshot_preview1" "fd_datasync" => fd_datasync(fd: u32) -> i32;
        "wasi_snapshot_preview1" "fd_fdstat_get" => fd_fdstat_get(fd: u32, stat: u32) -> i32;
        "wasi_snapshot_preview1" "fd_fdstat_set_flags" => fd_fdstat_set_flags(fd: u32, flags: u32) -> i32;
        "wasi_snapshot_preview1" "fd_fdstat_set_rights" => fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> i32;
        "wasi_snapshot_preview1" "fd_filestat_get" => fd_filestat_get(fd: u32, stat: u32) -> i32;
        "wasi_snapshot_preview1" "fd_filestat_set_size" => fd_filestat_set_size(fd: u32, size: u64) -> i32;
        "wasi_snapshot_preview1" "fd_filestat_set_times" => fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32) -> i32;
        "wasi_snapshot_preview1" "fd_pread" => fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, nread: u32) -> i32;
        "wasi_snapshot_preview1" "fd_prestat_dir_name" => fd_prestat_dir_name(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "fd_prestat_get" => fd_prestat_get(fd: u32, prestat: u32) -> i32;
        "wasi_snapshot_preview1" "fd_pwrite" => fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, nwritten: u32) -> i32;
        "wasi_snapshot_preview1" "fd_read" => fd_read(fd: u32, iovs: u32, count: u32, nread: u32) -> i32;
        "wasi_snapshot_preview1" "fd_readdir" => fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, used: u32) -> i32;
        "wasi_snapshot_preview1" "fd_renumber" => fd_renumber(from: u32, to: u32) -> i32;
        "wasi_snapshot_preview1" "fd_seek" => fd_seek(fd: u32, offset: u64, whence: u32, position: u32) -> i32;
        "wasi_snapshot_preview1" "fd_sync" => fd_sync(fd: u32) -> i32;
        "wasi_snapshot_preview1" "fd_tell" => fd_tell(fd: u32, position: u32) -> i32;
        "wasi_snapshot_preview1" "fd_write" => fd_write(fd: u32, iovs: u32, count: u32, nwritten: u32) -> i32;
        "wasi_snapshot_preview1" "path_create_directory" => path_create_directory(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "path_filestat_get" => path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, stat: u32) -> i32;
        "wasi_snapshot_preview1" "path_filestat_set_times" => path_filestat_set_times(fd: u32, flags: u32, path: u32, len: u32, accessed: u64, modified: u64, times: u32) -> i32;
        "wasi_snapshot_preview1" "path_link" => path_link(old_fd: u32, flags: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        "wasi_snapshot_preview1" "path_open" => path_open(fd: u32, flags: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64, fdflags: u32, opened: u32) -> i32;
        "wasi_snapshot_preview1" "path_readlink" => path_readlink(fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, used: u32) -> i32;
        "wasi_snapshot_preview1" "path_remove_directory" => path_remove_directory(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "path_rename" => path_rename(old_fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32) -> i32;
        "wasi_snapshot_preview1" "path_symlink" => path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "path_unlink_file" => path_unlink_file(fd: u32, path: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "poll_oneoff" => poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32) -> i32;
        "wasi_snapshot_preview1" "proc_exit" => proc_exit(code: u32) -> ();
        "wasi_snapshot_preview1" "proc_raise" => proc_raise(signal: u32) -> i32;
        "wasi_snapshot_preview1" "random_get" => random_get(buffer: u32, len: u32) -> i32;
        "wasi_snapshot_preview1" "sched_yield" => sched_yield() -> i32;
        "wasi_snapshot_preview1" "sock_recv" => sock_recv(fd: u32, iovs: u32, count: u32, flags: u32, nread: u32, out_flags: u32) -> i32;
        "wasi_snapshot_preview1" "sock_send" => sock_send(fd: u32, iovs: u32, count: u32, flags: u32, nwritten: u32) -> i32;
        "wasi_snapshot_preview1" "sock_shutdown" => sock_shutdown(fd: u32, how: u32) -> i32;
    } };
}

macro_rules! functions {
    ($($module:literal $name:literal => $method:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*) => {
        &[$(Function {
            module: $module,
            name: $name,
            parameters: &[$(<$kind as Slot>::PARAMETER),*],
            result: <$result as Slot>::KIND,
        }),*]
    };
}

/// The rows of [`wasi_table`].
pub const WASI: &[Function] = wasi_table!(functions);

/// The rows of [`gate_table`].
pub const GATE: &[Function] = gate_table!(functions);

/// Largest packet, and the smallest number that a name `fd_N` or `io_N` may carry.
const PACKET: u32 = 65_536;

/// The personality of a program that imports from these modules.
pub fn personality<'a>(modules: impl IntoIterator<Item = &'a str>) -> Personality {
    let gate = modules.into_iter().any(|module| matches!(module, "gate" | "env"));
    if gate { Personality::Gate } else { Personality::Wasi }
}

/// The function behind an import of a program with this personality; None: there is no such function.
pub fn function_untrusted(personality: Personality, module: &str, name: &str) -> Option<&'static Function> {
    match personality {
        Personality::Wasi => find(WASI, module, name),
        Personality::Gate => gate_function(module, name),
    }
}

/// The row of Gate's table that an import means.
fn gate_function(module: &str, name: &str) -> Option<&'static Function> {
    match module {
        "gate" => find(GATE, "gate", numbered(name)?),
        "wasi_snapshot_preview1" | "wasi_unstable" => find(GATE, "wasi_snapshot_preview1", name),
        "env" => {
            if let Some(rest) = name.strip_prefix("__gate_") {
                find(GATE, "gate", numbered(rest)?)
            } else {
                find(GATE, "wasi_snapshot_preview1", name.strip_prefix("__wasi_")?)
            }
        }
        _ => None,
    }
}

/// `fd_65536` -> `fd`. Gate checks the number and then ignores it: no packet is ever larger than 65,536 bytes.
fn numbered(name: &str) -> Option<&str> {
    let (stem, digits) = name.rsplit_once('_')?;
    let decimal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let canonical = decimal && !digits.starts_with('0');
    // Only digits: a failure to parse is a number beyond 32 bits, which Gate accepts too.
    let enough = digits.parse::<u32>().map_or(true, |number| number >= PACKET);
    (canonical && enough).then_some(stem)
}

fn find(rows: &'static [Function], module: &str, name: &str) -> Option<&'static Function> {
    rows.iter().find(|row| row.module == module && row.name == name)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
