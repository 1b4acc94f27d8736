// What the tests' programs for Gate's personality share: the imported functions as they are, without a C library between,
// and a check that logs the failing line. A test logs exactly "PASS\n".

#ifndef GATE_H
#define GATE_H

#include "gatebus.h"

#define ENTRY(name) __attribute__((export_name(#name))) void name(void)
#define RESULT(name) __attribute__((export_name(#name))) int32_t name(void)
#define WASI(result, name, ...) \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) result name(__VA_ARGS__)

enum { OK = 0, AGAIN = 6, BADF = 8, FAULT = 21, INVAL = 28, NOTSOCK = 57, PERM = 63, NOTCAPABLE = 76 };
enum { REALTIME = 0, MONOTONIC = 1, PROCESS_TIME = 2, THREAD_TIME = 3 };
enum { GATE_FD = 4 };

typedef uint32_t fd_t; // descriptors, pointers and lengths are i32 in the ABI
typedef uint64_t rights_t;

WASI(int, args_get, char **, char *);
WASI(int, args_sizes_get, size_t *, size_t *);
WASI(int, clock_res_get, uint32_t, uint64_t *);
WASI(int, clock_time_get, uint32_t, uint64_t, uint64_t *);
WASI(int, environ_get, char **, char *);
WASI(int, environ_sizes_get, size_t *, size_t *);
WASI(int, fd_advise, fd_t, uint64_t, uint64_t, int);
WASI(int, fd_allocate, fd_t, uint64_t, uint64_t);
WASI(int, fd_close, fd_t);
WASI(int, fd_datasync, fd_t);
WASI(int, fd_fdstat_get, fd_t, void *);
WASI(int, fd_fdstat_set_flags, fd_t, int);
WASI(int, fd_fdstat_set_rights, fd_t, rights_t, rights_t);
WASI(int, fd_filestat_get, fd_t, void *);
WASI(int, fd_filestat_set_size, fd_t, uint64_t);
WASI(int, fd_filestat_set_times, fd_t, uint64_t, uint64_t, int);
WASI(int, fd_pread, fd_t, const gb_iovec *, size_t, uint64_t, size_t *);
WASI(int, fd_prestat_dir_name, fd_t, char *, size_t);
WASI(int, fd_prestat_get, fd_t, void *);
WASI(int, fd_pwrite, fd_t, const gb_const_iovec *, size_t, uint64_t, size_t *);
WASI(int, fd_read, fd_t, const gb_iovec *, size_t, size_t *);
WASI(int, fd_readdir, fd_t, void *, size_t, uint64_t, size_t *);
WASI(int, fd_renumber, fd_t, fd_t);
WASI(int, fd_seek, fd_t, int64_t, int, uint64_t *);
WASI(int, fd_sync, fd_t);
WASI(int, fd_tell, fd_t, uint64_t *);
WASI(int, fd_write, fd_t, const gb_const_iovec *, size_t, size_t *);
WASI(int, path_create_directory, fd_t, const char *, size_t);
WASI(int, path_filestat_get, fd_t, int, const char *, size_t, void *);
WASI(int, path_filestat_set_times, fd_t, int, const char *, size_t, uint64_t, uint64_t, int);
WASI(int, path_link, fd_t, int, const char *, size_t, fd_t, const char *, size_t);
WASI(int, path_open, fd_t, int, const char *, size_t, int, rights_t, rights_t, int, fd_t *);
WASI(int, path_readlink, fd_t, const char *, size_t, char *, size_t, size_t *);
WASI(int, path_remove_directory, fd_t, const char *, size_t);
WASI(int, path_rename, fd_t, const char *, size_t, fd_t, const char *, size_t);
WASI(int, path_symlink, const char *, size_t, fd_t, const char *, size_t);
WASI(int, path_unlink_file, fd_t, const char *, size_t);
WASI(int, poll_oneoff, const void *, void *, size_t, size_t *);
WASI(_Noreturn void, proc_exit, int);
WASI(int, proc_raise, int);
WASI(int, random_get, void *, size_t);
WASI(int, sched_yield, void);
WASI(int, sock_recv, fd_t, const gb_iovec *, size_t, int, size_t *, uint16_t *);
WASI(int, sock_send, fd_t, const gb_const_iovec *, size_t, int, size_t *);
WASI(int, sock_shutdown, fd_t, int);

static inline void log_bytes(fd_t fd, const char *text, size_t size)
{
    gb_const_iovec piece = {text, size};
    size_t written;
    fd_write(fd, &piece, 1, &written);
}

static inline void log_text(const char *text) { log_bytes(1, text, __builtin_strlen(text)); }

static inline void log_number(uint64_t number, unsigned base)
{
    char text[20], *start = text + sizeof text;
    do
        *--start = "0123456789abcdef"[number % base];
    while (number /= base);
    log_bytes(1, start, (size_t)(text + sizeof text - start));
}

static inline void check(bool right, const char *what, int line)
{
    if (right)
        return;
    log_text("line ");
    log_number((uint64_t)line, 10);
    log_text(": ");
    log_text(what);
    log_text("\n");
    proc_exit(1);
}

#define CHECK(condition) check(condition, #condition, __LINE__)
// The import of `gate` in each of them is what makes these programs Gate's.
#define TEST(name, ...) ENTRY(test_##name) { CHECK(gb_fd() == GATE_FD); __VA_ARGS__ log_text("PASS\n"); }
#define TRAP(name, call) ENTRY(testtrap_##name) { CHECK(gb_fd() == GATE_FD); call; log_text("still here\n"); }

// The four descriptors that exist, and some that do not.
static const fd_t there[] = {0, 1, 2, GATE_FD};
static const fd_t missing[] = {3, 5, 6, 1000, 0x7fffffff, 0x80000000, 0xffffffff};

// A function that exists for its signature only: not permitted on descriptors that exist, unknown ones are unknown.
#define CHECK_STUB(call) do { \
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) { fd_t fd = there[i]; CHECK((call) == PERM); } \
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) { fd_t fd = missing[i]; CHECK((call) == BADF); } \
} while (0)

#endif
